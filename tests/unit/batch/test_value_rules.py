from __future__ import annotations

import pytest

from app.batch.value_rules import named, quoted


@pytest.mark.parametrize(
    ("text", "literal"),
    [("plain", "'plain'"), ("it's", r"'it\'s'"), (r"^[0-9]+(\.0*)?\z", r"'^[0-9]+(\\.0*)?\\z'"), ("\\'", r"'\\\''"), ("", "''")],
)
def test_a_text_becomes_a_literal_that_means_the_same(text: str, literal: str) -> None:
    assert quoted(text) == literal


def test_a_column_of_any_name_is_an_identifier() -> None:
    assert named("order") == "`order`"
    assert named("a`b") == "`a``b`"
