"""Marts described by data: stage table, delta, upsert, incentive, verification and docs all derive from these entries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# As wide as the columns of the marts. A cast that overflows gives NULL, which no stage table takes: the batch would fail for ever.
TOTAL_TYPE = "decimal(30,4)"


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


def to_delta(rows: DataFrame, mart: Mart) -> DataFrame:
    """Aggregate typed sales rows to what they add to a mart.

    Needs the mart's fact columns. One row per grain key, with the measures summed exactly and `row_count`.
    """
    return _summed(rows, mart, F.count(F.lit(1)))


def to_net_delta(added: DataFrame | None, removed: DataFrame, mart: Mart) -> DataFrame:
    """Aggregate rows that are added and rows that are taken out to what a mart changes by.

    Both need the mart's fact columns. One row per grain key that is touched; measures and `row_count` may be negative or zero.
    """
    sides = [(removed, -1)] + ([(added, 1)] if added is not None else [])
    signed = [_signed(rows, mart, sign) for rows, sign in sides]
    return _summed(reduce(DataFrame.unionByName, signed), mart, F.sum("_sign"))


def _signed(rows: DataFrame, mart: Mart, sign: int) -> DataFrame:
    measures = [(F.col(source) * sign).cast(TOTAL_TYPE).alias(source) for source in mart.measures.values()]
    return rows.select(*mart.grain.values(), *measures, F.lit(sign).cast("bigint").alias("_sign"))


def _summed(rows: DataFrame, mart: Mart, row_count: Column) -> DataFrame:
    grain: list[Column] = [F.col(source).alias(column) for column, source in mart.grain.items()]
    sums = [F.sum(source).cast(TOTAL_TYPE).alias(column) for column, source in mart.measures.items()]
    return rows.groupBy(*grain).agg(*sums, row_count.alias("row_count"))


def with_mart_attributes(deltas: DataFrame, dimension: DataFrame, mart: Mart, key: str) -> DataFrame:
    """Attach the dimension's current attributes. Same rows; the dimension is unique on `key` (checked when it is loaded)."""
    attributes = dimension.select(
        F.col(key).alias(mart.dimension_key), *[F.expr(expression).alias(column) for column, expression in mart.attributes.items()]
    )
    return deltas.join(F.broadcast(attributes), on=mart.dimension_key, how="left").select(*mart.columns)
