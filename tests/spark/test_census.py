"""Exact figures of a classified batch: the first fault of each reason, and accepted rows with warnings."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from app.census import Census, count_rejects, count_warnings
from app.core.contract import Column, Contract
from app.core.marts import MARTS
from app.ledger_types import Reject, RuleWarning
from app.sinks.marts import Totals
from app.source.splits import Marker
from tests.frames import FAULTS

pytestmark = pytest.mark.spark

CONTRACT = Contract((Column("a", "int"), Column("b", "int"), Column("email", "string", sensitive=True)))


@pytest.fixture(scope="module")
def rejected(spark: SparkSession) -> DataFrame:
    rows = [
        (1, 9, [("INVALID_INT", "a", "early")]),
        (1, 5, [("INVALID_INT", "b", "z"), ("INVALID_INT", "a", "first by line, second by place"), ("TOO_LONG", "email", "m@x")]),
        (1, 7, [("TOO_FEW_FIELDS", None, "3"), ("TOTAL", "a,email", "5,m@x")]),
        (2, 3, [("INVALID_ENCODING", "b", "x" * 1000)]),
    ]
    return spark.createDataFrame(rows, f"_file_id bigint, _line bigint, _faults {FAULTS}")


def test_each_reason_has_its_first_line_column_and_value(rejected: DataFrame) -> None:
    assert sorted(count_rejects(rejected, CONTRACT), key=lambda reject: (reject.file_id, reject.reason_code)) == [
        Reject(1, "INVALID_INT", 3, 5, "b", "z"),
        Reject(1, "TOO_FEW_FIELDS", 1, 7, None, "3"),
        Reject(1, "TOO_LONG", 1, 5, "email", "***"),
        Reject(1, "TOTAL", 1, 7, "a,email", "***"),
        Reject(2, "INVALID_ENCODING", 1, 3, "b", "x" * 200),
    ]


def test_warnings_are_counted_by_file_and_rule(spark: SparkSession) -> None:
    rows = [(1, 9, ["odd", "late"]), (1, 4, ["odd"]), (1, 2, None), (2, 3, ["late"])]
    found = count_warnings(spark.createDataFrame(rows, "_file_id bigint, _line bigint, _warnings array<string>"))
    assert sorted(found, key=lambda one: (one.file_id, one.rule)) == [
        RuleWarning(1, "late", 1, 9),
        RuleWarning(1, "odd", 2, 4),
        RuleWarning(2, "late", 1, 3),
    ]


def test_the_census_counts_warned_rows_that_are_not_rejected(spark: SparkSession) -> None:
    rows = [
        (1, "loaded", "2024-01", 5, "1.50", None, ["odd", "late"], None),
        (1, "loaded", "2024-01", 5, "2.50", None, None, None),
        (1, "pending", "2024-01", 5, "9.00", None, ["odd"], None),
        (1, "rejected", None, None, None, "TOTAL", ["odd"], None),
        (1, "split", None, None, None, None, None, Marker(1, 0, rows=4).to_json()),
    ]
    schema = (
        "_file_id bigint, _outcome string, sales_month string, store_id int, total_cost string, _reason string, _warnings array<string>,"
        " _marker string"
    )
    frame = spark.createDataFrame(rows, schema).withColumn("total_cost", F.col("total_cost").cast("decimal(18,4)")).repartition(3)
    census = Census.take(frame)
    assert census.markers == [Marker(1, 0, rows=4)]
    assert census.warned == 2
    assert census.by_file == {1: {"loaded": 2, "pending": 1, "rejected": 1}}
    assert [(part.sales_month, part.store_id, part.rows, part.amount) for part in census.facts] == [("2024-01", 5, 2, Decimal("4.0000"))]
    assert census.by_reason == {"TOTAL": 1}


def test_rows_that_were_waiting_have_no_markers(spark: SparkSession) -> None:
    schema = "_file_id bigint, _outcome string, sales_month string, store_id int, total_cost int, _reason string, _warnings array<string>"
    census = Census.take(spark.createDataFrame([(7, "pending", "2024-01", 5, 1, None, None)], schema))
    assert (census.by_file, census.markers) == ({7: {"pending": 1}}, [])


@pytest.mark.parametrize("tasks", [1, 3])
def test_what_few_rows_add_to_the_marts_is_counted_as_well(spark: SparkSession, tasks: int) -> None:
    rows = [
        (1, "loaded", "2024-01", 5, 7, 1, "1.50"),
        (1, "loaded", "2024-01", 5, 7, 2, "2.50"),
        (1, "loaded", "2024-02", 6, 8, 1, "-1.00"),
        (1, "pending", "2024-01", 5, 7, 1, "9.00"),
    ]
    schema = (
        "_file_id bigint, _outcome string, sales_month string, store_id int, customer_id int, sales_person_id int, total_cost string,"
        " _reason string, _warnings array<string>"
    )
    frame = spark.createDataFrame([(*row, None, None) for row in rows], schema).repartition(tasks)
    census = Census.take(frame.withColumn("total_cost", F.col("total_cost").cast("decimal(18,4)")), MARTS)
    assert census.deltas == {
        "customers_data_mart": {("2024-01", 7): Totals(2, Decimal("4.00")), ("2024-02", 8): Totals(1, Decimal(-1))},
        "sales_team_data_mart": {
            ("2024-01", 5, 1): Totals(1, Decimal("1.5")),
            ("2024-01", 5, 2): Totals(1, Decimal("2.5")),
            ("2024-02", 6, 1): Totals(1, Decimal(-1)),
        },
    }
    assert Census.take(frame, MARTS, most=0).deltas is None
    assert Census.take(frame).deltas is None
