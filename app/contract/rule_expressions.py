"""Give every part of a rule its type by Spark's rules, and the function that computes it on columns of Arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import cast

import pyarrow as pa
from sqlglot import exp

from app.contract import rule_values as values
from app.contract.rule_casts import caster, integer_from_double, read_date, round_integer
from app.contract.rule_parts import Call, ColumnPart, Constant, Expression, Refused
from app.contract.rule_patterns import Pattern, like_pattern, regular_expression
from app.contract.rule_text import ARITHMETIC, COMPARISONS, negated, operator_name, parse
from app.contract.rule_types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INT,
    MOST_DIGITS,
    NULL,
    STRING,
    arithmetic_type,
    as_decimal,
    common_type,
    compared_type,
    is_decimal,
    is_integer,
    is_number,
    type_name,
)

# The published list: operators with a note; types with their literals and what they can be cast to. FUNCTIONS is below.
OPERATORS = (
    ("`AND` `OR` `NOT` `!`", "between conditions"),
    (
        "`=` `==` `<>` `!=` `<` `<=` `>` `>=` `<=>` `IS [NOT] DISTINCT FROM` `[NOT] BETWEEN`",
        "between numbers of any types, texts, dates; conditions only by `=` `<>` `<=>`. A text beside a number or a date is read as one",
    ),
    ("`[NOT] IN (...)`", "over values, not over doubles; a text among them makes all of them texts"),
    ("`IS [NOT] NULL` `IS [NOT] TRUE` `IS [NOT] FALSE`", ""),
    ("`[NOT] LIKE '...'` `ESCAPE '.'`", "the pattern is a literal"),
    (
        "`[NOT] RLIKE '...'`",
        "the expression is a literal of characters, `.`, `[a-z]`, `[^a-z]`, `\\d \\w \\s \\D \\W \\S \\t \\n \\r \\f`, escaped "
        "punctuation, `( )`, `(?: )`, `|`, `* + ? {n,m}` and their lazy forms, `^ \\A` at the beginning, `$ \\z` at the end",
    ),
    ("`+` `-` `*` `/` `%`", "`/` of integers is double; a date `+` or `-` an int is a date"),
    ("`||`", "joins texts, like `concat`"),
    ("`CASE WHEN ... THEN ... ELSE ... END` `CASE value WHEN ...`", ""),
    ("`CAST(value AS type)` `value::type`", "see below"),
)
TYPES = (
    ("`boolean`", "`true` `false`", "string, int, bigint, double"),
    ("`int` `bigint`", "`1` `-1` `10L`", "boolean, int, bigint, decimal, double, string"),
    ("`decimal(p,s)`", "`0.01` `1BD`", "boolean, int, bigint, decimal, double, string"),
    ("`double`", "`1e3` `1.5D`", "boolean, int, bigint; neither decimal nor string, as Java's digits depend on its version"),
    ("`string`", "`'it\\'s'` `'it''s'` `\"text\"`", "all"),
    ("`date`", "`DATE'2024-02-29'`", "string"),
)
_TYPE_LIST = "boolean, int, bigint, decimal(p,s), double, string, date"
_OPERATOR_LIST = "AND OR NOT = <> < <= > >= <=> IS BETWEEN IN LIKE RLIKE + - * / % || CASE CAST"
_CAST_TYPES = {
    exp.DataType.Type.BOOLEAN: BOOLEAN,
    exp.DataType.Type.INT: INT,
    exp.DataType.Type.BIGINT: BIGINT,
    exp.DataType.Type.DOUBLE: DOUBLE,
    exp.DataType.Type.TEXT: STRING,
    exp.DataType.Type.DATE: DATE,
}
_LONG_RANGE = Decimal(2) ** 63


# --- parts -----------------------------------------------------------------------------------------------------------


def _call(kind: pa.DataType, function: Callable[..., pa.Array], *inputs: Expression) -> Expression:
    """Return the call, or its value where it is the same for all rows."""
    made = Call(kind, None, function, inputs)
    if not all(isinstance(part, Constant) for part in inputs):
        return made
    return Constant(kind, None, made.evaluate({}, 1))


def _computed(part: Expression) -> Expression:
    """Return a part that Spark no longer sees as a literal, though its value is the same."""
    return Constant(part.kind, None, part.value) if isinstance(part, Constant) else part


def _literal(value: object, kind: pa.DataType, digits: int | None = None) -> Constant:
    return Constant(kind, digits, pa.array([value], kind), written=True)


# --- types that meet -------------------------------------------------------------------------------------------------


def _to(part: Expression, kind: pa.DataType) -> Expression:
    """Return a part cast to a type."""
    if part.kind == kind:
        return part
    function = caster(part.kind, kind)
    if function is None:
        raise Refused(f"a cast from {type_name(part.kind)} to {type_name(kind)} is not on the list")
    return _call(kind, function, part)


def _sized(part: Expression, other: Expression) -> Expression:
    """Return an integer that meets a decimal as a decimal: one that stands in the text has as many digits as it is written with."""
    if not (is_integer(part.kind) and is_decimal(other.kind)):
        return part
    return _to(part, pa.decimal128(part.digits, 0) if part.digits else as_decimal(part.kind))


def _together(what: str, *parts: Expression, with_text: bool = True) -> list[Expression]:
    kind = common_type([part.kind for part in parts], with_text=with_text)
    if kind is None or kind == NULL:
        raise Refused(f"{what} of {_kinds(parts)} is not on the list: their types do not fit together")
    return [_to(part, kind) for part in parts]


def _kinds(parts: Sequence[Expression]) -> str:
    return " and ".join(dict.fromkeys(type_name(part.kind) for part in parts))


def _condition(part: Expression, what: str) -> Expression:
    if part.kind not in (BOOLEAN, NULL):
        raise Refused(f"{what} needs a condition, not {type_name(part.kind)}")
    return _to(part, BOOLEAN)


# --- operators -------------------------------------------------------------------------------------------------------

_COMPARED = {
    "=": values.equal,
    "<>": values.not_equal,
    "<": values.less,
    "<=": values.less_equal,
    ">": values.greater,
    ">=": values.greater_equal,
    "<=>": values.null_safe_equal,
}


def compare(operator: str, left: Expression, right: Expression) -> Expression:
    """Compare two parts."""
    left, right = _sized(left, right), _sized(right, left)
    kind = compared_type(left.kind, right.kind)
    if kind is None or kind == NULL or (kind == BOOLEAN and operator not in ("=", "<>", "<=>")):
        raise Refused(f"{operator} between {_kinds([left, right])} is not on the list")
    return _call(BOOLEAN, _COMPARED[operator], _to(left, kind), _to(right, kind))


def _check_literal(operator: str, left: Expression, right: Expression) -> None:
    """Refuse an integer beside a decimal that no integer reaches: Spark has an answer then, even where the integer is NULL."""
    if operator in ("=", "<>", "<=>"):
        return
    for part, other in ((left, right), (right, left)):
        is_written = isinstance(other, Constant) and other.written and is_decimal(other.kind)
        if is_integer(part.kind) and is_written and abs(cast(Constant, other).value[0].as_py()) >= _LONG_RANGE:
            raise Refused(f"{operator} between {type_name(part.kind)} and a number beyond bigint is not on the list")


_PLAIN_ARITHMETIC = {"+": values.add, "-": values.subtract, "*": values.multiply, "/": values.divide, "%": values.remainder}
_DECIMAL_ARITHMETIC = {
    "+": values.add_decimals,
    "-": values.subtract_decimals,
    "*": values.multiply_decimals,
    "/": values.divide_decimals,
    "%": values.remainder_decimals,
}


def calculate(operator: str, left: Expression, right: Expression) -> Expression:
    """Compute + - * / %."""
    if operator in "+-" and left.kind == DATE and right.kind == INT:
        return _call(DATE, values.add_days if operator == "+" else values.subtract_days, left, right)
    if operator == "+" and left.kind == INT and right.kind == DATE:
        return _call(DATE, values.add_days, right, left)
    left, right = (_to(part, DOUBLE) if part.kind == STRING else part for part in (left, right))
    if not (is_number(left.kind) and is_number(right.kind)):
        raise Refused(f"{operator} between {_kinds([left, right])} is not on the list")
    left, right = _sized(left, right), _sized(right, left)
    if is_decimal(left.kind) and is_decimal(right.kind):
        kind = arithmetic_type(operator, left.kind, right.kind)
        whole = left.kind.precision - left.kind.scale + right.kind.scale
        if operator == "%" and whole > MOST_DIGITS:
            raise Refused(f"% between {_kinds([left, right])} is not on the list: the quotient could have more than {MOST_DIGITS} digits")
        return _call(kind, partial(_DECIMAL_ARITHMETIC[operator], kind), left, right)
    kind = DOUBLE if DOUBLE in (left.kind, right.kind) or operator == "/" else BIGINT if BIGINT in (left.kind, right.kind) else INT
    return _call(kind, _PLAIN_ARITHMETIC[operator], _to(left, kind), _to(right, kind))


# --- functions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Function:
    """A function on the list: how it is written, how many arguments it has, and how its call is made."""

    usage: str
    build: Callable[..., Expression]
    least: int = 1
    most: int | None = 1
    note: str = ""


def _number(part: Expression, what: str) -> Expression:
    if not is_number(part.kind):
        raise Refused(f"{what} of {type_name(part.kind)} is not on the list")
    return part


def _text(part: Expression) -> Expression:
    return _to(part, STRING)


def _date(part: Expression, what: str) -> Expression:
    if part.kind not in (DATE, STRING):
        raise Refused(f"{what} of {type_name(part.kind)} is not on the list")
    return _to(part, DATE)


def _int(part: Expression, what: str) -> Expression:
    if part.kind != INT:
        raise Refused(f"{what} must be int, not {type_name(part.kind)}")
    return part


def _without_sign(function: Callable[..., pa.Array], name: str, value: Expression) -> Expression:
    _number(value, name)
    return _call(value.kind, function, value)


_absolute = partial(_without_sign, values.absolute, "abs")


def _floor_or_ceil(of_decimals: Callable[..., pa.Array], of_doubles: Callable[..., pa.Array], name: str, value: Expression) -> Expression:
    _number(value, name)
    if is_decimal(value.kind):
        precision, scale = value.kind.precision, value.kind.scale
        kind = pa.decimal128(precision - scale + 1, 0) if scale else value.kind
        return _call(kind, partial(of_decimals, kind), value)
    if value.kind == DOUBLE:
        return _call(BIGINT, partial(integer_from_double, BIGINT), _call(DOUBLE, of_doubles, value))
    return _computed(_to(value, BIGINT))


def _round(value: Expression, places: Expression | None = None) -> Expression:
    _number(value, "round")
    count = 0 if places is None else places.value[0].as_py() if isinstance(places, Constant) and places.kind == INT else None
    if count is None or abs(count) > MOST_DIGITS:
        raise Refused(f"round needs the number of places as a number from -{MOST_DIGITS} to {MOST_DIGITS}")
    if is_decimal(value.kind):
        precision, scale = value.kind.precision, value.kind.scale
        whole = precision - scale + 1
        if count < 0 and precision - scale == MOST_DIGITS:
            raise Refused(f"round of {type_name(value.kind)} to tens is not on the list")
        if count < 0:
            kind = pa.decimal128(min(MOST_DIGITS, max(whole, 1 - count)), 0)
        else:
            kind = pa.decimal128(min(MOST_DIGITS, whole + min(scale, count)), min(scale, count))
        return _call(kind, partial(values.round_decimals, kind, count), value)
    if value.kind == DOUBLE:
        raise Refused("round of double is not on the list: cast what it is computed from to decimal")
    return _computed(value) if count >= 0 else _call(value.kind, partial(round_integer, count), value)


def _chosen(function: Callable[..., pa.Array], name: str, *parts: Expression) -> Expression:
    together = _together(name, *parts, with_text=False)
    if together[0].kind == BOOLEAN:
        raise Refused(f"{name} of boolean is not on the list")
    return _call(together[0].kind, function, *together)


def _coalesce(*parts: Expression) -> Expression:
    together = _together("coalesce", *parts)
    return _call(together[0].kind, values.coalesce, *together)


def _null_if(left: Expression, right: Expression) -> Expression:
    is_equal = compare("=", left, right)
    if left.kind == NULL:
        raise Refused("nullif of NULL is not on the list")
    return _case([(is_equal, _to(_literal(None, NULL), left.kind))], left)


def _case(branches: Sequence[tuple[Expression, Expression]], default: Expression) -> Expression:
    results = _together("CASE", *(value for _, value in branches), default)
    conditions = [_condition(condition, "CASE") for condition, _ in branches]
    parts = [part for pair in zip(conditions, results, strict=False) for part in pair]
    return _call(results[0].kind, values.case, *parts, results[-1])


def _is_null(part: Expression) -> Expression:
    if part.kind == NULL:
        raise Refused("IS NULL of NULL is not on the list")
    return _call(BOOLEAN, values.is_null, part)


def _is_not_null(part: Expression) -> Expression:
    return _not(_is_null(part))


def _not(part: Expression) -> Expression:
    return _call(BOOLEAN, values.invert, _condition(part, "NOT"))


def _of_text(function: Callable[..., pa.Array], kind: pa.DataType, value: Expression) -> Expression:
    return _call(kind, function, _text(value))


def _substring(value: Expression, position: Expression, size: Expression | None = None) -> Expression:
    size = size or _literal(2**31 - 1, INT)
    _int(position, "the position of substring")
    _int(size, "the length of substring")
    if isinstance(position, Constant) and isinstance(size, Constant):
        first, count = position.value[0].as_py(), size.value[0].as_py()
        if first is not None and count is not None and first >= 0:
            start = max(first - 1, 0)
            return _call(STRING, partial(values.fixed_substring, start, max(start, min(start + count, 2**31 - 1))), _text(value))
    return _call(STRING, values.substring, _text(value), position, size)


def _concat(*parts: Expression) -> Expression:
    return _call(STRING, values.concat, *map(_text, parts))


def _moved(function: Callable[..., pa.Array], name: str, start: Expression, days: Expression) -> Expression:
    return _call(DATE, function, _date(start, name), _int(days, f"the days of {name}"))


def _days_between(end: Expression, start: Expression) -> Expression:
    return _call(INT, values.days_between, _date(end, "datediff"), _date(start, "datediff"))


def _of_date(function: Callable[..., pa.Array], name: str, value: Expression) -> Expression:
    return _call(INT, function, _date(value, name))


def _if(condition: Expression, value: Expression, other: Expression) -> Expression:
    return _case([(condition, value)], other)


def _choose_not_null(value: Expression, when_there: Expression, when_null: Expression) -> Expression:
    return _case([(_is_not_null(value), when_there)], when_null)


_floor = partial(_floor_or_ceil, values.floor_decimals, values.floor_doubles, "floor")
_ceil = partial(_floor_or_ceil, values.ceil_decimals, values.ceil_doubles, "ceil")
_length = partial(_of_text, values.length, INT)
_day = partial(_of_date, values.day, "day")
_least, _greatest = partial(_chosen, values.least, "least"), partial(_chosen, values.greatest, "greatest")
_BLANKS = "blanks alone, no tabs"

FUNCTIONS: Mapping[str, Function] = {
    "abs": Function("abs(number)", _absolute, note="and the sign `-`: rounds decimals of more than 34 digits to 34"),
    "ceil": Function("ceil(number)", _ceil),
    "ceiling": Function("ceiling(number)", _ceil, note="ceil"),
    "char_length": Function("char_length(text)", _length, note="length"),
    "coalesce": Function("coalesce(value, ...)", _coalesce, 1, None),
    "concat": Function("concat(text, ...)", _concat, 1, None, note="NULL if one is NULL"),
    "date_add": Function("date_add(date, days)", partial(_moved, values.add_days, "date_add"), 2, 2, note="the days are an int"),
    "date_sub": Function("date_sub(date, days)", partial(_moved, values.subtract_days, "date_sub"), 2, 2, note="the days are an int"),
    "datediff": Function("datediff(end, start)", _days_between, 2, 2),
    "day": Function("day(date)", _day),
    "dayofmonth": Function("dayofmonth(date)", _day, note="day"),
    "dayofweek": Function("dayofweek(date)", partial(_of_date, values.day_of_week, "dayofweek"), note="1 is Sunday, 7 Saturday"),
    "floor": Function("floor(number)", _floor),
    "greatest": Function("greatest(value, value, ...)", _greatest, 2, None, note="passes NULL over; numbers, texts or dates, not mixed"),
    "if": Function("if(condition, value, other)", _if, 3, 3),
    "ifnull": Function("ifnull(value, other)", _coalesce, 2, 2, note="coalesce"),
    "isnotnull": Function("isnotnull(value)", _is_not_null),
    "isnull": Function("isnull(value)", _is_null),
    "least": Function("least(value, value, ...)", _least, 2, None, note="as greatest"),
    "length": Function("length(text)", _length, note="characters, not bytes"),
    "lower": Function("lower(text)", partial(_of_text, values.lower, STRING)),
    "ltrim": Function("ltrim(text)", partial(_of_text, values.trim_left, STRING), note=_BLANKS),
    "mod": Function("mod(number, number)", partial(calculate, "%"), 2, 2, note="%"),
    "month": Function("month(date)", partial(_of_date, values.month, "month")),
    "nullif": Function("nullif(value, other)", _null_if, 2, 2),
    "nvl": Function("nvl(value, other)", _coalesce, 2, 2, note="coalesce"),
    "nvl2": Function("nvl2(value, if_there, if_null)", _choose_not_null, 3, 3),
    "round": Function(
        "round(number[, places])", _round, 1, 2, note="half away from zero; of integers and decimals; the places are a literal"
    ),
    "rtrim": Function("rtrim(text)", partial(_of_text, values.trim_right, STRING), note=_BLANKS),
    "substr": Function("substr(text, position[, length])", _substring, 2, 3, note="substring"),
    "substring": Function("substring(text, position[, length])", _substring, 2, 3, note="1 is the first character, -1 the last"),
    "trim": Function("trim(text)", partial(_of_text, values.trim, STRING), note=_BLANKS),
    "upper": Function("upper(text)", partial(_of_text, values.upper, STRING)),
    "year": Function("year(date)", partial(_of_date, values.year, "year")),
}


# --- the tree --------------------------------------------------------------------------------------------------------


def compile_condition(text: str, columns: Mapping[str, pa.DataType]) -> Expression:
    """Return the compiled condition of a rule.

    Raises:
        Refused: the text is no condition, or holds what is not on the list.
    """
    found = compile_value(text, columns)
    if found.kind != BOOLEAN:
        raise Refused(f"is {type_name(found.kind)}, not a condition")
    return found


def compile_value(text: str, columns: Mapping[str, pa.DataType]) -> Expression:
    """Return a compiled expression of any type.

    Raises:
        Refused: the text is no expression, or holds what is not on the list.
    """
    return _Builder(columns).build(parse(text))


class _Builder:
    """Turns a syntax tree into compiled parts."""

    def __init__(self, columns: Mapping[str, pa.DataType]) -> None:
        self._columns = columns

    def build(self, node: exp.Expr) -> Expression:
        """Return the compiled part of a node."""
        if (operator := COMPARISONS.get(type(node))) is not None:
            return self._comparison(operator, node)
        if (operator := ARITHMETIC.get(type(node))) is not None:
            return calculate(operator, self.build(node.this), self.build(node.expression))
        method = getattr(self, f"_{node.key}", None)
        if method is None:
            raise Refused(f"{operator_name(node)} is not on the list: {_OPERATOR_LIST}")
        found = cast(Expression, method(node))
        return _not(found) if negated(node) else found

    def _comparison(self, operator: str, node: exp.Expr) -> Expression:
        left, right = self.build(node.this), self.build(node.expression)
        if operator == "IS DISTINCT FROM":
            return _not(compare("<=>", left, right))
        _check_literal(operator, left, right)
        return compare(operator, left, right)

    # One method for each kind of node, named by sqlglot's key.

    def _and(self, node: exp.Expr) -> Expression:
        return _call(BOOLEAN, values.both, *(_condition(self.build(part), "AND") for part in (node.this, node.expression)))

    def _or(self, node: exp.Expr) -> Expression:
        return _call(BOOLEAN, values.either, *(_condition(self.build(part), "OR") for part in (node.this, node.expression)))

    def _not(self, node: exp.Expr) -> Expression:
        return _not(self.build(node.this))

    def _paren(self, node: exp.Expr) -> Expression:
        return self.build(node.this)

    def _column(self, node: exp.Expr) -> Expression:
        name = node.name.lower()
        if name not in self._columns:
            raise Refused(f"{node.name} is not a known column: {', '.join(self._columns)}")
        return ColumnPart(self._columns[name], None, name)

    def _literal(self, node: exp.Expr) -> Expression:
        return _literal(node.name, STRING) if node.args.get("is_string") else _number_literal(node.name)

    def _null(self, node: exp.Expr) -> Expression:
        return _literal(None, NULL)

    def _boolean(self, node: exp.Expr) -> Expression:
        return _literal(bool(node.this), BOOLEAN)

    def _neg(self, node: exp.Expr) -> Expression:
        if isinstance(node.this, exp.Literal) and not node.this.args.get("is_string"):
            return _number_literal(f"-{node.this.name}")
        value = self.build(node.this)
        return _without_sign(values.negate, "-", _to(value, DOUBLE) if value.kind == STRING else value)

    def _dpipe(self, node: exp.Expr) -> Expression:
        return _concat(self.build(node.this), self.build(node.expression))

    def _between(self, node: exp.Expr) -> Expression:
        value, low, high = (self.build(node.args[name]) for name in ("this", "low", "high"))
        for operator, end in ((">=", low), ("<=", high)):
            _check_literal(operator, value, end)
        return _call(BOOLEAN, values.both, compare(">=", value, low), compare("<=", value, high))

    def _in(self, node: exp.Expr) -> Expression:
        if not node.expressions:
            raise Refused("IN needs at least one value")
        parts = _together("IN", *map(self.build, (node.this, *node.expressions)))
        if parts[0].kind == DOUBLE:
            raise Refused("IN of double is not on the list")
        return _call(BOOLEAN, values.is_in, *parts)

    def _is(self, node: exp.Expr) -> Expression:
        value = self.build(node.this)
        if isinstance(node.expression, exp.Null):
            return _is_null(value)
        if not isinstance(node.expression, exp.Boolean):
            raise Refused(f"IS {node.expression.sql()} is not on the list")
        return compare("<=>", _condition(value, "IS"), self.build(node.expression))

    def _like(self, node: exp.Expr) -> Expression:
        return self._matched(node, like_pattern(self._pattern(node.expression, "LIKE")))

    def _escape(self, node: exp.Expr) -> Expression:
        like, escape = node.this, self.build(node.expression)
        if not isinstance(like, exp.Like) or escape.kind != STRING or len(self._pattern(node.expression, "ESCAPE")) != 1:
            raise Refused("ESCAPE needs a LIKE and one character")
        pattern = like_pattern(self._pattern(like.expression, "LIKE"), self._pattern(node.expression, "ESCAPE"))
        found = self._matched(like, pattern)
        return _not(found) if negated(like) else found

    def _regexplike(self, node: exp.Expr) -> Expression:
        return self._matched(node, regular_expression(self._pattern(node.expression, "RLIKE")))

    def _matched(self, node: exp.Expr, pattern: Pattern) -> Expression:
        return _call(BOOLEAN, pattern.search, _text(self.build(node.this)))

    def _pattern(self, node: exp.Expr, operator: str) -> str:
        part = self.build(node)
        text = part.value[0].as_py() if isinstance(part, Constant) and part.kind == STRING else None
        if text is None:
            raise Refused(f"{operator} needs its pattern as a literal")
        return str(text)

    def _case(self, node: exp.Expr) -> Expression:
        branches = [(part.this, self.build(part.args["true"])) for part in node.args["ifs"]]
        if node.this is None:
            conditions = [self._case_condition(condition) for condition, _ in branches]
        else:
            value = self.build(node.this)
            conditions = [compare("=", value, self.build(condition)) for condition, _ in branches]
        default = self.build(node.args["default"]) if node.args.get("default") is not None else _literal(None, NULL)
        return _case([(condition, value) for condition, (_, value) in zip(conditions, branches, strict=True)], default)

    def _case_condition(self, node: exp.Expr) -> Expression:
        condition = self.build(node)
        if condition.kind == NULL:
            raise Refused("CASE WHEN NULL is not on the list")
        return condition

    def _if(self, node: exp.Expr) -> Expression:
        parts = [node.args.get(name) for name in ("this", "true", "false")]
        return self._called("if", [part for part in parts if part is not None])

    def _anonymous(self, node: exp.Expr) -> Expression:
        return self._called(str(node.this), node.expressions)

    def _called(self, name: str, arguments: Sequence[exp.Expr]) -> Expression:
        function = FUNCTIONS.get(name.lower())
        if function is None:
            raise Refused(f"the function {name} is not on the list: {', '.join(FUNCTIONS)}")
        if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
            raise Refused(f"{name} is written {function.usage}")
        return function.build(*map(self.build, arguments))

    def _cast(self, node: exp.Expr) -> Expression:
        kind = _cast_type(cast(exp.DataType, node.args["to"]))
        is_literal = isinstance(node.this, exp.Literal) and node.this.args.get("is_string")
        if kind == DATE and is_literal and read_date(node.this.name) is None:
            raise Refused(f"{node.this.name!r} is no date")
        return _computed(_to(self.build(node.this), kind))

    _trycast = _cast


def _cast_type(written: exp.DataType) -> pa.DataType:
    sizes = [int(size.name) for size in written.expressions if size.name.isdigit()]
    if written.this == exp.DataType.Type.DECIMAL:
        precision, scale = (*sizes, 0)[:2] if sizes else (10, 0)
        if 1 <= precision <= MOST_DIGITS and scale <= precision:
            return pa.decimal128(precision, scale)
    elif written.this in _CAST_TYPES and not sizes:
        return _CAST_TYPES[written.this]
    raise Refused(f"the type {written.sql('spark').lower()} is not on the list: {_TYPE_LIST}")


def _number_literal(text: str) -> Constant:
    upper = text.upper()
    if upper.endswith("L"):
        return _integer_literal(int(upper[:-1]), BIGINT, text)
    if upper.endswith("BD"):
        return _decimal_literal(Decimal(upper[:-2]), text)
    if upper.endswith("D") or (upper[-1].isdigit() and "E" in upper):
        return _literal(float(upper.rstrip("D")), DOUBLE)
    if not (upper[-1].isdigit() or upper[-1] == "."):
        raise Refused(f"the number {text} is not on the list")
    if "." in upper:
        return _decimal_literal(Decimal(upper), text)
    value = int(upper)
    if -(2**63) <= value < 2**63:
        return _integer_literal(value, INT if -(2**31) <= value < 2**31 else BIGINT, text)
    return _decimal_literal(Decimal(value), text)


def _integer_literal(value: int, kind: pa.DataType, text: str) -> Constant:
    if not -(2**63) <= value < 2**63:
        raise Refused(f"the number {text} is beyond bigint")
    return _literal(value, kind, len(str(abs(value))))


def _decimal_literal(value: Decimal, text: str) -> Constant:
    _, digits, exponent = value.as_tuple()
    scale = max(0, -cast(int, exponent))
    precision = max(len(digits) + max(0, cast(int, exponent)), scale)
    if precision > MOST_DIGITS:
        raise Refused(f"the number {text} has more than {MOST_DIGITS} digits")
    return _literal(value, pa.decimal128(precision, scale))
