"""Marts described by data: stage table, delta, upsert, incentive, verification and docs all derive from these entries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mart:
    """One aggregate of the facts.

    Attributes:
        table: the MySQL table; its stage table is `stage_<table>`.
        grain: mart column -> fact column; together the primary key.
        measures: mart column -> fact column that is summed.
        dimension: the dimension whose current attributes the mart shows (SCD type 1).
        dimension_key: the mart column that joins to the dimension's key.
        attributes: mart column -> SQL expression over the dimension's columns.
        ranked_within: grain columns of the group in which the top `total_sales` earns the incentive; empty: none does.
    """

    table: str
    grain: dict[str, str]
    measures: dict[str, str]
    dimension: str
    dimension_key: str
    attributes: dict[str, str]
    ranked_within: tuple[str, ...] = ()

    @property
    def stage_table(self) -> str:
        """The table that executors fill before the final transaction."""
        return f"stage_{self.table}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a delta carries, in the order of the stage table's definition."""
        return (*self.grain, *self.attributes, *self.measures, "row_count")


# concat_ws skips NULL, so a missing last name never makes the name NULL.
FULL_NAME = "nullif(trim(concat_ws(' ', first_name, last_name)), '')"

CUSTOMERS = Mart(
    table="customers_data_mart",
    grain={"customer_id": "customer_id", "sales_date_month": "sales_month"},
    measures={"total_sales": "total_cost"},
    dimension="customer",
    dimension_key="customer_id",
    attributes={"full_name": FULL_NAME, "address": "address", "phone_number": "phone_number"},
)

SALES_TEAM = Mart(
    table="sales_team_data_mart",
    grain={"store_id": "store_id", "sales_person_id": "sales_person_id", "sales_month": "sales_month"},
    measures={"total_sales": "total_cost"},
    dimension="sales_team",
    dimension_key="sales_person_id",
    attributes={"full_name": FULL_NAME},
    ranked_within=("store_id", "sales_month"),
)

MARTS = (CUSTOMERS, SALES_TEAM)


def attribute_columns(dimension: str) -> dict[str, str]:
    """Return what the marts show of a dimension: column of its lookup -> SQL expression over the dimension's columns."""
    return {lookup_column(mart, name): sql for mart in MARTS if mart.dimension == dimension for name, sql in mart.attributes.items()}


def lookup_column(mart: Mart, attribute: str) -> str:
    """Return the column of the dimension's lookup that holds a mart's attribute."""
    return f"{mart.table}.{attribute}"
