"""Exact counts of classified rows, made where the rows are: the Python workers, as Arrow. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.core.classify import LOADED, REJECTED, SPLIT
from app.core.marts import Mart

# What a row of the tally counts; rows of the first mart have the kind MART, of the second MART + 1.
FILE, PARTITION, REASON, MARKER, TOO_MANY, MART = range(6)
# So many mart rows of a task are counted here; with more of them their batch is none of few rows, whatever its bytes promised.
MOST_MART_ROWS = 20_000
AMOUNT = pa.decimal128(38, 4)
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.int8(), nullable=False),
        # An outcome, a month, a reason or a marker's text.
        pa.field("name", pa.string()),
        # The file, the store, or the grain of a mart without its month.
        pa.field("keys", pa.list_(pa.int64())),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("amount", AMOUNT),
        pa.field("warned", pa.int64()),
    ]
)
Counted = tuple[int, str, tuple[int, ...]]


def counted_columns(columns: Sequence[str], marts: Sequence[Mart] = ()) -> list[str]:
    """Return the SQL of the columns that a tally needs, of a classified frame with these columns."""
    keys = dict.fromkeys(key for mart in marts for key in _keys(mart) if key != "store_id")
    return [
        "_outcome",
        "_file_id",
        "_reason",
        "sales_month",
        "cast(store_id AS bigint) AS store_id",
        *(f"cast({key} AS bigint) AS {key}" for key in keys),
        "cast(total_cost AS decimal(38,4)) AS total_cost",
        f"cast(_outcome <> '{REJECTED}' AND _warnings IS NOT NULL AS int) AS _warned",
        "_marker" if "_marker" in columns else "cast(NULL AS string) AS _marker",
    ]


def grain_of(mart: Mart, month: str, keys: Sequence[int]) -> dict[str, str | int]:
    """Return a mart's grain columns for what a row of its kind has counted."""
    values = dict(zip(_keys(mart), keys, strict=True)) | {"sales_month": month}
    return {column: values[source] for column, source in mart.grain.items()}


def _keys(mart: Mart) -> list[str]:
    """Return the fact columns of a mart's grain beside the month; they are numbers."""
    return [source for source in mart.grain.values() if source != "sales_month"]


@dataclass
class _Count:
    rows: int = 0
    amount: Decimal = Decimal(0)
    warned: int = 0


@dataclass
class _Counts:
    """What one task has counted so far."""

    marts: Sequence[Mart]
    most: int
    counts: dict[Counted, _Count] = field(default_factory=lambda: defaultdict(_Count))
    markers: list[str] = field(default_factory=list)
    mart_rows: dict[Counted, _Count] = field(default_factory=lambda: defaultdict(_Count))
    is_too_many: bool = False

    def add(self, rows: pa.Table) -> None:
        self.markers += rows.column("_marker").drop_null().to_pylist()
        outcome = rows.column("_outcome")
        loaded = rows.filter(pc.equal(outcome, LOADED))
        _count(self.counts, FILE, rows.filter(pc.not_equal(outcome, SPLIT)), "_outcome", ["_file_id"], ["_warned"])
        _count(self.counts, PARTITION, loaded, "sales_month", ["store_id"], ["total_cost"])
        _count(self.counts, REASON, rows.filter(pc.equal(outcome, REJECTED)), "_reason")
        for number, mart in enumerate(self.marts if not self.is_too_many else ()):
            _count(self.mart_rows, MART + number, loaded, "sales_month", _keys(mart), ["total_cost"])
        if len(self.mart_rows) > self.most:
            self.is_too_many = True
            self.mart_rows.clear()

    def as_rows(self) -> pa.RecordBatch:
        rows: list[dict[str, Any]] = [
            {"kind": kind, "name": name, "keys": keys, **vars(count)}
            for counts in (self.counts, self.mart_rows)
            for (kind, name, keys), count in counts.items()
        ]
        rows += [{"kind": MARKER, "name": marker, "rows": 1} for marker in self.markers]
        rows += [{"kind": TOO_MANY, "rows": 0}] if self.is_too_many else []
        return pa.RecordBatch.from_pylist(rows, SCHEMA)


@dataclass(frozen=True)
class Tally:
    """Counts the rows of a task. Needs `counted_columns`; yields rows of SCHEMA.

    One row for each (file, outcome), with accepted rows that have warnings; for each fact partition (month, store), with the amount
    loaded; for each first reason of rejected rows; for each marker; and for each row of `marts` that loaded rows touch, or one that
    says that these are more than `most`. Tasks count apart: their rows are to be added up.
    """

    marts: tuple[Mart, ...] = ()
    most: int = MOST_MART_ROWS

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Count."""
        counted = _Counts(self.marts, self.most)
        for rows in batches:
            counted.add(pa.Table.from_batches([rows]))
        yield counted.as_rows()


def _count(counts: dict[Counted, _Count], kind: int, rows: pa.Table, name: str, keys: Sequence[str] = (), sums: Sequence[str] = ()) -> None:
    if not len(rows):
        return
    wanted = [([], "count_all"), *((column, "sum") for column in sums)]
    for found in rows.group_by([name, *keys], use_threads=False).aggregate(wanted).to_pylist():
        count = counts[kind, found[name], tuple(found[key] for key in keys)]
        count.rows += found["count_all"]
        count.amount += found.get("total_cost_sum") or 0
        count.warned += found.get("_warned_sum") or 0
