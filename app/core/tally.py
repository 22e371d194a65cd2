"""Exact counts of classified rows, made where the rows are: the Python workers, as Arrow. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.core.classify import LOADED, REJECTED, SPLIT

# What a row of the tally counts. Its `name` is an outcome, a month, a reason or a marker's text.
FILE, PARTITION, REASON, MARKER = range(4)
AMOUNT = pa.decimal128(38, 4)
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("file_id", pa.int64()),
        pa.field("store_id", pa.int64()),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("amount", AMOUNT),
        pa.field("warned", pa.int64()),
    ]
)


def counted_columns(columns: list[str]) -> list[str]:
    """Return the SQL of the columns that `tally` needs, of a classified frame with these columns."""
    return [
        "_outcome",
        "_file_id",
        "_reason",
        "sales_month",
        "cast(store_id AS bigint) AS store_id",
        "cast(total_cost AS decimal(38,4)) AS total_cost",
        f"cast(_outcome <> '{REJECTED}' AND _warnings IS NOT NULL AS int) AS _warned",
        "_marker" if "_marker" in columns else "cast(NULL AS string) AS _marker",
    ]


@dataclass
class _Count:
    rows: int = 0
    amount: Decimal = Decimal(0)
    warned: int = 0


@dataclass
class _Tally:
    """Counts by what is counted: (kind, name, file, store)."""

    counts: dict[tuple[int, str, int | None, int | None], _Count] = field(default_factory=lambda: defaultdict(_Count))
    markers: list[str] = field(default_factory=list)

    def add(self, rows: pa.Table) -> None:
        self.markers += rows.column("_marker").drop_null().to_pylist()
        outcome = rows.column("_outcome")
        for found in _grouped(rows.filter(pc.not_equal(outcome, SPLIT)), ["_outcome", "_file_id"], [("_warned", "sum")]):
            self._count(FILE, found["_outcome"], found, file=found["_file_id"])
        for found in _grouped(rows.filter(pc.equal(outcome, LOADED)), ["sales_month", "store_id"], [("total_cost", "sum")]):
            self._count(PARTITION, found["sales_month"], found, store=found["store_id"])
        for found in _grouped(rows.filter(pc.equal(outcome, REJECTED)), ["_reason"]):
            self._count(REASON, found["_reason"], found)

    def _count(self, kind: int, name: str, found: dict[str, Any], *, file: int | None = None, store: int | None = None) -> None:
        count = self.counts[kind, name, file, store]
        count.rows += found["count_all"]
        count.amount += found.get("total_cost_sum") or 0
        count.warned += found.get("_warned_sum") or 0

    def as_rows(self) -> pa.RecordBatch:
        rows = [
            {"kind": kind, "name": name, "file_id": file, "store_id": store, **vars(count)}
            for (kind, name, file, store), count in self.counts.items()
        ]
        rows += [{"kind": MARKER, "name": marker, "rows": 1} for marker in self.markers]
        return pa.RecordBatch.from_pylist(rows, SCHEMA)


def tally(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Count the rows of a task. Needs `counted_columns`; yields rows of SCHEMA.

    One row for each (file, outcome), with accepted rows that have warnings; for each fact partition (month, store), with the amount
    loaded; for each first reason of rejected rows; and for each marker. Tasks count apart: their rows are to be added up.
    """
    counted = _Tally()
    for rows in batches:
        counted.add(pa.Table.from_batches([rows]))
    yield counted.as_rows()


def _grouped(rows: pa.Table, keys: list[str], sums: list[tuple[str, str]] | None = None) -> list[dict[str, Any]]:
    return rows.group_by(keys, use_threads=False).aggregate([([], "count_all"), *(sums or [])]).to_pylist() if len(rows) else []
