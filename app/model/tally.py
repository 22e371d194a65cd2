"""Exact counts of classified rows, made where the rows are: the Python workers, as Arrow. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.model.dimensions import DIMENSIONS
from app.model.findings import FAULT_TYPE, Finding, Place, add_finding, findings
from app.model.marts import Mart

LOADED, PENDING, REJECTED, SPLIT = "loaded", "pending", "rejected", "split"

# What a row of the tally counts; rows of the first mart have the kind MART, of the second MART + 1.
FILE, PARTITION, REASON, FAULT, WARNING, MISSING, MARKER, TOO_MANY, MART = range(9)
# So many mart rows and missing keys of a task are counted here; with more of them it is no batch of few rows, whatever its bytes promised.
MOST_KEYS = 20_000
_REQUIRED = tuple(dimension for dimension in DIMENSIONS if dimension.required)
AMOUNT = pa.decimal128(38, 4)
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.int8(), nullable=False),
        # An outcome, a month, a reason, a rule, a dimension or a marker's text.
        pa.field("name", pa.string()),
        # The file, the store, the grain of a mart without its month, the file and split of a fault or a warning, or the file and the key
        # that is missing.
        pa.field("keys", pa.list_(pa.int64())),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("amount", AMOUNT),
        # Of faults and warnings the first: its line in the split, and what a fault is about.
        pa.field("line", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("value", pa.string()),
    ]
)
Counted = tuple[int, str, tuple[int, ...]]


def counted_columns(columns: Sequence[str], marts: Sequence[Mart] = ()) -> list[str]:
    """Return the SQL of the columns that a tally needs, of a classified frame with these columns."""
    wanted = [key for mart in marts for key in _keys(mart)] + [dimension.fact_key for dimension in _REQUIRED if marts]
    keys = dict.fromkeys(key for key in wanted if key != "store_id")
    return [
        "_outcome",
        "_file_id",
        "_reason",
        "sales_month",
        "cast(store_id AS bigint) AS store_id",
        *(f"cast({key} AS bigint) AS {key}" for key in keys),
        "cast(total_cost AS decimal(38,4)) AS total_cost",
        *(["_known"] if marts else []),
        "_split",
        "_line",
        "_warnings",
        # Rows that were waiting have none.
        *(
            name if name in columns else f"cast(NULL AS {kind}) AS {name}"
            for name, kind in (("_faults", FAULT_TYPE), ("_marker", "string"))
        ),
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


@dataclass
class _Counts:
    """What one task has counted so far."""

    marts: Sequence[Mart]
    most: int
    counts: dict[Counted, _Count] = field(default_factory=lambda: defaultdict(_Count))
    faults: dict[Place, Finding] = field(default_factory=dict)
    warnings: dict[Place, Finding] = field(default_factory=dict)
    markers: list[str] = field(default_factory=list)
    by_key: dict[Counted, _Count] = field(default_factory=lambda: defaultdict(_Count))
    is_too_many: bool = False

    def add(self, rows: pa.Table) -> None:
        self.markers += rows.column("_marker").drop_null().to_pylist()
        outcome = rows.column("_outcome")
        loaded, rejected = rows.filter(pc.equal(outcome, LOADED)), rows.filter(pc.equal(outcome, REJECTED))
        _count(self.counts, FILE, rows.filter(pc.not_equal(outcome, SPLIT)), "_outcome", ["_file_id"])
        _count(self.counts, PARTITION, loaded, "sales_month", ["store_id"], "total_cost")
        _count(self.counts, REASON, rejected, "_reason")
        for place, one in findings(rejected, "_faults").items():
            add_finding(self.faults, place, one)
        for place, one in findings(rows.filter(pc.not_equal(outcome, REJECTED)), "_warnings").items():
            add_finding(self.warnings, place, one)
        if self.marts and not self.is_too_many:
            self._count_keys(loaded, rows.filter(pc.equal(outcome, PENDING)))

    def _count_keys(self, loaded: pa.Table, pending: pa.Table) -> None:
        for number, mart in enumerate(self.marts):
            _count(self.by_key, MART + number, loaded, "sales_month", _keys(mart), "total_cost")
        for dimension in _REQUIRED:
            missing = pending.filter(pc.equal(pc.bit_wise_and(pending.column("_known"), dimension.bit), 0))
            named = missing.append_column("dimension", pa.repeat(dimension.table, len(missing)))
            _count(self.by_key, MISSING, named, "dimension", ["_file_id", dimension.fact_key])
        if len(self.by_key) > self.most:
            self.is_too_many = True
            self.by_key.clear()

    def as_rows(self) -> pa.RecordBatch:
        rows: list[dict[str, Any]] = [
            {"kind": kind, "name": name, "keys": keys, **vars(count)}
            for counts in (self.counts, self.by_key)
            for (kind, name, keys), count in counts.items()
        ]
        rows += [
            {"kind": kind, "name": place.reason, "keys": [place.file_id, place.split], **vars(one)}
            for kind, found in ((FAULT, self.faults), (WARNING, self.warnings))
            for place, one in found.items()
        ]
        rows += [{"kind": MARKER, "name": marker, "rows": 1} for marker in self.markers]
        rows += [{"kind": TOO_MANY, "rows": 0}] if self.is_too_many else []
        return pa.RecordBatch.from_pylist(rows, SCHEMA)


@dataclass(frozen=True)
class Tally:
    """Counts the rows of a task. Needs `counted_columns`; yields rows of SCHEMA.

    One row for each (file, outcome); for each fact partition (month, store), with the amount loaded; for each first reason of rejected
    rows; for each (file, split, reason) of rejected rows and each (file, split, rule) of accepted ones with warnings, with the first of
    these; for each marker; and, where there are `marts`, for each row of these that loaded rows touch and each (dimension, file, key) that
    pending rows wait for, or one that says that these are more than `most`. Tasks count apart: their rows are to be added up.
    """

    marts: tuple[Mart, ...] = ()
    most: int = MOST_KEYS

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Count."""
        counted = _Counts(self.marts, self.most)
        for rows in batches:
            counted.add(pa.Table.from_batches([rows]))
        yield counted.as_rows()


def _count(
    counts: dict[Counted, _Count], kind: int, rows: pa.Table, name: str, keys: Sequence[str] = (), amount: str | None = None
) -> None:
    if not len(rows):
        return
    wanted = [([], "count_all"), *([(amount, "sum")] if amount else [])]
    for found in rows.group_by([name, *keys], use_threads=False).aggregate(wanted).to_pylist():
        count = counts[kind, found[name], tuple(found[key] for key in keys)]
        count.rows += found["count_all"]
        count.amount += found.get(f"{amount}_sum") or 0
