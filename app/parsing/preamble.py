"""The beginning of a file: is it CSV text at all, which delimiter, which columns. Pure: bytes in, layout or a reason out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.parsing.header import DUPLICATE_COLUMN, MISSING_COLUMN, NO_HEADER, HeaderMatch, normalise_name
from app.parsing.record_rules import Limits, header_record, readable
from app.parsing.rows import Layout

EMPTY = "EMPTY"
NOT_CSV = "NOT_CSV"
WRONG_DELIMITER = "WRONG_DELIMITER"
UNREADABLE = "UNREADABLE"
FILE_REASONS = (EMPTY, NOT_CSV, MISSING_COLUMN, DUPLICATE_COLUMN, NO_HEADER, WRONG_DELIMITER, UNREADABLE)

DELIMITERS = (",", ";", "\t", "|")
UTF8_BOM = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"
_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"PK\x05\x06": "an empty zip archive",
    b"PAR1": "Parquet",
    b"Obj\x01": "Avro",
    GZIP_MAGIC: "gzip; name it .gz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF-": "PDF",
    b"\x89PNG": "PNG",
    b"SQLite format 3\x00": "SQLite",
    b"\xff\xfe\x00\x00": "UTF-32; save it as UTF-8",
    b"\x00\x00\xfe\xff": "UTF-32; save it as UTF-8",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"\x84\x31\x95\x33": "GB18030; save it as UTF-8",
    b"+/v": "UTF-7; save it as UTF-8",
}
# Text has no control characters but tab, line feed, form feed and carriage return; a stray NUL in a row is that row's fault only.
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\f\r")
_MOST_CONTROLS = 1 / 16
# How many names of columns the cache of headers holds.
MOST_CACHED_NAMES = 20_000


class Matcher(Protocol):
    """The part of a contract that is needed here."""

    @property
    def names(self) -> tuple[str, ...]:
        """Give the names of the columns."""

    def match_header(self, names: Sequence[str]) -> HeaderMatch:
        """Find the columns in a file's header by name."""


class CachedMatcher:
    """Matches each distinct header once: most files of a batch have the same, and matching it costs as much as parsing 50 rows."""

    def __init__(self, contract: Matcher) -> None:
        self.names = contract.names
        self._contract = contract
        self._known: dict[tuple[str, ...], HeaderMatch] = {}
        self._room = MOST_CACHED_NAMES

    def match_header(self, names: Sequence[str]) -> HeaderMatch:
        """Find the columns in a file's header by name."""
        key = tuple(names)
        match = self._known.get(key)
        if match is None:
            match = self._contract.match_header(key)
            if len(key) > self._room:
                # Every file has a header of its own, or a very wide one: keeping them would fill the memory.
                self._known, self._room = {}, MOST_CACHED_NAMES
            if len(key) <= self._room:
                self._known[key] = match
                self._room -= len(key)
        return match


@dataclass(frozen=True)
class FileFault:
    """Why a whole file is rejected."""

    code: str
    detail: str


@dataclass(frozen=True)
class Preamble:
    """What precedes the records: their layout, the bytes and the physical lines up to the first one, and the header as it is written."""

    layout: Layout
    size: int
    lines: int
    text: str


@dataclass(frozen=True)
class _Header:
    delimiter: str
    fields: tuple[str, ...]
    stop: int
    match: HeaderMatch


def read_preamble(head: bytes, *, is_all: bool, contract: Matcher, encoding: str, limits: Limits) -> Preamble | FileFault:
    """Recognise delimiter and columns of a file from its first bytes; `is_all` says that there are no more.

    The delimiter is the one under which the header has the contract's columns. Blank lines before the header are skipped. A byte order
    mark wins over `encoding`: whoever writes one says what the text is.
    """
    if kind := _binary_kind(head):
        return FileFault(NOT_CSV, f"the file is {kind}")
    start = len(UTF8_BOM) if head.startswith(UTF8_BOM) else 0
    encoding = "utf-8" if start else encoding
    begin = start + len(head[start:]) - len(head[start:].lstrip(b" \t\r\n"))
    if begin == len(head) and is_all:
        return FileFault(EMPTY, "the file holds no line" if head else "the file has no bytes")
    begin = max(start, head.rfind(b"\n", 0, begin) + 1)
    text = head + b"\n" if is_all and not head.endswith(b"\n") else head
    if b"\n" not in text[begin:]:
        return FileFault(NO_HEADER, f"no line ends within the first {len(head)} bytes")
    if b"\n" not in head and b"\r" in head.rstrip(b"\r"):
        return FileFault(NOT_CSV, "lines end in CR alone; save it with LF or CRLF")
    headers = [_read_header(text, begin, mark, contract, encoding, limits) for mark in DELIMITERS]
    chosen = _choose(headers, contract)
    if isinstance(chosen, FileFault):
        return chosen
    names = {at: name for name, at in (*chosen.match.columns, *chosen.match.extra)}
    layout = Layout(contract.names, tuple(names[at] for at in range(chosen.match.width)), chosen.delimiter, encoding)
    written = readable(text[begin : chosen.stop].rstrip(b"\r\n"), encoding)
    return Preamble(layout, min(chosen.stop, len(head)), text.count(b"\n", 0, chosen.stop), written)


def _binary_kind(head: bytes) -> str | None:
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return kind or ("binary" if controls > len(head) * _MOST_CONTROLS else None)


def _read_header(text: bytes, begin: int, delimiter: str, contract: Matcher, encoding: str, limits: Limits) -> _Header:
    fields, stop = header_record(text, begin, delimiter, limits)
    names = tuple(readable(name, encoding) for name in fields)
    return _Header(delimiter, names, stop, contract.match_header(names))


def _choose(headers: Sequence[_Header], contract: Matcher) -> _Header | FileFault:
    good = [header for header in headers if header.match.ok]
    # A contract of one column matches under every delimiter that does not occur.
    if len(good) == 1 or (good and all(header.fields == good[0].fields for header in good)):
        return good[0]
    if good:
        marks = " and ".join(repr(header.delimiter) for header in good)
        return FileFault(WRONG_DELIMITER, f"the header matches with {marks} as delimiter")
    likely = max(headers, key=lambda header: (len(header.match.columns), len(header.fields)))
    if len(likely.fields) == 1:
        joined = normalise_name(likely.fields[0])
        if sum(name in joined for name in contract.names) > 1:
            return FileFault(WRONG_DELIMITER, "the header's columns are not separated by comma, semicolon, tab or |")
    return FileFault(likely.match.reason or NO_HEADER, likely.match.message)
