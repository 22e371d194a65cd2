"""What a batch adds to a mart and takes out of it: exact sums, one row for each grain key that is touched."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal as D
from typing import Any

import pytest

from app.batch.gather import Gatherer
from app.batch.held_pieces import InDriver
from app.batch.mart_deltas import mart_deltas, missing_keys
from app.model.marts import CUSTOMERS, SALES_TEAM, Mart
from app.model.pieces import Piece
from tests.frames import classified, gathered, known

Sale = tuple[int, int, int, str, str]
# (customer, store, seller, month, total).
SALES: list[Sale] = [
    (1, 121, 1, "2024-01", "0.1"),
    (1, 121, 1, "2024-01", "0.2"),
    (1, 122, 2, "2024-01", "0.0001"),
    (1, 121, 1, "2024-02", "5"),
    (2, 121, 2, "2024-01", "7.5"),
    (2, 121, 2, "2024-01", "-10"),
    (97, 121, 9, "2024-01", "3"),
    (98, 121, 9, "2024-01", "4"),
    (99, 121, 9, "2024-01", "99999999999999.9999"),
    (99, 121, 9, "2024-01", "0.0001"),
    *[(99, 121, 9, "2024-03", "0.0001")] * 1000,
]
LOOKUPS = known(97, 98).value


def rows_of(sales: Iterable[Sale]) -> list[dict[str, Any]]:
    names = ("customer_id", "store_id", "sales_person_id", "month", "total_cost")
    rows = (dict(zip(names, sale, strict=True)) for sale in sales)
    return [row | {"outcome": "loaded", "_line": at, "total_cost": D(row["total_cost"])} for at, row in enumerate(rows)]


def taken_out(*sales: Sale) -> list[Piece]:
    """Return the pieces of rows that are taken out of the marts."""
    gatherer = Gatherer((CUSTOMERS, SALES_TEAM))
    gatherer.add_deltas(classified(*rows_of(sales)).loaded, -1)
    return list(gatherer.rest())


def staged(mart: Mart, pieces: Iterable[Piece]) -> list[dict[str, Any]]:
    """Return what is staged for a mart, by the names of its columns."""
    return [dict(zip(mart.columns, row, strict=True)) for row in mart_deltas(InDriver(pieces), mart, LOOKUPS)]


@pytest.fixture(scope="module", params=[1, 4], ids=["one task", "four tasks"])
def pieces(request: pytest.FixtureRequest) -> list[Piece]:
    """The pieces of all the sales above, as some tasks make them."""
    rows = rows_of(SALES)
    return [piece for task in range(request.param) for piece in gathered(classified(*rows[task :: request.param]))]


def test_a_delta_has_the_columns_of_its_stage_table() -> None:
    assert CUSTOMERS.columns == ("customer_id", "sales_date_month", "full_name", "address", "phone_number", "total_sales", "row_count")
    assert SALES_TEAM.columns == ("store_id", "sales_person_id", "sales_month", "full_name", "total_sales", "row_count")
    pieces = gathered(classified(*rows_of(SALES[:1])))
    assert list(mart_deltas(InDriver(pieces), CUSTOMERS, LOOKUPS)) == [(1, "2024-01", "Asha Rao", None, None, D("0.1000"), 1)]
    assert list(mart_deltas(InDriver(pieces), SALES_TEAM, LOOKUPS)) == [(121, 1, "2024-01", "Anil Kapadia", D("0.1000"), 1)]


def test_customer_deltas_are_one_row_per_customer_and_month(pieces: list[Piece]) -> None:
    rows = staged(CUSTOMERS, pieces)
    assert len(rows) == 7
    assert {(row["customer_id"], row["sales_date_month"]): (row["total_sales"], row["row_count"]) for row in rows} == {
        (1, "2024-01"): (D("0.3001"), 3),
        (1, "2024-02"): (D("5.0000"), 1),
        (2, "2024-01"): (D("-2.5000"), 2),
        (97, "2024-01"): (D("3.0000"), 1),
        (98, "2024-01"): (D("4.0000"), 1),
        (99, "2024-01"): (D("100000000000000.0000"), 2),
        (99, "2024-03"): (D("0.1000"), 1000),
    }


def test_team_deltas_are_one_row_per_store_seller_and_month(pieces: list[Piece]) -> None:
    rows = staged(SALES_TEAM, pieces)
    assert len(rows) == 6
    assert {(row["store_id"], row["sales_person_id"], row["sales_month"]): (row["total_sales"], row["row_count"]) for row in rows} == {
        (121, 1, "2024-01"): (D("0.3000"), 2),
        (121, 1, "2024-02"): (D("5.0000"), 1),
        (121, 2, "2024-01"): (D("-2.5000"), 2),
        (122, 2, "2024-01"): (D("0.0001"), 1),
        (121, 9, "2024-01"): (D("100000000000007.0000"), 4),
        (121, 9, "2024-03"): (D("0.1000"), 1000),
    }


def test_totals_are_decimals_with_four_places_and_counts_are_integers(pieces: list[Piece]) -> None:
    rows = [*staged(CUSTOMERS, pieces), *staged(SALES_TEAM, pieces)]
    assert {row["total_sales"].as_tuple().exponent for row in rows} == {-4}
    assert {type(row["row_count"]) for row in rows} == {int}


def test_the_largest_values_of_a_month_add_up_exactly() -> None:
    largest: Sale = (1, 121, 1, "2024-01", "99999999999999.9999")
    [row] = staged(CUSTOMERS, gathered(classified(*rows_of([largest] * 1000))))
    assert row["total_sales"] == D("99999999999999999.9000")


def test_no_sales_are_no_deltas() -> None:
    assert staged(SALES_TEAM, gathered(classified())) == []
    assert list(missing_keys(InDriver([]))) == []


def test_what_is_taken_out_is_subtracted_and_a_key_that_ends_at_nothing_is_still_there() -> None:
    added = gathered(classified(*rows_of([(1, 121, 1, "2024-01", "10"), (2, 121, 1, "2024-01", "4.5")])))
    out = taken_out((1, 121, 1, "2024-01", "10"), (2, 121, 1, "2024-01", "-1"), (2, 121, 1, "2024-02", "7"), (2, 122, 2, "2024-01", "0.5"))
    assert sorted(
        (row["customer_id"], row["sales_date_month"], row["total_sales"], row["row_count"]) for row in staged(CUSTOMERS, [*added, *out])
    ) == [
        (1, "2024-01", D(0), 0),
        (2, "2024-01", D("5.0"), -1),
        (2, "2024-02", D(-7), -1),
    ]
    team = sorted(
        (row["store_id"], row["sales_person_id"], row["sales_month"], row["total_sales"], row["row_count"])
        for row in staged(SALES_TEAM, [*added, *out])
    )
    assert team == [(121, 1, "2024-01", D("5.5"), 0), (121, 1, "2024-02", D(-7), -1), (122, 2, "2024-01", D("-0.5"), -1)]
    # Nothing is added at all.
    assert [
        (row["customer_id"], row["total_sales"], row["row_count"]) for row in staged(CUSTOMERS, taken_out((9, 1, 1, "2024-01", "3")))
    ] == [(9, D(-3), -1)]
