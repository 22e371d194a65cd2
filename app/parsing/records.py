"""CSV records: bytes in, Arrow record batches out. Pure; the quote rule is that of docs/decisions/0002-scan.md.

Pieces of whole lines that are clean go through Arrow's vectorised reader, everything else through a careful one. Both
give the same rows, and how the bytes are cut into chunks never shows in the result: tests/unit/parsing/test_records.py holds that.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from app.parsing.careful_parser import Window
from app.parsing.clean_parser import MOST_ARROW_COLUMNS, read_clean
from app.parsing.record_rules import LONG_LINE_KEPT, Limits, long_row
from app.parsing.rows import Layout, batches_of_rows

# One bad row makes this much go through the careful path: about 8 ms. Smaller pieces would cost more in all.
PIECE_BYTES = 256 << 10
# Below this the careful path is the faster one: a call of Arrow's reader costs 0.3 to 1 ms whatever it reads.
SMALL_BYTES = 2 << 10


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
        self.rows += found.count
        self._advance(self._at + found.size)
        self._is_waiting = cut >= whole and self._at < end
        yield from found.batches(first_line)

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
            row = long_row(0, self._long, self._long_bytes, self._layout)
            yield from batches_of_rows(self._layout, [row], self._first_line + self.lines)
            self._long = None
            self.lines += 1
            self.rows += 1
            self._advance(newline + 1)

    def _advance(self, to: int) -> None:
        self.consumed += to - self._at
        self._at = to
