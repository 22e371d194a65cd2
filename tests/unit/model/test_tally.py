"""The tally of a task: what is counted, in which rows, and that batches add up."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from app.model.marts import CUSTOMERS, MARTS, SALES_TEAM
from app.model.tally import AMOUNT, FAULT, FILE, MARKER, MART, MISSING, PARTITION, REASON, SCHEMA, TOO_MANY, WARNING, Tally, grain_of
from app.parsing.rows import FAULTS, Fault

COLUMNS = pa.schema(
    [
        ("_outcome", pa.string()),
        ("_file_id", pa.int64()),
        ("_reason", pa.string()),
        ("sales_month", pa.string()),
        ("store_id", pa.int64()),
        ("customer_id", pa.int64()),
        ("sales_person_id", pa.int64()),
        ("total_cost", AMOUNT),
        ("_known", pa.int8()),
        ("_split", pa.int32()),
        ("_line", pa.int64()),
        ("_warnings", pa.list_(pa.string())),
        ("_faults", FAULTS),
        ("_marker", pa.string()),
    ]
)
LOADED_FEB = ("loaded", 1, None, "2024-02", 121, 7, 1, Decimal("1.5000"), 15, 0, 2, None, None, None)
LOADED_ODD = ("loaded", 2, None, "2024-02", 121, 8, 1, Decimal("-2.2500"), 15, 0, 3, ["odd", "late"], None, None)
LOADED_MAR = ("loaded", 1, None, "2024-03", 122, 7, 4, Decimal("0.0001"), 7, 1, 2, None, None, None)
PENDING = ("pending", 1, None, "2024-02", 999, 7, 1, Decimal("7.0000"), 4 + 8, 1, 9, ["odd"], None, None)
NO_INT = Fault("INVALID_INT", "price", "x")._asdict()
NO_DATE = Fault("INVALID_DATE", "sales_date", "y")._asdict()
BAD_INT = ("rejected", 2, "INVALID_INT", None, None, None, None, None, 0, 0, 4, None, [NO_INT, NO_DATE], None)
BAD_DATE = ("rejected", 2, "INVALID_DATE", None, None, None, None, None, 0, 0, 2, ["odd"], [NO_DATE], None)
SPLIT = ("split", 1, None, None, None, None, None, None, None, None, None, None, None, '{"file_id": 1}')
NOTHING = Decimal("0.0000")


def batch(*rows: tuple[Any, ...]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(COLUMNS.names, row, strict=True)) for row in rows], COLUMNS)


def counted(*batches: pa.RecordBatch, marts: tuple[Any, ...] = (), most: int = 100) -> set[tuple[Any, ...]]:
    (found,) = Tally(marts, most)(iter(batches))
    assert found.schema == SCHEMA
    rows = [[tuple(value) if isinstance(value, list) else value for value in row.values()] for row in found.to_pylist()]
    return {tuple(row[:5] + [value for value in row[5:] if value is not None]) for row in rows}


def test_rows_are_counted_by_file_and_outcome_partition_and_reason() -> None:
    assert counted(batch(LOADED_FEB, LOADED_ODD, LOADED_MAR, PENDING, BAD_INT, BAD_INT, BAD_DATE, SPLIT)) == {
        (FILE, "loaded", (1,), 2, NOTHING),
        (FILE, "loaded", (2,), 1, NOTHING),
        (FILE, "pending", (1,), 1, NOTHING),
        (FILE, "rejected", (2,), 3, NOTHING),
        (PARTITION, "2024-02", (121,), 2, Decimal("-0.7500")),
        (PARTITION, "2024-03", (122,), 1, Decimal("0.0001")),
        (REASON, "INVALID_INT", (), 2, NOTHING),
        (REASON, "INVALID_DATE", (), 1, NOTHING),
        (FAULT, "INVALID_INT", (2, 0), 2, None, 4, "price", "x"),
        (FAULT, "INVALID_DATE", (2, 0), 3, None, 2, "sales_date", "y"),
        (WARNING, "odd", (1, 1), 1, None, 9),
        (WARNING, "odd", (2, 0), 1, None, 3),
        (WARNING, "late", (2, 0), 1, None, 3),
        (MARKER, '{"file_id": 1}', None, 1, None),
    }


def test_loaded_rows_are_counted_by_the_grain_of_each_mart_that_is_asked_for() -> None:
    found = counted(batch(LOADED_FEB, LOADED_ODD, LOADED_MAR, LOADED_FEB, PENDING, BAD_INT, SPLIT), marts=MARTS)
    assert {row for row in found if row[0] >= MART} == {
        (MART, "2024-02", (7,), 2, Decimal("3.0000")),
        (MART, "2024-02", (8,), 1, Decimal("-2.2500")),
        (MART, "2024-03", (7,), 1, Decimal("0.0001")),
        (MART + 1, "2024-02", (121, 1), 3, Decimal("0.7500")),
        (MART + 1, "2024-03", (122, 4), 1, Decimal("0.0001")),
    }
    assert grain_of(CUSTOMERS, "2024-02", (7,)) == {"customer_id": 7, "sales_date_month": "2024-02"}
    assert grain_of(SALES_TEAM, "2024-03", (122, 4)) == {"store_id": 122, "sales_person_id": 4, "sales_month": "2024-03"}


def test_what_pending_rows_wait_for_is_counted_by_file_and_key() -> None:
    other_file = (PENDING[0], 2, *PENDING[2:])
    only_store = (*PENDING[:8], 1 + 4, *PENDING[9:])
    found = counted(batch(LOADED_FEB, PENDING, PENDING, other_file, only_store, BAD_INT, SPLIT), marts=MARTS)
    assert {row for row in found if row[0] == MISSING} == {
        (MISSING, "customer", (1, 7), 2, NOTHING),
        (MISSING, "customer", (2, 7), 1, NOTHING),
        (MISSING, "store", (1, 999), 3, NOTHING),
        (MISSING, "store", (2, 999), 1, NOTHING),
    }


def test_too_many_mart_rows_are_said_and_not_sent() -> None:
    whole = batch(LOADED_FEB, LOADED_ODD, LOADED_MAR)
    assert {row[0] for row in counted(whole, marts=MARTS, most=5)} == {FILE, PARTITION, WARNING, MART, MART + 1}
    found = counted(whole, batch(LOADED_FEB), marts=MARTS, most=4)
    waiting = counted(whole, batch(PENDING, PENDING), marts=MARTS, most=6)
    assert TOO_MANY in {row[0] for row in waiting}
    assert {row[0] for row in found} == {FILE, PARTITION, WARNING, TOO_MANY}
    assert (FILE, "loaded", (1,), 3, NOTHING) in found


@pytest.mark.parametrize("cut", range(1, 7))
def test_batches_add_up_wherever_they_are_cut(cut: int) -> None:
    rows = (LOADED_FEB, BAD_INT, LOADED_ODD, PENDING, SPLIT, LOADED_FEB, BAD_INT)
    assert counted(batch(*rows[:cut]), batch(*rows[cut:]), marts=MARTS) == counted(batch(*rows), marts=MARTS)


def test_amounts_are_exact_up_to_the_widest_there_are() -> None:
    widest = Decimal("99999999999999.9999")
    rows = [(*LOADED_FEB[:7], widest, *LOADED_FEB[8:])] * 3
    found = counted(batch(*rows), marts=MARTS)
    assert (PARTITION, "2024-02", (121,), 3, Decimal("299999999999999.9997")) in found
    assert (MART, "2024-02", (7,), 3, Decimal("299999999999999.9997")) in found


@pytest.mark.parametrize("batches", [(), (batch(),)], ids=["none", "empty"])
def test_a_task_without_rows_counts_nothing(batches: tuple[pa.RecordBatch, ...]) -> None:
    assert counted(*batches, marts=MARTS) == set()
