"""Header fields without a name, beside columns that are named like their place."""

from __future__ import annotations

from app.parsing.preamble import Preamble, read_preamble
from app.parsing.record_rules import Limits
from tests.shipped import shipped_contract

CONTRACT = shipped_contract()
HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"


def names_behind_the_contracts(header: str) -> tuple[str, ...]:
    found = read_preamble(f"{header}\n".encode(), is_all=True, contract=CONTRACT, encoding="utf-8", limits=Limits())
    assert isinstance(found, Preamble), found
    return found.layout.names[8:]


def test_fields_without_a_name_are_named_by_their_place() -> None:
    assert names_behind_the_contracts(f"{HEADER},,x,") == ("_column_9", "x", "_column_11")


def test_a_field_without_a_name_never_takes_the_name_of_another_column() -> None:
    names = names_behind_the_contracts(f"{HEADER},,_column_9")
    assert len(set(names)) == 2


def test_a_column_named_by_a_number_is_no_duplicate_of_a_field_without_a_name() -> None:
    assert names_behind_the_contracts(f"{HEADER},,8") == ("_column_9", "8")
