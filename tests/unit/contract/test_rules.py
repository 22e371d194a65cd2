"""Rules become conditions that travel; what is not on the list is refused by its name. tests/spark/contract holds them to Spark."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from datetime import date
from decimal import Decimal as D

import pyarrow as pa
import pytest

from app.contract import rule_values
from app.contract.contract import Column, Contract, Rule
from app.contract.rules import CompiledRules
from app.errors import ContractError
from tests.shipped import shipped_contract

DAY = date(2024, 5, 1)
COLUMNS = (Column("a", "int", nullable=True), Column("b", "decimal(10,2)"), Column("s", "string"), Column("d", "date"))
ROWS = pa.RecordBatch.from_pydict(
    {
        "other": pa.array([[1], [2], [3]]),
        "a": pa.array([1, -1, None], pa.int32()),
        "b": pa.array([D("2.50"), D("0.00"), D("-1.00")], pa.decimal128(10, 2)),
        "s": pa.array(["x", "", "é"]),
        "d": pa.array([DAY, DAY, date(1, 1, 1)], pa.date32()),
    }
)
KNOWN = pa.array([True, False, True])


def contract(*expressions: str) -> Contract:
    return Contract(COLUMNS, tuple(Rule(f"rule_{at}", text, ("a",), "warn") for at, text in enumerate(expressions)))


def broken(expression: str) -> list[bool]:
    rules: CompiledRules = pickle.loads(pickle.dumps(CompiledRules.of(contract(expression))))
    [mask] = rules.broken(ROWS, DAY, KNOWN).values()
    assert mask.type == pa.bool_()
    found: list[bool] = mask.to_pylist()
    return found


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("a > 0", [False, True, False]),
        ("A > 0 -- positive", [False, True, False]),
        ("`a` > 0 /* positive */", [False, True, False]),
        ("a > 0 AND b > 0", [False, True, True]),
        ("a IS NOT NULL", [False, False, True]),
        ("b / a > 0", [False, True, False]),
        ("b % (a - a) = 0", [False, False, False]),
        ("_product_known", [False, True, False]),
        ("_batch_date <= d", [False, False, True]),
        ("s RLIKE '^[a-z]$'", [False, True, True]),
        ("NOT s LIKE '_'", [True, False, True]),
        ("NULL", None),
        ("CAST(NULL AS BOOLEAN)", [False, False, False]),
        ("1 = 1", [False, False, False]),
        ("'it''s' <> \"it's\"", [True, True, True]),
        ("abs(b - 1) <= 1.50", [False, False, True]),
    ],
)
def test_a_rule_is_broken_where_it_is_false_and_not_where_it_is_unknown(expression: str, rows: list[bool] | None) -> None:
    if rows is None:
        with pytest.raises(ContractError, match="is NULL, not a condition"):
            broken(expression)
    else:
        assert broken(expression) == rows


def test_rules_are_judged_by_their_names_and_an_empty_batch_breaks_none() -> None:
    rules = CompiledRules.of(contract("a > 0", "s RLIKE '^é$' AND length(upper(s)) > b / 3"))
    assert list(rules.broken(ROWS, DAY, KNOWN)) == ["rule_0", "rule_1"]
    whole, part = rules.broken(ROWS, DAY, KNOWN), rules.broken(ROWS.slice(1), DAY, KNOWN.slice(1))
    assert {name: mask.to_pylist()[1:] for name, mask in whole.items()} == {name: mask.to_pylist() for name, mask in part.items()}
    empty = rules.broken(ROWS.slice(0, 0), DAY, KNOWN.slice(0, 0))
    assert [len(mask) for mask in empty.values()] == [0, 0]
    assert CompiledRules.of(contract()).broken(ROWS, DAY, KNOWN) == {}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("a", "is int, not a condition"),
        ("no_such > 0", "no_such is not a known column: a, b, s, d, _batch_date, _product_known"),
        ("t.a > 0", "COLUMN with table is not on the list"),
        ("a >", "is no expression of Spark SQL"),
        ("a > 0; b > 0", "is no expression of Spark SQL"),
        ("a > 0 b", "AS is not on the list"),
        ("rand() > 0.5", "the function rand is not on the list: abs"),
        ("current_date() > d", "the function current_date is not on the list"),
        ("count(*) > 1", "STAR is not on the list"),
        ("max(a) > 1", "the function max is not on the list"),
        ("a > (SELECT 1)", "a subquery is not on the list"),
        ("a IN (SELECT 1)", "IN with query is not on the list"),
        ("sum(a) OVER () > 1", "OVER is not on the list"),
        ("EXISTS(a)", "the function EXISTS is not on the list"),
        ("a & 1 = 1", "BITWISEAND is not on the list"),
        ("s ILIKE 'x'", "ILIKE is not on the list"),
        ("s LIKE s", "LIKE needs its pattern as a literal"),
        ("s LIKE 'a\\\\b'", "must be followed by % or _ or itself"),
        ("s RLIKE '(?i)x'", r"\(\? other than \(\?: is not on the list: characters"),
        ("s RLIKE 'a++'", "a quantifier after a quantifier is not on the list"),
        ("s RLIKE '\\\\bx'", r"\\b is not on the list"),
        ("s RLIKE 'a$b'", r"\$ before the end is not on the list"),
        ("s RLIKE '[a'", "an end in the middle"),
        ("s RLIKE '(a{999}){999}'", "the pattern is too large"),
        ("a = b < s", "put brackets around the < beside ="),
        ("a = NOT b", "put brackets around the NOT beside ="),
        ("s || a + 1 = 'x'", r"put brackets around the \+ beside"),
        ("CAST(a AS TIMESTAMP) IS NULL", "the type timestamp is not on the list: boolean, int"),
        ("CAST(a AS DECIMAL(39,2)) > 1", r"the type decimal\(39, 2\) is not on the list"),
        ("CAST(a / 2 AS STRING) = '1'", "a cast from double to string is not on the list"),
        ("CAST(a / 2 AS DECIMAL(10,2)) = 1", r"a cast from double to decimal\(10,2\) is not on the list"),
        ("round(a / 2, 1) = 1", "round of double is not on the list"),
        ("round(CAST(b AS DECIMAL(38,0)), -1) > 1", r"round of decimal\(38,0\) to tens is not on the list"),
        ("CAST(b AS DECIMAL(38,0)) % d > 1", "% between"),
        ("b % CAST(b AS DECIMAL(38,38)) > 1", "% between .* the quotient could have more than 38 digits"),
        ("a > +1", "is no expression of Spark SQL"),
        ("CASE WHEN NULL THEN true END", "CASE WHEN NULL is not on the list"),
        ("d = DATE'2024-02-30'", "'2024-02-30' is no date"),
        ("d = 1", "= between date and int is not on the list"),
        ("d - _batch_date > 1", "- between date is not on the list"),
        ("a / 2 IN (1, 2)", "IN of double is not on the list"),
        ("a < 99999999999999999999", "< between int and a number beyond bigint is not on the list"),
        ("date_add(d, b) > d", r"the days of date_add must be int, not decimal\(10,2\)"),
        ("abs(a, b) > 1", r"abs is written abs\(number\)"),
        ("greatest(s, a) = 'x'", "greatest of string and int is not on the list"),
        ("s = r'x'", "RAWSTRING is not on the list"),
        ("a > 1S", "the number 1S is not on the list"),
        ("a AND true", "AND needs a condition, not int"),
    ],
)
def test_what_is_not_on_the_list_is_refused_with_rule_and_name(expression: str, why: str) -> None:
    with pytest.raises(ContractError, match=f"^CONTRACT rule rule_0: .*{why}") as found:
        CompiledRules.of(contract(expression))
    assert "\n" not in str(found.value)


def test_a_worker_judges_rows_without_the_parser() -> None:
    blob = pickle.dumps((CompiledRules.of(contract("abs(b) > 1 AND s RLIKE '^x' AND CAST(s AS INT) = 1")), ROWS, DAY, KNOWN))
    code = (
        "import pickle, sys; rules, *rows = pickle.loads(sys.stdin.buffer.read());"
        "print(rules.broken(*rows)['rule_0'].to_pylist(), 'sqlglot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=blob, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode() == "[False, True, True] False\n"


@pytest.mark.parametrize(
    ("value", "negated", "absolute"),
    [
        ("12.50", "-12.50", "12.50"),
        ("-123456789012345678901234567890.12", "123456789012345678901234567890.12", "123456789012345678901234567890.12"),
        # 36 digits, rounded to 34, half to even; a positive number keeps its digits in abs.
        ("-1234567890123456789012345678901234.50", "1234567890123456789012345678901234.00", "1234567890123456789012345678901234.00"),
        ("1234567890123456789012345678901234.50", "-1234567890123456789012345678901234.00", "1234567890123456789012345678901234.50"),
        # A digit too many: unknown, so that no rule is broken.
        ("-999999999999999999999999999999999999.99", None, None),
    ],
)
def test_the_sign_of_a_decimal_of_many_digits_changes_as_sparks_does(value: str, negated: str | None, absolute: str | None) -> None:
    column = pa.array([D(value), None], pa.decimal128(38, 2))
    assert rule_values.negate(column).to_pylist() == [None if negated is None else D(negated), None]
    assert rule_values.absolute(column).to_pylist() == [None if absolute is None else D(absolute), None]


def test_the_shipped_rules_hold_for_wider_columns() -> None:
    shipped = shipped_contract()
    columns = tuple(dataclasses.replace(one, type="bigint") if one.name == "quantity" else one for one in shipped.columns)
    assert CompiledRules.of(dataclasses.replace(shipped, columns=columns)).conditions.keys() == {rule.name for rule in shipped.rules}
