"""One value: its text becomes a typed value, or the reason why it does not (docs/decisions/0010-values-in-the-workers.md). Pure.

A value that does not convert *exactly* is a fault: Spark's own casts would turn '2024' into 2024-01-01 and 1.239 into 1.24.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from app.contract.contract import Column
from app.parsing.rows import VALUE_CHARS, Fault

# What `trim` takes away.
BLANKS = " \t\r\n\u00a0"
ROW_FAULTS = ("NULL_VALUE", "INVALID_INT", "INVALID_DECIMAL", "INVALID_DATE", "OUT_OF_RANGE", "TOO_PRECISE", "TOO_LONG")

# '5.0' is exactly 5, and what spreadsheets and pandas write for an integer column with gaps.
_INTEGER = re.compile(r"([+-]?)([0-9]+)(?:\.0*)?")
_DECIMAL = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?")
_BITS = {"int": 31, "bigint": 63}
# As many as the widest integer has; Python converts no text of thousands of digits.
_MOST_DIGITS = 19
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
_NUMBER_OF_MONTH = {name[:size]: at for at, name in enumerate(_MONTHS, 1) for size in (3, len(name))}
Value = str | int | Decimal | date


class Reading(NamedTuple):
    """What a text is: a value, NULL, or a fault. A text that is too long is both."""

    value: Value | None
    fault: Fault | None = None


def read_value(column: Column, text: str | None) -> Reading:
    """Read a text as a value of its column; nothing but blanks, where the column is trimmed, is NULL."""
    text = text.strip(BLANKS) if text and column.trim else text
    if not text:
        return Reading(None, None if column.nullable else Fault("NULL_VALUE", column.name))
    value, code = _read(column, text)
    return Reading(value, Fault(code, column.name, text[:VALUE_CHARS]) if code else None)


def _read(column: Column, text: str) -> tuple[Value | None, str | None]:
    if column.type == "string":
        return text, "TOO_LONG" if column.max_length and len(text) > column.max_length else None
    if column.type == "date":
        return _date(text, column.date_formats)
    return _decimal(text, *column.precision_scale) if column.precision_scale else _integer(text, _BITS[column.type])


def _integer(text: str, bits: int) -> tuple[Value | None, str | None]:
    match = _INTEGER.fullmatch(text)
    if match is None:
        return None, "INVALID_INT"
    digits = match[2].lstrip("0") or "0"
    number = int(match[1] + digits) if len(digits) <= _MOST_DIGITS else None
    return (number, None) if number is not None and -(1 << bits) <= number < 1 << bits else (None, "OUT_OF_RANGE")


def _decimal(text: str, precision: int, scale: int) -> tuple[Value | None, str | None]:
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return None, "INVALID_DECIMAL"
    whole, fraction = match[2].lstrip("0"), (match[3] or "").rstrip("0")
    if len(fraction) > scale:
        return None, "TOO_PRECISE"
    return (Decimal(f"{match[1]}{whole or 0}.{fraction or 0}"), None) if len(whole) <= precision - scale else (None, "OUT_OF_RANGE")


def _date(text: str, formats: tuple[str, ...]) -> tuple[Value | None, str | None]:
    for match in filter(None, (_date_pattern(one).fullmatch(text) for one in formats)):
        month = match["month"].lower()
        try:
            return date(int(match["year"]), _NUMBER_OF_MONTH.get(month) or int(month), int(match["day"])), None
        except ValueError:
            continue  # no day of the calendar
    return None, "INVALID_DATE"


@lru_cache(maxsize=64)
def _date_pattern(date_format: str) -> re.Pattern[str]:
    """Return the pattern of a format, whose letters are Java's: `d` and `M` take one digit or two, and all that follow each other."""
    parts = {
        "yyyy": "(?P<year>[0-9]{4})",
        "MMMM": f"(?P<month>{'|'.join(_MONTHS)})",
        "MMM": f"(?P<month>{'|'.join(name[:3] for name in _MONTHS)})",
        "MM": "(?P<month>[0-9]{2})",
        "M": "(?P<month>[0-9]{1,2})(?![0-9])",
        "dd": "(?P<day>[0-9]{2})",
        "d": "(?P<day>[0-9]{1,2})(?![0-9])",
    }
    found = re.findall(r"yyyy|M{1,4}|d{1,2}|.", date_format)
    return re.compile("".join(parts.get(part) or re.escape(part) for part in found), re.IGNORECASE | re.ASCII)
