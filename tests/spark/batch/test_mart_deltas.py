"""What a batch adds to a mart: exact decimal sums per grain key, with today's attributes."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from app.batch.mart_deltas import to_delta, with_mart_attributes
from app.model.marts import CUSTOMERS, SALES_TEAM, Mart
from tests.frames import lookups

pytestmark = pytest.mark.spark

# (customer, store, seller, month, total). Customer 2 and seller 2 have no last name; 98 has no name at all, 97 blanks; 99 is unknown.
SALES = [
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
NAMELESS = [(98, None, None, "somewhere", None, None), (97, " ", "", None, None, None)]


def sales(spark: SparkSession, *rows: tuple[int, int, int, str, str]) -> DataFrame:
    typed = [(customer, store, seller, month, D(total)) for customer, store, seller, month, total in rows]
    return spark.createDataFrame(typed, "customer_id int, store_id int, sales_person_id int, sales_month string, total_cost decimal(18,4)")


def staged(spark: SparkSession, mart: Mart) -> DataFrame:
    """Make the rows that a batch of all the sales above stages for a mart."""
    return with_mart_attributes(to_delta(sales(spark, *SALES), mart), mart, lookups(spark, *NAMELESS)).cache()


@pytest.fixture(scope="module")
def customer_frame(spark: SparkSession) -> DataFrame:
    return staged(spark, CUSTOMERS)


@pytest.fixture(scope="module")
def team_frame(spark: SparkSession) -> DataFrame:
    return staged(spark, SALES_TEAM)


@pytest.fixture(scope="module")
def customers(customer_frame: DataFrame) -> dict[tuple[int, str], Row]:
    return {(row["customer_id"], row["sales_date_month"]): row for row in customer_frame.collect()}


@pytest.fixture(scope="module")
def team(team_frame: DataFrame) -> dict[tuple[int, int, str], Row]:
    return {(row["store_id"], row["sales_person_id"], row["sales_month"]): row for row in team_frame.collect()}


def test_a_delta_has_the_columns_of_its_stage_table(customer_frame: DataFrame, team_frame: DataFrame) -> None:
    assert customer_frame.columns == ["customer_id", "sales_date_month", "full_name", "address", "phone_number", "total_sales", "row_count"]
    assert team_frame.columns == ["store_id", "sales_person_id", "sales_month", "full_name", "total_sales", "row_count"]


def test_customer_deltas_are_one_row_per_customer_and_month(customer_frame: DataFrame, customers: dict[tuple[int, str], Row]) -> None:
    assert customer_frame.count() == len(customers) == 7
    assert {key: (row["total_sales"], row["row_count"]) for key, row in customers.items()} == {
        (1, "2024-01"): (D("0.3001"), 3),
        (1, "2024-02"): (D("5.0000"), 1),
        (2, "2024-01"): (D("-2.5000"), 2),
        (97, "2024-01"): (D("3.0000"), 1),
        (98, "2024-01"): (D("4.0000"), 1),
        (99, "2024-01"): (D("100000000000000.0000"), 2),
        (99, "2024-03"): (D("0.1000"), 1000),
    }


def test_team_deltas_are_one_row_per_store_seller_and_month(team_frame: DataFrame, team: dict[tuple[int, int, str], Row]) -> None:
    assert team_frame.count() == len(team) == 6
    assert {key: (row["total_sales"], row["row_count"]) for key, row in team.items()} == {
        (121, 1, "2024-01"): (D("0.3000"), 2),
        (121, 1, "2024-02"): (D("5.0000"), 1),
        (121, 2, "2024-01"): (D("-2.5000"), 2),
        (122, 2, "2024-01"): (D("0.0001"), 1),
        (121, 9, "2024-01"): (D("100000000000007.0000"), 4),
        (121, 9, "2024-03"): (D("0.1000"), 1000),
    }


def test_totals_are_decimals_as_wide_as_the_marts(customer_frame: DataFrame, team_frame: DataFrame) -> None:
    types = {frame.schema["total_sales"].dataType.simpleString() for frame in (customer_frame, team_frame)}
    assert types == {"decimal(30,4)"}


def test_a_customer_has_name_address_and_phone(customers: dict[tuple[int, str], Row]) -> None:
    row = customers[1, "2024-02"]
    assert (row["full_name"], row["address"], row["phone_number"]) == ("Asha Rao", "1 Mall Road", "9000000001")


def test_a_missing_last_name_does_not_make_the_name_null(
    customers: dict[tuple[int, str], Row], team: dict[tuple[int, int, str], Row]
) -> None:
    assert (customers[2, "2024-01"]["full_name"], team[122, 2, "2024-01"]["full_name"]) == ("Gowri", "Elango")


@pytest.mark.parametrize("customer", [97, 98])
def test_a_name_of_nothing_is_null(customers: dict[tuple[int, str], Row], customer: int) -> None:
    assert customers[customer, "2024-01"]["full_name"] is None


def test_a_delta_without_its_dimension_row_is_kept(customers: dict[tuple[int, str], Row], team: dict[tuple[int, int, str], Row]) -> None:
    assert (customers[99, "2024-03"]["full_name"], customers[99, "2024-03"]["address"]) == (None, None)
    assert team[121, 9, "2024-03"]["full_name"] is None


def test_the_largest_values_of_a_month_add_up_exactly(spark: SparkSession) -> None:
    largest = "99999999999999.9999"
    rows = sales(spark, *[(1, 121, 1, "2024-01", largest)] * 1000)
    assert [row["total_sales"] for row in to_delta(rows, CUSTOMERS).collect()] == [D("99999999999999999.9000")]


def test_no_sales_are_no_deltas(spark: SparkSession) -> None:
    assert to_delta(sales(spark), SALES_TEAM).collect() == []
