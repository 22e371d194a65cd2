"""Whole columns are converted as their texts one by one, and all faults of a row are named."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.contract.columns import with_types
from app.contract.contract import Column, Contract
from app.contract.values import read_value
from app.parsing.rows import Fault, Layout, Row, batches_of_rows


def convert(contract: Contract, *rows: Row) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = with_types(next(batches_of_rows(Layout(contract.names, contract.names), rows, 0)), contract).to_pylist()
    assert len(found) == len(rows)
    return found


CONTRACT = Contract((Column("id", "int"), Column("name", "string", max_length=3), Column("day", "date"), Column("price", "decimal(10,2)")))
GIVEN = (
    Row(1, ("1", "abc", "2024-01-05", "1.50")),
    Row(2, (None, "abc", "2024-01-05", "1.50")),  # type: ignore[arg-type]
    Row(3, ("", " ", "\u00a0", "\t")),
    Row(4, ("x", "abcd", "2024-02-30", "1.555")),
    Row(5, None, "the text", [Fault("WRONG_FIELD_COUNT", None, "3 of 4")]),
    Row(6, (" 1", "abc ", "2024-01-05", "+1.5")),
)


@pytest.fixture(scope="module")
def rows() -> dict[int, dict[str, Any]]:
    return {row["_line"]: row for row in convert(CONTRACT, *GIVEN)}


def faults_of(row: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    return [(fault["code"], fault["column"], fault["value"]) for fault in row["_faults"]]


@pytest.mark.parametrize("line", [1, 6], ids=["plain", "not plain"])
def test_a_sound_row_has_typed_values_and_no_faults(rows: dict[int, dict[str, Any]], line: int) -> None:
    assert tuple(rows[line][name] for name in (*CONTRACT.names, "_faults")) == (1, "abc", date(2024, 1, 5), D("1.50"), None)


@pytest.mark.parametrize(("row", "columns"), [(2, ["id"]), (3, ["id", "name", "day", "price"])], ids=["absent", "blank"])
def test_nothing_where_a_value_is_needed_is_a_fault(rows: dict[int, dict[str, Any]], row: int, columns: list[str]) -> None:
    assert faults_of(rows[row]) == [("NULL_VALUE", column, None) for column in columns]


def test_all_reasons_of_a_row_are_named_in_the_order_of_the_columns(rows: dict[int, dict[str, Any]]) -> None:
    assert faults_of(rows[4]) == [
        ("INVALID_INT", "id", "x"),
        ("TOO_LONG", "name", "abcd"),
        ("INVALID_DATE", "day", "2024-02-30"),
        ("TOO_PRECISE", "price", "1.555"),
    ]


def test_a_row_with_a_structural_fault_gets_no_further_ones(rows: dict[int, dict[str, Any]]) -> None:
    assert faults_of(rows[5]) == [("WRONG_FIELD_COUNT", None, "3 of 4")]
    assert tuple(rows[5][name] for name in (*CONTRACT.names, "_raw")) == (None, None, None, None, "the text")


def test_a_date_that_another_format_could_claim_first_is_its() -> None:
    contract = Contract((Column("d", "date", date_formats=("yyyy-dd-MM", "yyyy-MM-dd")),))
    found = convert(contract, Row(1, ["2024-01-02"]), Row(2, ["2024-01-31"]))
    assert [row["d"] for row in found] == [date(2024, 2, 1), date(2024, 1, 31)]


def test_types_of_the_contract_are_those_of_the_columns() -> None:
    contract = Contract((Column("a", "bigint"), Column("b", "decimal(38,0)"), Column("c", "string"), Column("d", "date")))
    batch = with_types(next(batches_of_rows(Layout(contract.names, contract.names), [Row(1, ["1", "2", "x", "2024-01-31"])], 0)), contract)
    assert [batch.schema.field(name).type for name in contract.names] == [pa.int64(), pa.decimal128(38, 0), pa.string(), pa.date32()]


# Near the border between what is plain and what is not.
TEXTS = st.text("0123456789.-+ e", max_size=12) | st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{0,6})?", fullmatch=True)
DATES = st.dates().map(str) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True) | st.text(max_size=4)
DECIMALS = st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(TEXTS, TEXTS, DATES), min_size=1, max_size=5), DECIMALS, st.booleans())
@example([("1", "00.99", "0000-02-29")], (4, 2), False)
@example([("-0", "-0", "9999-12-31"), ("1", "0.5", "2023-02-29")], (2, 2), True)
def test_a_column_at_once_is_what_its_texts_are_one_by_one(
    rows: list[tuple[str, str, str]], decimal: tuple[int, int], nullable: bool
) -> None:
    contract = Contract(
        (
            Column("n", "int", nullable=nullable),
            Column("p", f"decimal({decimal[0]},{decimal[1]})", nullable=nullable),
            Column("d", "date", nullable=nullable),
        )
    )
    for row, texts in zip(convert(contract, *[Row(1, one) for one in rows]), rows, strict=True):
        expected = [read_value(column, text) for column, text in zip(contract.columns, texts, strict=True)]
        assert [row[name] for name in contract.names] == [one.value for one in expected]
        assert [Fault(**fault) for fault in row["_faults"] or ()] == [one.fault for one in expected if one.fault]
