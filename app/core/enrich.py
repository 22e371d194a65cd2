"""Enrichment: which dimension keys are known, and the attributes that facts carry (design: D6).

Every dimension was proven unique on its key when it was loaded, so no join here changes the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.core.contract import Contract


@dataclass(frozen=True)
class Dimension:
    """One dimension table.

    Attributes:
        table: the MySQL table, also the dimension's name.
        key: its key column.
        fact_key: the sales column that refers to it.
        columns: the columns that are read beside the key.
        fact_columns: dimension column -> the fact column that carries it.
        required: a row whose key is unknown waits as pending; an unknown product is only a warning.
    """

    table: str
    key: str
    fact_key: str
    columns: tuple[str, ...]
    fact_columns: Mapping[str, str]
    required: bool = True

    @property
    def known_flag(self) -> str:
        """The technical column that tells whether a row's key is known."""
        return f"_{self.table}_known"


_CUSTOMER_COLUMNS = ("first_name", "last_name", "address", "pincode", "phone_number")

CUSTOMER = Dimension("customer", "customer_id", "customer_id", _CUSTOMER_COLUMNS, {name: name for name in _CUSTOMER_COLUMNS})
STORE = Dimension("store", "id", "store_id", ("store_manager_name",), {"store_manager_name": "store_manager_name"})
SALES_TEAM = Dimension(
    "sales_team",
    "id",
    "sales_person_id",
    ("first_name", "last_name", "manager_id", "is_manager", "address", "pincode"),
    {
        "first_name": "sales_person_first_name",
        "last_name": "sales_person_last_name",
        "manager_id": "manager_id",
        "is_manager": "is_manager",
        "address": "sales_person_address",
        "pincode": "sales_person_pincode",
    },
)
PRODUCT = Dimension("product", "name", "product_name", (), {}, required=False)

DIMENSIONS = (CUSTOMER, STORE, SALES_TEAM, PRODUCT)

Frames = Mapping[str, DataFrame]


def with_known_flags(rows: DataFrame, dimensions: Frames) -> DataFrame:
    """Tell for each dimension whether a row's key is in it. Needs the fact keys; adds `_<dimension>_known`. Same rows."""
    for dimension in DIMENSIONS:
        keys = dimensions[dimension.table].selectExpr(f"`{dimension.key}` AS `{dimension.fact_key}`", f"true AS {dimension.known_flag}")
        rows = rows.join(F.broadcast(keys), on=dimension.fact_key, how="left")
    return rows.withColumns({d.known_flag: F.expr(f"coalesce({d.known_flag}, false)") for d in DIMENSIONS})


def all_known() -> str:
    """Return the SQL of whether the row's key is in every required dimension."""
    return "(" + " AND ".join(d.known_flag for d in DIMENSIONS if d.required) + ")"


def missing_keys() -> str:
    """Return the SQL of the names of the required dimensions that do not know the row's key, as an array."""
    names = ", ".join(f"if({d.known_flag}, NULL, '{d.table}')" for d in DIMENSIONS if d.required)
    # Spark does not compile the making of such a list; nearly all rows need none.
    return f"if({all_known()}, cast(array() AS array<string>), array_compact(array({names})))"


def enrich_with_dimensions(rows: DataFrame, dimensions: Frames) -> DataFrame:
    """Attach customer, store and seller attributes to sales rows. Needs the fact keys; adds every fact column. Same rows."""
    for dimension in DIMENSIONS:
        if not dimension.fact_columns:
            continue
        attributes = [
            f"`{source}` AS `{target}`" for source, target in ((dimension.key, dimension.fact_key), *dimension.fact_columns.items())
        ]
        frame = dimensions[dimension.table].selectExpr(*attributes)
        rows = rows.join(F.broadcast(frame), on=dimension.fact_key, how="left")
    return rows


def fact_columns(contract: Contract) -> list[str]:
    """Return the columns of a fact row in order; the last two are partition columns, as is the batch's key."""
    attributes = [column for dimension in DIMENSIONS for column in dimension.fact_columns.values()]
    own = [name for name in contract.names if name != "store_id"]
    return [*own, *attributes, contract.settings.extra_columns, "_warnings", "_file_id", "_line", "sales_month", "store_id"]
