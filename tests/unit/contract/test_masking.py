"""What is shown in place of a sensitive value."""

from __future__ import annotations

import pytest

from app.contract.contract import Column, Contract
from app.contract.masking import masked, sensitive_columns

HIDDEN = sensitive_columns(Contract((Column("email", "string", sensitive=True), Column("price", "int"))))


def test_the_contract_says_which_columns_are_sensitive() -> None:
    assert frozenset({"email"}) == HIDDEN


@pytest.mark.parametrize(
    ("value", "column", "shown"),
    [
        ("a@b.c", "email", "***"),
        ("a@b.c,5", "price,email", "***"),
        ("5", "price", "5"),
        ("9", None, "9"),
        (None, "email", None),
        ("5", "emails", "5"),
    ],
)
def test_a_value_is_hidden_when_one_of_its_columns_is_sensitive(value: str | None, column: str | None, shown: str | None) -> None:
    assert masked(value, column, HIDDEN) == shown
