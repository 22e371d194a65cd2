"""A value converts exactly, or is a fault with its reason."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from app.contract.columns import with_types
from app.contract.contract import Column, Contract
from app.contract.values import Reading, read_value
from app.parsing.rows import Fault, Layout, Row, batches_of_rows

NBSP, LINE_SEPARATOR = "\u00a0", "\u2028"

# What each column is, and what its texts become.
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
    "long months": Column("l", "date", nullable=True, date_formats=("d MMMM yyyy", "d MMMM, yyyy")),
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
    "long months": {"31 January 2024": date(2024, 1, 31), "1 MAY, 2024": date(2024, 5, 1)},
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
    "mixed": all_are(
        "INVALID_DATE",
        "2024013", "202401311", "+120240131", "31 Foo 2024", "1/2/24", "13/1/2024", "1/2/2024x", "31 \u017fep 2024", "001/2/2024",
        "31 January 2024",
    ),
    "long months": all_are("INVALID_DATE", "31 Jan 2024", "31 Januar 2024", "31  January 2024", "31 February 2024"),
}  # fmt: skip
EMPTY = ("", " ", "\t", f" {NBSP} ", "\r\n")


def cases(table: dict[str, dict[str, Any]], *kinds: str) -> list[tuple[str, str, Any]]:
    return [(kind, text, expected) for kind in kinds or table for text, expected in table[kind].items()]


def short(value: Any) -> str:
    return ascii(value)[:30]


def by_column(kind: str, text: str | None) -> Reading:
    """Read a text as the scan does: as one of a whole column, with a plain one before it."""
    contract = Contract((COLUMNS[kind],))
    batch = next(batches_of_rows(Layout(contract.names, contract.names), [Row(1, [""]), Row(2, [text])], 0))  # type: ignore[list-item]
    row = with_types(batch, contract).to_pylist()[1]
    faults = [Fault(**fault) for fault in row["_faults"] or ()]
    assert len(faults) < 2
    return Reading(row[COLUMNS[kind].name], faults[0] if faults else None)


def alone(kind: str, text: str | None) -> Reading:
    return read_value(COLUMNS[kind], text)


@pytest.fixture(params=[alone, by_column], ids=["alone", "in a column"])
def read(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(("kind", "text", "value"), cases(GOOD), ids=short)
def test_what_converts_exactly_is_taken(read: Any, kind: str, text: str, value: Any) -> None:
    assert read(kind, text) == (value, None)


@pytest.mark.parametrize(("kind", "text", "code"), cases(BAD), ids=short)
def test_what_does_not_convert_exactly_is_a_fault_with_its_column_and_text(read: Any, kind: str, text: str, code: str) -> None:
    value, fault = read(kind, text)
    column = COLUMNS[kind]
    # The string itself stays readable; every other value is gone.
    assert value == (text.strip() if column.type == "string" else None)
    assert fault == (code, column.name, (text.strip(" \t\r\n\u00a0") if column.trim else text)[:200])


@pytest.mark.parametrize("kind", COLUMNS)
def test_nothing_in_a_nullable_column_is_null_and_no_fault(read: Any, kind: str) -> None:
    for text in (None, *(EMPTY if COLUMNS[kind].trim else ("",))):
        assert read(kind, text) == (None, None), text


@pytest.mark.parametrize("text", [None, *EMPTY], ids=short)
def test_nothing_where_a_value_is_needed_is_a_fault_without_a_text(text: str | None) -> None:
    assert read_value(Column("n", "int"), text) == (None, Fault("NULL_VALUE", "n"))


def test_days_and_months_of_one_digit_are_no_guess() -> None:
    ambiguous = Column("d", "date", date_formats=("yyyyMd",))
    assert read_value(ambiguous, "2024111") == (None, Fault("INVALID_DATE", "d", "2024111"))
