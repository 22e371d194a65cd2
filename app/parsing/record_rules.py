"""Where a record ends, and what is wrong with it: the careful path of the scan, one record at a time. Pure."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache, partial

from app.parsing.rows import Fault, Layout, Row

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
_QUOTED = re.compile(rb'"[^"]*+(?>(?:""[^"]*+)*)"')


@dataclass(frozen=True)
class Limits:
    """How far one record may reach: lines of one quoted field, bytes of the record, bytes up to the end of the header."""

    max_record_lines: int = 100
    max_record_bytes: int = 1 << 20
    max_header_bytes: int = 64 << 10


@dataclass(frozen=True)
class Record:
    """A record as found: its fields (None when its quotes are broken), where the next one begins, and its fault."""

    fields: list[bytes] | None
    stop: int
    fault: str | None = None


@lru_cache(maxsize=16)
def _field_pattern(delimiter: str) -> re.Pattern[bytes]:
    mark = re.escape(delimiter.encode())
    return re.compile(rb'(?:"((?>(?:[^"]++|"")*))"|(?!")([^%b\n]*+))(%b|\r?\n)' % (mark, mark))


def find_record(data: bytes, start: int, delimiter: str, limits: Limits, *, width: int | None, is_last: bool) -> Record | None:
    """Find the record that begins at `start`; None when `data` does not reach to its end yet. Its first line must be whole.

    A record ends at the first line break outside quotes. One of several lines must be well formed and `width` fields wide
    (any width for None), else its first line alone is rejected and the next record begins on the next line.
    """
    line_end = data.index(b"\n", start)
    if data.find(b'"', start, line_end) < 0:
        return Record(data[start:line_end].removesuffix(b"\r").split(delimiter.encode()), line_end + 1)
    window = min(len(data), start + limits.max_record_bytes + 1)
    pattern = _field_pattern(delimiter)
    fields: list[bytes] = []
    at = start
    while found := pattern.match(data, at, window):
        quoted, plain, ending = found.groups()
        if quoted is None:
            fields.append(plain.removesuffix(b"\r") if ending == b"\n" else plain)
        elif quoted.count(b"\n") < limits.max_record_lines:
            fields.append(quoted.replace(b'""', b'"'))
        else:
            return Record(None, line_end + 1, UNCLOSED_QUOTE)
        at = found.end()
        if ending.endswith(b"\n"):
            is_whole = at == line_end + 1 or width in (None, len(fields))
            return Record(fields, at) if is_whole else Record(None, line_end + 1, UNCLOSED_QUOTE)
    closing = _QUOTED.match(data, at, window)
    if closing and closing.end() < line_end:
        return Record(None, line_end + 1, MALFORMED_QUOTE)
    # A quote at the end of what is there may be the first half of a doubled one, a CR the first half of a line break.
    may_go_on = not is_last and window < start + limits.max_record_bytes + 1 and (closing is None or closing.end() >= window - 1)
    return None if may_go_on else Record(None, line_end + 1, UNCLOSED_QUOTE)


def row_of(record: Record, raw: bytes, line: int, layout: Layout) -> Row:
    """Make the row of a record from its text `raw`, without its last line break: a good one, or one with every structural fault."""
    try:
        text = raw.decode(layout.encoding)
    except UnicodeDecodeError:
        return _bad_row(record, raw, line, layout)
    if record.fields is None or len(record.fields) != len(layout.names) or "\0" in text:
        return _bad_row(record, raw, line, layout)
    if '"' not in text:
        return Row(line, text.split(layout.delimiter), text)
    return Row(line, [value.decode(layout.encoding) for value in record.fields], text)


def _bad_row(record: Record, raw: bytes, line: int, layout: Layout) -> Row:
    """Name every structural fault of a record, with the column where it is known."""
    faults = [Fault(record.fault)] if record.fault else []
    named: list[tuple[str | None, bytes]] = [(None, raw)]
    if record.fields is not None and len(record.fields) == len(layout.names):
        named = list(zip(layout.names, record.fields, strict=True))
    elif record.fields is not None:
        code = TOO_FEW_FIELDS if len(record.fields) < len(layout.names) else TOO_MANY_FIELDS
        faults.append(Fault(code, value=str(len(record.fields))))
    for code, is_bad in ((NUL_BYTE, _has_nul), (INVALID_ENCODING, partial(_is_undecodable, layout.encoding))):
        column, value = next(((name, value) for name, value in named if is_bad(value)), (None, None))
        if value is not None:
            faults.append(Fault(code, column, readable(value, layout.encoding) if column else None))
    return Row(line, None, readable(raw, layout.encoding), faults)


def _has_nul(text: bytes) -> bool:
    return b"\0" in text


def _is_undecodable(encoding: str, text: bytes) -> bool:
    try:
        text.decode(encoding)
    except UnicodeDecodeError:
        return True
    return False


def long_row(line: int, beginning: bytes, length: int, layout: Layout) -> Row:
    """Make the row of a line that is longer than a record may be; only its beginning is kept."""
    # The cut may have split a character; the incremental decoder leaves such a half away.
    raw = codecs.getincrementaldecoder(layout.encoding)("backslashreplace").decode(beginning)
    return Row(line, None, raw, [Fault(RECORD_TOO_LONG, value=str(length))])


def readable(text: bytes, encoding: str) -> str:
    """Decode bytes; what is not valid in the encoding is kept as backslash escapes."""
    return text.decode(encoding, "backslashreplace")
