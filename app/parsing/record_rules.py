"""The quote rule line by line, and what is wrong with a record: the careful path of the scan. Pure.

A line can be met in two ways: outside quotes, where a record begins, and inside a quoted field that an earlier line left open. `QuoteRule`
says for both how the line ends. So a line is read at most twice, in however many records it could lie (app/parsing/open_quotes.py).
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from app.parsing.rows import VALUE_CHARS, Fault, Layout, Row

TOO_FEW_FIELDS = "TOO_FEW_FIELDS"
TOO_MANY_FIELDS = "TOO_MANY_FIELDS"
UNCLOSED_QUOTE = "UNCLOSED_QUOTE"
MALFORMED_QUOTE = "MALFORMED_QUOTE"
INVALID_ENCODING = "INVALID_ENCODING"
NUL_BYTE = "NUL_BYTE"
RECORD_TOO_LONG = "RECORD_TOO_LONG"
REASONS = (TOO_FEW_FIELDS, TOO_MANY_FIELDS, UNCLOSED_QUOTE, MALFORMED_QUOTE, INVALID_ENCODING, NUL_BYTE, RECORD_TOO_LONG)

# Of a line longer than a record may be, so much is kept.
LONG_LINE_KEPT = 1000
# How a line ends: with its record, within a quoted field, or it has text behind a closing quote.
CLOSED, OPEN, MALFORMED = range(3)


@dataclass(frozen=True)
class Limits:
    """How far one record may reach: lines of one quoted field, bytes of the record, bytes up to the end of the header."""

    max_record_lines: int = 100
    max_record_bytes: int = 1 << 20
    max_header_bytes: int = 64 << 10


class LineShape(NamedTuple):
    """How a line ends, its complete fields, and whether the quoted field that it begins in (if so) ends in it."""

    end: int
    fields: int
    closes: bool = False


# Most lines end in one of these ways, and there may be a line for every few bytes.
_CLOSED_SHAPES = [LineShape(CLOSED, fields) for fields in range(64)]
_MALFORMED_SHAPE = LineShape(MALFORMED, 0)
_STILL_OPEN = LineShape(OPEN, 0)


def _closed(fields: int) -> LineShape:
    return _CLOSED_SHAPES[fields] if fields < len(_CLOSED_SHAPES) else LineShape(CLOSED, fields)


class QuoteRule:
    """The rule of docs/decisions/0002-scan.md for one delimiter and width (None: any). Lines come without LF."""

    def __init__(self, delimiter: str, width: int | None) -> None:
        self.mark = delimiter.encode()
        mark = re.escape(self.mark)
        # Atomic groups: before 3.11.5 Python matches a possessive group that has to give up wrongly (gh-106052).
        inside = rb'[^"]*+(?>(?:""[^"]*+)*)'
        field = rb'(?:"%b"|(?!")[^%b]*+)' % (inside, mark)
        self._inside = re.compile(inside)
        self._fields = re.compile(rb"(?<![^%b])(%b)(?:%b|\Z)" % (mark, field, mark))
        self._complete = re.compile(rb"(?>(?:%b%b)*)" % (field, mark))
        self._too_many = None if width is None else re.compile(rb"(?>(?:%b%b){%d})" % (field, mark, width))
        self._last = re.compile(rb"%b\Z" % field)
        self._one_complete = re.compile(rb"%b%b" % (field, mark))

    def fields(self, record: bytes) -> list[bytes]:
        """Return the fields of a well-formed record as they are written, quotes included."""
        found: list[bytes] = self._fields.findall(record) if b'"' in record else record.split(self.mark)
        return found

    def outside(self, line: bytes) -> LineShape:
        """Say how a line ends in which a record begins. CRs at its end are part of the line break."""
        line = line.rstrip(b"\r")
        if b'"' not in line:
            return _closed(line.count(self.mark) + 1)
        found = self._complete.match(line)
        begin = found.end() if found else 0
        is_closed = self._last.match(line, begin)
        if not is_closed and not self._inside.fullmatch(line, begin + 1):
            return _MALFORMED_SHAPE
        before = line[:begin]
        complete = self._one_complete.subn(b"", before)[1] if b'"' in before else before.count(self.mark)
        return _closed(complete + 1) if is_closed else LineShape(OPEN, complete)

    def inside(self, line: bytes) -> LineShape:
        """Say how a line ends that begins within a quoted field; MALFORMED also when no record can have so many fields."""
        if b'"' not in line:
            return _STILL_OPEN
        found = self._inside.match(line)
        end = found.end() if found else 0
        if end == len(line):
            return _STILL_OPEN
        rest = line[end + 1 :].rstrip(b"\r")
        if not rest:
            return LineShape(CLOSED, 1, closes=True)
        if not rest.startswith(self.mark) or (self._too_many and self._too_many.match(rest, 1)):
            return LineShape(MALFORMED, 1, closes=True)
        shape = self.outside(rest[1:])
        return LineShape(shape.end, shape.fields + 1, closes=True)


@lru_cache(maxsize=16)
def quote_rule(delimiter: str, width: int | None = None) -> QuoteRule:
    """Return the rule for a delimiter and a width."""
    return QuoteRule(delimiter, width)


def unquoted(field: bytes) -> bytes:
    """Return the value of a field from how it is written."""
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


def header_record(text: bytes, begin: int, delimiter: str, limits: Limits) -> tuple[list[bytes], int]:
    """Return the fields of the record at `begin` and where the next one begins. A line that is not well formed is cut at delimiters."""
    rule = quote_rule(delimiter)
    line_end = at = text.index(b"\n", begin)
    shape = rule.outside(text[begin:line_end])
    lines = 0
    while shape.end == OPEN:
        lines += 1
        next_end = text.find(b"\n", at + 1)
        if lines >= limits.max_record_lines or not 0 <= next_end - begin <= limits.max_record_bytes:
            break
        shape, at = rule.inside(text[at + 1 : next_end]), next_end
        lines = 0 if shape.closes else lines
    if shape.end == CLOSED:
        return [unquoted(field) for field in rule.fields(text[begin:at].rstrip(b"\r"))], at + 1
    return text[begin:line_end].rstrip(b"\r").split(rule.mark), line_end + 1


def row_of(raw: bytes, shape: LineShape, line: int, layout: Layout) -> Row:
    """Make the row of a record from its text, without its line break: a good one, or one with every structural fault."""
    try:
        text = raw.decode(layout.encoding)
        is_text = True
    except UnicodeDecodeError:
        text, is_text = readable(raw, layout.encoding), False
    width = len(layout.names)
    has_nul = b"\0" in raw
    if shape.end != CLOSED or shape.fields != width:
        return Row(line, None, text, _form_faults(shape, width, has_nul, is_text))
    if has_nul or not is_text:
        return Row(line, None, text, _text_faults(raw, layout))
    if '"' not in text:
        return Row(line, text.split(layout.delimiter), text)
    fields = quote_rule(layout.delimiter).fields(raw)
    return Row(line, [unquoted(field).decode(layout.encoding) for field in fields], text)


@lru_cache(maxsize=1024)
def _form_faults(shape: LineShape, width: int, has_nul: bool, is_text: bool) -> tuple[Fault, ...]:
    """Return the faults of a record that is not well formed: its columns are not known."""
    if shape.end != CLOSED:
        first = Fault(UNCLOSED_QUOTE if shape.end == OPEN else MALFORMED_QUOTE)
    else:
        first = Fault(TOO_FEW_FIELDS if shape.fields < width else TOO_MANY_FIELDS, value=str(shape.fields))
    others = [Fault(code) for code, is_so in ((NUL_BYTE, has_nul), (INVALID_ENCODING, not is_text)) if is_so]
    return (first, *others)


def _text_faults(raw: bytes, layout: Layout) -> tuple[Fault, ...]:
    """Return the faults of a record of the right form whose bytes are no text, with the first column of each."""
    fields = quote_rule(layout.delimiter).fields(raw)
    named = [(name, unquoted(field)) for name, field in zip(layout.names, fields, strict=True)]
    faults = []
    for code, is_bad in ((NUL_BYTE, _has_nul), (INVALID_ENCODING, _is_undecodable)):
        column, value = next(((name, value) for name, value in named if is_bad(value, layout.encoding)), (None, None))
        if value is not None:
            faults.append(Fault(code, column, _shortened(value, layout.encoding)))
    return tuple(faults)


def _shortened(value: bytes, encoding: str) -> str:
    # A character has at most four bytes.
    return readable(value[: 4 * VALUE_CHARS], encoding)[:VALUE_CHARS]


def _has_nul(text: bytes, _encoding: str) -> bool:
    return b"\0" in text


def _is_undecodable(text: bytes, encoding: str) -> bool:
    try:
        text.decode(encoding)
    except UnicodeDecodeError:
        return True
    return False


def long_row(line: int, beginning: bytes, length: int, layout: Layout) -> Row:
    """Make the row of a line that is longer than a record may be; only its beginning is kept."""
    # The cut may have split a character; the incremental decoder leaves such a half away.
    raw = codecs.getincrementaldecoder(layout.encoding)("backslashreplace").decode(beginning[:LONG_LINE_KEPT])
    return Row(line, None, raw, (Fault(RECORD_TOO_LONG, value=str(length)),))


# Invalid bytes by way of surrogates: an error handler is called once a byte, which takes a hundred times as long.
_ESCAPES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(128, 256)}


def readable(text: bytes, encoding: str) -> str:
    """Decode bytes; what is not valid in the encoding is kept as backslash escapes."""
    decoded = text.decode("utf-8", "surrogateescape") if encoding == "utf-8" else codecs.charmap_decode(text, "strict", _table(encoding))[0]
    return decoded if decoded.isascii() else decoded.translate(_ESCAPES)


@lru_cache(maxsize=4)
def _table(encoding: str) -> str:
    """Return the 256 characters of a single-byte encoding, with surrogates where it has none."""
    return "".join(bytes([byte]).decode(encoding, "surrogateescape") for byte in range(256))
