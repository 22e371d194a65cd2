"""A value converts exactly or is a fault with its reason; a rule judges a row and never stops the batch."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from app.core.arrow_rows import Fault
from app.core.contract import Column, Contract, Rule
from app.core.quality import with_rules, with_typed_columns
from tests.frames import FAULTS, of_texts

pytestmark = pytest.mark.spark

NBSP, LINE_SEPARATOR = "\u00a0", "\u2028"

# What each column is, and what its texts become. All texts of this module go through Spark in one frame, one row each.
COLUMNS = {
    "int": Column("n", "int", nullable=True),
    "bigint": Column("b", "bigint", nullable=True),
    "price": Column("p", "decimal(10,2)", nullable=True),
    "whole": Column("w", "decimal(10,0)", nullable=True),
    "share": Column("h", "decimal(2,2)", nullable=True),
    "string": Column("s", "string", nullable=True, max_length=3),
    "untrimmed": Column("u", "string", nullable=True, trim=False),
    "untrimmed int": Column("v", "int", nullable=True, trim=False),
    "date": Column("d", "date", nullable=True),
    "german": Column("g", "date", nullable=True, date_formats=("dd.MM.yyyy", "yyyy-MM-dd")),
    "mixed": Column("m", "date", nullable=True, date_formats=("yyyyMMdd", "d MMM yyyy", "M/d/yyyy")),
}
GOOD: dict[str, dict[str, Any]] = {
    "int": {
        "5": 5, "+5": 5, "-5": -5, "-0": 0, "5.0": 5, "5.": 5, "5.000": 5, "007": 7, "00000000000000000005": 5,
        "2147483647": 2147483647, "-2147483648": -2147483648,
        " 5": 5, "5\t": 5, f"{NBSP}5{NBSP}": 5, f" {NBSP}\r5 ": 5,
    },
    "bigint": {"9223372036854775807": 9223372036854775807, "-9223372036854775808": -9223372036854775808, "3000000000.0": 3000000000},
    "price": {
        "1.230": D("1.23"), "1.23": D("1.23"), "1.2": D("1.20"), "1": D(1), "+5": D(5), "-5.5": D("-5.5"), "5.": D(5), ".5": D("0.5"),
        "-.50": D("-0.5"), "99999999.99": D("99999999.99"), "-99999999.99": D("-99999999.99"), "-0": D(0), "0.00000": D(0),
        "1." + "0" * 60: D(1), "0" * 60 + "1": D(1), f"{NBSP}1.50 ": D("1.5"),
    },
    "whole": {"5": D(5), "5.0": D(5), ".0": D(0), "9999999999": D(9999999999)},
    "share": {".5": D("0.5"), "0.55": D("0.55"), "00.990": D("0.99")},
    "string": {"abc": "abc", " a b ": "a b", f"{NBSP}ab\n": "ab", "äöü": "äöü", "😀😀😀": "😀😀😀", "NaN": "NaN", "'": "'", "nil": "nil"},
    "untrimmed": {" a ": " a ", "  ": "  ", NBSP: NBSP},
    "untrimmed int": {"5": 5},
    "date": {
        "2024-01-05": date(2024, 1, 5), "2024-02-29": date(2024, 2, 29), "0001-01-01": date(1, 1, 1), "9999-12-31": date(9999, 12, 31),
        f" 2024-01-05{NBSP}": date(2024, 1, 5), "1582-10-10": date(1582, 10, 10),
    },
    "german": {"31.01.2024": date(2024, 1, 31), "29.02.2024": date(2024, 2, 29), "2024-01-31": date(2024, 1, 31)},
    "mixed": {
        "20240131": date(2024, 1, 31), "31 Jan 2024": date(2024, 1, 31), "1 JAN 2024": date(2024, 1, 1), "1/2/2024": date(2024, 1, 2),
        "01/02/2024": date(2024, 1, 2),
    },
}  # fmt: skip


def all_are(code: str, *texts: str) -> dict[str, str]:
    return dict.fromkeys(texts, code)


BAD: dict[str, dict[str, str]] = {
    "int": all_are(
        "INVALID_INT",
        "5.5", "5.01", ".0", "1e5", "NaN", "Infinity", "1,234", "1 234", "1_234", "５", "٥", "0x1F", "--5", "+", "-", ".", "5f", "5L",
        "true", "five", "5\x00", f"5{LINE_SEPARATOR}", "5\x85", "\u200b5", "1/2", "'5'", '"5"', "5%", "$5", "NULL",
    )
    | all_are("OUT_OF_RANGE", "2147483648", "-2147483649", "9999999999999999999999999", "2147483648.0"),
    "bigint": {"9223372036854775808": "OUT_OF_RANGE", "1.5": "INVALID_INT"},
    "price": all_are(
        "INVALID_DECIMAL",
        "1e5", "1E-2", "NaN", "Infinity", "-Infinity", "1,234.50", "1.234,50", "1 234", "1_000", "５", "1.5d", "1.5f", ".", "+", "-",
        "1..5", "1.5.0", "--1", "$5", "5€", "0x1", f"1.5{LINE_SEPARATOR}", "1.5\x85", "1.5\x00", "five",
    )
    | all_are("TOO_PRECISE", "1.239", "1.001", ".005", "-1.2301", "99999999999.001", "0." + "0" * 60 + "1")
    | all_are("OUT_OF_RANGE", "100000000", "-100000000.00", "9" * 50, "9" * 400),
    "whole": {"5.5": "TOO_PRECISE", ".5": "TOO_PRECISE", "0.9": "TOO_PRECISE", "10000000000": "OUT_OF_RANGE"},
    "share": {"1": "OUT_OF_RANGE", "1.00": "OUT_OF_RANGE", "0.555": "TOO_PRECISE"},
    "string": {"abcd": "TOO_LONG", "a b c": "TOO_LONG", "äöüß": "TOO_LONG"},
    "untrimmed": {},
    "untrimmed int": {" 5": "INVALID_INT", "5 ": "INVALID_INT", "5\n": "INVALID_INT", " ": "INVALID_INT"},
    "date": all_are(
        "INVALID_DATE",
        "2024", "2024-01", "2024-1-5", "2024-01-5", "24-01-05", "2024-02-30", "2023-02-29", "2024-13-01", "2024-00-10", "2024-01-00",
        "10000-01-01", "0000-01-01", "-2024-01-01", "+2024-01-01", "2024/01/05", "05.01.2024", "20240105", "2024-01-05T00:00:00",
        "2024-01-05 00:00", "2024-01-05x", f"2024-01-05{LINE_SEPARATOR}", "２024-01-05", "today", "now", "epoch", "yesterday", "45292",
        "2024-01-05Z",
    ),
    "german": all_are(
        "INVALID_DATE",
        "31.01.2024x", "31.01.2024 rubbish", "31.01.2024 10:00", "31.01.2024,", "x31.01.2024", "31.1.2024", "30.02.2024", "31.01.24",
        "01.13.2024", "01.01.+10000", "01.01.10000", "01.01.0000", "01.01.-2024", "2024", "2024-1-31", "2024-01-31x", "３1.01.2024",
    ),
    "mixed": all_are("INVALID_DATE", "2024013", "202401311", "+120240131", "31 Foo 2024", "1/2/24", "13/1/2024", "1/2/2024x"),
}  # fmt: skip
EMPTY = ("", " ", "\t", f" {NBSP} ", "\r\n")


def cases(table: dict[str, dict[str, Any]], *kinds: str) -> list[tuple[str, str, Any]]:
    return [(kind, text, expected) for kind in kinds or table for text, expected in table[kind].items()]


@pytest.fixture(scope="module", params=[False, True], ids=["all by Spark", "plain ones by Arrow"])
def by_arrow(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def found(spark: SparkSession, by_arrow: bool) -> dict[tuple[str, str | None], tuple[Any, list[tuple[str, str, str | None]]]]:
    """Convert every text of the tables above at once: (kind, text) -> (value, faults)."""
    asked: list[tuple[str, str | None]] = [(kind, text) for kind, text, _ in cases(GOOD) + cases(BAD)]
    asked += [(kind, text) for kind in COLUMNS for text in (None, *(EMPTY if COLUMNS[kind].trim else ("",)))]
    contract = Contract(tuple(COLUMNS.values()))
    frame = of_texts(spark, contract, [[text if kind == here else None for here in COLUMNS] for kind, text in asked], by_arrow=by_arrow)
    collected = {row["_line"]: row for row in frame.transform(with_typed_columns, contract).collect()}
    assert len(collected) == len(asked)
    return {
        (kind, text): (collected[at][COLUMNS[kind].name], [tuple(fault) for fault in collected[at]["_faults"] or ()])
        for at, (kind, text) in enumerate(asked, 1)
    }


def short(value: Any) -> str:
    return ascii(value)[:30]


# Values


@pytest.mark.parametrize(("kind", "text", "value"), cases(GOOD), ids=short)
def test_what_converts_exactly_is_taken(found: Any, kind: str, text: str, value: Any) -> None:
    assert found[kind, text] == (value, [])


@pytest.mark.parametrize(("kind", "text", "code"), cases(BAD), ids=short)
def test_what_does_not_convert_exactly_is_a_fault_with_its_column_and_text(found: Any, kind: str, text: str, code: str) -> None:
    value, [fault] = found[kind, text]
    name = COLUMNS[kind].name
    # The string itself stays readable; every other value is gone.
    assert value == (text.strip() if COLUMNS[kind].type == "string" else None)
    assert fault == (code, name, (text.strip(" \t\r\n\u00a0") if COLUMNS[kind].trim else text)[:200])


@pytest.mark.parametrize("kind", COLUMNS)
def test_nothing_in_a_nullable_column_is_null_and_no_fault(found: Any, kind: str) -> None:
    for text in (None, *(EMPTY if COLUMNS[kind].trim else ("",))):
        assert found[kind, text] == (None, []), text


# Rows: reasons of several columns


REQUIRED = Contract((Column("id", "int"), Column("name", "string", max_length=3), Column("day", "date"), Column("price", "decimal(10,2)")))


def codes(faults: Iterable[Any]) -> list[tuple[str, str]]:
    return [(fault["code"], fault["column"]) for fault in faults]


@pytest.fixture(scope="module")
def rows(spark: SparkSession, by_arrow: bool) -> dict[int, Any]:
    """Convert rows of the contract above: number -> row."""
    given = [
        ("1", "abc", "2024-01-05", "1.50"),
        (None, "abc", "2024-01-05", "1.50"),
        ("", " ", NBSP, "\t"),
        ("x", "abcd", "2024-02-30", "1.555"),
        ("x", None, "2024-02-30", None),
    ]
    frame = of_texts(spark, REQUIRED, given, {5: [Fault("WRONG_FIELD_COUNT", None, "3 of 4")]}, by_arrow=by_arrow)
    return {row["_line"]: row for row in frame.transform(with_typed_columns, REQUIRED).collect()}


def test_a_sound_row_has_typed_values_and_no_faults(rows: dict[int, Any], by_arrow: bool) -> None:
    assert (rows[1]["id"], rows[1]["name"], rows[1]["day"], rows[1]["price"]) == (1, "abc", date(2024, 1, 5), D("1.50"))
    assert rows[1]["_faults"] == (None if by_arrow else [])


@pytest.mark.parametrize(("row", "columns"), [(2, ["id"]), (3, ["id", "name", "day", "price"])], ids=["absent", "blank"])
def test_nothing_where_a_value_is_needed_is_a_fault(rows: dict[int, Any], row: int, columns: list[str]) -> None:
    assert [tuple(fault) for fault in rows[row]["_faults"]] == [("NULL_VALUE", column, None) for column in columns]


def test_all_reasons_of_a_row_are_named_in_the_order_of_the_columns(rows: dict[int, Any]) -> None:
    expected = [("INVALID_INT", "id"), ("TOO_LONG", "name"), ("INVALID_DATE", "day"), ("TOO_PRECISE", "price")]
    assert codes(rows[4]["_faults"]) == expected


def test_a_row_with_a_structural_fault_gets_no_further_ones(rows: dict[int, Any]) -> None:
    assert [tuple(fault) for fault in rows[5]["_faults"]] == [("WRONG_FIELD_COUNT", None, "3 of 4")]


def test_an_empty_list_of_structural_faults_is_none(spark: SparkSession) -> None:
    frame = of_texts(spark, REQUIRED, [("x", "abc", "2024-01-05", "1.50")], by_arrow=False).withColumn(
        "_faults", F.expr(f"cast(array() AS {FAULTS})")
    )
    [row] = frame.transform(with_typed_columns, REQUIRED).collect()
    assert codes(row["_faults"]) == [("INVALID_INT", "id")]


# Rules


def rule(name: str, expression: str, *columns: str, on_fail: str = "reject") -> Rule:
    return Rule(name, expression, columns, on_fail)


RULES = Contract(
    (Column("a", "int", nullable=True), Column("b", "decimal(10,2)", nullable=True), Column("s", "string", nullable=True)),
    (
        rule("a_not_seven", "a <> 7", "a"),
        rule("ratio_positive", "b / a > 0", "b", "a"),
        rule("digits_only", "CAST(s AS INT) > 0", "s"),
        rule("in_time", "_batch_date >= DATE'2024-05-01'", "a", on_fail="warn"),
        rule("small", "a < 100", "a", on_fail="warn"),
        rule("product_known", "_product_known", "s", on_fail="warn"),
        rule("remainder", "a % (a - a) = 0", "a", on_fail="warn"),
    ),
)


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> dict[str, Any]:
    """Judge rows by the rules above: name -> row."""
    fault, day = ("INVALID_INT", "a", "x"), date(2024, 5, 1)
    given = [
        ("good", 5, D("2.50"), "3", [], day, True),
        ("one", 7, D("2.50"), "3", [], day, True),
        ("two", 7, D("-2.50"), "3", [], day, True),
        ("zero", 0, D("2.50"), "3", [], day, True),
        ("null", None, None, None, [], day, None),
        ("text", 5, D("2.50"), "three", [], day, True),
        ("warned", 200, D("2.50"), "3", [], date(2024, 4, 30), False),
        ("both", 207, D("-2.50"), "3", [], date(2024, 4, 30), False),
        ("faulty", None, D("-2.50"), "3", [fault], date(2024, 4, 30), False),
    ]
    schema = f"name string, a int, b decimal(10,2), s string, _faults {FAULTS}, _batch_date date, _product_known boolean"
    frame = spark.createDataFrame(given, schema).transform(with_rules, RULES)
    found = {row["name"]: row for row in frame.collect()}
    assert len(found) == len(given)
    return found


def test_a_row_that_keeps_all_rules_has_neither_faults_nor_warnings(judged: dict[str, Any]) -> None:
    assert (judged["good"]["_faults"], judged["good"]["_warnings"]) == (None, None)


def test_a_broken_rule_is_a_fault_with_its_columns_and_their_values(judged: dict[str, Any]) -> None:
    assert [tuple(fault) for fault in judged["one"]["_faults"]] == [("A_NOT_SEVEN", "a", "7")]


def test_all_broken_rules_of_a_row_are_named(judged: dict[str, Any]) -> None:
    assert [tuple(fault) for fault in judged["two"]["_faults"]] == [("A_NOT_SEVEN", "a", "7"), ("RATIO_POSITIVE", "b,a", "-2.50,7")]


@pytest.mark.parametrize("name", ["zero", "null", "text"])
def test_a_rule_that_cannot_be_answered_is_not_broken_and_stops_nothing(judged: dict[str, Any], name: str) -> None:
    assert (judged[name]["_faults"], judged[name]["_warnings"]) == (None, None)


def test_a_warning_leaves_the_row_good_and_is_named(judged: dict[str, Any]) -> None:
    assert judged["warned"]["_faults"] is None
    assert judged["warned"]["_warnings"] == ["in_time", "small", "product_known"]


def test_a_rejected_row_still_has_the_warnings_of_its_sound_values(judged: dict[str, Any]) -> None:
    assert codes(judged["both"]["_faults"]) == [("RATIO_POSITIVE", "b,a")]
    assert judged["both"]["_warnings"] == ["in_time", "small", "product_known"]


def test_a_row_that_is_already_faulty_is_not_judged(judged: dict[str, Any]) -> None:
    assert codes(judged["faulty"]["_faults"]) == [("INVALID_INT", "a")]
    assert judged["faulty"]["_warnings"] is None


def test_without_rules_nothing_is_broken(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(1, [])], f"a int, _faults {FAULTS}").transform(with_rules, Contract((Column("a", "int"),)))
    assert frame.schema["_warnings"].dataType.simpleString() == "array<string>"
    [row] = frame.collect()
    assert (row["_faults"], row["_warnings"]) == (None, None)
