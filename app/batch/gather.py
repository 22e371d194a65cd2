"""What a task makes of its rows: pieces of bounded size, grouped by where they go, and exact counts of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.batch.classify import Classified
from app.model.dimensions import DIMENSIONS
from app.model.findings import Finding, Place, add_finding, findings
from app.model.marts import Mart
from app.model.pieces import (
    AMOUNT,
    BLOB_BYTES,
    BUCKETS,
    DELTA,
    FACTS,
    FAULT,
    FILE,
    LINES,
    LOADED,
    MARKER,
    MISSING,
    REJECTED,
    REJECTS,
    WAITERS,
    WAITING,
    WARNING,
    Piece,
    month_text,
    packed,
)

# What a task holds of rows that are not yet a blob; then all of it goes on.
TASK_BYTES = 48 << 20
# Grain keys that a task holds before their sums go on, and rows after which what came is summed up.
MOST_KEYS = 200_000
SUM_ROWS = 200_000
_REQUIRED = tuple(dimension for dimension in DIMENSIONS if dimension.required)
AMOUNT_COLUMN = "total_cost"


@dataclass
class _Pile:
    """Rows that become one blob."""

    rows: list[pa.RecordBatch] = field(default_factory=list)
    count: int = 0
    bytes: int = 0

    def add(self, rows: pa.RecordBatch) -> None:
        self.rows.append(rows)
        self.count += rows.num_rows
        self.bytes += rows.nbytes

    def take(self) -> pa.RecordBatch:
        taken = self.rows[0] if len(self.rows) == 1 else pa.concat_batches(self.rows)
        self.rows, self.count, self.bytes = [], 0, 0
        return taken


@dataclass
class _Sums:
    """Rows and amounts by keys, added up now and then."""

    keys: tuple[str, ...]
    parts: list[pa.Table] = field(default_factory=list)
    waiting: int = 0
    held: int = 0

    def add(self, rows: pa.Table) -> None:
        """Add rows with the keys, `amount` and `row_count`."""
        self.parts.append(rows)
        self.waiting += len(rows)
        if self.waiting >= SUM_ROWS:
            self.parts = [self.summed()]
            self.waiting, self.held = 0, len(self.parts[0])

    def summed(self) -> pa.Table:
        return summed(pa.concat_tables(self.parts), self.keys)


def summed(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Add up `amount` and `row_count` by keys. The same columns, one row for each key."""
    found = rows.group_by(list(keys), use_threads=False).aggregate([("amount", "sum"), ("row_count", "sum")])
    amounts = found.column("amount_sum").cast(AMOUNT)
    return pa.table([*(found.column(key) for key in keys), amounts, found.column("row_count_sum")], [*keys, "amount", "row_count"])


class Gatherer:
    """Gathers the rows of one task.

    What it has gathered goes on as pieces: from `add` what has become large, from `rest` what is left, and the counts.
    """

    def __init__(self, marts: Sequence[Mart], *, with_lines: bool = False) -> None:
        self._with_lines = with_lines
        self._facts: defaultdict[tuple[int, int], _Pile] = defaultdict(_Pile)
        self._rejects: defaultdict[str, _Pile] = defaultdict(_Pile)
        self._waiters = _Pile()
        self._lines = _Pile()
        self._sums = {DELTA + number: _Sums(mart_keys(mart)) for number, mart in enumerate(marts)}
        self._missing = {dimension.table: _Sums(("_file_id", "key_value")) for dimension in _REQUIRED}
        self._files: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._found: dict[int, dict[Place, Finding]] = {FAULT: {}, WARNING: {}}
        self._markers: list[str] = []
        self._held = 0

    def add(self, rows: Classified) -> Iterator[Piece]:
        """Gather rows; yield what has become large enough for a blob."""
        self._markers += rows.markers
        if rows.loaded.num_rows:
            self._count(LOADED, rows.loaded)
            self._add_facts(rows.loaded)
            self.add_deltas(rows.loaded, 1)
        if rows.waiting.num_rows:
            self._count(WAITING, rows.waiting)
            self._waiters.add(rows.waiting.drop_columns(["_known"]))
            self._add_missing(rows.waiting)
        if rows.rejected is not None:
            self._count(REJECTED, rows.rejected)
            for reason in pc.unique(rows.rejected.column("_reason")).to_pylist():
                self._rejects[reason].add(rows.rejected.filter(pc.equal(rows.rejected.column("_reason"), reason)))
        yield from self.large()

    def add_deltas(self, rows: pa.RecordBatch, sign: int) -> None:
        """Add rows with `_month` and the columns of the marts to the deltas, or take them out with a sign of -1."""
        amount = rows.column(AMOUNT_COLUMN).cast(AMOUNT)
        count = pa.repeat(pa.scalar(sign, pa.int64()), rows.num_rows)
        for sums in self._sums.values():
            keys = [rows.column(key).cast(pa.int64()) for key in sums.keys]
            signed = amount if sign > 0 else pc.negate(amount)
            sums.add(pa.table([*keys, signed, count], [*sums.keys, "amount", "row_count"]))

    def add_lines(self, rows: pa.RecordBatch) -> None:
        """Tell where rows are, by `_file_id` and `_line`."""
        self._lines.add(rows)

    def rest(self) -> Iterator[Piece]:
        """Yield all that is left: blobs, findings, counts and markers."""
        yield from self._flushed()
        for kind, sums in self._sums.items():
            yield from self._in_buckets(kind, None, sums)
        for dimension, sums in self._missing.items():
            yield from self._in_buckets(MISSING, dimension, sums)
        for kind, found in self._found.items():
            for place, one in found.items():
                keys = (place.file_id,) if place.split is None else (place.file_id, place.split)
                yield Piece(kind, place.reason, keys, one.rows, None, one.line, one.column, one.value)
        for (outcome, file_id), rows in self._files.items():
            yield Piece(FILE, outcome, (file_id,), rows)
        for marker in self._markers:
            yield Piece(MARKER, marker)

    def _count(self, outcome: str, rows: pa.RecordBatch) -> None:
        for counted in rows.column("_file_id").value_counts().to_pylist():
            self._files[outcome, counted["values"]] += counted["counts"]
        kind, name = (FAULT, "_faults") if outcome == REJECTED else (WARNING, "_warnings")
        if rows.column(name).null_count < rows.num_rows:
            for place, one in findings(pa.Table.from_batches([rows.select(["_file_id", "_split", "_line", name])]), name).items():
                add_finding(self._found[kind], place, one)
        if self._with_lines:
            self.add_lines(rows.select(["_file_id", "_line"]))

    def _add_facts(self, rows: pa.RecordBatch) -> None:
        # The smallest run keeps all rows of its batch in memory.
        self._held += rows.nbytes
        for place, run in by_place(rows):
            self._facts[place].add(run)

    def _add_missing(self, rows: pa.RecordBatch) -> None:
        for dimension in _REQUIRED:
            missing = rows.filter(pc.equal(pc.bit_wise_and(rows.column("_known"), dimension.bit), 0))
            if missing.num_rows:
                count = pa.repeat(pa.scalar(1, pa.int64()), missing.num_rows)
                columns = [missing.column("_file_id"), missing.column(dimension.fact_key).cast(pa.int64()), count.cast(AMOUNT), count]
                self._missing[dimension.table].add(pa.table(columns, ["_file_id", "key_value", "amount", "row_count"]))

    def large(self) -> Iterator[Piece]:
        """Yield piles that have become large, or all when they hold much together, and sums of too many keys."""
        piles = [*self._facts.values(), *self._rejects.values(), self._waiters, self._lines]
        if self._held + sum(pile.bytes for pile in piles[len(self._facts) :]) >= TASK_BYTES:
            yield from self._flushed()
            self._held = 0
        elif any(pile.bytes >= BLOB_BYTES for pile in piles):
            yield from self._flushed(BLOB_BYTES)
        for kind, sums in self._sums.items():
            if sums.held >= MOST_KEYS:
                yield from self._in_buckets(kind, None, sums)
        for dimension, sums in self._missing.items():
            if sums.held >= MOST_KEYS:
                yield from self._in_buckets(MISSING, dimension, sums)

    def _flushed(self, least: int = 0) -> Iterator[Piece]:
        for (month, store), pile in self._facts.items():
            if pile.count and pile.bytes >= least:
                yield from fact_pieces(FACTS, month, store, pile.take())
        for reason, pile in self._rejects.items():
            if pile.count and pile.bytes >= least:
                yield from _blobs(REJECTS, reason, pile.take())
        for kind, pile in ((WAITERS, self._waiters), (LINES, self._lines)):
            if pile.count and pile.bytes >= least:
                yield from _blobs(kind, None, pile.take())

    def _in_buckets(self, kind: int, name: str | None, sums: _Sums) -> Iterator[Piece]:
        if not sums.parts:
            return
        (rows,) = sums.summed().combine_chunks().to_batches()
        sums.parts, sums.waiting, sums.held = [], 0, 0
        bucket = pc.bit_wise_and(_mixed([rows.column(key) for key in sums.keys]), BUCKETS - 1)
        for start, stop, order in _runs(bucket):
            part = rows.take(order.slice(start, stop - start))
            count, amount = (pc.sum(part.column(column)).as_py() for column in ("row_count", "amount"))
            yield Piece(kind, name, (bucket[order[start].as_py()].as_py(),), count, amount, blob=packed(part))


def _runs(values: pa.Array) -> Iterator[tuple[int, int, pa.Array]]:
    """Yield where runs of equal values begin and end when rows are sorted by them, and that order."""
    order = pc.sort_indices(values)
    ordered = values.take(order)
    ends = pc.add(pc.indices_nonzero(pc.not_equal(ordered.slice(1), ordered.slice(0, len(ordered) - 1))), 1).to_pylist()
    for start, stop in pairwise([0, *ends, len(ordered)]):
        yield start, stop, order


def mart_keys(mart: Mart) -> tuple[str, ...]:
    """Return the columns of classified rows that a mart's grain is made of, in the order of the grain."""
    return tuple("_month" if source == "sales_month" else source for source in mart.grain.values())


def by_place(rows: pa.RecordBatch) -> Iterator[tuple[tuple[int, int], pa.RecordBatch]]:
    """Yield the rows of each fact partition, (month, store), without their month."""
    month, store = rows.column("_month"), rows.column("store_id")
    code = pc.add(pc.shift_left(month.cast(pa.int64()), 32), store.cast(pa.int64()))
    rows = rows.drop_columns(["_month"])
    if (first := code[0]) and pc.all(pc.equal(code, first)).as_py():
        yield (month[0].as_py(), store[0].as_py()), rows
        return
    ordered: pa.RecordBatch | None = None
    for start, stop, order in _runs(code):
        ordered = rows.take(order) if ordered is None else ordered
        first = order[start].as_py()
        yield (month[first].as_py(), store[first].as_py()), ordered.slice(start, stop - start)


def fact_pieces(kind: int, month: int, store: int, rows: pa.RecordBatch) -> Iterator[Piece]:
    """Yield the pieces of one fact partition's rows."""
    for part in slices(rows):
        amount: Decimal | None = pc.sum(part.column(AMOUNT_COLUMN)).as_py()
        yield Piece(kind, month_text(month), (store,), part.num_rows, amount, blob=packed(part))


def _blobs(kind: int, name: str | None, rows: pa.RecordBatch) -> Iterator[Piece]:
    for part in slices(rows):
        yield Piece(kind, name, None, part.num_rows, blob=packed(part))


def slices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut rows into slices of about BLOB_BYTES, at least one row each; halves of halves, as the long rows may lie anywhere."""
    if rows.num_rows <= 1 or rows.nbytes <= BLOB_BYTES:
        yield rows
        return
    middle = rows.num_rows // 2
    yield from slices(rows.slice(0, middle))
    yield from slices(rows.slice(middle))


def _mixed(keys: Iterable[Any]) -> Any:
    """Return a number of each row's keys in which the lowest bits depend on all of them."""
    mixed = None
    for key in keys:
        number = key.cast(pa.int64())
        mixed = number if mixed is None else pc.add(pc.multiply(mixed, 31), number)
    return pc.bit_wise_xor(mixed, pc.shift_right(mixed, 7))
