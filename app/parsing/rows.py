"""The Arrow shape of scanned rows, and how the two parsing paths fill it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

_STRING = pa.string()
EXTRA = pa.map_(_STRING, _STRING)
# The names of extra columns are repeated in every row: a batch holds so many bytes of them at most, or one row.
MOST_NAME_BYTES = 4 << 20
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
    def extra_names(self) -> pa.Array:
        """The names of the extra columns."""
        return pa.array([name for name, _ in self.extra], _STRING)

    @cached_property
    def extra_of(self) -> Callable[[Sequence[str]], Sequence[str]]:
        """What gives the values of the extra columns from a row's fields."""
        places = [at for _, at in self.extra]
        return itemgetter(*places) if len(places) > 1 else lambda fields: [fields[at] for at in places]

    @cached_property
    def most_rows(self) -> int:
        """How many rows a batch may have, so that the names of extra columns do not fill the memory."""
        # Beside its bytes an entry has two offsets.
        row_bytes = sum(len(name.encode()) + 8 for name, _ in self.extra)
        return max(1, MOST_NAME_BYTES // row_bytes) if row_bytes else MOST_NAME_BYTES

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
    lines = pc.add(counting(count), pa.scalar(first_line, pa.int64()))
    columns = [pa.nulls(count, _STRING) if at is None else cells[at] for at in layout.positions]
    return pa.RecordBatch.from_arrays(
        [lines, *columns, _extra_of_cells(layout, cells, count), raw, pa.nulls(count, FAULTS)], schema=layout.schema
    )


def batch_of_rows(layout: Layout, rows: Sequence[Row]) -> pa.RecordBatch:
    """Make a batch of rows that were read one by one."""
    good = [row.fields for row in rows if row.fields is not None]
    numbers = iter(range(len(good)))
    # Rejected rows have no values: they cost nothing for each column.
    places = None if len(good) == len(rows) else pa.array([None if row.fields is None else next(numbers) for row in rows], pa.int32())
    columns = [_cells(good, at, places, len(rows)) for at in layout.positions]
    extra = _extra_of_fields(layout, good) if good else pa.nulls(len(rows), EXTRA)
    raw = pa.array([row.raw for row in rows], _STRING)
    lines = pa.array([row.line for row in rows], pa.int64())
    arrays = [lines, *columns, extra if places is None or not good else extra.take(places), raw, _faults_of_rows(rows)]
    return pa.RecordBatch.from_arrays(arrays, schema=layout.schema)


def _cells(good: Sequence[Sequence[str]], at: int | None, places: pa.Array | None, count: int) -> pa.Array:
    if at is None or not good:
        return pa.nulls(count, _STRING)
    values = pa.array([fields[at] for fields in good], _STRING)
    return values if places is None else values.take(places)


def batches_of_places(layout: Layout, rows: Sequence[Row], places: pa.Array | None, lines: pa.Array) -> Iterator[pa.RecordBatch]:
    """Yield batches of records that repeat each other: for each one its place in `rows` and its line. Without places none does."""
    # Rejected rows have no extra columns.
    is_good = pa.array([row.fields is not None for row in rows], pa.bool_())
    good = (is_good if places is None else is_good.take(places)).true_count
    most = layout.most_rows if good > layout.most_rows else max(1, len(lines))
    for at in range(0, len(lines), most):
        line = lines.slice(at, most)
        if places is None:
            batch = batch_of_rows(layout, rows[at : at + len(line)])
        else:
            part = places.slice(at, len(line)).dictionary_encode()
            distinct = part.dictionary.to_pylist()
            batch = batch_of_rows(layout, [rows[place] for place in distinct])
            batch = _taken(batch, part.indices) if len(distinct) < len(line) else batch
        yield pa.RecordBatch.from_arrays([line, *batch.columns[1:]], schema=layout.schema)


def _taken(batch: pa.RecordBatch, places: pa.Array) -> pa.RecordBatch:
    """Return some rows of a batch, also repeatedly."""
    columns = [
        pa.nulls(len(places), column.type) if column.null_count == len(column) else column.take(places) for column in batch.columns[:-1]
    ]
    return pa.RecordBatch.from_arrays([*columns, _taken_faults(batch.column("_faults"), places)], schema=batch.schema)


def _taken_faults(faults: pa.ListArray, places: pa.Array) -> pa.Array:
    # Arrow takes a hundred nanoseconds for a list, and nearly every rejected row has one fault.
    sizes = pc.list_value_length(faults)
    if sizes.null_count or pc.min_max(sizes)["max"].as_py() != 1:
        return faults.take(places)
    entries = faults.flatten()
    fields = [pa.nulls(len(places), _STRING) if field.null_count == len(field) else field.take(places) for field in entries.flatten()]
    entry = FAULTS.value_type
    offsets = counting(len(places) + 1).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(fields, fields=list(entry)), type=FAULTS)


def _faults_of_rows(rows: Sequence[Row]) -> pa.Array:
    """Convert each distinct list of faults once: a row of many has the same as others."""
    known: dict[tuple[Fault, ...], int] = {}
    places = [known.setdefault(tuple(row.faults), len(known)) if row.faults else None for row in rows]
    if not known:
        return pa.nulls(len(rows), FAULTS)
    distinct = pa.array([[fault._asdict() for fault in faults] for faults in known], FAULTS)
    return distinct.take(pa.array(places, pa.int32()))


def _extra_of_fields(layout: Layout, good: Sequence[Sequence[str]]) -> pa.Array:
    if not layout.extra:
        return pa.nulls(len(good), EXTRA)
    values = pa.array(list(chain.from_iterable(map(layout.extra_of, good))), _STRING)
    return _extra_map(layout, values, len(good))


def _extra_of_cells(layout: Layout, cells: Sequence[pa.Array], count: int) -> pa.Array:
    if not layout.extra:
        return pa.nulls(count, EXTRA)
    return _extra_map(layout, interleaved([cells[at] for _, at in layout.extra], count), count)


def _extra_map(layout: Layout, values: pa.Array, count: int) -> pa.Array:
    """Return the extra columns of rows from their values, row by row."""
    width = len(layout.extra)
    entries = counting(count * width)
    column = pc.subtract(entries, pc.multiply(pc.divide(entries, width), width))
    offsets = pc.multiply(counting(count + 1), width).cast(pa.int32())
    return pa.MapArray.from_arrays(offsets, layout.extra_names.take(column), values)


def interleaved(columns: Sequence[pa.Array], count: int) -> pa.Array:
    """Return the values of columns of `count` rows row by row."""
    entries = counting(count * len(columns))
    row = pc.divide(entries, len(columns))
    column = pc.subtract(entries, pc.multiply(row, len(columns)))
    return pa.concat_arrays(columns).take(pc.add(pc.multiply(column, count), row))


def counting(count: int) -> pa.Array:
    """Return 0, 1, 2, ... as int64."""
    size = max(1 << 16, 1 << (count - 1).bit_length() if count else 0)
    return _counting_cached(size).slice(0, count)


@lru_cache(maxsize=8)
def _counting_cached(size: int) -> pa.Array:
    return pc.subtract(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), size)), 1)
