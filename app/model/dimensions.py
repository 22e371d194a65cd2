"""Enrichment: which dimension keys are known, and the attributes that facts carry (docs/decisions/0016-dimensions-and-pending-rows.md).

Rows and dimensions meet in the Python workers, as Arrow: docs/decisions/0009-lookups.md. Every dimension was proven unique on its key
when it was loaded, so nothing here changes the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from app.contract.contract import Contract
from app.model.lookup import Lookups, LookupSource


@dataclass(frozen=True)
class Dimension:
    """One dimension table.

    Attributes:
        table: the MySQL table, also the dimension's name.
        key: its key column.
        key_type: the Spark type that keys are compared in.
        fact_key: the sales column that refers to it.
        bit: what `_known` holds for a row whose key is in the table.
        columns: the columns that are read beside the key.
        fact_columns: dimension column -> the fact column that carries it.
        required: a row whose key is unknown waits as pending; an unknown product is only a warning.
    """

    table: str
    key: str
    key_type: str
    fact_key: str
    bit: int
    columns: tuple[str, ...]
    fact_columns: Mapping[str, str]
    required: bool = True


_CUSTOMER_COLUMNS = ("first_name", "last_name", "address", "pincode", "phone_number")

CUSTOMER = Dimension(
    table="customer",
    key="customer_id",
    key_type="bigint",
    fact_key="customer_id",
    bit=1,
    columns=_CUSTOMER_COLUMNS,
    fact_columns={name: name for name in _CUSTOMER_COLUMNS},
)
STORE = Dimension(
    table="store",
    key="id",
    key_type="bigint",
    fact_key="store_id",
    bit=2,
    columns=("store_manager_name",),
    fact_columns={"store_manager_name": "store_manager_name"},
)
SALES_TEAM = Dimension(
    table="sales_team",
    key="id",
    key_type="bigint",
    fact_key="sales_person_id",
    bit=4,
    columns=("first_name", "last_name", "manager_id", "is_manager", "address", "pincode"),
    fact_columns={
        "first_name": "sales_person_first_name",
        "last_name": "sales_person_last_name",
        "manager_id": "manager_id",
        "is_manager": "is_manager",
        "address": "sales_person_address",
        "pincode": "sales_person_pincode",
    },
)
PRODUCT = Dimension(
    table="product", key="name", key_type="string", fact_key="product_name", bit=8, columns=(), fact_columns={}, required=False
)

DIMENSIONS = (CUSTOMER, STORE, SALES_TEAM, PRODUCT)

# What `_known` holds, at least, of a row that is loaded.
REQUIRED_BITS = sum(d.bit for d in DIMENSIONS if d.required)
_KNOWN = pa.int8()


def known_keys(rows: pa.RecordBatch, lookups: Lookups) -> pa.Array:
    """Return `_known` of typed rows that have the fact keys: the sum of the bits of the dimensions that know them."""
    bits = [
        pc.multiply(
            lookups[dimension.table].find(rows.column(dimension.fact_key)).is_valid().cast(_KNOWN), pa.scalar(dimension.bit, _KNOWN)
        )
        for dimension in DIMENSIONS
    ]
    return reduce(pc.add, bits)


@dataclass(frozen=True)
class KnownKeys:
    """Adds `_known` to typed rows that have the fact keys."""

    lookups: LookupSource

    def of(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Add `_known` to some rows."""
        return rows.append_column(known_field(), known_keys(rows, self.lookups.value))


def known_field() -> pa.Field:
    """Return the field of `_known`."""
    return pa.field("_known", _KNOWN)


@dataclass(frozen=True)
class FactRows:
    """Makes fact rows of sales rows: attaches the attributes of customer, store and seller. `columns` are those of a fact row."""

    lookups: LookupSource
    columns: Sequence[str]

    def of(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the fact rows of some sales rows."""
        found = {name: rows.column(name) for name in rows.schema.names}
        lookups = self.lookups.value
        for dimension in DIMENSIONS:
            if dimension.fact_columns:
                lookup = lookups[dimension.table]
                at = lookup.find(rows.column(dimension.fact_key))
                found |= {target: lookup.rows.column(source).take(at) for source, target in dimension.fact_columns.items()}
        return pa.RecordBatch.from_arrays([found[name] for name in self.columns], list(self.columns))


def fact_columns(contract: Contract) -> list[str]:
    """Return the columns of a fact row in order; the last two are partition columns, as is the batch's key."""
    attributes = [column for dimension in DIMENSIONS for column in dimension.fact_columns.values()]
    own = [name for name in contract.names if name != "store_id"]
    return [*own, *attributes, contract.settings.extra_columns, "_warnings", "_file_id", "_line", "sales_month", "store_id"]
