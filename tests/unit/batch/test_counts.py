"""Exact figures of a classified batch: the first fault of each reason, and accepted rows with warnings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.batch.counts import Census
from app.batch.held_pieces import InDriver
from app.batch.mart_deltas import mart_deltas, missing_keys
from app.contract.contract import Column, Contract
from app.ledger.types import FactPart, Reject, RuleWarning
from app.model.marts import CUSTOMERS, SALES_TEAM
from app.model.pieces import Piece, batch_of, pieces_of
from app.source.splits import Marker
from tests.frames import classified, gathered, known

CONTRACT = Contract((Column("a", "int"), Column("b", "int"), Column("email", "string", sensitive=True)))
LOADED = {"outcome": "loaded", "month": "2024-01", "store_id": 5, "total_cost": Decimal(1)}
PENDING = {"outcome": "pending", "month": "2024-01", "store_id": 5, "total_cost": Decimal(1), "_known": 0}


def pieces_made(*rows: dict[str, Any], tasks: int = 3) -> list[Piece]:
    """Return the pieces of tasks that share the rows, as they come to the driver."""
    made = [piece for task in range(tasks) for piece in gathered(classified(*rows[task::tasks]))]
    return list(pieces_of(batch_of(made)))


def rejected(line: int, *faults: tuple[str, str | None, str], split: int = 0, file_id: int = 1) -> dict[str, Any]:
    return {"_file_id": file_id, "_split": split, "_line": line, "outcome": "rejected", "_faults": faults}


def test_each_reason_has_its_first_line_column_and_value() -> None:
    census = Census.take(
        pieces_made(
            rejected(9, ("INVALID_INT", "a", "early")),
            rejected(5, ("INVALID_INT", "b", "z"), ("INVALID_INT", "a", "first by line, second by place"), ("TOO_LONG", "email", "m@x")),
            rejected(7, ("TOO_FEW_FIELDS", None, "3"), ("TOTAL", "a,email", "5,m@x")),
            rejected(2, ("INVALID_INT", "a", "of the second split, which begins behind line 100"), split=1),
            rejected(3, ("INVALID_ENCODING", "b", "x" * 1000), file_id=2),
            rejected(3, ("TOO_LONG", "b", "of a file that is not asked for"), file_id=3),
        )
    )
    assert census.rejects({1, 2}, CONTRACT, {(1, 1): 100, (3, 0): 7}) == [
        Reject(1, "INVALID_INT", 3, 5, "b", "z"),
        Reject(1, "TOO_FEW_FIELDS", 1, 7, None, "3"),
        Reject(1, "TOO_LONG", 1, 5, "email", "***"),
        Reject(1, "TOTAL", 1, 7, "a,email", "***"),
        Reject(2, "INVALID_ENCODING", 1, 3, "b", "x" * 200),
    ]
    assert census.by_reason == {"INVALID_INT": 3, "TOO_FEW_FIELDS": 1, "INVALID_ENCODING": 1, "TOO_LONG": 1}


def test_lines_of_a_later_split_are_those_of_the_file() -> None:
    census = Census.take(pieces_made(rejected(50, ("TOTAL", "a", "5")), rejected(2, ("TOTAL", "a", "6"), split=1)))
    assert census.rejects({1}, CONTRACT, {(1, 1): 100}) == [Reject(1, "TOTAL", 2, 50, "a", "5")]
    assert census.rejects({1}, CONTRACT, {}) == [Reject(1, "TOTAL", 2, 2, "a", "6")]


def test_rejected_rows_that_come_from_no_split_have_the_lines_of_their_file() -> None:
    census = Census.take(pieces_made(rejected(50, ("TOTAL", "a", "5")) | {"_split": None}, rejected(60, ("TOTAL", "a", "6"))))
    assert census.rejects({1}, CONTRACT, {(1, 0): 100}) == [Reject(1, "TOTAL", 2, 50, "a", "5")]


def test_warnings_of_accepted_rows_are_counted_by_file_and_rule() -> None:
    pieces = pieces_made(
        LOADED | {"_line": 9, "_warnings": ["odd", "late"]},
        PENDING | {"_line": 4, "_split": 1, "_warnings": ["odd"]},
        LOADED | {"_line": 2},
        rejected(1, ("TOTAL", "a", "5")),
        LOADED | {"_file_id": 2, "_line": 3, "_warnings": ["late"]},
        LOADED | {"_file_id": 3, "_line": 3, "_warnings": ["late"]},
    )
    assert Census.take(pieces).warned({1, 2}, {(1, 1): 3}) == [
        RuleWarning(1, "late", 1, 9),
        RuleWarning(1, "odd", 2, 7),
        RuleWarning(2, "late", 1, 3),
    ]


def test_rows_are_counted_by_outcome_partition_and_reason() -> None:
    census = Census.take(
        pieces_made(
            LOADED | {"_line": 2, "total_cost": Decimal("1.50")},
            LOADED | {"_line": 3, "total_cost": Decimal("2.50")},
            PENDING | {"_line": 4, "total_cost": Decimal("9.00")},
            rejected(5, ("TOTAL", "a", "5")),
            {"outcome": "marker", "marker": Marker(1, 0, rows=4).to_json()},
        )
    )
    assert census.markers == [Marker(1, 0, rows=4)]
    assert census.by_file == {1: {"loaded": 2, "pending": 1, "rejected": 1}}
    assert census.facts == [FactPart("2024-01", 5, 2, Decimal("4.0000"))]
    assert census.by_reason == {"TOTAL": 1}
    assert census.warnings == {}


def test_parts_come_in_the_order_of_month_and_store() -> None:
    places = [("2024-02", 5), ("2024-01", 12), ("2023-12", 7), ("2024-01", 5), ("2024-01", 12)]
    census = Census.take(
        pieces_made(*(LOADED | {"_line": at, "month": month, "store_id": store} for at, (month, store) in enumerate(places)))
    )
    assert [(part.sales_month, part.store_id, part.rows) for part in census.facts] == [
        ("2023-12", 7, 1),
        ("2024-01", 5, 1),
        ("2024-01", 12, 2),
        ("2024-02", 5, 1),
    ]


def test_rows_that_were_waiting_have_no_markers() -> None:
    census = Census.take(pieces_made(PENDING | {"_file_id": 7, "_line": 3}))
    assert (census.by_file, census.markers, census.faults, census.warnings) == ({7: {"pending": 1}}, [], {}, {})


@pytest.mark.parametrize("tasks", [1, 3])
def test_what_rows_add_to_the_marts_and_wait_for_adds_up(tasks: int) -> None:
    rows = [
        (1, "loaded", "2024-01", 5, 7, 1, "1.50", 15),
        (1, "loaded", "2024-01", 5, 7, 2, "2.50", 7),
        (1, "loaded", "2024-02", 6, 8, 1, "-1.00", 15),
        (1, "pending", "2024-01", 5, 7, 99, "9.00", 1 + 2 + 8),
        (2, "pending", "2024-01", 5, 77, 99, "9.00", 2),
        (2, "pending", "2024-01", 5, 77, 98, "9.00", 2 + 4),
    ]
    names = ("_file_id", "outcome", "month", "store_id", "customer_id", "sales_person_id", "total_cost", "_known")
    made = [dict(zip(names, row, strict=True)) | {"total_cost": Decimal(row[6]), "_line": at} for at, row in enumerate(rows)]
    pieces, lookups = InDriver(pieces_made(*made, tasks=tasks)), known(7, 8).value
    assert sorted(mart_deltas(pieces, CUSTOMERS, lookups)) == [
        (7, "2024-01", "customer 7", None, None, Decimal("4.00"), 2),
        (8, "2024-02", "customer 8", None, None, Decimal(-1), 1),
    ]
    assert sorted(mart_deltas(pieces, SALES_TEAM, lookups)) == [
        (5, 1, "2024-01", "Anil Kapadia", Decimal("1.5"), 1),
        (5, 2, "2024-01", "Elango", Decimal("2.5"), 1),
        (6, 1, "2024-02", "Anil Kapadia", Decimal(-1), 1),
    ]
    assert sorted(missing_keys(pieces)) == [(1, "sales_team", 99, 1), (2, "customer", 77, 2), (2, "sales_team", 99, 1)]
