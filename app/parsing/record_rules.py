"""The quote rule line by line, and what is wrong with a record: the careful path of the scan. Pure.

A line can be met in two ways: outside quotes, where a record begins, and inside a quoted field that an earlier line left open, which is as
if the line had one more quote before it. So it is read at most twice, in however many records it could lie: app/parsing/careful_parser.py.
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
# How a line ends: with its record, within a quoted field, it has text behind a closing quote, or it is longer than a record may be.
CLOSED, OPEN, MALFORMED, LONG = range(4)


@dataclass(frozen=True)
class Limits:
    """How far one record may reach: lines of one quoted field, bytes of the record, bytes up to the end of the header."""

    max_record_lines: int = 100
    max_record_bytes: int = 1 << 20
    max_header_bytes: int = 64 << 10


class LineShape(NamedTuple):
    """How a line ends, and its complete fields; of one that is too long, its bytes."""

    end: int
    fields: int


class QuoteRule:
    """The rule of docs/decisions/0002-scan.md for one delimiter."""

    def __init__(self, delimiter: str) -> None:
        self.mark = delimiter.encode()
        mark = re.escape(self.mark)
        # Atomic groups: before 3.11.5 Python matches a possessive group that has to give up wrongly (gh-106052).
        field = rb'(?:"[^"]*+(?>(?:""[^"]*+)*)"|(?!")[^%b]*+)' % mark
        self._fields = re.compile(rb"(?<![^%b])(%b)(?:%b|\Z)" % (mark, field, mark))
        # The quote comes before what must stand before it: a pattern that begins with a letter is searched three times as fast.
        begin = rb'"(?<![^%b\n]")[^"\n]*+(?>(?:""[^"\n]*+)*)' % mark
        # For RE2: within a quoted field, a line that does not end it, or ends it as it should.
        self.good_inside = rf'^(?:[^"]|"")*(?:$|"(?:{re.escape(delimiter)}|\r*\n))'
        self._quoted = re.compile(begin + rb'(?:"(?=%b|\r*+(?:\n|\Z))|(?=\n|\Z))' % mark)

    def fields(self, record: bytes) -> list[bytes]:
        """Return the fields of a well-formed record as they are written, quotes included."""
        found: list[bytes] = self._fields.findall(record) if b'"' in record else record.split(self.mark)
        return found

    def without_quoted(self, lines: bytes) -> bytes:
        """Leave quoted fields away that end with a delimiter or with their line, or that their line leaves open.

        What tells how a line ends: where a field still begins with a quote, it is malformed; where an odd number of quotes is gone, it is
        open; and its complete fields are those before the delimiters that are left. What is left behind an odd field says nothing.
        """
        return self._quoted.sub(b"", lines)

    def outside(self, line: bytes) -> LineShape:
        """Say how a line, without its LF, ends in which a record begins."""
        if b'"' not in line:
            return LineShape(CLOSED, line.count(self.mark) + 1)
        rest = self.without_quoted(line)
        if rest.startswith(b'"') or self.mark + b'"' in rest:
            return LineShape(MALFORMED, 0)
        complete = rest.count(self.mark)
        is_open = (line.count(b'"') - rest.count(b'"')) % 2
        return LineShape(OPEN, complete) if is_open else LineShape(CLOSED, complete + 1)

    def inside(self, line: bytes) -> LineShape:
        """Say how a line ends that begins within a quoted field; it counts that one when it ends in this line."""
        return self.outside(b'"' + line)


@lru_cache(maxsize=16)
def quote_rule(delimiter: str) -> QuoteRule:
    """Return the rule for a delimiter."""
    return QuoteRule(delimiter)


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
        lines = 0 if shape.fields else lines
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
    codes = [code for code, is_so in ((NUL_BYTE, b"\0" in raw), (INVALID_ENCODING, not is_text)) if is_so]
    if shape != (CLOSED, len(layout.names)):
        return Row(line, None, text, (form_fault(shape, len(layout.names)), *map(Fault, codes)))
    if codes:
        return Row(line, None, text, [text_fault(code, raw, layout) for code in codes])
    return Row(line, fields_of(text, layout.delimiter), text)


def fields_of(text: str, delimiter: str) -> list[str]:
    """Return the values of a good record."""
    if '"' not in text:
        return text.split(delimiter)
    return [unquoted(field).decode() for field in quote_rule(delimiter).fields(text.encode())]


def form_fault(shape: LineShape, width: int) -> Fault:
    """Return what is wrong with a record that is not well formed, or not as wide as the header: its columns are not known."""
    if shape.end == CLOSED:
        return Fault(TOO_FEW_FIELDS if shape.fields < width else TOO_MANY_FIELDS, value=str(shape.fields))
    if shape.end == LONG:
        return Fault(RECORD_TOO_LONG, value=str(shape.fields))
    return Fault(UNCLOSED_QUOTE if shape.end == OPEN else MALFORMED_QUOTE)


def text_fault(code: str, raw: bytes, layout: Layout) -> Fault:
    """Return what is wrong with the bytes of a record of the right form: NUL_BYTE or INVALID_ENCODING, with its first column."""
    is_bad = _has_nul if code == NUL_BYTE else _is_undecodable
    fields = map(unquoted, quote_rule(layout.delimiter).fields(raw))
    column, value = next((name, value) for name, value in zip(layout.names, fields, strict=True) if is_bad(value, layout.encoding))
    return Fault(code, column, _shortened(value, layout.encoding))


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


# Invalid bytes by way of surrogates: an error handler of Python's is called once a byte, which takes a hundred times as long.
_ESCAPES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(128, 256)}


def readable(text: bytes, encoding: str) -> str:
    """Decode bytes; what is not valid in the encoding is kept as backslash escapes."""
    return escaped(with_surrogates(text, encoding)).decode()


def with_surrogates(text: bytes, encoding: str) -> str:
    """Decode bytes; what is not valid in the encoding is a surrogate."""
    return text.decode("utf-8", "surrogateescape") if encoding == "utf-8" else codecs.charmap_decode(text, "strict", _table(encoding))[0]


def escaped(text: str) -> bytes:
    """Encode a text as UTF-8, its surrogates as backslash escapes of the bytes that they stand for."""
    if "\\udc" in text:
        return text.translate(_ESCAPES).encode()
    return text.encode("utf-8", "backslashreplace").replace(b"\\udc", b"\\x")


@lru_cache(maxsize=4)
def _table(encoding: str) -> str:
    """Return the 256 characters of a single-byte encoding, with surrogates where it has none."""
    return "".join(bytes([byte]).decode(encoding, "surrogateescape") for byte in range(256))
