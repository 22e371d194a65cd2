"""Which type holds all values of two others. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import types as T

_WHOLE: dict[type[T.DataType], int] = {T.ByteType: 3, T.ShortType: 5, T.IntegerType: 10, T.LongType: 19}
_MOST_DIGITS = 38


def wider(one: T.DataType, other: T.DataType) -> T.DataType | None:
    """Return the narrowest type that holds every value of both exactly; None when there is none. Whether items may be NULL is no matter."""
    if type(one) is type(other) and not isinstance(one, T.DecimalType):
        return _of_items(one, other)
    if type(one) in _WHOLE and type(other) in _WHOLE:
        return max(one, other, key=lambda kind: _WHOLE[type(kind)])
    pairs = [_digits(one), _digits(other)]
    if None in pairs:
        return None
    whole = max(pair[0] for pair in pairs if pair)
    scale = max(pair[1] for pair in pairs if pair)
    return T.DecimalType(whole + scale, scale) if whole + scale <= _MOST_DIGITS else None


def widest(kinds: Iterable[T.DataType]) -> T.DataType | None:
    """Return the narrowest type that holds every value of all."""
    held: T.DataType | None = None
    for number, kind in enumerate(kinds):
        held = wider(held, kind) if held is not None else kind if number == 0 else None
    return held


def holds(wanted: T.DataType, stored: T.DataType) -> bool:
    """Tell whether a type takes every value of another one as it is; a text takes a number or a date as it is written."""
    if isinstance(wanted, T.StringType) and (_digits(stored) is not None or isinstance(stored, T.DateType)):
        return True
    common = wider(wanted, stored)
    return common is not None and common.simpleString() == wanted.simpleString()


def _of_items(one: T.DataType, other: T.DataType) -> T.DataType | None:
    if isinstance(one, T.ArrayType) and isinstance(other, T.ArrayType):
        item = wider(one.elementType, other.elementType)
        return T.ArrayType(item) if item is not None else None
    return one if one.simpleString() == other.simpleString() else None


def _digits(kind: T.DataType) -> tuple[int, int] | None:
    """Return how many digits a number has before and behind the point."""
    if isinstance(kind, T.DecimalType):
        return kind.precision - kind.scale, kind.scale
    whole = _WHOLE.get(type(kind))
    return (whole, 0) if whole is not None else None
