"""A rule judges a row whose values are sound, names what it breaks, and never stops the batch."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest
from pyspark.sql import SparkSession

from app.batch.value_rules import with_rules
from app.contract.contract import Column, Contract, Rule
from tests.frames import FAULTS

pytestmark = pytest.mark.spark


def codes(faults: Iterable[Any]) -> list[tuple[str, str]]:
    return [(fault["code"], fault["column"]) for fault in faults]


def rule(name: str, expression: str, *columns: str, on_fail: str = "reject") -> Rule:
    return Rule(name, expression, columns, on_fail)


RULES = Contract(
    (Column("a", "int", nullable=True), Column("b", "decimal(10,2)", nullable=True), Column("s", "string", nullable=True)),
    (
        rule("a_not_seven", "a <> 7", "a"),
        rule("ratio_positive", "b / a > 0", "b", "a"),
        rule("digits_only", "CAST(s AS INT) > 0", "s"),
        rule("in_time", "_batch_date >= DATE'2024-05-01'", "a", on_fail="warn"),
        rule("small", "a < 100", "a", on_fail="warn"),
        rule("product_known", "_product_known", "s", on_fail="warn"),
        rule("remainder", "a % (a - a) = 0", "a", on_fail="warn"),
    ),
)


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> dict[str, Any]:
    """Judge rows by the rules above: name -> row."""
    fault, day = ("INVALID_INT", "a", "x"), date(2024, 5, 1)
    given = [
        ("good", 5, D("2.50"), "3", [], day, True),
        ("one", 7, D("2.50"), "3", [], day, True),
        ("two", 7, D("-2.50"), "3", [], day, True),
        ("zero", 0, D("2.50"), "3", [], day, True),
        ("null", None, None, None, [], day, None),
        ("text", 5, D("2.50"), "three", [], day, True),
        ("warned", 200, D("2.50"), "3", [], date(2024, 4, 30), False),
        ("both", 207, D("-2.50"), "3", [], date(2024, 4, 30), False),
        ("faulty", None, D("-2.50"), "3", [fault], date(2024, 4, 30), False),
    ]
    schema = f"name string, a int, b decimal(10,2), s string, _faults {FAULTS}, _batch_date date, _product_known boolean"
    frame = spark.createDataFrame(given, schema).transform(with_rules, RULES)
    found = {row["name"]: row for row in frame.collect()}
    assert len(found) == len(given)
    return found


def test_a_row_that_keeps_all_rules_has_neither_faults_nor_warnings(judged: dict[str, Any]) -> None:
    assert (judged["good"]["_faults"], judged["good"]["_warnings"]) == (None, None)


def test_a_broken_rule_is_a_fault_with_its_columns_and_their_values(judged: dict[str, Any]) -> None:
    assert [tuple(fault) for fault in judged["one"]["_faults"]] == [("A_NOT_SEVEN", "a", "7")]


def test_all_broken_rules_of_a_row_are_named(judged: dict[str, Any]) -> None:
    assert [tuple(fault) for fault in judged["two"]["_faults"]] == [("A_NOT_SEVEN", "a", "7"), ("RATIO_POSITIVE", "b,a", "-2.50,7")]


@pytest.mark.parametrize("name", ["zero", "null", "text"])
def test_a_rule_that_cannot_be_answered_is_not_broken_and_stops_nothing(judged: dict[str, Any], name: str) -> None:
    assert (judged[name]["_faults"], judged[name]["_warnings"]) == (None, None)


def test_a_warning_leaves_the_row_good_and_is_named(judged: dict[str, Any]) -> None:
    assert judged["warned"]["_faults"] is None
    assert judged["warned"]["_warnings"] == ["in_time", "small", "product_known"]


def test_a_rejected_row_still_has_the_warnings_of_its_sound_values(judged: dict[str, Any]) -> None:
    assert codes(judged["both"]["_faults"]) == [("RATIO_POSITIVE", "b,a")]
    assert judged["both"]["_warnings"] == ["in_time", "small", "product_known"]


def test_a_row_that_is_already_faulty_is_not_judged(judged: dict[str, Any]) -> None:
    assert codes(judged["faulty"]["_faults"]) == [("INVALID_INT", "a")]
    assert judged["faulty"]["_warnings"] is None


def test_without_rules_nothing_is_broken(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(1, [])], f"a int, _faults {FAULTS}").transform(with_rules, Contract((Column("a", "int"),)))
    assert frame.schema["_warnings"].dataType.simpleString() == "array<string>"
    [row] = frame.collect()
    assert (row["_faults"], row["_warnings"]) == (None, None)
