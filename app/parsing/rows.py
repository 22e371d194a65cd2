"""The Arrow shape of scanned rows, and how the two parsing paths fill it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
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


# The contract's columns, and the extra ones, of so many good records from one of them on: (place, count).
Values = Callable[[int, int], list[pa.Array]]


def batches_of(layout: Layout, lines: pa.Array, raw: pa.Array, faults: pa.Array, values: Values) -> Iterator[pa.RecordBatch]:
    """Yield records in batches of bounded size, from the line, the text and the faults (null for a good one) of each.

    The values are those of the good ones.
    """
    most = layout.most_rows if faults.null_count > layout.most_rows else max(1, len(lines))
    begin = 0
    for at in range(0, len(lines), most):
        line, fault = lines.slice(at, most), faults.slice(at, most)
        good = fault.null_count
        columns = values(begin, good) if good else [pa.nulls(len(line), kind) for kind in layout.schema.types[1:-2]]
        if 0 < good < len(line):
            # Rejected records have no values: they cost nothing for each column.
            is_good = fault.is_null()
            places = pc.if_else(is_good, pc.subtract(running(is_good), 1), pa.scalar(None, pa.int64()))
            columns = [column.take(places) for column in columns]
        begin += good
        yield pa.RecordBatch.from_arrays([line, *columns, raw.slice(at, most), fault], schema=layout.schema)


def batches_of_rows(layout: Layout, rows: Sequence[Row], first_line: int) -> Iterator[pa.RecordBatch]:
    """Yield rows that were read one by one, with lines that count from the first one."""
    good = [row.fields for row in rows if row.fields is not None]
    faults = [fault for row in rows for fault in row.faults]
    return batches_of(
        layout,
        pa.array([first_line + row.line for row in rows], pa.int64()),
        pa.array([row.raw for row in rows], _STRING),
        _fault_lists(pa.array([len(row.faults) for row in rows], pa.int64()), columns_of_faults(faults)),
        partial(values_of_fields, layout, good),
    )


def values_of_cells(layout: Layout, cells: Sequence[pa.Array], begin: int, count: int) -> list[pa.Array]:
    """Return the values of some good records from whole columns in the file's order."""
    columns = [pa.nulls(count, _STRING) if at is None else cells[at].slice(begin, count) for at in layout.positions]
    if not layout.extra:
        return [*columns, pa.nulls(count, EXTRA)]
    extra = interleaved([cells[at].slice(begin, count) for _, at in layout.extra], count)
    return [*columns, _extra_map(layout, extra, count)]


def values_of_fields(layout: Layout, rows: Sequence[Sequence[str]], begin: int, count: int) -> list[pa.Array]:
    """Return the values of some good records from the fields of each."""
    rows = rows[begin : begin + count]
    columns = [pa.nulls(count, _STRING) if at is None else pa.array([fields[at] for fields in rows], _STRING) for at in layout.positions]
    if not layout.extra:
        return [*columns, pa.nulls(count, EXTRA)]
    extra = pa.array(list(chain.from_iterable(map(layout.extra_of, rows))), _STRING)
    return [*columns, _extra_map(layout, extra, count)]


def faults_of_places(known: Sequence[pa.Array], places: Sequence[pa.Array]) -> pa.Array:
    """Return the faults of many records: each of `places` says for every record which one of the known faults it has, null for none.

    The known faults are columns, as of columns_of_faults.
    """
    count, most = len(places[0]), len(places)
    entries = interleaved(places, count)
    until = pc.take(running(entries.is_valid()), pc.add(pc.multiply(counting(count), most), most - 1))
    sizes = pc.subtract(until, pa.concat_arrays([pa.array([0], pa.int64()), until[:-1]]))
    return _fault_lists(sizes, [column.take(entries.drop_null()) for column in known])


def columns_of_faults(faults: Sequence[Fault]) -> list[pa.Array]:
    """Return the codes, columns and values of faults."""
    return [pa.array([fault[at] for fault in faults], _STRING) for at in range(len(Fault._fields))]


def _fault_lists(sizes: pa.Array, columns: Sequence[pa.Array]) -> pa.Array:
    """Return lists of faults, of so many each; null for those without any."""
    if not len(columns[0]):
        return pa.nulls(len(sizes), FAULTS)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(sizes).cast(pa.int32())])
    faults = pa.StructArray.from_arrays(columns, fields=list(FAULTS.value_type))
    return pa.ListArray.from_arrays(offsets, faults, type=FAULTS, mask=pc.equal(sizes, 0))


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


def line_starts(text: bytes) -> pa.Array:
    """Return the offsets at which the lines of a text begin, and the one behind the last LF."""
    codes = pa.Array.from_buffers(pa.uint8(), len(text), [None, pa.py_buffer(text)])
    breaks = pc.indices_nonzero(pc.equal(codes, pa.scalar(ord("\n"), pa.uint8())))
    return pa.concat_arrays([pa.array([0], pa.int64()), pc.add(breaks.cast(pa.int64()), 1)])


def pieces(text: bytes, borders: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cut a text at offsets, without a copy."""
    return pa.Array.from_buffers(kind, len(borders) - 1, [None, borders.cast(pa.int32()).buffers()[1], pa.py_buffer(text)])


def joined(texts: pa.Array, separator: bytes = b"") -> bytes:
    """Return many texts as one."""
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    text: bytes = pc.binary_join(whole, separator)[0].as_py()
    return text


def running(of_rows: pa.Array) -> pa.Array:
    """Return for each row the sum of the rows up to it, itself included."""
    return pc.cumulative_sum(of_rows.cast(pa.int64()))


def counting(count: int) -> pa.Array:
    """Return 0, 1, 2, ... as int64."""
    size = max(1 << 16, 1 << (count - 1).bit_length() if count else 0)
    return _counting_cached(size).slice(0, count)


@lru_cache(maxsize=8)
def _counting_cached(size: int) -> pa.Array:
    return pc.subtract(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), size)), 1)
