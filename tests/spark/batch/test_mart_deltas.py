"""What a mart shows of a customer or seller beside its sums: today's attributes, as the dimension tables hold them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal as D
from typing import Any

import pytest
from pyspark.sql import SparkSession

from app.batch.held_pieces import InDriver
from app.batch.mart_deltas import mart_deltas
from app.model.marts import CUSTOMERS, SALES_TEAM
from tests.frames import classified, gathered, lookups

pytestmark = pytest.mark.spark

# (customer, store, seller, month). Customer 2 and seller 2 have no last name, 98 has no name at all, 97 blanks, 99 and seller 9 no row.
SALES = [
    (1, 121, 1, "2024-02"),
    (2, 121, 2, "2024-01"),
    (1, 122, 2, "2024-01"),
    (97, 121, 9, "2024-01"),
    (98, 121, 9, "2024-01"),
    (99, 121, 9, "2024-03"),
]
NAMELESS = [(98, None, None, "somewhere", None, None), (97, " ", "", None, None, None)]
Shown = Mapping[tuple[Any, ...], Mapping[str, Any]]


@pytest.fixture(scope="module")
def shown(spark: SparkSession) -> tuple[Shown, Shown]:
    """The rows that a batch of all the sales above stages for each mart, by their keys."""
    names = ("customer_id", "store_id", "sales_person_id", "month")
    rows = [dict(zip(names, sale, strict=True)) | {"outcome": "loaded", "_line": at, "total_cost": D(1)} for at, sale in enumerate(SALES)]
    pieces, held = InDriver(gathered(classified(*rows))), lookups(spark, *NAMELESS)
    customers, team = (
        {row[: len(mart.grain)]: dict(zip(mart.columns, row, strict=True)) for row in mart_deltas(pieces, mart, held.value)}
        for mart in (CUSTOMERS, SALES_TEAM)
    )
    assert (len(customers), len(team)) == (6, 5)
    return customers, team


def test_a_customer_has_name_address_and_phone(shown: tuple[Shown, Shown]) -> None:
    row = shown[0][1, "2024-02"]
    assert (row["full_name"], row["address"], row["phone_number"]) == ("Asha Rao", "1 Mall Road", "9000000001")


def test_a_seller_has_a_name(shown: tuple[Shown, Shown]) -> None:
    assert shown[1][121, 1, "2024-02"]["full_name"] == "Anil Kapadia"


def test_a_missing_last_name_does_not_make_the_name_null(shown: tuple[Shown, Shown]) -> None:
    customers, team = shown
    assert (customers[2, "2024-01"]["full_name"], team[122, 2, "2024-01"]["full_name"]) == ("Gowri", "Elango")


@pytest.mark.parametrize("customer", [97, 98])
def test_a_name_of_nothing_is_null(shown: tuple[Shown, Shown], customer: int) -> None:
    assert shown[0][customer, "2024-01"]["full_name"] is None


def test_a_delta_without_its_dimension_row_is_kept(shown: tuple[Shown, Shown]) -> None:
    customers, team = shown
    assert (customers[99, "2024-03"]["full_name"], customers[99, "2024-03"]["address"]) == (None, None)
    assert team[121, 9, "2024-03"]["full_name"] is None
