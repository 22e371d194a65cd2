"""Small data from literals for the tests of the core: dimensions, with Spark or without, and rows as a SplitReader yields them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from app.batch.classify import REJECT_COLUMNS, Classified
from app.batch.gather import Gatherer
from app.contract.columns import with_types
from app.contract.contract import Contract
from app.model.dimensions import DIMENSIONS
from app.model.lookup import Lookup, Lookups
from app.model.marts import MARTS, Mart
from app.model.pieces import Piece, unpacked
from app.parsing.rows import FAULTS, Layout, Row, batches_of_rows
from app.source.dimensions import lookup_rows
from app.source.split_reader import batch_schema

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


def known(*customers: int) -> Held:
    """Make lookups of the same keys without Spark, and of further customers. What is known of each is its name alone."""
    names = {1: "Asha Rao", 2: "Gowri"} | {key: f"customer {key}" for key in customers}
    tables: dict[str, dict[str, list[Any]]] = {
        "customer": {"customer_id": list(names), "first_name": list(names.values()), "customers_data_mart.full_name": list(names.values())},
        "store": {"id": [121, 122], "store_manager_name": ["Manoj Bhatia", None]},
        "sales_team": {"id": [1, 2], "first_name": ["Anil", "Elango"], "sales_team_data_mart.full_name": ["Anil Kapadia", "Elango"]},
        "product": {"name": ["sugar", "maida"]},
    }
    shown = {"customer": ("customers_data_mart.address", "customers_data_mart.phone_number")}
    lookups = {}
    for dimension in DIMENSIONS:
        found = tables[dimension.table]
        keys = found[dimension.key]
        whole = dict.fromkeys((*dimension.columns, *shown.get(dimension.table, ())), [None] * len(keys)) | found
        columns = {name: pa.array(values, pa.int64() if name in ("customer_id", "id") else pa.string()) for name, values in whole.items()}
        lookups[dimension.table] = Lookup(pa.RecordBatch.from_pydict(columns), dimension.key)
    return Held(lookups)


def _known(row: Mapping[str, Any]) -> int:
    """Tell by hand which keys of a row the dimensions above know."""
    keys = {"customer_id": ("1", "2"), "store_id": ("121", "122"), "sales_person_id": ("1", "2"), "product_name": ("sugar", "maida")}
    return sum(1 << at for at, (name, found) in enumerate(keys.items()) if row[name] in found)


def scanned(contract: Contract, *rows: dict[str, Any]) -> pa.RecordBatch:
    """Make rows as SplitReader yields them: a good row each, but for what is given; `_line` counts them from 1."""
    own = {"_file_id": 7, "_split": 0, "_extra": None, "_raw": "the text", "_faults": (), "_marker": None}
    made: list[dict[str, Any]] = [GOOD | own | {"_line": at} | row for at, row in enumerate(rows, 1)]
    texts = [dict(row) for row in made]
    sound = [at for at, row in enumerate(made) if not row["_faults"] and not row["_marker"]]
    fields = [Row(at, [made[at][name] for name in contract.names]) for at in sound]
    batches = batches_of_rows(Layout(contract.names, contract.names), fields, 0)
    typed = [row for batch in batches for row in with_types(batch, contract).to_pylist()]
    found = dict(zip(sound, typed, strict=True))
    for at, row in enumerate(made):
        values = found.get(at, dict.fromkeys(contract.names) | {"_faults": _faults(row["_faults"]) or None})
        row |= {name: values[name] for name in (*contract.names, "_faults")}
        row["_known"] = None if row["_marker"] else _known(texts[at])
    return pa.RecordBatch.from_pylist(made, schema=batch_schema(contract))


def _faults(faults: Any) -> list[dict[str, str | None]]:
    return [dict(zip(("code", "column", "value"), fault, strict=True)) for fault in faults]


# What a gatherer needs of classified rows; `note` stands for all else.
LOADED_ROWS = pa.schema(
    [
        ("customer_id", pa.int32()),
        ("store_id", pa.int32()),
        ("sales_person_id", pa.int32()),
        ("total_cost", pa.decimal128(18, 4)),
        ("note", pa.string()),
        ("_warnings", pa.list_(pa.string())),
        ("_file_id", pa.int64()),
        ("_split", pa.int32()),
        ("_line", pa.int64()),
        ("_month", pa.int64()),
    ]
)
WAITING_ROWS = LOADED_ROWS.append(pa.field("_known", pa.int8()))
REJECTED_ROWS = pa.schema(
    list(zip(REJECT_COLUMNS, (pa.int64(), pa.int32(), pa.int64(), pa.string(), FAULTS, pa.string()), strict=True)),
)


def classified(*rows: Mapping[str, Any]) -> Classified:
    """Make classified rows: each says its `outcome` (a marker has only its text, `marker`), and its month as yyyy-MM.

    Faults are tuples; the first one is a row's reason.
    """
    by_outcome: dict[str, list[dict[str, Any]]] = {"loaded": [], "pending": [], "rejected": [], "marker": []}
    for row in rows:
        own = {"_file_id": 1, "_split": 0, "customer_id": 7, "store_id": 121, "sales_person_id": 1, "_raw": "the text"}
        made: dict[str, Any] = {**own, **row}
        if "month" in row:
            year, month = map(int, row["month"].split("-"))
            made["_month"] = 12 * year + month - 1
        if "_faults" in row:
            made |= {"_faults": _faults(row["_faults"]), "_reason": row["_faults"][0][0]}
        by_outcome[row["outcome"]].append(made)
    rejected = pa.RecordBatch.from_pylist(by_outcome["rejected"], REJECTED_ROWS) if by_outcome["rejected"] else None
    return Classified(
        pa.RecordBatch.from_pylist(by_outcome["loaded"], LOADED_ROWS),
        pa.RecordBatch.from_pylist(by_outcome["pending"], WAITING_ROWS),
        rejected,
        [row["marker"] for row in by_outcome["marker"]],
    )


def gathered(*batches: Classified, marts: Sequence[Mart] = MARTS, with_lines: bool = False) -> list[Piece]:
    """Return the pieces that one task makes of classified rows."""
    gatherer = Gatherer(marts, with_lines=with_lines)
    return [*(piece for batch in batches for piece in gatherer.add(batch)), *gatherer.rest()]


def rows_in(pieces: Iterable[Piece], kind: int) -> list[dict[str, Any]]:
    """Return the rows in the blobs of the pieces of a kind."""
    return [row for piece in pieces if piece.kind == kind for row in unpacked(piece.blob or b"").to_pylist()]
