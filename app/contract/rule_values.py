"""Operations of Spark SQL on columns of Arrow. Nothing here raises for what a row holds: what Spark cannot answer is NULL.

All arrays have one length; literals are arrays too. Arrow's kernels do the work where they do what Spark does. Rows for which they do not
(amounts with more digits than a machine word, for example) are computed one by one in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.contract.rule_types import DATE, DOUBLE, INT, MOST_DIGITS

# Arrow's widest decimal.
_WIDEST = 76
# Spark computes products and quotients of decimals to so many digits before it rounds to the type of the result.
_SPARK_DIGITS = 39
_SPARK = Context(prec=_SPARK_DIGITS, rounding=ROUND_HALF_DOWN)
_EXACT = Context(prec=400, rounding=ROUND_HALF_UP)
# Greater integers are not exact as a double.
_EXACT_DOUBLE = 2**53


def each(function: Callable[..., Any], kind: pa.DataType, *columns: pa.Array) -> pa.Array:
    """Compute row by row in Python; NULL where an input is NULL. Texts, which repeat, are computed once each."""
    if len(columns) == 1 and pa.types.is_string(columns[0].type):
        encoded = columns[0].dictionary_encode()
        found = pa.array([None if value is None else function(value) for value in encoded.dictionary.to_pylist()], kind)
        return found.take(encoded.indices)
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return pa.array([None if None in row else function(*row) for row in rows], kind)


def null_where(is_null: pa.BooleanArray, values: pa.Array) -> pa.Array:
    """Return the values with NULL where asked for; also where that is unknown."""
    return pc.if_else(is_null, pa.scalar(None, values.type), values)


# --- comparisons -----------------------------------------------------------------------------------------------------


def equal(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    """Compare by =. Unlike Arrow, Spark has NaN equal NaN."""
    found = pc.equal(left, right)
    return pc.or_(found, pc.and_(pc.is_nan(left), pc.is_nan(right))) if left.type == DOUBLE else found


def not_equal(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    """Compare by <>."""
    return pc.invert(equal(left, right))


def less(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    """Compare by <. NaN is greater than all numbers."""
    found = pc.less(left, right)
    return pc.or_(found, pc.and_(pc.is_nan(right), pc.invert(pc.is_nan(left)))) if left.type == DOUBLE else found


def less_equal(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    """Compare by <=."""
    return pc.invert(less(right, left))


def greater(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    """Compare by >."""
    return less(right, left)


def greater_equal(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    """Compare by >=."""
    return pc.invert(less(left, right))


def null_safe_equal(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    """Compare by <=>: NULL equals NULL, and nothing is unknown."""
    both = pc.and_(left.is_null(), right.is_null())
    return pc.fill_null(pc.if_else(both, True, equal(left, right)), False)


def is_in(value: pa.Array, *choices: pa.Array) -> pa.BooleanArray:
    """Tell whether a value is one of several; unknown where it is none of them and one is NULL."""
    found = equal(value, choices[0])
    for choice in choices[1:]:
        found = pc.or_kleene(found, equal(value, choice))
    return found


def both(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    """Combine by AND."""
    return pc.and_kleene(left, right)


def either(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    """Combine by OR."""
    return pc.or_kleene(left, right)


def invert(value: pa.Array) -> pa.BooleanArray:
    """Turn by NOT."""
    return pc.invert(value)


def is_null(value: pa.Array) -> pa.BooleanArray:
    """Tell which values are NULL; NaN is not."""
    return value.is_null()


# --- choices ---------------------------------------------------------------------------------------------------------


def case(*parts: pa.Array) -> pa.Array:
    """Return the value behind the first condition that is true: condition, value, condition, value ... else."""
    found = parts[-1]
    for at in range(len(parts) - 3, -1, -2):
        found = pc.if_else(pc.fill_null(parts[at], False), parts[at + 1], found)
    return found


def coalesce(*values: pa.Array) -> pa.Array:
    """Return the first value that is not NULL."""
    return pc.coalesce(*values)


def greatest(*values: pa.Array) -> pa.Array:
    """Return the greatest value that is not NULL."""
    found = values[0]
    for value in values[1:]:
        found = pc.if_else(pc.fill_null(less(found, value), found.is_null()), value, found)
    return found


def least(*values: pa.Array) -> pa.Array:
    """Return the least value that is not NULL."""
    found = values[0]
    for value in values[1:]:
        found = pc.if_else(pc.fill_null(less(value, found), found.is_null()), value, found)
    return found


# --- numbers ---------------------------------------------------------------------------------------------------------


def add(left: pa.Array, right: pa.Array) -> pa.Array:
    """Add integers, which wrap, or doubles."""
    return pc.add(left, right)


def subtract(left: pa.Array, right: pa.Array) -> pa.Array:
    """Subtract integers, which wrap, or doubles."""
    return pc.subtract(left, right)


def multiply(left: pa.Array, right: pa.Array) -> pa.Array:
    """Multiply integers, which wrap, or doubles."""
    return pc.multiply(left, right)


def divide(left: pa.Array, right: pa.Array) -> pa.Array:
    """Divide doubles; NULL by zero."""
    return pc.divide(left, _not_zero(right))


def remainder(left: pa.Array, right: pa.Array) -> pa.Array:
    """Return the remainder, with the sign of the dividend, of integers or doubles; NULL by zero."""
    return pc.remainder(left, _not_zero(right))


def negate(value: pa.Array) -> pa.Array:
    """Change the sign; the least integer stays what it is."""
    return pc.negate(value)


def absolute(value: pa.Array) -> pa.Array:
    """Return the value without its sign; the least integer stays what it is."""
    return pc.abs(value)


def _not_zero(value: pa.Array) -> pa.Array:
    return null_where(pc.equal(value, pa.scalar(0, value.type)), value)


def floor_doubles(value: pa.Array) -> pa.Array:
    """Return the greatest whole number that is not greater."""
    return pc.floor(value)


def ceil_doubles(value: pa.Array) -> pa.Array:
    """Return the least whole number that is not less."""
    return pc.ceil(value)


# --- decimals --------------------------------------------------------------------------------------------------------


def fitted(value: pa.Array, kind: pa.DataType) -> pa.Array:
    """Round decimals half up to a type; NULL where the type has too few digits."""
    precision, scale = value.type.precision, value.type.scale
    if value.type == kind:
        return value
    shorter = scale > kind.scale
    if precision - scale + shorter > kind.precision - kind.scale:
        # The least amount that rounds to one digit too many.
        limit = Decimal(10) ** (kind.precision - kind.scale)
        limit -= Decimal(5).scaleb(-kind.scale - 1) if shorter else 0
        digits = len((limit * 10**scale).to_integral_value().as_tuple().digits)
        if digits <= precision:
            value = null_where(pc.greater_equal(pc.abs(value), pa.scalar(limit, value.type)), value)
    if shorter:
        roomy = pa.decimal128 if precision < MOST_DIGITS else pa.decimal256
        value = pc.round(value.cast(roomy(min(precision + 1, _WIDEST), scale)), ndigits=kind.scale, round_mode="half_towards_infinity")
    return value.cast(kind)


def add_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Add decimals."""
    return fitted(pc.add(*_wide_enough(left, right, 1)), kind)


def subtract_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Subtract decimals."""
    return fitted(pc.subtract(*_wide_enough(left, right, 1)), kind)


def remainder_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Return the remainder of decimals; NULL by zero."""
    return fitted(pc.remainder(*_wide_enough(left, _not_zero(right), 0)), kind)


def multiply_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Multiply decimals."""
    digits = left.type.precision + right.type.precision
    if digits < MOST_DIGITS:
        return pc.multiply(left, right)
    if digits < _WIDEST:
        product = pc.multiply(_as_256(left), _as_256(right))
        if digits <= _SPARK_DIGITS or _unscaled_below(product, 10**_SPARK_DIGITS):
            return fitted(product, kind)
    return each(lambda a, b: _quantized(_SPARK.multiply(a, b), kind), kind, left, right)


def divide_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Divide decimals; NULL by zero."""
    p1, s1, p2, s2 = left.type.precision, left.type.scale, right.type.precision, right.type.scale
    right = _not_zero(right)
    whole = p1 - s1 + s2
    scale = max(s1 + p2 + 1, 6)
    # With more digits Spark's first rounding, to 39 digits, could round up to what the second one rounds up again.
    if whole + scale + p2 > _SPARK_DIGITS:
        return each(lambda a, b: _quantized(_SPARK.divide(a, b), kind), kind, left, right)
    # Arrow cuts the quotient off behind s1 + p2 - s2 + 1 places; one place more than is kept tells how to round.
    more = max(0, scale + s2 - s1 - p2)
    return fitted(pc.divide(left.cast(pa.decimal256(p1 + more, s1 + more)), _as_256(right)), kind)


def round_decimals(kind: pa.DataType, places: int, value: pa.Array) -> pa.Array:
    """Round decimals half up to so many places."""
    if places >= value.type.scale:
        return fitted(value, kind)
    if places >= 0:
        return fitted(value, kind)
    return each(lambda one: _quantized(one.quantize(Decimal(1).scaleb(-places), context=_EXACT), kind), kind, value)


def floor_decimals(kind: pa.DataType, value: pa.Array) -> pa.Array:
    """Return the greatest whole number that is not greater."""
    return pc.floor(_roomy(value)).cast(kind)


def ceil_decimals(kind: pa.DataType, value: pa.Array) -> pa.Array:
    """Return the least whole number that is not less."""
    return pc.ceil(_roomy(value)).cast(kind)


def unscaled(value: pa.Array) -> pa.Array:
    """Return decimals as whole numbers of their last place."""
    kind = type(value.type)  # decimal128 stays decimal128
    whole = pa.decimal128(value.type.precision, 0) if kind is pa.Decimal128Type else pa.decimal256(value.type.precision, 0)
    return pa.Array.from_buffers(whole, len(value), value.buffers(), offset=value.offset)


def decimal_as_double(value: pa.Array) -> pa.Array:
    """Return the doubles that are nearest to decimals."""
    if _unscaled_below(value, _EXACT_DOUBLE):
        # Both numbers are exact, so that one rounding is all there is. Arrow's own cast multiplies by an inexact power.
        return pc.divide(unscaled(value).cast(pa.int64()).cast(DOUBLE), pa.scalar(10.0**value.type.scale))
    return each(float, DOUBLE, value)


def _unscaled_below(value: pa.Array, limit: int) -> bool:
    if 10**value.type.precision <= limit:
        return True
    ends = pc.min_max(unscaled(value)).as_py()
    return ends["min"] is None or max(-ends["min"], ends["max"]) < limit


def _wide_enough(left: pa.Array, right: pa.Array, more: int) -> tuple[pa.Array, pa.Array]:
    """Return decimals of a kind that has the digits of both, and so many more."""
    a, b = left.type, right.type
    digits = max(a.precision - a.scale, b.precision - b.scale) + max(a.scale, b.scale) + more
    return (left, right) if digits <= MOST_DIGITS else (_as_256(left), _as_256(right))


def _as_256(value: pa.Array) -> pa.Array:
    return value.cast(pa.decimal256(value.type.precision, value.type.scale))


def _roomy(value: pa.Array) -> pa.Array:
    precision, scale = value.type.precision, value.type.scale
    return value.cast(pa.decimal128(precision + 1, scale) if precision < MOST_DIGITS else pa.decimal256(precision + 1, scale))


def quantized(value: Decimal, kind: pa.DataType) -> Decimal | None:
    """Round one decimal half up to a type; None where the type has too few digits."""
    if value.adjusted() > MOST_DIGITS + 1 and value:
        return None
    rounded = value.quantize(Decimal(1).scaleb(-kind.scale), context=_EXACT) if value else Decimal(0).scaleb(-kind.scale)
    return rounded if abs(rounded) < Decimal(10) ** (kind.precision - kind.scale) else None


_quantized = quantized


# --- dates -----------------------------------------------------------------------------------------------------------

# The Gregorian calendar repeats itself after 400 years.
_ERA_DAYS, _ERA_YEARS = 146097, 400


def add_days(start: pa.Array, days: pa.Array) -> pa.Array:
    """Add days to dates."""
    return pc.add(start.view(INT), days).view(DATE)


def subtract_days(start: pa.Array, days: pa.Array) -> pa.Array:
    """Subtract days from dates."""
    return pc.subtract(start.view(INT), days).view(DATE)


def days_between(end: pa.Array, start: pa.Array) -> pa.Array:
    """Return the days from start to end."""
    return pc.subtract(end.view(INT), start.view(INT))


def year(value: pa.Array) -> pa.Array:
    """Return the years of dates; those before the year 1 are 0, -1 and so on."""
    era, day = _in_first_era(value)
    return pc.add(pc.year(day).cast(INT), pc.multiply(era, pa.scalar(_ERA_YEARS, INT)))


def month(value: pa.Array) -> pa.Array:
    """Return the months of dates."""
    return pc.month(_in_first_era(value)[1]).cast(INT)


def day(value: pa.Array) -> pa.Array:
    """Return the days of the month of dates."""
    return pc.day(_in_first_era(value)[1]).cast(INT)


def day_of_week(value: pa.Array) -> pa.Array:
    """Return the days of the week of dates: Sunday is 1."""
    # 1970-01-01 was a Thursday.
    return pc.add(pc.modulo(pc.add(pc.modulo(value.view(INT), pa.scalar(7, INT)), pa.scalar(4, INT)), pa.scalar(7, INT)), pa.scalar(1, INT))


def _in_first_era(value: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return how many times 400 years lie between 1970 and a date, and the date without them: Arrow's years have 16 bits."""
    days = value.view(INT)
    within = pc.modulo(days, pa.scalar(_ERA_DAYS, INT))
    # From the sum of both halves: the difference itself may not fit into an int.
    era = pc.subtract(pc.divide(days, pa.scalar(_ERA_DAYS, INT)), pc.less(pc.remainder(days, pa.scalar(_ERA_DAYS, INT)), 0).cast(INT))
    return era, within.view(DATE)


# --- texts -----------------------------------------------------------------------------------------------------------


def length(value: pa.Array) -> pa.Array:
    """Return the number of characters."""
    return pc.utf8_length(value)


def trim(value: pa.Array) -> pa.Array:
    """Take blanks off both ends, and nothing else."""
    return pc.utf8_trim(value, characters=" ")


def trim_left(value: pa.Array) -> pa.Array:
    """Take blanks off the beginning."""
    return pc.utf8_ltrim(value, characters=" ")


def trim_right(value: pa.Array) -> pa.Array:
    """Take blanks off the end."""
    return pc.utf8_rtrim(value, characters=" ")


def concat(*values: pa.Array) -> pa.Array:
    """Join texts; NULL where one is NULL."""
    return pc.binary_join_element_wise(*values, "")


def fixed_substring(start: int, stop: int, value: pa.Array) -> pa.Array:
    """Return the characters from start to before stop, which are not negative."""
    return pc.utf8_slice_codeunits(value, start=start, stop=stop)


def substring(value: pa.Array, position: pa.Array, size: pa.Array) -> pa.Array:
    """Return so many characters from a position: 1 is the first, -1 the last."""
    return each(_substring, value.type, value, position, size)


def _substring(text: str, position: int, size: int) -> str:
    start = position - 1 if position > 0 else len(text) + position if position < 0 else 0
    stop = min(start + size, 2**31 - 1)
    return text[max(start, 0) : stop] if stop > max(start, 0) else ""


def upper(value: pa.Array) -> pa.Array:
    """Return texts in upper case."""
    return pc.ascii_upper(value) if pc.all(pc.string_is_ascii(value)).as_py() is not False else each(_upper, value.type, value)


def lower(value: pa.Array) -> pa.Array:
    """Return texts in lower case."""
    return pc.ascii_lower(value) if pc.all(pc.string_is_ascii(value)).as_py() is not False else each(_lower, value.type, value)


def _upper(text: str) -> str:
    return text.upper()


def _lower(text: str) -> str:
    return text.lower()
