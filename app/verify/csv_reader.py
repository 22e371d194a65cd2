"""A sales file read by plain Python, by the words of docs/decisions/0002-scan.md: the second opinion of `verify --deep`.

It shares no code with app/parsing, and goes another way: one record after the other, character by character where there are quotes. It
looks ahead no further than a record may reach.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from app.config.load import Config
from app.contract.contract import Contract

UTF8_BOM = b"\xef\xbb\xbf"
DELIMITERS = (b",", b";", b"\t", b"|")
# Reasons against the form of a row; the others are about its values. Named by the ledger and the quarantine, see docs/errors.md.
STRUCTURAL = (
    "TOO_FEW_FIELDS",
    "TOO_MANY_FIELDS",
    "UNCLOSED_QUOTE",
    "MALFORMED_QUOTE",
    "INVALID_ENCODING",
    "NUL_BYTE",
    "RECORD_TOO_LONG",
)
_QUOTE = b'"'
_READ_BYTES = 1 << 20
_ENDED, _OPEN, _BROKEN = "ended", "open", "broken"


class NoSalesFile(Exception):
    """The file cannot be read by its header; the text says why in one clause. Never leaves verify: it becomes a difference."""


@dataclass(frozen=True)
class Header:
    """Where the contract's columns stand in a file.

    Attributes:
        places: for each column of the contract its place, None where the file lacks it.
        width: how many columns the file has.
        lines: physical lines up to the first record.
    """

    places: tuple[int | None, ...]
    width: int
    mark: bytes
    encoding: str
    lines: int


@dataclass(frozen=True)
class CsvRecord:
    """One record: the line it begins on, and its values in the contract's order; None when it is no whole record."""

    line: int
    values: list[str | None] | None


class CsvFile:
    """Reads one uncompressed file from its beginning, once.

    Attributes:
        header: what its first record says.
    """

    def __init__(self, stream: BinaryIO, contract: Contract, config: Config) -> None:
        """Read the header.

        Raises:
            NoSalesFile: the contract's columns are not in it.
        """
        settings = config.stream
        self._most_lines, self._most_bytes = settings.max_record_lines, settings.max_record_bytes
        self._lines = _Lines(stream, self._most_bytes)
        self.header = self._read_header(contract)

    def records(self) -> Iterator[CsvRecord]:
        """Yield the records behind the header."""
        header, lines = self.header, self._lines
        # A line that begins within quotes goes on in the same way in whatever record it lies: it is looked at once.
        seen: dict[int, tuple[str, int, bool]] = {}
        while (line := lines.peek(0)) is not None:
            number = lines.number
            if not lines.is_long(0) and not _is_blank(line, header.mark):
                count = self._lines_of_record(header, seen)
                is_good = count > 0
                text = b"\n".join(lines.take() for _ in range(count or 1))
                yield CsvRecord(number, values_of(text, header) if is_good else None)
            else:
                if lines.is_long(0):
                    yield CsvRecord(number, None)
                lines.take()
            for old in range(number, lines.number):
                seen.pop(old, None)

    def _lines_of_record(self, header: Header, seen: dict[int, tuple[str, int, bool]]) -> int:
        """Return how many lines the record has that begins on the next line; 0 when that line is rejected for its quotes."""
        lines = self._lines
        end, fields, _ = _walk(lines.peek(0) or b"", header.mark, is_quoted=False)
        ahead = since = 0
        size = len(lines.peek(0) or b"")
        while end == _OPEN and fields < header.width and since + 1 < self._most_lines:
            ahead, since = ahead + 1, since + 1
            line = lines.peek(ahead)
            size += 1 + len(line or b"")
            if line is None or size > self._most_bytes:
                return 0
            number = lines.number + ahead
            if number not in seen:
                seen[number] = _walk(line, header.mark, is_quoted=True)
            end, more, closes = seen[number]
            fields += more
            since = 0 if closes else since
        is_whole = end == _ENDED and (ahead == 0 or fields == header.width)
        return ahead + 1 if is_whole else 0

    def _read_header(self, contract: Contract) -> Header:
        lines = self._lines
        first = lines.peek(0)
        encoding = "utf-8" if first is not None and first.startswith(UTF8_BOM) else contract.settings.encoding
        if first is not None and first.startswith(UTF8_BOM):
            lines.cut(len(UTF8_BOM))
        while (line := lines.peek(0)) is not None and not line.strip(b" \t\r"):
            lines.take()
        if line is None:
            raise NoSalesFile("it holds no line")
        found = [self._header(contract, mark, encoding) for mark in DELIMITERS]
        best = max(found, key=lambda one: sum(place is not None for place in one[0].places))
        header, count = best
        missing = [column.name for column, place in zip(contract.columns, header.places, strict=True) if place is None and column.required]
        if missing:
            raise NoSalesFile(f"the header lacks {', '.join(missing)}")
        for _ in range(count):
            lines.take()
        return Header(header.places, header.width, header.mark, header.encoding, lines.number - 1)

    def _header(self, contract: Contract, mark: bytes, encoding: str) -> tuple[Header, int]:
        """Read the header with one delimiter; and of how many lines it is."""
        lines = self._lines
        count = 1
        text = lines.peek(0) or b""
        end, _, _ = _walk(text, mark, is_quoted=False)
        since = 0
        while end == _OPEN and since + 1 < self._most_lines and len(text) <= self._most_bytes:
            if (line := lines.peek(count)) is None:
                break
            text, count, since = b"\n".join((text, line)), count + 1, since + 1
            end, _, closes = _walk(line, mark, is_quoted=True)
            since = 0 if closes else since
        if end == _ENDED:
            fields = split_record(text, mark)
        else:
            fields, count = (lines.peek(0) or b"").rstrip(b"\r").split(mark), 1
        names = [_name(field.decode(encoding, "replace")) for field in fields]
        places = [
            next((names.index(name) for name in _names(column.name, column.aliases) if name in names), None) for column in contract.columns
        ]
        return Header(tuple(places), len(names), mark, encoding, 0), count


class _Lines:
    """The lines of a file, without LF, as far ahead as one asks. Of a line longer than a record may be, only the beginning is kept."""

    def __init__(self, stream: BinaryIO, most_bytes: int) -> None:
        self.number = 1
        self._stream = stream
        self._most = most_bytes
        self._ahead: deque[tuple[bytes, bool]] = deque()

    def peek(self, ahead: int) -> bytes | None:
        """Return the line that is so many lines ahead; None behind the last one."""
        while len(self._ahead) <= ahead:
            line = self._stream.readline(self._most + 2)
            if not line:
                return None
            is_long = len(line.removesuffix(b"\n")) > self._most
            rest = line
            while not rest.endswith(b"\n") and (rest := self._stream.readline(_READ_BYTES)):
                is_long = True
            self._ahead.append((line.removesuffix(b"\n"), is_long))
        return self._ahead[ahead][0]

    def is_long(self, ahead: int) -> bool:
        """Tell whether a line that was peeked at is longer than a record may be."""
        return self._ahead[ahead][1]

    def take(self) -> bytes:
        """Return the next line and pass over it."""
        self.number += 1
        return self._ahead.popleft()[0]

    def cut(self, size: int) -> None:
        """Leave the first bytes of the next line away."""
        line, is_long = self._ahead[0]
        self._ahead[0] = (line[size:], is_long)


def _walk(line: bytes, mark: bytes, *, is_quoted: bool) -> tuple[str, int, bool]:
    """Go through a line that begins in or outside a quoted field: how it ends, its complete fields, and whether that first field closes."""
    text = line.rstrip(b"\r")
    at = fields = 0
    begins_quoted = is_quoted
    while True:
        if not is_quoted and not text.startswith(_QUOTE, at):
            end = text.find(mark, at)
            if end < 0:
                return _ENDED, fields + 1, begins_quoted
            at, fields = end + 1, fields + 1
            continue
        closing = _closing_quote(text, at if is_quoted else at + 1)
        if closing < 0:
            return _OPEN, fields, begins_quoted and fields > 0
        at, fields, is_quoted = closing + 1, fields + 1, False
        if at == len(text):
            return _ENDED, fields, begins_quoted
        if not text.startswith(mark, at):
            return _BROKEN, fields, begins_quoted
        at += 1


def _closing_quote(text: bytes, at: int) -> int:
    """Return where the quote stands that ends a quoted field; -1 when it is not in the text."""
    while (at := text.find(_QUOTE, at)) >= 0 and text.startswith(_QUOTE, at + 1):
        at += 2
    return at


def split_record(text: bytes, mark: bytes) -> list[bytes]:
    """Return the values of a whole record."""
    text = text.rstrip(b"\r")
    values = []
    at = 0
    while True:
        if text.startswith(_QUOTE, at):
            closing = _closing_quote(text, at + 1)
            values.append(text[at + 1 : closing].replace(b'""', b'"'))
            at = closing + 1
        else:
            end = text.find(mark, at)
            values.append(text[at : end if end >= 0 else len(text)])
            at = end if end >= 0 else len(text)
        if at >= len(text):
            return values
        at += 1


def values_of(text: bytes, header: Header) -> list[str | None] | None:
    """Return the values of a record in the contract's order; None when they are too few or too many, or no text."""
    fields = split_record(text, header.mark)
    if len(fields) != header.width or b"\0" in text:
        return None
    try:
        text.decode(header.encoding)
    except UnicodeDecodeError:
        return None
    return [None if place is None else fields[place].decode(header.encoding) for place in header.places]


def _is_blank(line: bytes, mark: bytes) -> bool:
    return not line.strip(b" \r" if mark == b"\t" else b" \t\r")


def _names(name: str, aliases: Sequence[str]) -> list[str]:
    return [_name(one) for one in (name, *aliases)]


def _name(text: str) -> str:
    """Return the form in which names of columns are compared."""
    text = text.replace("\ufeff", "").strip()
    for quote in "\"'":
        if len(text) > 1 and text.startswith(quote) and text.endswith(quote):
            text = text[1:-1].strip()
            break
    # A longer one is none of ours, and putting many accents in order takes long.
    text = unicodedata.normalize("NFC", text) if len(text) <= 1000 else text
    return re.sub(r"[\s_-]+", "_", text.casefold())
