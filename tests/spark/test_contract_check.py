"""A contract that only Spark can judge is judged before any data is touched."""

import dataclasses
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.core.contract import Column, Contract, Rule, load_contract
from app.core.contract_check import check_contract
from app.errors import ContractError

pytestmark = pytest.mark.spark

SHIPPED = load_contract(Path(__file__).parents[2] / "conf" / "contract.yml")


def with_rule(expression: str) -> Contract:
    return dataclasses.replace(SHIPPED, rules=(Rule(name="odd", expression=expression, columns=("quantity",), on_fail="warn"),))


def test_the_shipped_contract_holds(spark: SparkSession) -> None:
    check_contract(spark, SHIPPED)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("quantiy > 0", "UNRESOLVED_COLUMN"),
        ("quantity >", "PARSE_SYNTAX_ERROR"),
        ("quantity + 1", "is int, not a condition"),
        ("no_such(1)", "ROUTINE"),
    ],
)
def test_a_rule_that_cannot_work_is_named_with_its_reason(spark: SparkSession, expression: str, why: str) -> None:
    with pytest.raises(ContractError, match=f"CONTRACT rule odd: .*{why}") as found:
        check_contract(spark, with_rule(expression))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", ["address", "manager_id", "sales_month", "batch_key"])
def test_a_column_that_the_facts_already_have_is_refused(spark: SparkSession, name: str) -> None:
    contract = dataclasses.replace(SHIPPED, columns=(*SHIPPED.columns, Column(name=name, type="string")))
    with pytest.raises(ContractError, match=f"column {name}: the facts already have a column of that name"):
        check_contract(spark, contract)
