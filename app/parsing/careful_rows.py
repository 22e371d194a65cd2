"""The rows of many records whose ends are known, good and bad ones, all at once: the careful path of the scan. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from app.parsing.clean_parser import MOST_ARROW_COLUMNS, read_cells
from app.parsing.record_rules import (
    CLOSED,
    INVALID_ENCODING,
    LONG,
    NUL_BYTE,
    LineShape,
    escaped,
    fields_of,
    form_fault,
    long_row,
    text_fault,
    with_surrogates,
)
from app.parsing.rows import (
    VALUE_CHARS,
    Fault,
    Layout,
    Values,
    batches_of,
    columns_of_faults,
    counting,
    faults_of_places,
    interleaved,
    joined,
    line_starts,
    pieces,
    values_of_cells,
    values_of_fields,
)

# Below this Arrow's reader costs more than it saves.
FEW_ROWS = 100
_NO_PLACE = pa.scalar(None, pa.int64())
# What Arrow's reader takes for the end of a record travels as bytes that no UTF-8 has; another one of these ends a record.
_TO_ARROW = bytes.maketrans(b"\n\r\xfd", b"\xfe\xff\n")
_FROM_ARROW = bytes.maketrans(b"\xfe\xff", b"\n\r")


@dataclass(frozen=True)
class CarefulRows:
    """Records of whole lines.

    Attributes:
        lines: the line on which each begins, from 0.
        texts: its bytes, line break included.
        shown: the same as readable text.
        valid: the same with one question mark for what is not valid in the encoding; an escape is longer than that.
        end: how it ends, as in LineShape.
        fields: how many fields it has; its bytes, if it is too long.
    """

    layout: Layout
    lines: pa.Array
    texts: pa.Array
    shown: pa.Array
    valid: pa.Array
    end: pa.Array
    fields: pa.Array

    @classmethod
    def of(cls, text: bytes, starts: pa.Array, borders: pa.Array, end: pa.Array, fields: pa.Array, layout: Layout) -> CarefulRows:
        """Return the rows of records from the lines on which they begin, with the number of all lines behind them. Blank ones are none."""
        offsets = starts.take(borders)
        shown, valid = _as_text(text[: offsets[-1].as_py()], offsets, borders, layout.encoding)
        blanks = " \t\r\n".replace(layout.delimiter, "")
        is_record = pc.or_(_is_long(end), pc.greater(pc.binary_length(pc.ascii_trim(shown, characters=blanks)), 0))
        columns = [borders[:-1], pieces(text, offsets, pa.binary()), shown, valid, end, fields]
        if is_record.true_count < len(end):
            columns = [column.filter(is_record) for column in columns]
        return cls(layout, *columns)

    def batches(self, first_line: int) -> Iterator[pa.RecordBatch]:
        """Yield the records in batches of bounded size, for the line number of the first line."""
        if not len(self.lines):
            return iter(())
        is_long = _is_long(self.end)
        is_right = pc.and_(pc.equal(self.end, pa.scalar(CLOSED, pa.int8())), pc.equal(self.fields, len(self.layout.names)))
        known, form_places = self._form_faults(is_right)
        places = [form_places]
        is_bad = [(code, pc.and_not(_is_bad(code, self.shown, self.valid), is_long)) for code in (NUL_BYTE, INVALID_ENCODING)]
        is_good = pc.and_not(is_right, pc.or_(*(is_so for _, is_so in is_bad)))
        cells = self._faulty_cells(pc.and_not(is_right, is_good))
        for code, is_so in is_bad:
            if is_so.true_count:
                named = pc.and_(is_so, is_right)
                place = pc.if_else(is_so, len(known[0]), _NO_PLACE)
                places.append(pc.replace_with_mask(place, named, pc.add(counting(named.true_count), len(known[0]) + 1)))
                found = columns_of_faults([Fault(code)]), self._named_faults(code, named, cells)
                known = [pa.concat_arrays(columns) for columns in zip(known, *found, strict=True)]
        raw = _rtrim(self.shown)
        values = _values(raw.filter(is_good), self.layout)
        if is_long.true_count:
            texts = self.texts.filter(is_long).to_pylist()
            raw = pc.replace_with_mask(raw, is_long, pa.array([long_row(0, text[:-1], len(text), self.layout).raw for text in texts]))
        return batches_of(self.layout, pc.add(self.lines, first_line), raw, faults_of_places(known, places), values)

    def _form_faults(self, is_right: pa.Array) -> tuple[list[pa.Array], pa.Array]:
        """Return the faults of form that occur, and which one each record has."""
        shapes = pc.if_else(is_right, _NO_PLACE, pc.add(pc.multiply(self.fields, LONG + 1), self.end)).dictionary_encode()
        known = [LineShape(shape % (LONG + 1), shape // (LONG + 1)) for shape in shapes.dictionary.to_pylist()]
        return columns_of_faults([form_fault(shape, len(self.layout.names)) for shape in known]), shapes.indices.cast(pa.int64())

    def _faulty_cells(self, faulty: pa.Array) -> tuple[pa.Array, pa.Array] | None:
        """Return the fields of records of the right form that are no text, as `shown` and as `valid`; None where they are few."""
        count = faulty.true_count
        if _is_few(count, self.layout):
            return None
        shown = interleaved(_cells(_rtrim(self.shown.filter(faulty)), self.layout), count)
        if self.valid.equals(self.shown):
            return shown, shown
        return shown, interleaved(_cells(_rtrim(self.valid.filter(faulty)), self.layout), count)

    def _named_faults(self, code: str, named: pa.Array, cells: tuple[pa.Array, pa.Array] | None) -> list[pa.Array]:
        """Return the faults of such records that have a certain one: the first column that has it, and its value."""
        if cells is None:
            texts = self.texts.filter(named).to_pylist()
            return columns_of_faults([text_fault(code, text.rstrip(b"\r\n"), self.layout) for text in texts])
        width = len(self.layout.names)
        bad = pc.indices_nonzero(_is_bad(code, *cells)).cast(pa.int64())
        rows = pc.divide(bad, width)
        first = bad.filter(pa.concat_arrays([pa.array([True]), pc.not_equal(rows[1:], rows[:-1])])[: len(bad)])
        columns = pa.array(self.layout.names).take(pc.subtract(first, pc.multiply(pc.divide(first, width), width)))
        return [pa.repeat(pa.scalar(code), len(first)), columns, pc.utf8_slice_codeunits(cells[0].take(first), 0, VALUE_CHARS)]


def _is_long(end: pa.Array) -> pa.Array:
    return pc.equal(end, pa.scalar(LONG, pa.int8()))


def _is_bad(code: str, shown: pa.Array, valid: pa.Array) -> pa.Array:
    return pc.match_substring(shown, "\0") if code == NUL_BYTE else pc.not_equal(pc.binary_length(shown), pc.binary_length(valid))


def _rtrim(records: pa.Array) -> pa.Array:
    return pc.ascii_rtrim(records, characters="\r\n")


def _as_text(text: bytes, offsets: pa.Array, borders: pa.Array, encoding: str) -> tuple[pa.Array, pa.Array]:
    """Return the records as readable text, and as valid text."""
    try:
        decoded = text.decode(encoding)
    except UnicodeDecodeError:
        decoded = with_surrogates(text, encoding)
        return _records(escaped(decoded), borders), _records(decoded.encode("utf-8", "replace"), borders)
    shown = pieces(text, offsets, pa.string()) if encoding == "utf-8" else _records(decoded.encode(), borders)
    return shown, shown


def _records(text: bytes, borders: pa.Array) -> pa.Array:
    return pieces(text, line_starts(text).take(borders), pa.string())


def _is_few(records: int, layout: Layout) -> bool:
    return records < FEW_ROWS or len(layout.names) > MOST_ARROW_COLUMNS


def _values(raw: pa.Array, layout: Layout) -> Values:
    """Return the values of good records."""
    if _is_few(len(raw), layout):
        return partial(values_of_fields, layout, [fields_of(text, layout.delimiter) for text in raw.to_pylist()])
    return partial(values_of_cells, layout, _cells(raw, layout))


def _cells(records: pa.Array, layout: Layout) -> list[pa.Array]:
    """Return the columns of well-formed records."""
    text = joined(records.cast(pa.binary()), b"\xfd")
    # The empty line is left out: a byte order mark behind it is text.
    columns = read_cells(b"\n" + text.translate(_TO_ARROW) + b"\n", layout, pa.binary())
    has_breaks = b"\n" in text or b"\r" in text
    return [_text_of(cells, has_breaks) for cells in columns]


def _text_of(cells: pa.Array, has_breaks: bool) -> pa.Array:
    _, offsets, text = cells.buffers()
    if has_breaks:
        text = pa.py_buffer(text.to_pybytes().translate(_FROM_ARROW))
    return pa.StringArray.from_buffers(len(cells), offsets, text)
