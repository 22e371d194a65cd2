"""Rules that are compiled say of every row what Spark says of it: random expressions over random rows, and every construct on the list."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal as D
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from app.contract.contract import Column, Contract, Rule
from app.contract.rule_expressions import FUNCTIONS, compile_value
from app.contract.rule_parts import Expression, Refused
from app.contract.rules import CompiledRules, column_types

pytestmark = pytest.mark.spark

COLUMNS = {
    "i": "int",
    "j": "int",
    "k": "bigint",
    "m": "bigint",
    "p": "decimal(12,4)",
    "q": "decimal(18,4)",
    "r": "decimal(38,10)",
    "u": "decimal(38,38)",
    "v": "decimal(5,0)",
    "w": "decimal(25,12)",
    "s": "string",
    "t": "string",
    "d": "date",
    "e": "date",
}
BATCH_DATE = date(2024, 2, 29)
ROWS = 200
WORDS = [
    "", " ", "a", "A", "abc", " abc ", "\tabc\n", "a%b", "a_b", "a\\b", "it's", "straße", "ÉCOLE", "ΣΑΣ", "İi", "😀", "a😀b", "𐐀", "\x0b",
    "\x7f1", "x\r\n", "x\n", "x\u2028", "\x85", "ab@c.de", "١٢٣", "１２", "𝟙", "NaN", "nan", "Infinity", "-inf", "true", "No", "T", "0",
    "1", "-1", "+1", " 12 ", "1.5", "-1.50", ".5", "5.", ".", "-", "+.", "1e3", "1E-3", "1e40", "-0", "1d", "0x1p3", "2147483647",
    "2147483648", "-2147483648.9", "9223372036854775807", "9223372036854775808", "99999999999999999999999999999999999999", "1e-50",
    "0e99", "2024-02-29", "2024-2-9", "2023-02-29", "0001-01-01", "9999-12-31", " 2024-01-01T10 ", "2024", "2024-05", "+12024-01-01",
    "-0001-01-01", "2024-01-01x", "1_0", "0.1", "100", "12345.6789", "1e-7",
]  # fmt: skip

REGEX_ATOMS = [
    "a", "b", "1", ".", "\\d", "\\w", "\\s", "\\D", "\\W", "\\S", "[a-c]", "[^a]", "[^@]", "[0-9.]", "\\.", "@", "é", "😀", "[^\\d\\s]",
    "\\n", "\\r", "-", "[-x]", "[\\]]", "\\t",
]  # fmt: skip


def contract(*expressions: str) -> Contract:
    columns = tuple(Column(name, kind, nullable=True) for name, kind in COLUMNS.items())
    return Contract(columns, tuple(Rule(f"r{at}", text, ("i",), "reject") for at, text in enumerate(expressions)))


TYPES = column_types(contract())


def random_rows(seed: int) -> tuple[pa.RecordBatch, pa.BooleanArray]:
    """Make rows with a NULL here and there, the ends of every type, and values that meet each other."""
    rng = random.Random(seed)
    schema = {"int": pa.int32(), "bigint": pa.int64(), "string": pa.string(), "date": pa.date32()}
    columns = {}
    for name, kind in COLUMNS.items():
        arrow = schema.get(kind) or pa.decimal128(*map(int, kind[8:-1].split(",")))
        columns[name] = pa.array([None if rng.random() < 0.1 else value(rng, kind) for _ in range(ROWS)], arrow)
    return pa.RecordBatch.from_pydict(columns), pa.array([rng.choice([True, False]) for _ in range(ROWS)])


def value(rng: random.Random, kind: str) -> Any:
    if kind in ("int", "bigint"):
        ends = 2**31 if kind == "int" else 2**63
        return rng.choice(
            [0, 1, -1, 2, 7, 10, 100, ends - 1, -ends, rng.randint(-20, 20), rng.randint(-1000, 100000), rng.randint(-ends, ends - 1)]
        )
    if kind == "string":
        return (
            rng.choice(WORDS)
            if rng.random() < 0.9
            else "".join(chr(rng.choice([rng.randint(1, 127), rng.randint(160, 0x2FFF)])) for _ in range(rng.randint(1, 6)))
        )
    if kind == "date":
        if rng.random() < 0.3:
            return rng.choice(
                [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1), date(1969, 12, 31), BATCH_DATE, date(1582, 10, 10), date(1900, 2, 28)]
            )
        return (
            date(2024, 1, 1) + timedelta(days=rng.randint(-800, 800))
            if rng.random() < 0.6
            else date.fromordinal(rng.randint(1, date.max.toordinal()))
        )
    precision, scale = map(int, kind[8:-1].split(","))
    digits = rng.choice([1, 2, 3, scale, scale + 1, scale + 3, precision, precision, rng.randint(1, precision)])
    number = rng.choice([0, 5, 10**digits - 1, rng.randint(0, 10**digits - 1), rng.randint(0, 10**digits - 1)]) % 10**precision
    return D(rng.choice([number, -number])).scaleb(-scale) if number < 10**28 else D(f"{rng.choice(['', '-'])}{number}e-{scale}")


class Expressions:
    """Random text of rules over what is on the list."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def pick(self, *choices: Any) -> Any:
        return self.rng.choice(choices)

    def condition(self, depth: int) -> str:
        if depth <= 0:
            return self.pick("_product_known", "i > 0", "s IS NULL", "true", "d = e", "p < q")
        one, two = self.condition(depth - 1), self.condition(depth - 1)
        kind = self.rng.randrange(16)
        if kind < 6:
            return self.comparison(depth - 1)
        if kind == 6:
            return f"{one} {self.pick('AND', 'and', 'OR', 'or')} {two}"
        if kind == 7:
            return f"({one}) {self.pick('AND', 'OR', '=', '<>', '<=>')} ({two})"
        if kind == 8:
            return f"{self.pick('NOT ', 'not ', '! ', '!')}{one}"
        if kind == 9:
            return f"{self.operand(self.any(depth - 1))} IS {self.pick('', 'NOT ')}NULL"
        if kind == 10:
            return f"({one}) IS {self.pick('', 'NOT ')}{self.pick('TRUE', 'FALSE')}"
        if kind == 11:
            of = self.pick(self.number, self.date, self.text)
            return f"{of(depth - 1)} {self.pick('', 'NOT ')}BETWEEN {of(0)} AND {of(0)}"
        if kind == 12:
            of = self.pick(self.whole, self.decimal, self.date, self.text)
            choices = ", ".join([of(self.pick(0, 0, depth - 1)) for _ in range(self.rng.randint(1, 12))] + self.pick([], [], ["NULL"]))
            return f"{of(depth - 1)} {self.pick('', 'NOT ')}IN ({choices})"
        if kind == 13:
            return f"{self.text(depth - 1)} {self.pick('', 'NOT ')}{self.like()}"
        if kind == 14:
            return f"{self.text(depth - 1)} {self.pick('', 'NOT ')}RLIKE {quoted(self.regex(2))}"
        return self.pick(f"CASE WHEN {one} THEN {two} ELSE {self.condition(0)} END", f"coalesce({one}, {two})", f"if({one}, {two}, NULL)")

    def comparison(self, depth: int) -> str:
        operator = self.pick("=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
        kinds = [(self.number, self.number), (self.number, self.number), (self.date, self.date), (self.text, self.text)]
        left, right = self.pick(*kinds, (self.number, self.text), (self.text, self.date), (self.text, self.number))
        return f"{self.operand(left(depth))} {operator} {self.operand(right(depth))}"

    def operand(self, text: str) -> str:
        return f"({text})" if self.rng.random() < 0.2 else text

    def value(self, depth: int) -> str:
        return self.pick(self.whole, self.decimal, self.decimal, self.double, self.mixed, self.date, self.text, self.condition)(depth)

    def any(self, depth: int) -> str:
        return self.pick(self.number, self.text, self.date)(depth)

    def number(self, depth: int) -> str:
        return self.pick(self.whole, self.decimal, self.decimal, self.double, self.mixed)(depth)

    def mixed(self, depth: int) -> str:
        """Arithmetic over kinds of numbers, with and without brackets."""
        if depth <= 0:
            return self.decimal(0)
        parts = [self.pick(self.whole, self.decimal, self.number)(depth - 1) for _ in range(self.rng.randint(2, 3))]
        text = parts[0]
        for part in parts[1:]:
            operator = self.pick("+", "-", "*", "/", "%")
            text = self.pick(f"{text} {operator} {part}", f"({text}) {operator} ({part})", f"{text} {operator} ({part})")
        return text

    def whole(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(
                "i",
                "j",
                "k",
                "m",
                "0",
                "1",
                "2",
                "-1",
                "7",
                "10",
                "100L",
                "-2147483648",
                "2147483647",
                "2147483648",
                "9223372036854775807",
                "- 3",
            )
        inner = self.pick(self.whole, self.number)(depth - 1)
        date_part = self.pick("year", "month", "day", "dayofmonth", "dayofweek")
        return self.pick(
            self.whole(0),
            f"({self.whole(depth - 1)}) {self.pick('+', '-', '*', '%')} {self.whole(depth - 1)}",
            f"-({self.whole(depth - 1)})",
            f"abs({self.whole(depth - 1)})",
            f"{date_part}({self.date(depth - 1)})",
            f"datediff({self.date(depth - 1)}, {self.date(depth - 1)})",
            f"{self.pick('length', 'char_length')}({self.text(depth - 1)})",
            f"CAST({inner} AS {self.pick('INT', 'BIGINT')})",
            f"CAST({self.text(depth - 1)} AS {self.pick('INT', 'BIGINT')})",
            f"round({self.whole(depth - 1)}, {self.pick(0, 1, -1, -2, -9, -10, -19)})",
            f"mod({self.whole(depth - 1)}, {self.whole(0)})",
            self.choice(self.whole, depth),
        )

    def decimal(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(
                "p",
                "q",
                "r",
                "u",
                "v",
                "w",
                "p",
                "q",
                "0.01",
                "-1.50",
                ".5",
                "0.00",
                "100.0",
                "3.",
                "99999999999999999999",
                "0.00001BD",
                "12345678.123456789",
            )
        exact = self.pick(self.whole, self.decimal, self.decimal)(depth - 1)
        precision = self.pick(1, 5, 10, 18, 20, 38)
        return self.pick(
            self.decimal(0),
            f"{self.decimal(depth - 1)} {self.pick('+', '-', '*', '/')} {self.pick(self.decimal, self.whole)(depth - 1)}",
            f"({self.decimal(depth - 1)}) {self.pick('+', '-', '*', '/', '%')} ({self.pick(self.decimal, self.whole)(depth - 1)})",
            f"({self.decimal(0)}) {self.pick('+', '-', '*', '/', '%')} ({self.pick(self.decimal, self.whole)(0)})",
            # Spark fails where more digits are rounded up to one too many.
            f"-(CAST({self.decimal(depth - 1)} AS DECIMAL(34,{self.rng.randint(0, 34)})))",
            f"abs(CAST({self.decimal(depth - 1)} AS DECIMAL(34,{self.rng.randint(0, 34)})))",
            f"round({self.decimal(depth - 1)}{self.pick('', ', 0', ', 1', ', 2', ', 5', ', -1', ', -3', ', 12')})",
            f"{self.pick('floor', 'ceil', 'ceiling')}({self.pick(self.decimal, self.number)(depth - 1)})",
            f"CAST({exact} AS DECIMAL({precision},{self.rng.randint(0, precision)}))",
            f"CAST({self.text(depth - 1)} AS DECIMAL({precision},{self.rng.randint(0, precision)}))",
            self.choice(self.decimal, depth),
        )

    def double(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(
                "1.5D", "1e3", "-2.5e-2", "0D", "i / j", "k / 3", "CAST(t AS DOUBLE)", "CAST(q AS DOUBLE)", "CAST(r AS DOUBLE)"
            )
        return self.pick(
            self.double(0),
            f"{self.double(depth - 1)} {self.pick('+', '-', '*', '/', '%')} {self.double(0)}",
            f"({self.number(depth - 1)}) / ({self.double(0)})",
            f"{self.whole(depth - 1)} / {self.whole(0)}",
            f"abs({self.double(depth - 1)})",
            f"-({self.double(depth - 1)})",
            f"CAST({self.pick(self.text, self.number)(depth - 1)} AS DOUBLE)",
            f"{self.text(0)} {self.pick('+', '-', '*', '/', '%')} {self.number(0)}",
            self.choice(self.double, depth),
        )

    def date(self, depth: int) -> str:
        if depth <= 0:
            return self.pick("d", "e", "_batch_date", "DATE'2024-02-29'", "date '1970-01-01'", "DATE'0001-01-01'", 'DATE"2024-1-1"')
        days = self.pick("1", "-1", "400", "i", "j % 100", "-800000")
        return self.pick(
            self.date(0),
            f"{self.pick('date_add', 'date_sub', 'DATE_ADD')}({self.date(depth - 1)}, {days})",
            f"{self.date(depth - 1)} {self.pick('+', '-')} {self.pick('1', 'j', '30')}",
            f"CAST({self.text(depth - 1)} AS DATE)",
            self.choice(self.date, depth),
        )

    def text(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(
                "s", "t", "s", quoted(self.pick(*WORDS)), quoted(self.pick(*WORDS)), '"a"', "'it''s'", "'a' 'b'", r"'\u0041\101\n'"
            )
        inner = self.text(depth - 1)
        start = self.pick("0", "1", "2", "-2", "-9", "i", "j")
        return self.pick(
            self.text(0),
            f"{self.pick('trim', 'ltrim', 'rtrim', 'upper', 'lower')}({inner})",
            f"{self.pick('substring', 'substr')}({inner}, {start}, {self.pick('0', '1', '2', '-1', '2147483647', 'j')})",
            f"substring({inner}, {start})",
            f"concat({inner}, {self.pick(self.text(0), self.whole(0), self.decimal(0), self.date(0), '_product_known')})",
            f"{inner} || {self.text(0)}",
            f"CAST({self.pick(self.whole, self.decimal, self.date)(depth - 1)} AS STRING)",
            self.choice(self.text, depth),
        )

    def choice(self, of: Any, depth: int) -> str:
        one, two, condition = of(depth - 1), of(0), self.condition(depth - 1)
        return self.pick(
            f"coalesce({one}, {two})",
            f"coalesce(NULL, {one}, {of(0)}, {two})",
            f"{self.pick('nvl', 'ifnull')}({one}, {two})",
            f"nvl2({two}, {one}, {of(0)})",
            f"nullif({one}, {two})",
            f"if({condition}, {one}, {two})",
            f"CASE WHEN {condition} THEN {one} ELSE {two} END",
            f"CASE WHEN {condition} THEN {one} WHEN {self.condition(0)} THEN NULL END",
            f"CASE {two} WHEN {of(0)} THEN {one} ELSE {of(0)} END",
            f"{self.pick('greatest', 'least')}({one}, {two})",
            f"{self.pick('greatest', 'least')}({one}, {two}, {of(0)})",
        )

    def like(self) -> str:
        parts = "".join(
            self.pick("%", "_", "a", "b", " ", "\\%", "\\_", "\\\\", "😀", "é", "x", ".", "(", "\n") for _ in range(self.rng.randint(0, 4))
        )
        if self.rng.random() < 0.2:
            return f"LIKE {quoted(parts.replace(chr(92), '/'))} ESCAPE '/'"
        return f"LIKE {quoted(parts)}"

    def regex(self, depth: int, *, repeats: bool = True) -> str:
        """Make an expression without repeats in repeats: Java would try for ever."""
        parts = ""
        for _ in range(self.rng.randint(0, 3)):
            if depth and self.rng.random() < 0.3:
                is_repeated = repeats and self.rng.random() < 0.5
                atom = f"{self.pick('(', '(?:')}{self.regex(depth - 1, repeats=not is_repeated)})"
                parts += atom + (self.pick("*", "+", "?", "{2}") if is_repeated else "")
            else:
                parts += self.pick(*REGEX_ATOMS) + (self.pick("", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?", "+?") if repeats else "")
        if depth == 2:
            parts = self.pick("", "^", "\\A") + parts + self.pick("", "$", "$", "\\z")
        return parts + (f"|{self.regex(depth - 1, repeats=repeats)}" if depth and self.rng.random() < 0.2 else "")


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def spark_frame(spark: SparkSession, rows: pa.RecordBatch, known: pa.BooleanArray) -> DataFrame:
    dates = pa.array([BATCH_DATE] * rows.num_rows, pa.date32())
    table = pa.Table.from_batches([rows]).append_column("_batch_date", dates).append_column("_product_known", known)
    return spark.createDataFrame(table)


def compiled(texts: Sequence[str]) -> dict[str, Expression]:
    """Compile the expressions that are not refused."""
    parts = {}
    for text in texts:
        with suppress(Refused):
            parts[text] = compile_value(text, TYPES)
    return parts


def plain(values: pa.Array) -> list[Any]:
    """Return values that can be compared: dates as days, as Python has none beyond 9999, and one NaN and one zero."""
    if values.type == pa.date32():
        return values.view(pa.int32()).to_pylist()
    if values.type == pa.float64():
        return ["NaN" if value is not None and math.isnan(value) else value for value in values.to_pylist()]
    return values.to_pylist()


def differences(frame: DataFrame, rows: pa.RecordBatch, known: pa.BooleanArray, parts: Mapping[str, Expression]) -> Iterator[str]:
    """Yield the expressions whose type or values are not Spark's, with a row for which it is so."""
    found = frame.selectExpr(*[f"({text}\n) AS r{at}" for at, text in enumerate(parts)]).toArrow().combine_chunks()
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    columns |= {"_batch_date": pa.array([BATCH_DATE] * rows.num_rows, pa.date32()), "_product_known": known}
    for at, (text, part) in enumerate(parts.items()):
        theirs = found.column(f"r{at}").combine_chunks()
        if theirs.type != part.kind:
            yield f"{text!r}: Spark says {theirs.type}, we say {part.kind}"
            continue
        pairs = zip(plain(part.evaluate(columns, rows.num_rows)), plain(theirs), strict=True)
        for row, (ours, spark) in enumerate(pairs):
            if ours != spark:
                named = {name: value for name, value in rows.slice(row, 1).to_pylist()[0].items() if re.search(rf"\b{name}\b", text)}
                yield f"{text!r}: Spark says {spark!r}, we say {ours!r}: {named}"
                break


def test_random_rules_break_the_rows_that_they_break_in_spark(spark: SparkSession) -> None:
    rows, known = random_rows(1)
    made = Expressions(1)
    parts = compiled([made.condition(made.pick(2, 3)) for _ in range(40)])
    assert len(parts) > 30
    frame = spark_frame(spark, rows, known)
    found = frame.selectExpr(*[f"coalesce(NOT ({text}\n), false) AS r{at}" for at, text in enumerate(parts)]).toArrow()
    masks = CompiledRules.of(contract(*parts)).broken(rows, BATCH_DATE, known)
    assert {text: masks[f"r{at}"].to_pylist() for at, text in enumerate(parts)} == {
        text: found.column(f"r{at}").to_pylist() for at, text in enumerate(parts)
    }


def test_random_expressions_have_the_types_and_values_that_they_have_in_spark(spark: SparkSession) -> None:
    rows, known = random_rows(3)
    made = Expressions(3)
    parts = compiled([made.value(made.pick(1, 2, 3)) for _ in range(80)])
    assert len(parts) > 60
    assert list(differences(spark_frame(spark, rows, known), rows, known, parts)) == []


# One of each construct on the list at least; every function of FUNCTIONS has its line.
CALLS = {
    "abs": ["abs(i)", "abs(k)", "abs(q)", "abs(CAST(t AS DOUBLE))"],
    "ceil": ["ceil(i)", "ceil(q)", "ceil(r)", "ceil(v)", "ceil(CAST(t AS DOUBLE))", "ceil(u) = 1"],
    "ceiling": ["ceiling(w)"],
    "char_length": ["char_length(s)"],
    "coalesce": [
        "coalesce(i, k, 0)", "coalesce(p, q, i)", "coalesce(i, s)", "coalesce(d, s)", "coalesce(s)", "coalesce(NULL, d)",
        "coalesce(r, u)",
    ],
    "concat": ["concat(s, t)", "concat(s, i, k, p, d, _product_known)", "concat(s)", "concat(u, '')", "concat(NULL, s)"],
    "date_add": ["date_add(d, i)", "date_add(d, 1)", "date_add(t, 1)", "DATE_ADD(date_add(d, i), j)"],
    "date_sub": ["date_sub(d, i)", "date_sub(_batch_date, 1)"],
    "datediff": ["datediff(d, e)", "datediff(date_add(d, i), e)", "datediff(t, '2024-01-01')"],
    "day": ["day(d)", "day(date_add(d, i))", "day(t)"],
    "dayofmonth": ["dayofmonth(d)"],
    "dayofweek": ["dayofweek(d)", "dayofweek(date_add(d, i))", "dayofweek(date_add(d, j))"],
    "floor": ["floor(k)", "floor(q)", "floor(r)", "floor(v)", "floor(u)", "floor(CAST(t AS DOUBLE))"],
    "greatest": [
        "greatest(i, k)", "greatest(p, q, NULL)", "greatest(s, t)", "greatest(d, e)", "greatest(CAST(t AS DOUBLE), p)", "greatest(r, u)",
    ],
    "if": ["if(i > 0, p, q)", "if(NULL, s, t)", "IF(i IS NULL, 0, k)"],
    "ifnull": ["ifnull(i, k)"],
    "isnotnull": ["isnotnull(s)"],
    "isnull": ["isnull(p)"],
    "least": ["least(i, k)", "least(p, q, NULL)", "least(s, t)", "least(d, e)", "least(CAST(t AS DOUBLE), p)", "least(w, v)"],
    "length": ["length(s)", "length(i)", "length(p)", "length(d)"],
    "lower": ["lower(s)", "lower(t)", "lower('ΑΣ İ ꟜΆ')"],
    "ltrim": ["ltrim(s)"],
    "mod": ["mod(i, j)", "mod(k, m)", "mod(p, q)"],
    "month": ["month(d)", "month(date_add(d, i))"],
    "nullif": ["nullif(i, 0)", "nullif(p, i)", "nullif(s, t)", "nullif(d, t)", "nullif(i, s)"],
    "nvl": ["nvl(i, k)", "nvl(p, 0)"],
    "nvl2": ["nvl2(i, s, t)", "nvl2(p, p, q)"],
    "round": ["round(i)", "round(i, -1)", "round(k, -3)", "round(q)", "round(q, 2)", "round(q, -2)", "round(u, 3)", "round(r, 20)"],
    "rtrim": ["rtrim(s)"],
    "substr": ["substr(s, 2)", "substr(s, -2, 1)"],
    "substring": [
        "substring(s, 0, 2)", "substring(s, 1, 1)", "substring(s, 2, -1)", "substring(s, -3, 2)", "substring(s, i, j)",
        "substring(i, 2)",
    ],
    "trim": ["trim(s)", "trim(' \\t a ')"],
    "upper": ["upper(s)", "upper(t)", "upper('ßŉǅﬁƛ')"],
    "year": ["year(d)", "year(date_add(d, i))", "year(t)"],
}  # fmt: skip
OPERATIONS = [
    "i > 0 AND k > 0", "i > 0 OR p > q", "NOT i > 0", "!i > 0", "! (d = e) AND true", "i = 1 OR i = 2 AND k = 3", "NULL AND i > 0",
    "NULL OR i > 0", "i = j", "i == k", "i <> p", "i != s", "p < q", "r <= u", "w > v", "k >= CAST(t AS DOUBLE)", "i <=> j",
    "s <=> NULL", "p IS DISTINCT FROM q", "d IS NOT DISTINCT FROM e", "i = t", "k < t", "p = t", "v = t", "d = t", "d > '2024'", "s < t",
    "u = 0.5", "i = 1.0", "i > 2.5", "k <= -1.5", "_product_known = (i > 0)", "(i > 0) <> NULL", "(p = q) IS NULL", "p = q IS NULL",
    "(i = j) = (k = m)", "i IS NULL", "s IS NOT NULL", "(i > 0) IS TRUE", "(i > 0) IS NOT FALSE", "_product_known IS NOT TRUE",
    "i BETWEEN 0 AND k", "p NOT BETWEEN 0 AND q", "d BETWEEN '2024-01-01' AND e", "s BETWEEN 'a' AND t AND i > 0", "i IN (0, 1, NULL)",
    "i NOT IN (0, 1)", "i IN (1, '2')", "p IN (0, 5.0, i)", "d IN (e, DATE'1970-01-01')", "d IN ('2024-02-29')", "s IN ('a', t)",
    "k IN (0,1,2,3,4,5,6,7,8,9,10,11)", "i + j", "i - k", "k * m", "-i", "-k", "- (p)", "i / j", "k / 0", "i % j", "k % m", "-7 % 3",
    "i + 1 * 2 - 3 % 2", "i - -1", "p + q", "p - r", "r + u", "p * q", "r * u", "w * w", "p * 2", "p * i", "p / q", "p / 3", "q / i",
    "r / w", "u / u", "v / v", "p % q", "p % 0", "v % p", "p * 1.5D", "s + 1", "t * p", "t / t", "p - t", "-t", "q / 7 * 7",
    "(p * i) / k", "100L * p", "w / 0.00001BD", "d + 1", "1 + d", "d - i", "d + i - 1 > e", "1e3 + 1.5D", "s || t", "s || i || p",
    "'a' || s LIKE 'aa%'", "CASE WHEN i > 0 THEN 'a' WHEN i < 0 THEN 'b' ELSE s END", "CASE i WHEN 0 THEN p WHEN NULL THEN q END",
    "CASE WHEN i > 0 THEN 1 ELSE 2L END", "CASE s WHEN 'a' THEN d ELSE e END", "CASE WHEN i > 0 THEN NULL ELSE u END", "i::string",
    "t::int + 1", "'it''s'", "'it\\'s'", "\"a\"\"b\"", "'a' 'b'", "'\\u00e9\\101\\t\\Z\\q\\\\\\%'", "'--'", "'/* */'",
    "i -- a comment\n + 1", "i /* a /* nested */ comment */ + 1", "`i` + I", ".5 + 5.", "0.00", "00.10", "2147483648",
    "-9223372036854775808", "9223372036854775808", "1BD", "1.50BD", "DATE'2024-2-9'",
]  # fmt: skip
LIKES = [
    "%",
    "",
    "a%",
    "%a",
    "%b%",
    "_",
    "__",
    "a_b",
    "a\\_b",
    "a\\%b",
    "a\\\\b",
    "%\n",
    "x__",
    "(",
    ".",
    "^a$",
    "😀",
    "_😀_",
]
REGULAR = [
    "a", "^a", "a$", "^a$", "", "^$", "^.$", "^.*$", "^[^a]+$", "x[^a]$", "x\\r$", "x\\r\\n$", "\\n$", "^x.$", "a|b$", "^(a|b)+$",
    "(?:a|b)c", "[a-cx]", "[^a-z]", "[-a]", "[a-]", "[\\]\\-]", "\\d", "\\D", "\\w+", "\\W", "\\s", "\\S+$", "[\\d.]+$", "[^\\s\\w]",
    "\\.", "\\t", "\\n", "\\r", "\\f", "a?b", "a*?b", "a+?", "a{2}", "[ab]{1,2}", "a{0}", "a{1,}b", "\\A\\w", "\\w\\z", "é", "É|ß", "😀",
    "^.😀.$", "[😀-😂]", "[à-ü]", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "^[^@ ]+@[^@ ]+\\.[a-z]{2,3}$", "[\\&]", "}", "]", "-", "/", "\\/", "#",
    "'",
]  # fmt: skip
# A column or an expression of each type.
SOURCES = {
    "BOOLEAN": ["i > 0"],
    "INT": ["i"],
    "BIGINT": ["k"],
    "DECIMAL(12,4)": ["p", "r", "u", "v", "w"],
    "DOUBLE": ["CAST(t AS DOUBLE)", "i / j", "k * 1e300"],
    "STRING": ["s", "t"],
    "DATE": ["d", "date_add(d, i)"],
}
TARGETS = [
    "BOOLEAN",
    "INT",
    "BIGINT",
    "DECIMAL(12,4)",
    "DECIMAL(38,10)",
    "DECIMAL(5,5)",
    "DECIMAL(10)",
    "DECIMAL",
    "DOUBLE",
    "STRING",
    "DATE",
]
NO_CASTS = {("DOUBLE", "STRING"), ("DOUBLE", "DECIMAL"), ("BOOLEAN", "DECIMAL")} | {
    (kind, "DATE") for kind in ("BOOLEAN", "INT", "BIGINT", "DECIMAL", "DOUBLE")
}
NO_CASTS |= {("DATE", kind) for kind in ("BOOLEAN", "INT", "BIGINT", "DECIMAL", "DOUBLE")}


def casts() -> Iterator[tuple[str, bool]]:
    """Yield every cast, and whether it is on the list."""
    for source, values in SOURCES.items():
        for target in TARGETS:
            for value in values:
                yield f"CAST({value} AS {target})", (source.split("(")[0], target.split("(")[0]) not in NO_CASTS


def test_every_function_has_an_example() -> None:
    assert list(CALLS) == list(FUNCTIONS)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([text for texts in CALLS.values() for text in texts], id="functions"),
        pytest.param(OPERATIONS, id="operators"),
        pytest.param([f"s {no}LIKE {quoted(text)}" for text in LIKES for no in ("", "NOT ")] + ["s LIKE 'a/%b' ESCAPE '/'"], id="like"),
        pytest.param([f"{name} RLIKE {quoted(text)}" for text in REGULAR for name in ("s", "t")] + ["s NOT RLIKE 'a'"], id="rlike"),
        pytest.param([text for text, is_listed in casts() if is_listed], id="casts"),
    ],
)
def test_every_construct_on_the_list_has_the_type_and_values_that_it_has_in_spark(spark: SparkSession, texts: list[str]) -> None:
    rows, known = random_rows(5)
    frame = spark_frame(spark, rows, known)
    parts = {text: compile_value(text, TYPES) for text in texts}
    assert list(differences(frame, rows, known, parts)) == []


def test_casts_that_are_not_on_the_list_are_refused() -> None:
    left = [text for text, is_listed in casts() if not is_listed]
    assert len(left) > 20
    assert compiled(left) == {}
