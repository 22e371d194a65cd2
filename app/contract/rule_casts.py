"""Spark's CAST on columns of Arrow, without ANSI mode: what a value cannot become is NULL, and integers wrap."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Context, Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.contract.rule_types import BIGINT, BOOLEAN, DATE, DOUBLE, INT, MOST_DIGITS, NULL, STRING, as_decimal, is_decimal, is_integer
from app.contract.rule_values import decimal_as_double, decimal_as_integer, each, fitted, quantized

# What Spark takes off both ends of a text before it reads a number or a date, and what Java takes off before it reads one with a fraction.
_SPARK_BLANKS = "".join(map(chr, range(0x21))) + "\x7f"
_JAVA_BLANKS = "".join(map(chr, range(0x21)))
_INTEGER = re.compile(r"([+-]?)([0-9]*)(?:\.[0-9]*)?")
# Java knows the digits of all scripts here, as far as they have 16 bits.
_DECIMAL = re.compile(r"([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?")
_HEX = re.compile(r"[+-]?0[xX](?=\.?[0-9a-fA-F])[0-9a-fA-F]*\.?[0-9a-fA-F]*[pP][+-]?[0-9]+[fFdD]?")
_SPECIAL = re.compile(r"[+-]?(?:inf|infinity)|nan", re.IGNORECASE)
_SIGNED_NAN = re.compile(r"[+-]NaN")
_DATE = re.compile(r"([+-]?)([0-9]{4,7})(?:-([0-9]{1,2})(?:-([0-9]{1,2})(?:[ T].*)?)?)?", re.DOTALL)
_TRUE, _FALSE = ("t", "true", "y", "yes", "1"), ("f", "false", "n", "no", "0")
_INTS = {INT: 31, BIGINT: 63}
_INT_RANGE = range(-(2**31), 2**31)
_EPOCH = date(1970, 1, 1).toordinal()
_ERA_DAYS, _ERA_YEARS = 146097, 400

Kernel = Callable[..., pa.Array]


def caster(source: pa.DataType, target: pa.DataType) -> Kernel | None:
    """Return the function that casts a column; None where the cast is not on the list."""
    if source == NULL:
        return partial(_nothing, target)
    if source == STRING:
        return _from_text(target)
    if source == DOUBLE and (target == STRING or is_decimal(target)):
        return None  # both take the digits that Java writes; before Java 19 these are sometimes more than are needed
    if target == STRING:
        return _to_text(source)
    if DATE in (source, target):
        return None
    if target == BOOLEAN:
        return _is_not_zero
    if source == BOOLEAN:
        return None if is_decimal(target) else partial(_cast, target)
    return _to_number(source, target)


def _to_text(source: pa.DataType) -> Kernel:
    if is_decimal(source):
        return _text_from_decimal
    return _text_from_date if source == DATE else partial(_cast, STRING)


def _to_number(source: pa.DataType, target: pa.DataType) -> Kernel:
    if is_decimal(source):
        if is_decimal(target):
            return partial(_fitted, target)
        return decimal_as_double if target == DOUBLE else partial(decimal_as_integer, target)
    if source == DOUBLE:
        return partial(integer_from_double, target)
    return partial(_decimal_from_integer, target) if is_decimal(target) else partial(_cast, target)


def _from_text(target: pa.DataType) -> Kernel:
    if is_integer(target):
        return partial(_by_text, partial(_read_integer, _INTS[target]), target)
    if is_decimal(target):
        return partial(_by_text, partial(_read_decimal, target), target)
    if target == DATE:
        return _date_from_text
    return partial(_by_text, {DOUBLE: _read_double, BOOLEAN: _read_boolean}[target], target)


def _by_text(read: Callable[[str], Any], target: pa.DataType, value: pa.Array) -> pa.Array:
    return each(read, target, value)


def _nothing(target: pa.DataType, value: pa.Array) -> pa.Array:
    return pa.nulls(len(value), target)


def _cast(target: pa.DataType, value: pa.Array) -> pa.Array:
    return pc.cast(value, target, safe=False)


def _fitted(kind: pa.DataType, value: pa.Array) -> pa.Array:
    return fitted(value, kind)


def _is_not_zero(value: pa.Array) -> pa.Array:
    return pc.not_equal(value, pa.scalar(0, value.type))


def _decimal_from_integer(target: pa.DataType, value: pa.Array) -> pa.Array:
    return fitted(value.cast(as_decimal(value.type)), target)


def integer_from_double(target: pa.DataType, value: pa.Array) -> pa.Array:
    """Cut the fraction off; what is too large becomes the largest integer, and NaN zero."""
    limit = 2 ** _INTS[target]
    too_small, too_large = pc.less_equal(value, float(-limit)), pc.greater_equal(value, float(limit))
    is_inside = pc.invert(pc.or_(pc.or_(too_small, too_large), pc.is_nan(value)))
    whole = pc.cast(pc.if_else(is_inside, value, 0.0), target, safe=False)
    return pc.if_else(too_small, pa.scalar(-limit, target), pc.if_else(too_large, pa.scalar(limit - 1, target), whole))


def round_integer(places: int, value: pa.Array) -> pa.Array:
    """Round integers to tens, hundreds ...; what is too large wraps."""
    return each(partial(_rounded_integer, places, _INTS[value.type]), value.type, value)


def _rounded_integer(places: int, bits: int, value: int) -> int:
    unit = 10**-places
    rounded = (abs(value) + unit // 2) // unit * unit
    wrapped: int = ((rounded if value >= 0 else -rounded) + 2**bits) % 2 ** (bits + 1) - 2**bits
    return wrapped


# --- texts -----------------------------------------------------------------------------------------------------------


def _read_integer(bits: int, text: str) -> int | None:
    text = text.strip(_SPARK_BLANKS)
    match = _INTEGER.fullmatch(text)
    if match is None or text in ("", "+", "-"):
        return None
    value = int(match[1] + (match[2] or "0"))
    return value if -(2**bits) <= value < 2**bits else None


def _read_decimal(target: pa.DataType, text: str) -> Decimal | None:
    match = _DECIMAL.fullmatch(text.strip(_JAVA_BLANKS))
    if match is None or not all(char < "\U00010000" for char in match[0]):
        return None
    sign, whole, rest, only_rest, power = match.groups()
    fraction = rest or only_rest or ""
    exponent = int(power or "0")
    scale = len(fraction) - exponent
    if len(str(abs(exponent))) > len("2147483647") or scale not in _INT_RANGE:
        return None
    number = int((whole or "") + fraction)
    if number == 0:
        return Decimal(0)
    if len(str(number)) - scale > MOST_DIGITS:
        return None
    return quantized(Decimal(-number if sign == "-" else number).scaleb(-scale, context=_WIDE), target)


# Exponents of any size that Java takes.
_WIDE = Context(prec=10**6, Emax=10**11, Emin=-(10**11))


def _read_double(text: str) -> float | None:
    text = text.strip(_JAVA_BLANKS)
    if _DOUBLE.fullmatch(text):
        return float(text.rstrip("fFdD"))
    if _HEX.fullmatch(text):
        return _read_hex(re.sub("[fFdD]$", "", text) if text[-1] in "fFdD" else text)
    return float(text) if _SPECIAL.fullmatch(text) or _SIGNED_NAN.fullmatch(text) else None


def _read_hex(text: str) -> float:
    try:
        return float.fromhex(text)
    except OverflowError:
        return float("-inf" if text.startswith("-") else "inf")


def _read_boolean(text: str) -> bool | None:
    text = text.strip(_SPARK_BLANKS).lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _text_from_decimal(value: pa.Array) -> pa.Array:
    return each(str, STRING, value)


def _date_from_text(value: pa.Array) -> pa.Array:
    return each(read_date, INT, value).view(DATE)


def read_date(text: str) -> int | None:
    """Return the days from 1970-01-01 to the date in a text, as far as Spark reads one."""
    match = _DATE.fullmatch(text.strip(_SPARK_BLANKS))
    if match is None:
        return None
    year = int(match[1] + match[2])
    era, within = divmod(year - 1, _ERA_YEARS)
    try:
        day = date(within + 1, int(match[3] or 1), int(match[4] or 1))
    except ValueError:
        return None
    days = day.toordinal() - _EPOCH + era * _ERA_DAYS
    return days if days in _INT_RANGE else None


def _text_from_date(value: pa.Array) -> pa.Array:
    return each(_write_date, STRING, value.view(INT))


def _write_date(days: int) -> str:
    era, within = divmod(days + _EPOCH - 1, _ERA_DAYS)
    day = date.fromordinal(within + 1)
    year = day.year + era * _ERA_YEARS
    sign = "-" if year < 0 else "+" if year > 9999 else ""
    return f"{sign}{abs(year):04}-{day.month:02}-{day.day:02}"
