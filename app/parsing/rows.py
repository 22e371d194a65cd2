"""The Arrow shape of scanned rows, and how the two parsing paths fill it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

_STRING = pa.string()
EXTRA = pa.map_(_STRING, _STRING)
# What one fault keeps of the offending value; the whole text is in the quarantine's _raw.
VALUE_CHARS = 200
FAULTS = pa.list_(pa.struct([("code", _STRING), ("column", _STRING), ("value", _STRING)]))


class Fault(NamedTuple):
    """One reason against a record, with the column and the value it is about where that is known."""

    code: str
    column: str | None = None
    value: str | None = None


class Row(NamedTuple):
    """One record: the line it begins on, its fields in file order (None when it is rejected), its text and its faults."""

    line: int
    fields: Sequence[str] | None
    raw: str | None = None
    faults: Sequence[Fault] = ()


@dataclass(frozen=True)
class Layout:
    """How the records of one file lie.

    Attributes:
        columns: the contract's columns, in the contract's order.
        names: what the file's fields hold, in the file's order: a name of the contract or that of an extra column.
        delimiter: one ASCII character.
        encoding: utf-8 or a single-byte superset of ASCII.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    delimiter: str = ","
    encoding: str = "utf-8"

    @cached_property
    def positions(self) -> tuple[int | None, ...]:
        """For each column of the contract its place in the file, None where the file lacks it."""
        places = {name: at for at, name in enumerate(self.names)}
        return tuple(places.get(name) for name in self.columns)

    @cached_property
    def extra(self) -> tuple[tuple[str, int], ...]:
        """The extra columns with their places, sorted by name."""
        known = set(self.columns)
        return tuple(sorted((name, at) for at, name in enumerate(self.names) if name not in known))

    @cached_property
    def schema(self) -> pa.Schema:
        """The schema of the record batches."""
        return rows_schema(self.columns)


@lru_cache(maxsize=16)
def rows_schema(columns: tuple[str, ...]) -> pa.Schema:
    """Return the schema of scanned rows: line, the contract's columns as text, extra columns, raw text, faults."""
    texts = [(name, _STRING) for name in columns]
    return pa.schema([("_line", pa.int64()), *texts, ("_extra", EXTRA), ("_raw", _STRING), ("_faults", FAULTS)])


def batch_of_cells(layout: Layout, first_line: int, cells: Sequence[pa.Array], raw: pa.Array) -> pa.RecordBatch:
    """Make a batch of good rows on consecutive lines from whole columns in file order, and the text of each row."""
    count = len(cells[0])
    lines = pc.add(_counting(count), pa.scalar(first_line, pa.int64()))
    columns = [pa.nulls(count, _STRING) if at is None else cells[at] for at in layout.positions]
    return pa.RecordBatch.from_arrays(
        [lines, *columns, _extra_of_cells(layout, cells, count), raw, pa.nulls(count, FAULTS)], schema=layout.schema
    )


def batch_of_rows(layout: Layout, rows: Sequence[Row]) -> pa.RecordBatch:
    """Make a batch of rows that were read one by one."""
    nothing = (None,) * len(layout.names)
    cells = list(zip(*[nothing if row.fields is None else row.fields for row in rows], strict=True))
    count = len(rows)
    faults = [[fault._asdict() for fault in row.faults] if row.faults else None for row in rows]
    arrays = [
        pa.array([row.line for row in rows], pa.int64()),
        *[pa.nulls(count, _STRING) if at is None else pa.array(cells[at], _STRING) for at in layout.positions],
        _extra_of_rows(layout, rows),
        pa.array([row.raw for row in rows], _STRING),
        pa.array(faults, FAULTS),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=layout.schema)


def _extra_of_rows(layout: Layout, rows: Sequence[Row]) -> pa.Array:
    if not layout.extra:
        return pa.nulls(len(rows), EXTRA)
    return pa.array([None if row.fields is None else [(name, row.fields[at]) for name, at in layout.extra] for row in rows], EXTRA)


def _extra_of_cells(layout: Layout, cells: Sequence[pa.Array], count: int) -> pa.Array:
    if not layout.extra:
        return pa.nulls(count, EXTRA)
    width = len(layout.extra)
    names = pa.array([name for name, _ in layout.extra], _STRING)
    entries = _counting(count * width)
    column = pc.subtract(entries, pc.multiply(pc.divide(entries, width), width))
    offsets = pc.multiply(_counting(count + 1), width).cast(pa.int32())
    return pa.MapArray.from_arrays(offsets, names.take(column), interleaved([cells[at] for _, at in layout.extra], count))


def interleaved(columns: Sequence[pa.Array], count: int) -> pa.Array:
    """Return the values of columns of `count` rows row by row."""
    entries = _counting(count * len(columns))
    row = pc.divide(entries, len(columns))
    column = pc.subtract(entries, pc.multiply(row, len(columns)))
    return pa.concat_arrays(columns).take(pc.add(pc.multiply(column, count), row))


def _counting(count: int) -> pa.Array:
    """Return 0, 1, 2, ... as int64."""
    size = max(1 << 16, 1 << (count - 1).bit_length() if count else 0)
    return _counting_cached(size).slice(0, count)


@lru_cache(maxsize=8)
def _counting_cached(size: int) -> pa.Array:
    return pc.subtract(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), size)), 1)
