"""Every row is loaded, rejected or pending, none is lost, and a waiting row says what it waits for."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from app.batch.classify import classify_pending, classify_scanned, missing_key_rows, sales_columns
from app.contract.contract import Contract
from tests.frames import lookups, scanned

pytestmark = pytest.mark.spark

CLAIMED_ON = date(2024, 5, 1)
WRONG_COUNT = [("WRONG_FIELD_COUNT", None, "7 of 8")]

# By name, what makes each row differ from a good one.
ROWS: dict[str, dict[str, Any]] = {
    "good": {},
    "unknown customer": {"customer_id": "99"},
    "unknown store": {"store_id": "999"},
    "unknown seller": {"sales_person_id": "9"},
    "all unknown": {"customer_id": "99", "store_id": "999", "sales_person_id": "9"},
    "unknown in another file": {"customer_id": "99", "_file_id": 8},
    "another unknown customer": {"customer_id": "98"},
    "unknown product": {"product_name": "tea"},
    "product in capitals": {"product_name": "Sugar"},
    "no last names": {"customer_id": "2", "sales_person_id": "2", "store_id": "122"},
    "bad and unknown": {"customer_id": "99", "quantity": "two"},
    "two faults": {"price": "1e5", "customer_id": "x"},
    "no customer": {"customer_id": ""},
    "broken line": {**dict.fromkeys(("customer_id", "store_id", "price", "total_cost")), "_faults": WRONG_COUNT, "_raw": "1,121,sugar"},
    "extra columns": {"_extra": {"payment_mode": "UPI", "note": 'a "b"'}},
    "no extra columns": {"_extra": {}},
    "quantity zero": {"quantity": "0", "total_cost": "0"},
    "negative price": {"price": "-50.00", "quantity": "-2"},
    "returned": {"quantity": "-2", "total_cost": "-100.00"},
    "wrong total": {"total_cost": "100.02"},
    "a cent off": {"total_cost": "100.01"},
    "tomorrow": {"sales_date": "2024-05-02"},
    "day after tomorrow": {"sales_date": "2024-05-03"},
    "marker": {
        **dict.fromkeys(("customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost")),
        "_kind": "split",
        "_marker": '{"file_id": 7}',
        "_raw": None,
    },
}


@pytest.fixture(scope="module")
def frame(spark: SparkSession, contract: Contract) -> DataFrame:
    rows = scanned(spark, contract, *ROWS.values())
    return classify_scanned(rows, contract, CLAIMED_ON).localCheckpoint()


@pytest.fixture(scope="module")
def classified(frame: DataFrame) -> dict[str, Row]:
    found = {row["_line"]: row for row in frame.collect()}
    return {name: found[at] for at, name in enumerate(ROWS, 1)}


def missing(row: Row) -> list[str]:
    return [name for name, bit in {"customer": 1, "store": 2, "sales_team": 4}.items() if not row["_known"] & bit]


def test_no_row_is_lost_or_doubled(frame: DataFrame) -> None:
    assert sorted(row["_line"] for row in frame.select("_line").collect()) == list(range(1, len(ROWS) + 1))


def test_the_columns_are_those_that_later_steps_need(frame: DataFrame, contract: Contract) -> None:
    assert frame.columns == [
        "customer_id",
        "store_id",
        "product_name",
        "sales_date",
        "sales_person_id",
        "price",
        "quantity",
        "total_cost",
        "additional_column",
        "_warnings",
        "_file_id",
        "_split",
        "_line",
        "sales_month",
        "_raw",
        "_faults",
        "_reason",
        "_known",
        "_outcome",
        "_marker",
    ]
    assert sales_columns(contract) == frame.columns[:14]


def test_a_good_row_is_loaded_with_typed_values_and_its_month(classified: dict[str, Row]) -> None:
    row = classified["good"]
    assert (row["customer_id"], row["store_id"], row["product_name"], row["sales_person_id"]) == (1, 121, "sugar", 1)
    assert (row["sales_date"], row["sales_month"]) == (date(2024, 4, 30), "2024-04")
    assert (row["price"], row["quantity"], row["total_cost"]) == (Decimal("50.0000"), 2, Decimal("100.0000"))
    assert (row["_outcome"], missing(row), row["_reason"], row["_faults"], row["_raw"]) == ("loaded", [], None, None, None)
    assert (row["_file_id"], row["_warnings"], row["additional_column"]) == (7, None, None)


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("unknown customer", ["customer"]),
        ("unknown store", ["store"]),
        ("unknown seller", ["sales_team"]),
        ("all unknown", ["customer", "store", "sales_team"]),
    ],
)
def test_a_row_with_an_unknown_key_waits_and_says_for_what(classified: dict[str, Row], name: str, unknown: list[str]) -> None:
    assert (classified[name]["_outcome"], missing(classified[name])) == ("pending", unknown)
    assert (classified[name]["_reason"], classified[name]["_faults"]) == (None, None)


@pytest.mark.parametrize("name", ["unknown product", "product in capitals"])
def test_an_unknown_product_is_loaded_with_a_warning(classified: dict[str, Row], name: str) -> None:
    assert (classified[name]["_outcome"], classified[name]["_warnings"]) == ("loaded", ["product_known"])


def test_a_missing_last_name_or_manager_is_no_reason_to_wait(classified: dict[str, Row]) -> None:
    assert (classified["no last names"]["_outcome"], missing(classified["no last names"])) == ("loaded", [])


def test_a_bad_row_is_rejected_even_if_its_customer_is_unknown(classified: dict[str, Row]) -> None:
    assert (classified["bad and unknown"]["_outcome"], classified["bad and unknown"]["_reason"]) == ("rejected", "INVALID_INT")


def test_a_rejected_row_keeps_its_text_and_every_reason_and_counts_under_the_first(classified: dict[str, Row]) -> None:
    row = classified["two faults"]
    assert (row["_outcome"], row["_raw"], row["_reason"]) == ("rejected", "the text", "INVALID_INT")
    assert [tuple(fault) for fault in row["_faults"]] == [("INVALID_INT", "customer_id", "x"), ("INVALID_DECIMAL", "price", "1e5")]


def test_a_missing_key_is_a_fault_and_not_an_unknown_one(classified: dict[str, Row]) -> None:
    assert (classified["no customer"]["_outcome"], classified["no customer"]["_reason"]) == ("rejected", "NULL_VALUE")


def test_a_structural_fault_is_the_only_reason(classified: dict[str, Row]) -> None:
    row = classified["broken line"]
    assert (row["_outcome"], row["_reason"], row["_raw"]) == ("rejected", "WRONG_FIELD_COUNT", "1,121,sugar")
    assert [tuple(fault) for fault in row["_faults"]] == WRONG_COUNT


def test_extra_columns_become_json(classified: dict[str, Row]) -> None:
    assert json.loads(classified["extra columns"]["additional_column"]) == {"payment_mode": "UPI", "note": 'a "b"'}
    assert classified["no extra columns"]["additional_column"] is None


@pytest.mark.parametrize(
    ("name", "reason", "value"), [("quantity zero", "QUANTITY_NOT_ZERO", "0"), ("negative price", "PRICE_NOT_NEGATIVE", "-50.0000")]
)
def test_a_broken_rule_rejects_the_row(classified: dict[str, Row], name: str, reason: str, value: str) -> None:
    assert (classified[name]["_outcome"], classified[name]["_reason"]) == ("rejected", reason)
    assert [fault["value"] for fault in classified[name]["_faults"]] == [value]


@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("returned", None),
        ("wrong total", ["total_matches"]),
        ("a cent off", None),
        ("tomorrow", None),
        ("day after tomorrow", ["date_not_in_future"]),
    ],
)
def test_what_is_only_odd_is_loaded(classified: dict[str, Row], name: str, warnings: list[str] | None) -> None:
    assert (classified[name]["_outcome"], classified[name]["_warnings"]) == ("loaded", warnings)


def test_a_marker_of_the_scan_is_no_record(classified: dict[str, Row]) -> None:
    row = classified["marker"]
    assert (row["_outcome"], row["_marker"], row["_reason"]) == ("split", '{"file_id": 7}', None)


# What pending rows wait for


def test_missing_keys_are_counted_per_file_dimension_and_key(frame: DataFrame) -> None:
    counted = missing_key_rows(frame.where(F.col("_outcome") == "pending"))
    assert counted.columns == ["file_id", "dimension", "key_value", "row_count"]
    assert sorted(tuple(row) for row in counted.collect()) == [
        (7, "customer", 98, 1),
        (7, "customer", 99, 2),
        (7, "sales_team", 9, 2),
        (7, "store", 999, 2),
        (8, "customer", 99, 1),
    ]


# Rows that waited


@pytest.fixture(scope="module")
def waited(spark: SparkSession, frame: DataFrame, contract: Contract) -> dict[int, Row]:
    """Classify the pending rows again after customer 99 has come: line -> row."""
    # As pending Parquet is read: the sales columns and the partition column.
    stored = frame.where(F.col("_outcome") == "pending").select(*sales_columns(contract)).withColumn("batch_key", F.lit("7-1-1"))
    again = classify_pending(stored, lookups(spark, (99, "Omar", "Khan", None, None, None)))
    assert again.columns[-3:] == ["_known", "_outcome", "_reason"]
    assert set(again.columns) == {*sales_columns(contract), "_known", "_outcome", "_reason"}
    return {row["_line"]: row for row in again.collect()}


def test_no_waiting_row_is_lost(waited: dict[int, Row]) -> None:
    names = list(ROWS)
    assert [names[line - 1] for line in sorted(waited)] == [
        "unknown customer",
        "unknown store",
        "unknown seller",
        "all unknown",
        "unknown in another file",
        "another unknown customer",
    ]


def test_a_row_is_released_when_its_key_has_come(waited: dict[int, Row]) -> None:
    row = waited[list(ROWS).index("unknown customer") + 1]
    assert (row["_outcome"], missing(row), row["customer_id"], row["sales_month"]) == ("loaded", [], 99, "2024-04")


def test_a_row_goes_on_waiting_for_the_keys_that_are_still_missing(waited: dict[int, Row]) -> None:
    row = waited[list(ROWS).index("all unknown") + 1]
    assert (row["_outcome"], missing(row), row["_reason"]) == ("pending", ["store", "sales_team"], None)
