"""The careful path of the scan: whole lines in, records out, whatever their quotes. Pure.

Work is linear in the bytes, whatever they are, and there may be a line for every few bytes: what is asked of lines is asked of all of them
at once, in Arrow. Each line is looked at once outside quotes and once inside them; where records of several lines end follows for all lines
together, from sums over the lines. Reading on from each open quote instead would read the same lines again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from app.parsing.careful_rows import CarefulRows
from app.parsing.record_rules import CLOSED, LONG, MALFORMED, OPEN, Limits, QuoteRule, long_row, quote_rule, row_of
from app.parsing.rows import Layout, batches_of_rows, counting, joined, line_starts, pieces, running

# Below this Arrow's calls cost more than they save.
FEW_BYTES = 8 << 10


@dataclass(frozen=True)
class Found:
    """The `count` records that begin in the first `lines` lines of a window, which end at the offset `size`.

    `batches` gives them, for the line number of the window's first line.
    """

    lines: int
    size: int
    count: int
    batches: Callable[[int], Iterator[pa.RecordBatch]]


class Shapes(NamedTuple):
    """How each of many lines ends, and its complete fields."""

    end: pa.Array
    fields: pa.Array


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
        spans: list[tuple[int, int]] = []
        stop = self._count if self.wanted_end >= len(self.text) else self.text.count(b"\n", 0, self.wanted_end)
        if b'"' in self.text:
            spans, stop = self._spans(stop)
        after = max(stop, spans[-1][1] + 1) if spans else stop
        rows = self._rows(spans, after)
        return Found(after, self._starts[after].as_py(), len(rows.lines), rows.batches)

    def _few_records(self) -> Found | None:
        """Return the records one by one, if none of them can have several lines."""
        rows = []
        lines = self.text.split(b"\n")[:-1]
        for number, line in enumerate(lines):
            if len(line) > self.limits.max_record_bytes:
                rows.append(long_row(number, line, len(line), self.layout))
            elif line.strip(self._blanks):
                shape = self._rule.outside(line)
                if shape.end == OPEN:
                    return None
                rows.append(row_of(line.rstrip(b"\r"), shape, number, self.layout))
        return Found(len(lines), len(self.text), len(rows), lambda first_line: batches_of_rows(self.layout, rows, first_line))

    @cached_property
    def _starts(self) -> pa.Array:
        return line_starts(self.text)

    @property
    def _count(self) -> int:
        return len(self._starts) - 1

    @cached_property
    def _blanks(self) -> bytes:
        return b" \t\r".replace(self.layout.delimiter.encode(), b"")

    @cached_property
    def _rule(self) -> QuoteRule:
        return quote_rule(self.layout.delimiter)

    @cached_property
    def _lines(self) -> pa.Array:
        return pieces(self.text, self._starts, pa.binary())

    @cached_property
    def _outside(self) -> Shapes:
        """Say how each line ends if a record begins in it."""
        plain = Shapes(pa.repeat(pa.scalar(CLOSED, pa.int8()), self._count), pc.add(self._fields(self._lines), 1))
        # Only at the beginning of a field a quote is special.
        is_quoted = pc.or_(pc.starts_with(self._lines, '"'), pc.match_substring(self._lines, self.layout.delimiter + '"'))
        end, fields = self._with_quoted(plain, is_quoted, b"")
        sizes = pc.subtract(pc.subtract(self._starts[1:], self._starts[:-1]), 1)
        is_long = pc.greater(sizes, self.limits.max_record_bytes)
        if is_long.true_count:
            return Shapes(pc.if_else(is_long, pa.scalar(LONG, pa.int8()), end), pc.if_else(is_long, sizes, fields))
        return Shapes(end, fields)

    @cached_property
    def _inside(self) -> Shapes:
        """Say how each line ends if it begins within a quoted field: as if that began with the line."""
        has_quote = pc.match_substring(self._lines, '"')
        # Most lines with quotes out of place are told by that.
        is_good = pc.match_substring_regex(self._lines, self._rule.good_inside)
        ends = [pa.scalar(end, pa.int8()) for end in (OPEN, MALFORMED)]
        plain = Shapes(pc.if_else(is_good, *ends), pa.repeat(pa.scalar(0, pa.int64()), self._count))
        return self._with_quoted(plain, pc.and_(has_quote, is_good), b'"')

    def _with_quoted(self, plain: Shapes, is_quoted: pa.Array, before: bytes) -> Shapes:
        """Look at the quotes of some lines, with a text before each, and put their shapes in the place of plain ones."""
        # Lines that repeat each other are looked at once.
        encoded = self._lines.filter(is_quoted).dictionary_encode()
        lines = encoded.dictionary
        if not len(lines):
            return plain
        rest = self._rule.without_quoted(before + joined(lines).replace(b"\n", b"\n" + before))
        rests = pieces(rest, line_starts(rest), pa.binary())
        quotes = pc.add(pc.subtract(pc.count_substring(lines, '"'), pc.count_substring(rests, '"')), len(before))
        is_malformed = pc.or_(pc.starts_with(rests, '"'), pc.match_substring(rests, self.layout.delimiter + '"'))
        is_open = pc.equal(pc.bit_wise_and(quotes, 1), 1)
        ends = [pa.scalar(end, pa.int8()) for end in (MALFORMED, OPEN, CLOSED)]
        end = pc.if_else(is_malformed, ends[0], pc.if_else(is_open, ends[1], ends[2]))
        complete = self._fields(rests)
        found = Shapes(end, pc.if_else(_is(end, CLOSED), pc.add(complete, 1), complete))
        return Shapes(*(pc.replace_with_mask(old, is_quoted, new.take(encoded.indices)) for old, new in zip(plain, found, strict=True)))

    def _fields(self, lines: pa.Array) -> pa.Array:
        return pc.count_substring(lines, self.layout.delimiter).cast(pa.int64())

    def _rows(self, spans: Sequence[tuple[int, int]], after: int) -> CarefulRows:
        """Return the records of the lines before `after`."""
        lines = counting(after)
        end, fields = (of_lines.slice(0, after) for of_lines in self._outside)
        if spans:
            first, last = (pa.array(numbers, pa.int64()) for numbers in zip(*spans, strict=True))
            begins, ends = pc.is_in(lines, value_set=first), pc.is_in(lines, value_set=last)
            is_head = pc.or_(begins, pc.invert(pc.or_(pc.greater(running(begins), running(ends)), ends)))
            end = pc.if_else(begins, pa.scalar(CLOSED, pa.int8()), end).filter(is_head)
            fields = pc.if_else(begins, len(self.layout.names), fields).filter(is_head)
            lines = lines.filter(is_head)
        borders = pa.concat_arrays([lines, pa.array([after], pa.int64())])
        return CarefulRows.of(self.text, self._starts, borders, end, fields, self.layout)

    def _spans(self, wanted: int) -> tuple[list[tuple[int, int]], int]:
        """Return the records of several lines (first and last line), and the line up to which the window is long enough."""
        spans: list[tuple[int, int]] = []
        free = 0
        for line, last, is_certain in zip(*self._candidates(), strict=True):
            if line >= wanted:
                break
            if line < free:
                continue
            if not is_certain:
                return spans, line
            spans.append((line, last))
            free = last + 1
        return spans, wanted

    def _candidates(self) -> tuple[list[int], list[int], list[bool]]:
        """Return the lines in which a record of several lines begins or may begin, its last line, and whether it is certain.

        Whatever record a line lies in, when it begins within quotes it goes on in the same way. So a count over the lines of a record is
        the difference of two running sums.
        """
        first = pc.indices_nonzero(_is(self._outside.end, OPEN)).cast(pa.int64())
        if not len(first):
            return [], [], []
        inside = self._inside
        most_lines, width = self.limits.max_record_lines, len(self.layout.names)
        # Of the line behind the window nothing is known. It takes the place of a closing quote that the window does not hold.
        unknown = self._count
        next_end = len(self.text) if self.next_end is None else self.next_end
        ends = pa.concat_arrays([pc.subtract(self._starts[1:], 1), pa.array([next_end], pa.int64())])
        stops = pc.invert(_is(inside.end, OPEN))
        closes = pc.or_(stops, pc.greater(inside.fields, 0))
        stop_lines, close_lines = _places(stops, unknown), _places(closes, unknown)
        stops_until, closes_until, fields_until = running(stops), running(closes), running(inside.fields)
        # How many fields of too many lines there are up to each closing quote.
        is_far = pc.greater_equal(pc.subtract(close_lines[1:], close_lines[:-1]), most_lines)
        far_until = pa.concat_arrays([pa.array([0], pa.int64()), running(is_far)])

        last = stop_lines.take(stops_until.take(first))
        is_known = pc.less(last, unknown)
        last_known = pc.min_element_wise(last, unknown - 1)
        fields = pc.add(self._outside.fields.take(first), pc.subtract(fields_until.take(last_known), fields_until.take(first)))
        first_close = closes_until.take(first)
        last_close = pc.if_else(is_known, pc.subtract(closes_until.take(last_known), 1), len(close_lines) - 1)
        fits = _all(
            pc.less(pc.subtract(close_lines.take(first_close), first), most_lines),
            pc.equal(far_until.take(last_close), far_until.take(first_close)),
            pc.less_equal(pc.subtract(ends.take(last), self._starts.take(first)), self.limits.max_record_bytes),
        )
        is_closed = _is(inside.end, CLOSED).take(last_known)
        is_record = _all(is_known, is_closed, pc.equal(fields, width))
        # The field that is open at the end of the window comes on top.
        may_be = _all(pc.invert(is_known), pc.less(fields, width), pa.scalar(self.next_end is not None))
        chosen = pc.and_(fits, pc.or_(is_record, may_be))
        return first.filter(chosen).to_pylist(), last.filter(chosen).to_pylist(), is_record.filter(chosen).to_pylist()


def _is(ends: pa.Array, end: int) -> pa.Array:
    return pc.equal(ends, pa.scalar(end, pa.int8()))


def _places(of_lines: pa.Array, unknown: int) -> pa.Array:
    """Return the lines for which something is true, and the unknown one."""
    return pa.concat_arrays([pc.indices_nonzero(of_lines).cast(pa.int64()), pa.array([unknown], pa.int64())])


def _all(*conditions: pa.Array) -> pa.Array:
    first, *others = conditions
    for condition in others:
        first = pc.and_(first, condition)
    return first
