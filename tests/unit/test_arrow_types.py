"""Arrow converts what is written plainly, exactly, and never stumbles over the rest. tests/spark/test_quality.py compares it with Spark."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.arrow_rows import Fault, Layout, Row, batch_of_rows
from app.core.arrow_types import with_types
from app.core.contract import Column, Contract


def convert(contract: Contract, *rows: Row) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = with_types(batch_of_rows(Layout(contract.names, contract.names), rows), contract).to_pylist()
    assert len(found) == len(rows)
    return found


def test_arrow_takes_what_is_written_plainly_and_nothing_else() -> None:
    contract = Contract((Column("n", "int"), Column("d", "date", nullable=True), Column("p", "decimal(5,2)"), Column("s", "string")))
    texts = [
        ("-7", "2024-02-29", "-123.45", " a "),
        ("7", "", "1", "b"),
        ("1000000000", "", "1", "b"),
        ("7", "2023-02-29", "1", "b"),
        ("7", "", "1234", "b"),
        ("7", "", "1.234", "b"),
        ("7", "", "1", " "),
        ("0x7", "", "1", "b"),
        ("7", "0000-01-01", "1e1", "b"),
    ]
    rows = convert(contract, *[Row(1, one) for one in texts])
    plain = [row for row in rows if row["_texts"] is None]
    assert [tuple(row[name] for name in contract.names) for row in plain] == [
        (-7, date(2024, 2, 29), D("-123.45"), "a"),
        (7, None, D("1.00"), "b"),
    ]
    assert [tuple(row["_texts"]) for row in rows if row["_texts"] is not None] == texts[2:]


def test_a_row_with_a_structural_fault_is_not_left_to_spark() -> None:
    [row] = convert(Contract((Column("n", "int"),)), Row(1, None, "x", [Fault("TOO_FEW_FIELDS")]))
    assert (row["n"], row["_texts"], row["_raw"]) == (None, None, "x")


def test_a_date_that_another_format_could_claim_first_is_left_to_spark() -> None:
    contract = Contract((Column("d", "date", date_formats=("dd.MM.yyyy", "yyyy-MM-dd")),))
    [row] = convert(contract, Row(1, ["2024-01-31"]))
    assert row["_texts"] == ["2024-01-31"]


def test_types_of_the_contract_are_those_of_the_columns() -> None:
    contract = Contract((Column("a", "bigint"), Column("b", "decimal(38,0)"), Column("c", "string"), Column("d", "date")))
    batch = with_types(batch_of_rows(Layout(contract.names, contract.names), [Row(1, ["1", "2", "x", "2024-01-31"])]), contract)
    assert [batch.schema.field(name).type for name in contract.names] == [pa.int64(), pa.decimal128(38, 0), pa.string(), pa.date32()]


# Near the border between what is plain and what is not.
TEXTS = st.text("0123456789.-+ e", max_size=12) | st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{0,6})?", fullmatch=True)
DATES = st.dates().map(str) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True) | st.text(max_size=4)
DECIMALS = st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(TEXTS, TEXTS, DATES), min_size=1, max_size=5), DECIMALS, st.booleans())
@example([("1", "00.99", "0000-02-29")], (4, 2), False)
@example([("-0", "-0", "9999-12-31"), ("1", "0.5", "2023-02-29")], (2, 2), True)
def test_what_is_taken_is_what_python_reads(rows: list[tuple[str, str, str]], decimal: tuple[int, int], nullable: bool) -> None:
    contract = Contract(
        (
            Column("n", "int", nullable=nullable),
            Column("p", f"decimal({decimal[0]},{decimal[1]})", nullable=nullable),
            Column("d", "date", nullable=nullable),
        )
    )
    for row, (number, price, day) in zip(convert(contract, *[Row(1, one) for one in rows]), rows, strict=True):
        if row["_texts"] is None:
            assert row["n"] == (int(number) if number else None)
            assert row["p"] == (D(price) if price else None)
            assert row["d"] == (date.fromisoformat(day) if day else None)
        else:
            assert row["_texts"] == [number, price, day]
