"""A contract is judged before any data is touched."""

import dataclasses
from typing import Any

import pytest

from app.checks.contract import check_contract
from app.contract.contract import Column, Contract, Rule
from app.errors import ContractError
from tests.shipped import shipped_contract

SHIPPED = shipped_contract()


def with_rule(expression: str) -> Contract:
    return dataclasses.replace(SHIPPED, rules=(Rule(name="odd", expression=expression, columns=("quantity",), on_fail="warn"),))


def test_the_shipped_contract_holds() -> None:
    check_contract(SHIPPED)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("quantiy > 0", "quantiy is not a known column: customer_id, .*_product_known"),
        ("quantity >", "is no expression of Spark SQL"),
        ("quantity + 1", "is int, not a condition"),
        ("no_such(1)", "the function no_such is not on the list: abs, ceil, .*year"),
    ],
)
def test_a_rule_that_cannot_work_is_named_with_its_reason(expression: str, why: str) -> None:
    with pytest.raises(ContractError, match=f"CONTRACT rule odd: .*{why}") as found:
        check_contract(with_rule(expression))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", ["address", "manager_id", "sales_month", "batch_key"])
def test_a_column_that_the_facts_already_have_is_refused(name: str) -> None:
    contract = dataclasses.replace(SHIPPED, columns=(*SHIPPED.columns, Column(name=name, type="string")))
    with pytest.raises(ContractError, match=f"column {name}: the facts already have a column of that name"):
        check_contract(contract)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("total_cost", {"nullable": True}, "column total_cost: must not be nullable"),
        ("total_cost", {"type": "decimal(18,5)"}, "column total_cost: must be decimal"),
        ("total_cost", {"type": "decimal(21,4)"}, "column total_cost: must be decimal"),
        ("total_cost", {"type": "string"}, "column total_cost: must be decimal"),
        ("customer_id", {"nullable": True}, "column customer_id: must not be nullable"),
        ("store_id", {"type": "bigint"}, "column store_id: must be int"),
        ("sales_date", {"nullable": True}, "column sales_date: must not be nullable"),
        ("sales_date", {"type": "string", "date_formats": ()}, "column sales_date: must be date"),
    ],
)
def test_a_column_that_would_not_fit_the_marts_is_refused(name: str, change: dict[str, Any], message: str) -> None:
    columns = tuple(dataclasses.replace(column, **change) if column.name == name else column for column in SHIPPED.columns)
    with pytest.raises(ContractError, match=message):
        check_contract(dataclasses.replace(SHIPPED, columns=columns))


@pytest.mark.parametrize("name", ["total_cost", "product_name", "customer_id", "sales_date"])
def test_a_column_that_the_marts_need_must_be_there(name: str) -> None:
    contract = dataclasses.replace(SHIPPED, columns=tuple(column for column in SHIPPED.columns if column.name != name), rules=())
    with pytest.raises(ContractError, match=f"column {name}: is missing"):
        check_contract(contract)


def test_the_widest_amounts_are_accepted() -> None:
    columns = tuple(dataclasses.replace(c, type="decimal(20,4)") if c.name == "total_cost" else c for c in SHIPPED.columns)
    check_contract(dataclasses.replace(SHIPPED, columns=columns))
