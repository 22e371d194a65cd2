"""The careful path of the scan: whole lines in, records out, whatever their quotes. Pure.

Work is linear in the bytes, whatever they are. Each distinct line of a window is looked at once outside quotes and once inside them; where
records of several lines end follows for all lines together, from sums over the lines, in Arrow. Reading on from each open quote instead
would read the same lines again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from app.parsing.record_rules import CLOSED, OPEN, Limits, LineShape, QuoteRule, long_row, quote_rule, row_of
from app.parsing.rows import Layout, Row, counting

_NO_ROW = pa.scalar(None, pa.int32())
_LONG = LineShape(CLOSED, 0)
# Below this Arrow's calls cost more than they save.
FEW_BYTES = 4 << 10


@dataclass(frozen=True)
class Found:
    """The records that begin in the first `lines` lines of a window, which end at the offset `size`.

    `places` says for each record which one of the distinct `rows` it is (None: each record is a row of its own), and `line_numbers`
    on which line it begins, from 0.
    """

    lines: int
    size: int
    rows: Sequence[Row]
    places: pa.Array | None
    line_numbers: pa.Array


@dataclass(frozen=True)
class Window:
    """Whole lines, each of which ends in LF.

    Attributes:
        text: the lines.
        wanted_end: records that begin from this offset on are not wanted; a line begins there.
        next_end: the least offset at which the line after the last one can end; None when there is no such line.
    """

    text: bytes
    wanted_end: int
    next_end: int | None
    layout: Layout
    limits: Limits

    def records(self) -> Found:
        """Return the records up to the first line for which the window is too short to say whether a record begins in it."""
        if len(self.text) <= FEW_BYTES and self.wanted_end >= len(self.text) and (found := self._few_records()):
            return found
        shapes = [self._shape(line) for line in self._distinct]
        spans: list[tuple[int, int]] = []
        stop = len(self._ends) if self.wanted_end >= len(self.text) else self.text.count(b"\n", 0, self.wanted_end)
        if any(shape and shape.end == OPEN for shape in shapes):
            spans, stop = self._spans(shapes, stop)
        rows, row_of_line = self._rows(shapes)
        places = row_of_line.take(self._ids.slice(0, stop))
        if spans:
            places = self._with_spans(places, spans, rows)
        lines = counting(stop)
        if places.null_count:
            is_record = places.is_valid()
            lines, places = lines.filter(is_record), places.filter(is_record)
        after = max(stop, spans[-1][1] + 1) if spans else stop
        return Found(after, self._ends[after - 1].as_py() + 1 if after else 0, rows, places, lines)

    def _few_records(self) -> Found | None:
        """Return the records one by one, if none of them can have several lines."""
        rows, numbers = [], []
        lines = self.text.split(b"\n")[:-1]
        for number, line in enumerate(lines):
            if (shape := self._shape(line)) is None:
                continue
            if shape.end == OPEN:
                return None
            rows.append(self._row(line, shape))
            numbers.append(number)
        return Found(len(lines), len(self.text), rows, None, pa.array(numbers, pa.int64()))

    @cached_property
    def _ends(self) -> pa.Array:
        """Return the offset of each LF."""
        codes = pa.Array.from_buffers(pa.uint8(), len(self.text), [None, pa.py_buffer(self.text)])
        return pc.indices_nonzero(pc.equal(codes, pa.scalar(ord("\n"), pa.uint8()))).cast(pa.int64())

    @cached_property
    def _encoded(self) -> pa.DictionaryArray:
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.add(self._ends, 1).cast(pa.int32())])
        lines = pa.BinaryArray.from_buffers(pa.binary(), len(self._ends), [None, offsets.buffers()[1], pa.py_buffer(self.text)])
        return lines.dictionary_encode()

    @cached_property
    def _ids(self) -> pa.Array:
        """Return for each line its place among the distinct ones."""
        return self._encoded.indices

    @cached_property
    def _distinct(self) -> list[bytes]:
        return [line[:-1] for line in self._encoded.dictionary.to_pylist()]

    @cached_property
    def _blanks(self) -> bytes:
        return b" \t\r".replace(self.layout.delimiter.encode(), b"")

    @cached_property
    def _rule(self) -> QuoteRule:
        return quote_rule(self.layout.delimiter, len(self.layout.names))

    def _shape(self, line: bytes) -> LineShape | None:
        """Say how a line ends in which a record begins; None for a blank one."""
        if len(line) > self.limits.max_record_bytes:
            return _LONG
        return self._rule.outside(line) if line.strip(self._blanks) else None

    def _row(self, line: bytes, shape: LineShape) -> Row:
        if shape is _LONG:
            return long_row(0, line, len(line), self.layout)
        return row_of(line.rstrip(b"\r"), shape, 0, self.layout)

    def _rows(self, shapes: Sequence[LineShape | None]) -> tuple[list[Row], pa.Array]:
        """Return the rows of distinct lines, as if no record had several, and for each of those lines its row."""
        rows: list[Row] = []
        places: list[int | None] = []
        for line, shape in zip(self._distinct, shapes, strict=True):
            if shape is None:
                places.append(None)
                continue
            places.append(len(rows))
            rows.append(self._row(line, shape))
        return rows, pa.array(places, pa.int32())

    def _with_spans(self, places: pa.Array, spans: Sequence[tuple[int, int]], rows: list[Row]) -> pa.Array:
        """Put the records of several lines in the place of their lines."""
        first, last = (pa.array(lines, pa.int64()) for lines in zip(*spans, strict=True))
        distinct, numbers = self._texts(first, last)
        shape = LineShape(CLOSED, len(self.layout.names))
        numbers = pc.add(numbers, pa.scalar(len(rows), pa.int32()))
        rows += [row_of(text.rstrip(b"\r\n"), shape, 0, self.layout) for text in distinct]
        lines = counting(len(places))
        begins, ends = pc.is_in(lines, value_set=first), pc.is_in(lines, value_set=last)
        # A span can end behind the lines that are wanted.
        is_within = pc.or_(pc.greater(_running(begins), _running(ends)), ends)
        return pc.if_else(begins, pc.replace_with_mask(places, begins, numbers), pc.if_else(is_within, _NO_ROW, places))

    def _texts(self, first: pa.Array, last: pa.Array) -> tuple[list[bytes], pa.Array]:
        """Return the distinct texts of spans, and for each span its place among them."""
        borders = pa.concat_arrays([self._starts(first), pc.add(self._ends.take(last), 1)])
        count = len(first)
        # Start and end by turns: every second piece lies between two spans.
        turns = pc.add(pc.divide(counting(2 * count), 2), pc.multiply(pc.bit_wise_and(counting(2 * count), 1), count))
        offsets = borders.take(turns).cast(pa.int32())
        pieces = pa.BinaryArray.from_buffers(pa.binary(), 2 * count - 1, [None, offsets.buffers()[1], pa.py_buffer(self.text)])
        texts = pieces.take(pc.multiply(counting(count), 2)).dictionary_encode()
        return texts.dictionary.to_pylist(), texts.indices

    def _starts(self, lines: pa.Array) -> pa.Array:
        """Return the offsets at which lines begin."""
        before = self._ends.take(pc.max_element_wise(pc.subtract(lines, 1), 0))
        return pc.if_else(pc.equal(lines, 0), 0, pc.add(before, 1))

    def _spans(self, shapes: Sequence[LineShape | None], wanted: int) -> tuple[list[tuple[int, int]], int]:
        """Return the records of several lines (first and last line), and the line up to which the window is long enough."""
        spans: list[tuple[int, int]] = []
        free = 0
        for line, last, is_certain in zip(*self._candidates(shapes), strict=True):
            if line >= wanted:
                break
            if line < free:
                continue
            if not is_certain:
                return spans, line
            spans.append((line, last))
            free = last + 1
        return spans, wanted

    def _candidates(self, shapes: Sequence[LineShape | None]) -> tuple[list[int], list[int], list[bool]]:
        """Return the lines in which a record of several lines begins or may begin, its last line, and whether it is certain.

        Whatever record a line lies in, when it begins within quotes it goes on in the same way. So a count over the lines of a record is
        the difference of two running sums.
        """
        outside = [shape or _LONG for shape in shapes]
        inside = [self._rule.inside(line) for line in self._distinct]
        most_lines, width = self.limits.max_record_lines, len(self.layout.names)
        # Of the line behind the window nothing is known. It takes the place of a closing quote that the window does not hold.
        unknown = len(self._ids)
        ends = pa.concat_arrays([self._ends, pa.array([len(self.text) if self.next_end is None else self.next_end], pa.int64())])
        stops = self._of_lines([shape.end != OPEN for shape in inside])
        closes = self._of_lines([shape.closes for shape in inside])
        stop_lines, close_lines = _places(stops, unknown), _places(closes, unknown)
        stops_until, closes_until = _running(stops), _running(closes)
        fields_until = _running(self._of_lines([shape.fields for shape in inside]))
        # How many fields of too many lines there are up to each closing quote.
        is_far = pc.greater_equal(pc.subtract(close_lines[1:], close_lines[:-1]), most_lines)
        far_until = pa.concat_arrays([pa.array([0], pa.int64()), _running(is_far)])

        first = pc.indices_nonzero(self._of_lines([shape.end == OPEN for shape in outside])).cast(pa.int64())
        last = stop_lines.take(stops_until.take(first))
        is_known = pc.less(last, unknown)
        last_known = pc.min_element_wise(last, unknown - 1)
        fields_before = self._of_lines([shape.fields for shape in outside]).take(first)
        fields = pc.add(fields_before, pc.subtract(fields_until.take(last_known), fields_until.take(first)))
        first_close = closes_until.take(first)
        last_close = pc.if_else(is_known, pc.subtract(closes_until.take(last_known), 1), len(close_lines) - 1)
        fits = _all(
            pc.less(pc.subtract(close_lines.take(first_close), first), most_lines),
            pc.equal(far_until.take(last_close), far_until.take(first_close)),
            pc.less_equal(pc.subtract(ends.take(last), self._starts(first)), self.limits.max_record_bytes),
        )
        is_closed = self._of_lines([shape.end == CLOSED for shape in inside]).take(last_known)
        is_record = _all(is_known, is_closed, pc.equal(fields, width))
        # The field that is open at the end of the window comes on top.
        may_be = _all(pc.invert(is_known), pc.less(fields, width), pa.scalar(self.next_end is not None))
        chosen = pc.and_(fits, pc.or_(is_record, may_be))
        return first.filter(chosen).to_pylist(), last.filter(chosen).to_pylist(), is_record.filter(chosen).to_pylist()

    def _of_lines(self, of_distinct: Sequence[int] | Sequence[bool]) -> pa.Array:
        """Return for each line what is known of its text."""
        return pa.array(of_distinct).take(self._ids)


def _places(of_lines: pa.Array, unknown: int) -> pa.Array:
    """Return the lines for which something is true, and the unknown one."""
    return pa.concat_arrays([pc.indices_nonzero(of_lines).cast(pa.int64()), pa.array([unknown], pa.int64())])


def _running(of_lines: pa.Array) -> pa.Array:
    """Return for each line the sum of the lines up to it, itself included."""
    return pc.cumulative_sum(of_lines.cast(pa.int64()))


def _all(*conditions: pa.Array) -> pa.Array:
    first, *others = conditions
    for condition in others:
        first = pc.and_(first, condition)
    return first
