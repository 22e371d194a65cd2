"""The tally of a task: what is counted, in which rows, and that batches add up."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from app.core.tally import AMOUNT, FILE, MARKER, PARTITION, REASON, SCHEMA, tally

COLUMNS = pa.schema(
    [
        ("_outcome", pa.string()),
        ("_file_id", pa.int64()),
        ("_reason", pa.string()),
        ("sales_month", pa.string()),
        ("store_id", pa.int64()),
        ("total_cost", AMOUNT),
        ("_warned", pa.int32()),
        ("_marker", pa.string()),
    ]
)
LOADED_FEB = ("loaded", 1, None, "2024-02", 121, Decimal("1.5000"), 0, None)
LOADED_ODD = ("loaded", 2, None, "2024-02", 121, Decimal("-2.2500"), 1, None)
LOADED_MAR = ("loaded", 1, None, "2024-03", 122, Decimal("0.0001"), 0, None)
PENDING = ("pending", 1, None, "2024-02", 999, Decimal("7.0000"), 1, None)
BAD_INT = ("rejected", 2, "INVALID_INT", None, None, None, 0, None)
BAD_DATE = ("rejected", 2, "INVALID_DATE", None, None, None, 0, None)
SPLIT = ("split", 1, None, None, None, None, 0, '{"file_id": 1}')


def batch(*rows: tuple[Any, ...]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(COLUMNS.names, row, strict=True)) for row in rows], COLUMNS)


def counted(*batches: pa.RecordBatch) -> set[tuple[Any, ...]]:
    (found,) = tally(iter(batches))
    assert found.schema == SCHEMA
    return {tuple(row[name] for name in SCHEMA.names) for row in found.to_pylist()}


def test_rows_are_counted_by_file_and_outcome_partition_and_reason() -> None:
    assert counted(batch(LOADED_FEB, LOADED_ODD, LOADED_MAR, PENDING, BAD_INT, BAD_INT, BAD_DATE, SPLIT)) == {
        (FILE, "loaded", 1, None, 2, Decimal("0.0000"), 0),
        (FILE, "loaded", 2, None, 1, Decimal("0.0000"), 1),
        (FILE, "pending", 1, None, 1, Decimal("0.0000"), 1),
        (FILE, "rejected", 2, None, 3, Decimal("0.0000"), 0),
        (PARTITION, "2024-02", None, 121, 2, Decimal("-0.7500"), 0),
        (PARTITION, "2024-03", None, 122, 1, Decimal("0.0001"), 0),
        (REASON, "INVALID_INT", None, None, 2, Decimal("0.0000"), 0),
        (REASON, "INVALID_DATE", None, None, 1, Decimal("0.0000"), 0),
        (MARKER, '{"file_id": 1}', None, None, 1, None, None),
    }


@pytest.mark.parametrize("cut", range(1, 7))
def test_batches_add_up_wherever_they_are_cut(cut: int) -> None:
    rows = (LOADED_FEB, BAD_INT, LOADED_ODD, PENDING, SPLIT, LOADED_FEB, BAD_INT)
    assert counted(batch(*rows[:cut]), batch(*rows[cut:])) == counted(batch(*rows))


def test_amounts_are_exact_up_to_the_widest_there_are() -> None:
    widest = Decimal("99999999999999.9999")
    rows = [("loaded", 1, None, "2024-02", 121, widest, 0, None)] * 3
    assert (PARTITION, "2024-02", None, 121, 3, Decimal("299999999999999.9997"), 0) in counted(batch(*rows))


@pytest.mark.parametrize("batches", [(), (batch(),)], ids=["none", "empty"])
def test_a_task_without_rows_counts_nothing(batches: tuple[pa.RecordBatch, ...]) -> None:
    assert counted(*batches) == set()
