"""Small frames from literals for the tests of the core: dimensions, and rows as the scan yields them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from app.contract.columns import with_types
from app.contract.contract import Contract
from app.model.dimensions import DIMENSIONS
from app.model.lookup import Lookup, Lookups
from app.parsing.rows import Layout, Row, batches_of_rows
from app.source.dimensions import lookup_rows

FAULTS = "array<struct<code:string,column:string,value:string>>"

# A good row: customer, store, seller and product are in the dimensions below.
GOOD = {
    "customer_id": "1",
    "store_id": "121",
    "product_name": "sugar",
    "sales_date": "2024-04-30",
    "sales_person_id": "1",
    "price": "50.00",
    "quantity": "2",
    "total_cost": "100.00",
}


def dimensions(spark: SparkSession, *customers: tuple[Any, ...]) -> dict[str, DataFrame]:
    """Make the four dimensions: customers 1 and 2 (no last name) and those given, stores 121 and 122, sellers 1 and 2 (no last name)."""
    known = [(1, "Asha", "Rao", "1 Mall Road", "411001", "9000000001"), (2, "Gowri", None, "5 Tank Street", "625001", None), *customers]
    person = "first_name string, last_name string"
    sellers = [(1, "Anil", "Kapadia", 10, "N", "16 Karol Bagh", "110005"), (2, "Elango", None, None, "Y", "13 Ulsoor Road", None)]
    return {
        "customer": spark.createDataFrame(known, f"customer_id int, {person}, address string, pincode string, phone_number string"),
        "store": spark.createDataFrame([(121, "Manoj Bhatia"), (122, None)], "id int, store_manager_name string"),
        "sales_team": spark.createDataFrame(
            sellers, f"id int, {person}, manager_id int, is_manager string, address string, pincode string"
        ),
        "product": spark.createDataFrame([("sugar",), ("maida",)], "name string"),
    }


@dataclass(frozen=True)
class Held:
    """Stands for the broadcast variable of a batch."""

    value: Lookups


def lookups(spark: SparkSession, *customers: tuple[Any, ...]) -> Held:
    """Make the lookups of the dimensions above."""
    frames = dimensions(spark, *customers)
    return Held({d.table: Lookup.of(lookup_rows(frames[d.table], d).toArrow(), d.key) for d in DIMENSIONS})


def _known(row: Mapping[str, Any]) -> int:
    """Tell by hand which keys of a row the dimensions above know."""
    known = {"customer_id": ("1", "2"), "store_id": ("121", "122"), "sales_person_id": ("1", "2"), "product_name": ("sugar", "maida")}
    return sum(1 << at for at, (name, keys) in enumerate(known.items()) if row[name] in keys)


def scanned(spark: SparkSession, contract: Contract, *rows: dict[str, Any]) -> DataFrame:
    """Make rows as `scan` yields them: a good row each, but for what is given; `_line` counts them from 1."""
    columns = ", ".join(f"{column.name} {column.type}" for column in contract.columns)
    own = {"_kind": "row", "_file_id": 7, "_split": 0, "_extra": None, "_raw": "the text", "_faults": (), "_marker": None}
    made: list[dict[str, Any]] = [GOOD | own | {"_line": at} | row for at, row in enumerate(rows, 1)]
    sound = [Row(row["_line"], [row[name] for name in contract.names]) for row in made if not row["_faults"] and not row["_marker"]]
    batches = batches_of_rows(Layout(contract.names, contract.names), sound, 0)
    typed = {row["_line"]: row for batch in batches for row in with_types(batch, contract).to_pylist()}
    for row in made:
        row["_known"] = None if row["_marker"] else _known(row)
        found = typed.get(row["_line"], dict.fromkeys(contract.names) | {"_faults": row["_faults"] or None})
        row |= {name: found[name] for name in (*contract.names, "_faults")}
    names = ("_kind", "_file_id", "_split", "_line", *contract.names, "_extra", "_raw", "_faults", "_marker", "_known")
    schema = (
        f"_kind string, _file_id bigint, _split int, _line bigint, {columns}, _extra map<string,string>,"
        f" _raw string, _faults {FAULTS}, _marker string, _known tinyint"
    )
    return spark.createDataFrame([tuple(row[name] for name in names) for row in made], schema)
