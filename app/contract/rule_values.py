"""Operations of Spark SQL on columns of Arrow. Nothing here raises for what a row holds: what Spark cannot answer is NULL.

All arrays have one length; literals are arrays too. Arrow's kernels do the work where they do what Spark does. Rows for which they do not
(amounts with more digits than a machine word, for example) are computed one by one in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from functools import partial
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
# What Spark changes the sign of a decimal with: Scala's numbers.
_SIGNED = Context(prec=34, rounding=ROUND_HALF_EVEN)
# Greater integers are not exact as a double.
_EXACT_DOUBLE = 2**53
# Greater powers of ten are not.
_EXACT_POWERS = 22
_INT64_DIGITS = 18


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
    """Change the sign; the least integer stays what it is. See `_has_too_many_digits` for decimals."""
    return each(partial(_negated, value.type), value.type, value) if _has_too_many_digits(value) else pc.negate(value)


def absolute(value: pa.Array) -> pa.Array:
    """Return the value without its sign; the least integer stays what it is. See `_has_too_many_digits` for decimals."""
    if _has_too_many_digits(value):
        return each(lambda one: one if one >= 0 else _negated(value.type, one), value.type, value)
    return pc.abs(value)


def _has_too_many_digits(value: pa.Array) -> bool:
    """Tell whether Spark rounds one of the decimals when it changes its sign: it does so with numbers of 34 digits, half to even."""
    if not pa.types.is_decimal(value.type) or value.type.precision <= _SIGNED.prec:
        return False
    return pc.any(pc.greater_equal(pc.abs(value), _units(10**_SIGNED.prec, value.type))).as_py() is True


def _negated(kind: pa.DataType, value: Decimal) -> Decimal | None:
    # Spark fails where the rounded number has a digit too many; a rule is unknown then, as with every other overflow.
    return quantized(_SIGNED.minus(value), kind)


def _not_zero(value: pa.Array) -> pa.Array:
    return null_where(pc.equal(value, pa.scalar(0, value.type)), value)


def floor_doubles(value: pa.Array) -> pa.Array:
    """Return the greatest whole number that is not greater."""
    return pc.floor(value)


def ceil_doubles(value: pa.Array) -> pa.Array:
    """Return the least whole number that is not less."""
    return pc.ceil(value)


# --- decimals --------------------------------------------------------------------------------------------------------

# Arrow's division of decimals by what is longer than 32 bits is sometimes off by one in the last place (1073741823.9999999999795 rounds to
# ten places as ...99, for one; seen in 26.0.1). So digits are cut off nine at a time, and quotients are checked.
_SAFE_DIGITS = 9


def fitted(value: pa.Array, kind: pa.DataType) -> pa.Array:
    """Round decimals half up to a type; NULL where the type has too few digits."""
    precision, scale = value.type.precision, value.type.scale
    if value.type == kind:
        return value
    shorter = scale > kind.scale
    if precision - scale + shorter > kind.precision - kind.scale:
        # The least amount that rounds to one digit too many, in units of the last place.
        limit = 10 ** (kind.precision - kind.scale + scale) - (5 * 10 ** (scale - kind.scale - 1) if shorter else 0)
        if limit < 10**precision:
            value = null_where(pc.greater_equal(pc.abs(value), _units(limit, value.type)), value)
    if shorter:
        half = 5 * 10 ** (scale - kind.scale - 1)
        value = value if precision < MOST_DIGITS else _as_256(value)
        halves = pc.if_else(pc.less(value, _units(0, value.type)), _units(-half, value.type), _units(half, value.type))
        value = cut(pc.add(value, halves), kind.scale)
    return value.cast(kind)


def cut(value: pa.Array, scale: int) -> pa.Array:
    """Cut off the digits behind so many places."""
    while value.type.scale > scale:
        kind = _like(value.type, value.type.precision, max(scale, value.type.scale - _SAFE_DIGITS))
        value = pc.cast(value, options=pc.CastOptions(target_type=kind, allow_decimal_truncate=True))
    return value


def add_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Add decimals."""
    return fitted(pc.add(*_wide_enough(left, right)), kind)


def subtract_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Subtract decimals."""
    return fitted(pc.subtract(*_wide_enough(left, right)), kind)


def multiply_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Multiply decimals."""
    digits = left.type.precision + right.type.precision
    if digits < MOST_DIGITS:
        return pc.multiply(left, right)
    if digits < _WIDEST:
        product = pc.multiply(_as_256(left), _as_256(right))
        if digits <= _SPARK_DIGITS or _unscaled_below(product, 10**_SPARK_DIGITS):
            return fitted(product, kind)
    return each(lambda a, b: quantized(_SPARK.multiply(a, b), kind), kind, left, right)


def divide_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Divide decimals; NULL by zero."""
    right = _not_zero(right)
    quotient = _quotient(left, right)
    if quotient is None:
        return each(lambda a, b: quantized(_SPARK.divide(a, b), kind), kind, left, right)
    return fitted(quotient, kind)


def _quotient(left: pa.Array, right: pa.Array) -> pa.Array | None:
    """Return quotients cut off one place or more behind those that Spark keeps; None where Arrow does not find the right ones."""
    p1, s1, p2, s2 = left.type.precision, left.type.scale, right.type.precision, right.type.scale
    scale = max(s1 + p2 + 1, 6)
    # With more digits Spark's first rounding, to 39 digits, could round up to what the second one rounds up again.
    if p1 - s1 + s2 + scale + p2 > _SPARK_DIGITS:
        return None
    # Arrow's quotients have s1 + p2 - s2 + 1 places.
    more = max(0, scale + s2 - s1 - p2)
    dividend = left.cast(pa.decimal256(p1 + more, s1 + more))
    quotient = pc.divide(dividend, _as_256(right))
    product = pc.multiply(quotient, right)
    rest = unscaled(pc.subtract(dividend, product))
    divisor = unscaled(_as_256(right))
    zero = _units(0, rest.type)
    has_sign = pc.equal(pc.less(rest, zero), pc.less(left, _units(0, left.type)))
    is_right = pc.and_(pc.less(pc.abs(rest), pc.abs(divisor)), pc.or_(has_sign, pc.equal(rest, zero)))
    return quotient if pc.all(is_right).as_py() is not False else None


def remainder_decimals(kind: pa.DataType, left: pa.Array, right: pa.Array) -> pa.Array:
    """Return the remainder of decimals; NULL by zero."""
    right = _not_zero(right)
    scale = max(left.type.scale, right.type.scale)
    whole = max(left.type.precision - left.type.scale, right.type.precision - right.type.scale)
    if whole + scale > _INT64_DIGITS:
        return each(lambda a, b: quantized(_EXACT.remainder(a, b), kind), kind, left, right)
    same = pa.decimal128(whole + scale, scale)
    found = pc.remainder(*(unscaled(side.cast(same)).cast(pa.int64()) for side in (left, right)))
    return _scaled(found, scale).cast(kind)


def round_decimals(kind: pa.DataType, places: int, value: pa.Array) -> pa.Array:
    """Round decimals half up to so many places."""
    if places >= 0:
        return fitted(value, kind)
    return each(lambda one: quantized(one.quantize(Decimal(1).scaleb(-places), context=_EXACT), kind), kind, value)


def floor_decimals(kind: pa.DataType, value: pa.Array) -> pa.Array:
    """Return the greatest whole number that is not greater."""
    whole, rest = _parts(value)
    return fitted(pc.subtract(whole, _as_units(pc.less(rest, _units(0, rest.type)))), kind)


def ceil_decimals(kind: pa.DataType, value: pa.Array) -> pa.Array:
    """Return the least whole number that is not less."""
    whole, rest = _parts(value)
    return fitted(pc.add(whole, _as_units(pc.greater(rest, _units(0, rest.type)))), kind)


def _parts(value: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the whole part and the rest behind the point; both have the sign of the value."""
    wide = _as_256(value)
    whole = cut(wide, 0).cast(pa.decimal256(max(1, value.type.precision - value.type.scale), 0))
    return whole, pc.subtract(wide, whole)


def _as_units(is_one: pa.BooleanArray) -> pa.Array:
    return is_one.cast(pa.int64()).cast(pa.decimal256(19, 0))


def unscaled(value: pa.Array) -> pa.Array:
    """Return decimals as whole numbers of their last place."""
    return pa.Array.from_buffers(_like(value.type, value.type.precision, 0), len(value), value.buffers(), offset=value.offset)


def _scaled(value: pa.Array, scale: int) -> pa.Array:
    """Return integers, as numbers of a last place, as decimals."""
    whole = value.cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(pa.decimal128(19, scale), len(whole), whole.buffers(), offset=whole.offset)


def decimal_as_double(value: pa.Array) -> pa.Array:
    """Return the doubles that are nearest to decimals."""
    if value.type.scale <= _EXACT_POWERS and _unscaled_below(value, _EXACT_DOUBLE):
        # Both numbers are exact, so that one rounding is all there is. Arrow's own cast multiplies by an inexact power.
        return pc.divide(unscaled(value).cast(pa.int64()).cast(DOUBLE), pa.scalar(10.0**value.type.scale))
    return each(float, DOUBLE, value)


def decimal_as_integer(kind: pa.DataType, value: pa.Array) -> pa.Array:
    """Cut the digits behind the point off; what is too large wraps."""
    return pc.cast(cut(value, 0), kind, safe=False)


def _unscaled_below(value: pa.Array, limit: int) -> bool:
    if 10**value.type.precision <= limit:
        return True
    ends = pc.min_max(unscaled(value)).as_py()
    return ends["min"] is None or max(-int(ends["min"]), int(ends["max"])) < limit


def _wide_enough(left: pa.Array, right: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return two decimals of a kind that has the digits of their sum."""
    a, b = left.type, right.type
    digits = max(a.precision - a.scale, b.precision - b.scale) + max(a.scale, b.scale) + 1
    return (left, right) if digits <= MOST_DIGITS else (_as_256(left), _as_256(right))


def _as_256(value: pa.Array) -> pa.Array:
    return value.cast(pa.decimal256(value.type.precision, value.type.scale))


def _like(kind: pa.DataType, precision: int, scale: int) -> pa.DataType:
    return (pa.decimal256 if pa.types.is_decimal256(kind) else pa.decimal128)(precision, scale)


def _units(count: int, kind: pa.DataType) -> pa.Scalar:
    """Return so many units of a type's last place."""
    return pa.scalar(Decimal(count).scaleb(-kind.scale, context=_EXACT), kind)


def quantized(value: Decimal, kind: pa.DataType) -> Decimal | None:
    """Round one decimal half up to a type; None where the type has too few digits."""
    if value and value.adjusted() > MOST_DIGITS:
        return None
    rounded = value.quantize(Decimal(1).scaleb(-kind.scale), context=_EXACT)
    return rounded if rounded.copy_abs() < Decimal(10) ** (kind.precision - kind.scale) else None


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


# Letters that Spark knows from Unicode 17, and Python only from the version of its own: capital -> small.
_NEW_LOWER = {0xA7DC: 0x19B, 0xA7CB: 0x264, 0x1C89: 0x1C8A}
_NEW_LOWER |= {capital: capital + 1 for capital in (0xA7CC, 0xA7CE, 0xA7D2, 0xA7D4, 0xA7DA)}
_NEW_LOWER |= {capital: capital + 0x20 for capital in range(0x10D50, 0x10D66)}
_NEW_LOWER |= {capital: capital + 0x1B for capital in range(0x16EA0, 0x16EB9)}
_NEW_UPPER = {small: capital for capital, small in _NEW_LOWER.items()}


def upper(value: pa.Array) -> pa.Array:
    """Return texts in upper case."""
    return pc.ascii_upper(value) if pc.all(pc.string_is_ascii(value)).as_py() is not False else each(_upper, value.type, value)


def lower(value: pa.Array) -> pa.Array:
    """Return texts in lower case."""
    return pc.ascii_lower(value) if pc.all(pc.string_is_ascii(value)).as_py() is not False else each(_lower, value.type, value)


def _upper(text: str) -> str:
    return text.upper().translate(_NEW_UPPER)


def _lower(text: str) -> str:
    return text.lower().translate(_NEW_LOWER)
