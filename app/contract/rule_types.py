"""Spark's rules for types in SQL: which type an operation has, and which type operands of two types meet in. Without ANSI mode.

A type is that of Arrow. An operation that Spark gives no type has None here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import pyarrow as pa

BOOLEAN, INT, BIGINT, DOUBLE = pa.bool_(), pa.int32(), pa.int64(), pa.float64()
DATE, STRING, NULL = pa.date32(), pa.string(), pa.null()
MOST_DIGITS = 38
# Of a result that is too wide, Spark keeps so many digits behind the point before it cuts them.
_LEAST_SCALE = 6
_NAMES = {BOOLEAN: "boolean", INT: "int", BIGINT: "bigint", DOUBLE: "double", DATE: "date", STRING: "string", NULL: "NULL"}


def type_name(kind: pa.DataType) -> str:
    """Return Spark's name of a type."""
    return f"decimal({kind.precision},{kind.scale})" if pa.types.is_decimal(kind) else _NAMES[kind]


def is_decimal(kind: pa.DataType) -> bool:
    """Tell whether a type is a decimal."""
    return bool(pa.types.is_decimal(kind))


def is_integer(kind: pa.DataType) -> bool:
    """Tell whether a type is int or bigint."""
    return kind in (INT, BIGINT)


def is_number(kind: pa.DataType) -> bool:
    """Tell whether a type is one of numbers."""
    return is_integer(kind) or is_decimal(kind) or kind == DOUBLE


def as_decimal(kind: pa.DataType) -> pa.DataType:
    """Return the decimal that holds all values of an integer type."""
    return {INT: pa.decimal128(10, 0), BIGINT: pa.decimal128(20, 0)}.get(kind, kind)


def arithmetic_type(operator: str, left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """Return the type of + - * / % on two decimals."""
    p1, s1, p2, s2 = left.precision, left.scale, right.precision, right.scale
    if operator == "*":
        return _adjusted(p1 + p2 + 1, s1 + s2)
    if operator == "/":
        scale = max(_LEAST_SCALE, s1 + p2 + 1)
        return _adjusted(p1 - s1 + s2 + scale, scale)
    scale = max(s1, s2)
    if operator == "%":
        return _adjusted(min(p1 - s1, p2 - s2) + scale, scale)
    return _adjusted(max(p1 - s1, p2 - s2) + scale + 1, scale)


def _adjusted(precision: int, scale: int) -> pa.DataType:
    if precision <= MOST_DIGITS:
        return pa.decimal128(precision, scale)
    whole = precision - scale
    return pa.decimal128(MOST_DIGITS, max(MOST_DIGITS - whole, min(scale, _LEAST_SCALE)))


def wider_decimal(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """Return the decimal in which two decimals are compared: where it is too wide, digits behind the point are lost first."""
    scale = max(left.scale, right.scale)
    precision = max(left.precision - left.scale, right.precision - right.scale) + scale
    over = max(0, precision - MOST_DIGITS)
    return pa.decimal128(precision - over, max(0, scale - over))


def compared_type(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """Return the type in which a comparison operator sees its operands."""
    if (only := _only_type(left, right)) is not None:
        return only
    if STRING in (left, right):
        other = left if right == STRING else right
        if is_decimal(other) and other.scale:
            return DOUBLE
        return None if other == BOOLEAN else other
    return _common_number(left, right)


def common_type(kinds: Iterable[pa.DataType], *, with_text: bool = True) -> pa.DataType | None:
    """Return the type of a CASE, COALESCE, IN or GREATEST over operands of these types."""
    in_order = list(kinds)
    # Spark looks at texts first: whatever meets a text is a text.
    in_order.sort(key=lambda kind: kind != STRING or not with_text)
    return reduce(lambda met, kind: None if met is None else _wider(met, kind, with_text=with_text), in_order, NULL)


def _wider(left: pa.DataType, right: pa.DataType, *, with_text: bool) -> pa.DataType | None:
    if (only := _only_type(left, right)) is not None:
        return only
    if STRING in (left, right):
        return STRING if with_text and BOOLEAN not in (left, right) else None
    return _common_number(left, right)


def _only_type(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """Return the type that both have, or one has beside a NULL."""
    if left in (right, NULL):
        return right
    return left if right == NULL else None


def _common_number(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    if not (is_number(left) and is_number(right)):
        return None
    if DOUBLE in (left, right):
        return DOUBLE
    if is_decimal(left) or is_decimal(right):
        return wider_decimal(as_decimal(left), as_decimal(right))
    return BIGINT if BIGINT in (left, right) else INT
