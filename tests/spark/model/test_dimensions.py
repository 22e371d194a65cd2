"""Facts carry the attributes of their customer, store and seller, once each, and no row comes or goes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from app.batch.classify import sales_columns
from app.contract.contract import Contract
from app.errors import DimensionError
from app.model.dimensions import (
    CUSTOMER,
    DIMENSIONS,
    PRODUCT,
    REQUIRED_BITS,
    FactRows,
    KnownKeys,
    fact_columns,
    known_field,
)
from app.source.dimensions import check_unique
from tests.frames import dimensions, lookups

pytestmark = pytest.mark.spark

# The two row-level outputs of the job that this one replaces: one fact set serves both.
CUSTOMER_FACTS = {"customer_id", "first_name", "last_name", "address", "pincode", "phone_number", "sales_date", "total_cost"}
TEAM_FACTS = {
    "store_id",
    "sales_person_id",
    "sales_person_first_name",
    "sales_person_last_name",
    "store_manager_name",
    "manager_id",
    "is_manager",
    "sales_person_address",
    "sales_person_pincode",
    "sales_date",
    "total_cost",
    "sales_month",
}


@pytest.fixture(scope="module")
def facts(spark: SparkSession, contract: Contract) -> pa.RecordBatch:
    """Enrich sales of a whole customer and seller, of ones with gaps, of a customer that is in no dimension, and of the first again."""
    keys = [(1, 121, 1), (2, 122, 2), (99, 121, 1), (1, 121, 1)]
    day, extra = date(2024, 4, 30), '{"mode":"UPI"}'
    sales = [
        (customer, store, "sugar", day, seller, Decimal(50), 2, Decimal(100), extra, None, 7, 0, line, "2024-04")
        for line, (customer, store, seller) in enumerate(keys, 1)
    ]
    schema = pa.schema(
        [
            ("customer_id", pa.int32()),
            ("store_id", pa.int32()),
            ("product_name", pa.string()),
            ("sales_date", pa.date32()),
            ("sales_person_id", pa.int32()),
            ("price", pa.decimal128(12, 4)),
            ("quantity", pa.int32()),
            ("total_cost", pa.decimal128(18, 4)),
            ("additional_column", pa.string()),
            ("_warnings", pa.list_(pa.string())),
            ("_file_id", pa.int64()),
            ("_split", pa.int32()),
            ("_line", pa.int64()),
            ("sales_month", pa.string()),
        ]
    )
    rows = pa.RecordBatch.from_pylist([dict(zip(schema.names, sale, strict=True)) for sale in sales], schema)
    assert rows.schema.names == [*sales_columns(contract), "sales_month"]
    held, columns = lookups(spark), fact_columns(contract)
    made = FactRows(held, columns).of(rows)
    assert [made.schema.field(name).type for name in ("first_name", "manager_id", "total_cost")] == [
        pa.string(),
        pa.int32(),
        pa.decimal128(18, 4),
    ]
    return made


@pytest.fixture(scope="module")
def rows(facts: pa.RecordBatch) -> dict[int, dict[str, Any]]:
    return {row["_line"]: row for row in facts.to_pylist()}


def test_facts_have_the_columns_of_both_outputs_and_their_lineage_in_order(facts: pa.RecordBatch, contract: Contract) -> None:
    assert facts.schema.names == [
        "customer_id",
        "product_name",
        "sales_date",
        "sales_person_id",
        "price",
        "quantity",
        "total_cost",
        "first_name",
        "last_name",
        "address",
        "pincode",
        "phone_number",
        "store_manager_name",
        "sales_person_first_name",
        "sales_person_last_name",
        "manager_id",
        "is_manager",
        "sales_person_address",
        "sales_person_pincode",
        "additional_column",
        "_warnings",
        "_file_id",
        "_line",
        "sales_month",
        "store_id",
    ]
    assert set(facts.schema.names) >= CUSTOMER_FACTS | TEAM_FACTS


def test_no_column_occurs_twice_in_any_letter_case(facts: pa.RecordBatch) -> None:
    assert len({name.lower() for name in facts.schema.names}) == len(facts.schema.names)


def test_no_row_comes_or_goes(facts: pa.RecordBatch) -> None:
    assert sorted(facts.column("_line").to_pylist()) == [1, 2, 3, 4]


def test_a_sale_carries_its_customer_store_and_seller(rows: dict[int, dict[str, Any]]) -> None:
    row = rows[1]
    assert (row["first_name"], row["last_name"], row["address"], row["pincode"], row["phone_number"]) == (
        "Asha",
        "Rao",
        "1 Mall Road",
        "411001",
        "9000000001",
    )
    assert row["store_manager_name"] == "Manoj Bhatia"
    assert (row["sales_person_first_name"], row["sales_person_last_name"]) == ("Anil", "Kapadia")
    assert (row["manager_id"], row["is_manager"]) == (10, "N")
    assert (row["sales_person_address"], row["sales_person_pincode"]) == ("16 Karol Bagh", "110005")


def test_gaps_in_a_dimension_stay_gaps(rows: dict[int, dict[str, Any]]) -> None:
    row = rows[2]
    assert (row["first_name"], row["last_name"], row["phone_number"], row["store_manager_name"]) == ("Gowri", None, None, None)
    assert (row["sales_person_first_name"], row["sales_person_last_name"], row["manager_id"]) == ("Elango", None, None)


def test_a_row_without_its_customer_is_kept(rows: dict[int, dict[str, Any]]) -> None:
    assert (rows[3]["customer_id"], rows[3]["first_name"], rows[3]["store_manager_name"]) == (99, None, "Manoj Bhatia")
    assert rows[3]["additional_column"] == '{"mode":"UPI"}'


# Known keys


def test_known_keys_are_flagged_and_a_null_key_is_known_to_nobody(spark: SparkSession) -> None:
    names = ("customer_id", "store_id", "sales_person_id", "product_name")
    keys = [(1, 121, 1, "sugar"), (99, 121, 9, "tea"), (None, None, None, None), (1, 121, 1, "sugar")]
    schema = pa.schema([(name, pa.string() if name == "product_name" else pa.int32()) for name in names])
    rows = pa.RecordBatch.from_pylist([dict(zip(names, key, strict=True)) for key in keys], schema)
    flagged = KnownKeys(lookups(spark)).of(rows)
    assert flagged.schema == schema.append(known_field())
    known = flagged.column("_known").to_pylist()
    judged = [
        (one & REQUIRED_BITS == REQUIRED_BITS, bool(one & PRODUCT.bit), [d.table for d in DIMENSIONS if d.required and not one & d.bit])
        for one in known
    ]
    assert sorted(judged) == [
        (False, False, ["customer", "sales_team"]),
        (False, False, ["customer", "store", "sales_team"]),
        (True, True, []),
        (True, True, []),
    ]
    assert known == [15, 2, 0, 15]


# A dimension has each key once


def test_a_dimension_with_each_key_once_passes(spark: SparkSession) -> None:
    check_unique(dimensions(spark)["customer"].toArrow(), CUSTOMER)


def test_a_key_that_occurs_twice_is_refused_by_table_column_and_key(spark: SparkSession) -> None:
    doubled = dimensions(spark, (2, "Gauri", "Joshi", None, None, None), (1, "Asha", "Rao", None, None, None))["customer"]
    with pytest.raises(DimensionError, match="^DIMENSION table customer holds customer_id 1, 2 more than once; "):
        check_unique(doubled.toArrow(), CUSTOMER)


def test_only_the_first_five_doubled_keys_are_named(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(f"p{number}",) for number in range(9)] * 2, "name string")
    with pytest.raises(DimensionError, match="holds name p0, p1, p2, p3, p4 more than once"):
        check_unique(frame.toArrow(), PRODUCT)
