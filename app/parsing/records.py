"""CSV records: bytes in, Arrow record batches out. Pure; the quote rule is that of docs/decisions/0002-scan.md.

Pieces of whole lines that are clean go through Arrow's vectorised reader, everything else through a careful one in Python. Both
give the same rows, and how the bytes are cut into chunks never shows in the result: tests/unit/parsing/test_records.py holds that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from app.parsing.careful_parser import Window
from app.parsing.record_rules import LONG_LINE_KEPT, Limits, long_row
from app.parsing.rows import Layout, batch_of_cells, batch_of_rows, batches_of_places

# One bad row makes this much go through the careful path: about 5 ms.
PIECE_BYTES = 64 << 10
# Below this the careful path is the faster one: a call of Arrow's reader costs 0.3 to 1 ms whatever it reads.
SMALL_BYTES = 2 << 10
# Arrow's reader needs some kilobytes and microseconds for each column of each piece: rows with more columns are cut by hand.
MOST_ARROW_COLUMNS = 2000
_BOM = b"\xef\xbb\xbf"
_CRS = re.compile(rb"\r++(?=\n)")
_BLANK_LINE = re.compile(rb"^[ \t\r]*$", re.MULTILINE)


@lru_cache(maxsize=16)
def _clean_quotes_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Match text in which every quote belongs to a well-formed quoted field without line breaks."""
    mark = re.escape(delimiter.encode())
    # Atomic groups: before 3.11.5 Python matches a possessive group that has to give up wrongly (gh-106052).
    quoted = rb'(?<![^%b\n])"[^"\r\n]*+(?>(?:""[^"\r\n]*+)*)"(?![^%b\r\n])' % (mark, mark)
    return re.compile(rb'(?>(?:[^"]*+' + quoted + rb")*)[^\"]*+")


@dataclass(frozen=True)
class CleanLines:
    """Whole lines, each of which is one good record."""

    layout: Layout
    cells: Sequence[pa.Array]
    raw: pa.Array

    def batches(self, first_line: int) -> Iterator[pa.RecordBatch]:
        """Yield the records in batches of bounded size."""
        most = self.layout.most_rows
        for at in range(0, len(self.raw), most):
            cells = [column.slice(at, most) for column in self.cells]
            yield batch_of_cells(self.layout, first_line + at, cells, self.raw.slice(at, most))


def read_clean(piece: bytes, layout: Layout, limits: Limits) -> CleanLines | None:
    """Read whole lines at once; None unless every line is one good record."""
    if b"\0" in piece or piece.startswith(_BOM) or _has_long_line(piece, limits):
        return None
    if b"\r" in piece and piece.count(b"\r") != piece.count(b"\r\n"):
        # Line ends that were converted twice. CRs anywhere else are text, which Arrow would take for line breaks.
        piece = _CRS.sub(b"", piece)
        if b"\r" in piece:
            return None
    if len(layout.names) == 1 and _BLANK_LINE.search(piece, 0, len(piece) - 1):
        return None
    lines = piece.count(b"\n")
    try:
        text = piece if layout.encoding == "utf-8" else piece.decode(layout.encoding).encode()
        table = _read_arrow(text, layout)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    if table.num_rows != lines or (b'"' in piece and not _has_clean_quotes(piece, layout, table)):
        return None
    cells = [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]
    return CleanLines(layout, cells, _raw_lines(text))


def _has_clean_quotes(piece: bytes, layout: Layout, table: pa.Table) -> bool:
    """Tell whether no quote is out of place, for text in which Arrow found one record of the right width in each line."""
    quotes = piece.count(b'"')
    # Counting takes half as long as the pattern where most fields are quoted, and twice as long where few are.
    if quotes > len(piece) // 8 and _is_quoted_simply(piece, quotes, layout.delimiter.encode(), table):
        return True
    return _clean_quotes_pattern(layout.delimiter).fullmatch(piece) is not None


def _is_quoted_simply(piece: bytes, quotes: int, mark: bytes, table: pa.Table) -> bool:
    """Tell whether quotes are clean and no quoted field holds a quote, a delimiter or a line break.

    Where there are no more delimiters than columns need, each one is a real one, and each quote must stand beside one.
    """
    # Arrow takes a quote that the last field of all leaves open as closed; the line break is then part of the field.
    is_closed = "\n" not in table.column(table.num_columns - 1)[-1].as_py()
    if not is_closed or piece.count(mark) != table.num_rows * (table.num_columns - 1):
        return False
    opening = piece.count(mark + b'"') + piece.count(b'\n"') + piece.startswith(b'"')
    closing = piece.count(b'"' + mark) + piece.count(b'"\n') + (piece.count(b'"\r\n') if b"\r" in piece else 0)
    return opening + closing == quotes


def _has_long_line(piece: bytes, limits: Limits) -> bool:
    at = 0
    while len(piece) - at > limits.max_record_bytes:
        at = piece.rfind(b"\n", at, at + limits.max_record_bytes + 1) + 1
        if at == 0:
            return True
    return False


def _read_arrow(text: bytes, layout: Layout) -> pa.Table:
    names = [str(at) for at in range(len(layout.names))]
    return arrow_csv.read_csv(
        pa.py_buffer(text),
        arrow_csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
        arrow_csv.ParseOptions(delimiter=layout.delimiter),
        arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )


def _raw_lines(text: bytes) -> pa.Array:
    """Return the lines of a text without their line breaks."""
    codes = pa.Array.from_buffers(pa.uint8(), len(text), [None, pa.py_buffer(text)])
    breaks = pc.indices_nonzero(pc.equal(codes, pa.scalar(ord("\n"), pa.uint8())))
    ends = pc.add(breaks, pa.scalar(1, pa.uint64())).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    lines = pa.StringArray.from_buffers(len(ends), offsets.buffers()[1], pa.py_buffer(text))
    return pc.ascii_rtrim(lines, characters="\r\n")


class RecordParser:
    """Parses the bytes of one file, or of one byte range of it, as they come.

    Attributes:
        lines: physical lines taken so far; blank ones count.
        rows: records found so far, the rejected ones among them.
        consumed: bytes taken so far: where the next record begins.
    """

    def __init__(
        self, layout: Layout, limits: Limits, *, first_line: int = 1, stop_at: int | None = None, small_bytes: int = SMALL_BYTES
    ) -> None:
        self.lines = 0
        self.rows = 0
        self.consumed = 0
        self._layout = layout
        self._limits = limits
        self._first_line = first_line
        self._stop_at = stop_at
        self._small = small_bytes
        self._blanks = b" \t\r\n".replace(layout.delimiter.encode(), b"")
        self._data = b""
        self._at = 0
        self._is_last = False
        # The first record that is left needs bytes that are not here yet.
        self._is_waiting = False
        # The beginning and the length so far of a line that is longer than a record may be.
        self._long: bytes | None = None
        self._long_bytes = 0

    @property
    def is_done(self) -> bool:
        """Whether what follows belongs to the next range."""
        return self._stop_at is not None and self.consumed >= self._stop_at and self._long is None

    def feed(self, data: bytes, *, is_last: bool = False) -> Iterator[pa.RecordBatch]:
        """Take the next bytes and yield what is complete. Every feed must be read to its end; the last one says so."""
        self._data = self._data[self._at :] + data
        self._at = 0
        self._is_last = is_last
        self._is_waiting = False
        is_padded = is_last and (self._long is not None or self._data != b"") and not self._data.endswith(b"\n")
        if is_padded:
            self._data += b"\n"
        while self._at < len(self._data) and not self.is_done:
            before = self._at
            if self._long is not None:
                yield from self._end_long_line()
            elif (end := self._whole_lines_end()) > self._at:
                yield from self._parse(end)
            elif len(self._data) - self._at > self._limits.max_record_bytes:
                self._long, self._long_bytes = b"", 0
                continue
            if self._at == before or self._is_waiting:
                break
        if is_padded and self._at == len(self._data):
            self.consumed -= 1

    def _whole_lines_end(self) -> int:
        """Return the end of the last whole line that begins before `stop_at`."""
        end = self._data.rfind(b"\n") + 1
        if self._stop_at is not None:
            stop = self._at + self._stop_at - self.consumed
            if stop < end:
                return self._data.index(b"\n", stop - 1) + 1
        return end

    def _parse(self, end: int) -> Iterator[pa.RecordBatch]:
        if (lines := self._take_clean(end)) is not None:
            yield from lines
            return
        is_small = end - self._at <= PIECE_BYTES
        while self._at < end:
            cut = self._cut(PIECE_BYTES, end)
            if not is_small and (lines := self._take_clean(cut)) is not None:
                yield from lines
                continue
            self._skip_blank_lines(cut)
            if self._at < end:
                yield from self._take_carefully(end)
            if self._is_waiting:
                return

    def _cut(self, size: int, end: int) -> int:
        """Return where the whole lines end that have at most `size` bytes; one line at least."""
        return self._data.rfind(b"\n", self._at, min(self._at + size, end)) + 1 or self._data.index(b"\n", self._at) + 1

    def _take_clean(self, end: int) -> Iterator[pa.RecordBatch] | None:
        if end - self._at < self._small or len(self._layout.names) > MOST_ARROW_COLUMNS:
            return None
        lines = read_clean(self._data[self._at : end], self._layout, self._limits)
        if lines is None:
            return None
        first_line = self._first_line + self.lines
        self.lines += len(lines.raw)
        self.rows += len(lines.raw)
        self._advance(end)
        return lines.batches(first_line)

    def _skip_blank_lines(self, end: int) -> None:
        """Pass over the blank lines that come first: there may be many of them, and none is a record."""
        piece = self._data[self._at : end]
        blank = len(piece) - len(piece.lstrip(self._blanks))
        # One of these could be longer than a record may be, and would have to be rejected for it.
        if 0 < blank <= self._limits.max_record_bytes:
            begin = piece.rfind(b"\n", 0, blank) + 1
            self.lines += piece.count(b"\n", 0, begin)
            self._advance(self._at + begin)

    def _take_carefully(self, end: int) -> Iterator[pa.RecordBatch]:
        """Read some of the records that begin before `end`."""
        whole = self._data.rfind(b"\n") + 1
        size = PIECE_BYTES
        while True:
            cut = self._cut(size, whole)
            found = self._window(cut, end).records()
            # A window that was too short for most of its lines is not worth its reading: work stays in proportion to what is taken.
            if cut >= whole or 2 * found.size >= min(cut, end) - self._at:
                break
            size *= 2
        first_line = self._first_line + self.lines
        self.lines += found.lines
        self.rows += len(found.line_numbers)
        self._advance(self._at + found.size)
        self._is_waiting = cut >= whole and self._at < end
        yield from batches_of_places(self._layout, found.rows, found.places, pc.add(found.line_numbers, first_line))

    def _window(self, cut: int, end: int) -> Window:
        next_end = self._data.find(b"\n", cut) if cut < len(self._data) else -1
        if next_end < 0:
            next_end = len(self._data)
        is_all = self._is_last and cut >= len(self._data)
        return Window(self._data[self._at : cut], end - self._at, None if is_all else next_end - self._at, self._layout, self._limits)

    def _end_long_line(self) -> Iterator[pa.RecordBatch]:
        """Drop a line that is longer than a record may be, as far as it is here."""
        newline = self._data.find(b"\n", self._at)
        end = newline if newline >= 0 else len(self._data)
        kept = self._long or b""
        self._long = kept + self._data[self._at : min(end, self._at + LONG_LINE_KEPT - len(kept))]
        self._long_bytes += end - self._at
        self._advance(end)
        if newline >= 0:
            row = long_row(self._first_line + self.lines, self._long, self._long_bytes, self._layout)
            self._long = None
            self.lines += 1
            self.rows += 1
            self._advance(newline + 1)
            yield batch_of_rows(self._layout, [row])

    def _advance(self, to: int) -> None:
        self.consumed += to - self._at
        self._at = to
