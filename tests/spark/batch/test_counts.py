"""Exact figures of a classified batch: the first fault of each reason, and accepted rows with warnings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from app.batch.counts import Census
from app.contract.contract import Column, Contract
from app.ledger.types import Reject, RuleWarning
from app.model.marts import MARTS
from app.model.totals import Totals
from app.source.splits import Marker
from tests.frames import FAULTS

pytestmark = pytest.mark.spark

CONTRACT = Contract((Column("a", "int"), Column("b", "int"), Column("email", "string", sensitive=True)))


COLUMNS = (
    "_file_id bigint, _split int, _line bigint, _outcome string, sales_month string, store_id int, total_cost string, _reason string,"
    f" _faults {FAULTS}, _warnings array<string>, _marker string"
)


def frame_of(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    names = [column.split()[0] for column in COLUMNS.split(", ")]
    made = [{"_file_id": 1, "_split": 0} | row for row in rows]
    frame = spark.createDataFrame([tuple(row.get(name) for name in names) for row in made], COLUMNS)
    return frame.withColumn("total_cost", F.col("total_cost").cast("decimal(18,4)")).repartition(3)


def rejected(line: int, *faults: tuple[str, str | None, str], split: int = 0, file_id: int = 1) -> dict[str, Any]:
    return {"_file_id": file_id, "_split": split, "_line": line, "_outcome": "rejected", "_reason": faults[0][0], "_faults": faults}


def test_each_reason_has_its_first_line_column_and_value(spark: SparkSession) -> None:
    frame = frame_of(
        spark,
        rejected(9, ("INVALID_INT", "a", "early")),
        rejected(5, ("INVALID_INT", "b", "z"), ("INVALID_INT", "a", "first by line, second by place"), ("TOO_LONG", "email", "m@x")),
        rejected(7, ("TOO_FEW_FIELDS", None, "3"), ("TOTAL", "a,email", "5,m@x")),
        rejected(2, ("INVALID_INT", "a", "of the second split, which begins behind line 100"), split=1),
        rejected(3, ("INVALID_ENCODING", "b", "x" * 1000), file_id=2),
        rejected(3, ("TOO_LONG", "b", "of a file that is not asked for"), file_id=3),
    )
    census = Census.take(frame)
    assert census.rejects({1, 2}, CONTRACT, {(1, 1): 100, (3, 0): 7}) == [
        Reject(1, "INVALID_INT", 3, 5, "b", "z"),
        Reject(1, "TOO_FEW_FIELDS", 1, 7, None, "3"),
        Reject(1, "TOO_LONG", 1, 5, "email", "***"),
        Reject(1, "TOTAL", 1, 7, "a,email", "***"),
        Reject(2, "INVALID_ENCODING", 1, 3, "b", "x" * 200),
    ]
    assert census.by_reason == {"INVALID_INT": 3, "TOO_FEW_FIELDS": 1, "INVALID_ENCODING": 1, "TOO_LONG": 1}


def test_lines_of_a_later_split_are_those_of_the_file(spark: SparkSession) -> None:
    census = Census.take(frame_of(spark, rejected(50, ("TOTAL", "a", "5")), rejected(2, ("TOTAL", "a", "6"), split=1)))
    assert census.rejects({1}, CONTRACT, {(1, 1): 100}) == [Reject(1, "TOTAL", 2, 50, "a", "5")]
    assert census.rejects({1}, CONTRACT, {}) == [Reject(1, "TOTAL", 2, 2, "a", "6")]


def test_warnings_of_accepted_rows_are_counted_by_file_and_rule(spark: SparkSession) -> None:
    loaded = {"_outcome": "loaded", "sales_month": "2024-01", "store_id": 5, "total_cost": "1"}
    frame = frame_of(
        spark,
        loaded | {"_line": 9, "_warnings": ["odd", "late"]},
        {"_outcome": "pending", "_line": 4, "_split": 1, "_warnings": ["odd"]},
        loaded | {"_line": 2},
        {"_outcome": "rejected", "_line": 1, "_reason": "TOTAL", "_warnings": ["odd"]},
        loaded | {"_file_id": 2, "_line": 3, "_warnings": ["late"]},
        loaded | {"_file_id": 3, "_line": 3, "_warnings": ["late"]},
    )
    assert Census.take(frame).warned({1, 2}, {(1, 1): 3}) == [
        RuleWarning(1, "late", 1, 9),
        RuleWarning(1, "odd", 2, 7),
        RuleWarning(2, "late", 1, 3),
    ]


def test_rows_are_counted_by_outcome_partition_and_reason(spark: SparkSession) -> None:
    frame = frame_of(
        spark,
        {"_line": 2, "_outcome": "loaded", "sales_month": "2024-01", "store_id": 5, "total_cost": "1.50"},
        {"_line": 3, "_outcome": "loaded", "sales_month": "2024-01", "store_id": 5, "total_cost": "2.50"},
        {"_line": 4, "_outcome": "pending", "sales_month": "2024-01", "store_id": 5, "total_cost": "9.00"},
        {"_line": 5, "_outcome": "rejected", "_reason": "TOTAL"},
        {"_split": None, "_outcome": "split", "_marker": Marker(1, 0, rows=4).to_json()},
    )
    census = Census.take(frame)
    assert census.markers == [Marker(1, 0, rows=4)]
    assert census.by_file == {1: {"loaded": 2, "pending": 1, "rejected": 1}}
    assert [(part.sales_month, part.store_id, part.rows, part.amount) for part in census.facts] == [("2024-01", 5, 2, Decimal("4.0000"))]
    assert census.by_reason == {"TOTAL": 1}
    assert (census.faults, census.warnings) == ({}, {})


def test_rows_that_were_waiting_have_no_markers(spark: SparkSession) -> None:
    frame = frame_of(spark, {"_file_id": 7, "_line": 3, "_outcome": "pending", "sales_month": "2024-01", "store_id": 5, "total_cost": "1"})
    census = Census.take(frame.drop("_faults", "_marker"))
    assert (census.by_file, census.markers) == ({7: {"pending": 1}}, [])


@pytest.mark.parametrize("tasks", [1, 3])
def test_what_few_rows_add_to_the_marts_is_counted_as_well(spark: SparkSession, tasks: int) -> None:
    rows = [
        (1, "loaded", "2024-01", 5, 7, 1, "1.50", 15),
        (1, "loaded", "2024-01", 5, 7, 2, "2.50", 7),
        (1, "loaded", "2024-02", 6, 8, 1, "-1.00", 15),
        (1, "pending", "2024-01", 5, 7, 99, "9.00", 1 + 2 + 8),
        (2, "pending", "2024-01", 5, 77, 99, "9.00", 2),
        (2, "pending", "2024-01", 5, 77, 98, "9.00", 2 + 4),
    ]
    schema = (
        "_file_id bigint, _outcome string, sales_month string, store_id int, customer_id int, sales_person_id int, total_cost string,"
        " _known tinyint, _reason string, _split int, _line bigint, _warnings array<string>"
    )
    frame = spark.createDataFrame([(*row, None, 0, 2, None) for row in rows], schema).repartition(tasks)
    census = Census.take(frame.withColumn("total_cost", F.col("total_cost").cast("decimal(18,4)")), MARTS)
    assert census.deltas == {
        "customers_data_mart": {("2024-01", 7): Totals(2, Decimal("4.00")), ("2024-02", 8): Totals(1, Decimal(-1))},
        "sales_team_data_mart": {
            ("2024-01", 5, 1): Totals(1, Decimal("1.5")),
            ("2024-01", 5, 2): Totals(1, Decimal("2.5")),
            ("2024-02", 6, 1): Totals(1, Decimal(-1)),
        },
    }
    assert census.missing == {(1, "sales_team", 99): 1, (2, "customer", 77): 2, (2, "sales_team", 99): 1}
    for other in (Census.take(frame, MARTS, most=0), Census.take(frame)):
        assert (other.deltas, other.missing) == (None, None)
