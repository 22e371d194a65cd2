"""Rows that earlier batches stored are read as today's contract has them; what does not fit is refused before anything is written."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.batch.classify import sales_columns
from app.batch.stored_rows import (
    ReadWaiting,
    facts_schema,
    shared_parts,
    stored_batches,
    stored_parts,
    waiting_schema,
    with_left_columns,
)
from app.config.load import S3Config
from app.contract.contract import Column, Contract
from app.errors import BatchFailed
from app.model.dimensions import DIMENSIONS
from app.model.pieces import FACTS, FILE, WAITERS, WARNING, Piece
from tests.doubles import FakeFactory, FakeS3
from tests.frames import known, rows_in
from tests.shipped import shipped_contract

CONFIG = S3Config(bucket="lake")
SHIPPED = shipped_contract()
STORED = pa.schema(
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
ROW = {
    "customer_id": 99,
    "store_id": 121,
    "product_name": "sugar",
    "sales_date": date(2024, 4, 30),
    "sales_person_id": 1,
    "price": Decimal(50),
    "quantity": 2,
    "total_cost": Decimal(100),
    "_file_id": 7,
    "_split": 0,
    "_line": 2,
    "sales_month": "2024-04",
}


def changed(contract: Contract, **types: str) -> Contract:
    """Change types of columns, and add nullable ones that are not there."""
    columns = [replace(one, type=types.pop(one.name)) if one.name in types else one for one in contract.columns]
    return replace(contract, columns=(*columns, *(Column(name, kind, required=False, nullable=True) for name, kind in types.items())))


def with_fields(schema: pa.Schema, **types: pa.DataType | None) -> pa.Schema:
    """Change types of fields or leave them out; what is not there is added before the column of extra columns."""
    fields = [pa.field(one.name, types.get(one.name, one.type)) for one in schema if types.get(one.name, one.type) is not None]
    at = [one.name for one in fields].index("_warnings") - 1
    fields[at:at] = [pa.field(name, kind) for name, kind in types.items() if name not in schema.names and kind is not None]
    return pa.schema(fields)


def parquet(rows: list[Mapping[str, Any]], schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema), sink)
    return sink.getvalue()


def bucket_of(*parts: tuple[list[Mapping[str, Any]], pa.Schema]) -> FakeFactory:
    """Store parts below 0/, 1/ and so on."""
    return FakeFactory(FakeS3.holding({f"{at}/a.parquet": parquet(rows, schema) for at, (rows, schema) in enumerate(parts)}))


def looked_up(clients: Any, count: int) -> Any:
    return stored_parts(clients, CONFIG, [f"{at}/" for at in range(count)])


# Objects


def test_a_part_is_all_its_objects_and_the_columns_of_the_first() -> None:
    clients = FakeFactory(
        FakeS3.holding({f"p/{at}.parquet": parquet([ROW | {"_line": at}], STORED) for at in range(3)} | {"p/x.txt": b"no"})
    )
    [part] = stored_parts(clients, CONFIG, ["p/"])
    assert [one.key for one in part.objects] == ["p/0.parquet", "p/1.parquet", "p/2.parquet"]
    assert part.bytes == sum(len(body) for (_, key), body in clients().bodies.items() if key.endswith(".parquet"))
    assert (part.schema.names, part.extra) == (STORED.names, "additional_column")
    assert [row["_line"] for rows in stored_batches(clients(), part) for row in rows.to_pylist()] == [0, 1, 2]
    some = list(stored_batches(clients(), part, ("_line", "_file_id")))
    assert {tuple(rows.schema.names) for rows in some} == {("_line", "_file_id")}


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ({}, "s3://lake/0/ holds no Parquet, and the ledger counts on its rows"),
        ({"0/a.txt": b"PAR1"}, "s3://lake/0/ holds no Parquet, and the ledger counts on its rows"),
        ({"0/a.parquet": b"no Parquet at all"}, "s3://lake/0/a.parquet is no Parquet, and the ledger counts on its rows"),
        ({"0/a.parquet": b""}, "s3://lake/0/a.parquet is no Parquet, and the ledger counts on its rows"),
    ],
)
def test_a_part_that_is_not_there_stops_the_batch(objects: dict[str, bytes], said: str) -> None:
    with pytest.raises(BatchFailed, match=said):
        looked_up(FakeFactory(FakeS3.holding(objects)), 1)


def test_an_object_that_is_another_one_or_gone_by_now_stops_the_batch() -> None:
    clients = bucket_of(([ROW], STORED))
    [part] = looked_up(clients, 1)
    clients.client.store("lake", "0/a.parquet", parquet([ROW, ROW], STORED))
    with pytest.raises(BatchFailed, match=r"s3://lake/0/a.parquet: .*, and the ledger counts on its rows"):
        list(stored_batches(clients(), part))
    del clients.client.objects["lake", "0/a.parquet"]
    with pytest.raises(BatchFailed, match=r"s3://lake/0/a.parquet: .*, and the ledger counts on its rows"):
        list(stored_batches(clients(), part))


def test_parts_are_shared_so_that_each_is_read_once() -> None:
    clients = bucket_of(*[([ROW] * count, STORED) for count in (1, 500, 1, 1, 300)])
    parts = looked_up(clients, 5)
    tasks = shared_parts(parts, split_bytes=parts[1].bytes, parallelism=3)
    assert sorted(number for task in tasks for number in task) == [0, 1, 2, 3, 4]
    assert shared_parts([], 1000, 3) == []


# Columns that the contract does not name any more


def test_columns_that_are_left_go_to_the_extra_columns_as_text() -> None:
    extra = pa.array([None, '{"a":"é","price":"old"}', "{}", '{"b":"x"}', None])
    left = {
        "price": pa.array([Decimal("1.50"), Decimal("2"), None, None, None], pa.decimal128(5, 2)),
        "day": pa.array([date(2024, 2, 29), None, None, date(1, 1, 1), None], pa.date32()),
        "count": pa.array([-1, 2**40, None, 0, None], pa.int64()),
        "note": pa.array(['a "b"\n', "", None, None, None], pa.string()),
    }
    made = with_left_columns(extra, left)
    assert made.type == pa.string()
    assert [json.loads(text) if text is not None else None for text in made.to_pylist()] == [
        {"price": "1.50", "day": "2024-02-29", "count": "-1", "note": 'a "b"\n'},
        # What the row says itself takes the place of an extra column of the name.
        {"a": "é", "price": "2.00", "count": str(2**40), "note": ""},
        None,
        {"b": "x", "day": "0001-01-01", "count": "0"},
        None,
    ]
    assert made.to_pylist()[1] == '{"a":"é","price":"2.00","count":"1099511627776","note":""}'


def test_a_name_that_is_left_and_null_is_no_extra_column() -> None:
    made = with_left_columns(pa.array(['{"price":"old"}', '{"price":"old","a":"b"}']), {"price": pa.array([None, None], pa.int32())})
    assert made.to_pylist() == [None, '{"a":"b"}']


def test_extra_columns_stay_as_they_are_when_nothing_is_left() -> None:
    extra = pa.array(['{"b": 1,  "a":"x"}', None])
    assert with_left_columns(extra, {}) is extra


# Waiting rows


def read_waiting(
    contract: Contract, *parts: tuple[list[Mapping[str, Any]], pa.Schema], dropped: frozenset[int] = frozenset()
) -> list[Piece]:
    clients = bucket_of(*parts)
    stored = looked_up(clients, len(parts))
    target = waiting_schema(CONFIG, contract, stored)
    assert target.names == sales_columns(contract)
    work = ReadWaiting(clients, contract, known(98), stored, [list(range(len(parts)))], target, dropped)
    return list(work(0))


def test_waiting_rows_are_classified_again_part_by_part() -> None:
    rows = [ROW | {"_line": 2}, ROW | {"_line": 3, "customer_id": 98, "_warnings": ["odd"]}, ROW | {"_line": 4, "_file_id": 8}]
    pieces = read_waiting(SHIPPED, (rows[:2], STORED), (rows[2:], STORED))
    [loaded] = rows_in(pieces, FACTS)
    assert {name: loaded[name] for name in ROW if name != "sales_month"} == {
        name: value for name, value in rows[1].items() if name not in ("sales_month", "_warnings")
    }
    assert [(piece.name, piece.keys, piece.rows, piece.amount) for piece in pieces if piece.kind == FACTS] == [
        ("2024-04", (121,), 1, Decimal(100))
    ]
    assert sorted((row["_file_id"], row["_line"]) for row in rows_in(pieces, WAITERS)) == [(7, 2), (8, 4)]
    assert sorted((piece.name, piece.keys, piece.rows) for piece in pieces if piece.kind == FILE) == [
        ("loaded", (7,), 1),
        ("pending", (7,), 1),
        ("pending", (8,), 1),
    ]
    assert [(piece.name, piece.keys, piece.rows, piece.line) for piece in pieces if piece.kind == WARNING] == [("odd", (7, 0), 1, 3)]


def test_waiting_rows_of_dropped_files_are_left_out() -> None:
    rows = [ROW | {"_line": at, "_file_id": at} for at in range(1, 5)]
    pieces = read_waiting(SHIPPED, (rows, STORED), dropped=frozenset({2, 4, 9}))
    assert sorted(row["_file_id"] for row in rows_in(pieces, WAITERS)) == [1, 3]
    assert read_waiting(SHIPPED, (rows, STORED), dropped=frozenset({1, 2, 3, 4})) == []


def test_waiting_rows_of_another_contract_have_the_columns_and_types_of_today() -> None:
    # Today: wider prices, a new column, no quantity, another name for the extra columns; the old part has one more that is gone.
    today = changed(SHIPPED, price="decimal(20,6)", discount="decimal(5,2)", product_name="string")
    today = replace(
        today,
        columns=tuple(one for one in today.columns if one.name != "quantity"),
        settings=replace(today.settings, extra_columns="more"),
        rules=(),
    )
    old = with_fields(STORED, coupon=pa.string(), total_cost=pa.decimal128(10, 2))
    row = ROW | {"coupon": "c7", "additional_column": '{"a":"b"}', "_warnings": ["odd"]}
    [found] = rows_in(read_waiting(today, ([row], old)), WAITERS)
    assert {name: found[name] for name in found if name not in ("_month", "more")} == {
        **{name: ROW[name] for name in ("customer_id", "store_id", "product_name", "sales_date", "sales_person_id")},
        "price": Decimal("50.000000"),
        "total_cost": Decimal("100.0000"),
        "discount": None,
        "_warnings": ["odd"],
        **{name: ROW[name] for name in ("_file_id", "_split", "_line")},
    }
    assert json.loads(found["more"]) == {"a": "b", "quantity": "2", "coupon": "c7"}


def test_a_number_or_date_becomes_text_where_the_contract_says_text() -> None:
    today = changed(SHIPPED, quantity="string", price="string", note="string")
    old = with_fields(STORED, note=pa.date32())
    [found] = rows_in(read_waiting(replace(today, rules=()), ([ROW | {"note": date(2024, 2, 29)}], old)), WAITERS)
    assert (found["quantity"], found["price"], found["note"]) == ("2", "50.0000", "2024-02-29")


@pytest.mark.parametrize(
    ("types", "stored", "said"),
    [
        (
            {"price": "decimal(10,4)"},
            {},
            r"column price of the waiting rows in s3://lake/1/ is decimal\(12,4\), and the contract says decimal\(10,4\)",
        ),
        ({"price": "decimal(20,2)"}, {}, r"column price .* is decimal\(12,4\), and the contract says decimal\(20,2\)"),
        ({}, {"quantity": pa.int64()}, "column quantity of the waiting rows in s3://lake/1/ is bigint, and the contract says int"),
        ({"note": "int"}, {"note": pa.string()}, "column note of the waiting rows in s3://lake/1/ is string, and the contract says int"),
    ],
)
def test_a_type_that_does_not_hold_the_stored_values_is_refused(types: dict[str, str], stored: dict[str, pa.DataType], said: str) -> None:
    contract = changed(SHIPPED, **types)
    # The first part has what the contract says, the second one does not.
    fine = with_fields(STORED, price=None, note=None) if "price" in types else STORED
    parts = looked_up(bucket_of(([], fine), ([], with_fields(STORED, **stored))), 2)
    assert waiting_schema(CONFIG, contract, parts[:1]).names == sales_columns(contract)
    with pytest.raises(BatchFailed, match=said + ", which does not hold all its values") as failed:
        waiting_schema(CONFIG, contract, parts)
    assert "retract or replay their files" in str(failed.value)


def test_the_column_of_extra_columns_is_none_that_the_contract_names() -> None:
    """An extra column of today's contract may have the name that the column of extra columns had."""
    contract = replace(changed(SHIPPED, additional_column="int"), settings=replace(SHIPPED.settings, extra_columns="more"))
    parts = looked_up(bucket_of(([], STORED)), 1)
    assert waiting_schema(CONFIG, contract, parts).field("additional_column").type == pa.int32()


# Facts


FACT = pa.schema([one for one in STORED if one.name not in ("store_id", "_split", "sales_month")])


def facts_of(contract: Contract, *schemas: pa.Schema) -> pa.Schema:
    return facts_schema(contract, every_attribute(), looked_up(bucket_of(*(([], schema) for schema in schemas)), len(schemas)), CONFIG)


def every_attribute() -> pa.Schema:
    """Return what facts show of the dimensions."""
    schemas = {name: lookup.rows.schema for name, lookup in known().value.items()}
    return pa.schema(
        [pa.field(target, schemas[d.table].field(source).type) for d in DIMENSIONS for source, target in d.fact_columns.items()]
    )


def test_facts_have_todays_columns_and_behind_them_those_of_older_contracts() -> None:
    made = facts_of(SHIPPED, with_fields(FACT, coupon=pa.string()), with_fields(FACT, discount=pa.decimal128(5, 2), price=None))
    names = made.names
    assert names[:7] == ["customer_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost"]
    assert names[-6:] == ["coupon", "discount", "additional_column", "_warnings", "_file_id", "_line"]
    assert set(names) == {*FACT.names, *every_attribute().names, "coupon", "discount"}
    assert len(names) == len(set(names))
    assert (made.field("coupon").type, made.field("discount").type) == (pa.string(), pa.decimal128(5, 2))


def test_a_fact_column_is_as_wide_as_its_widest() -> None:
    made = facts_of(
        SHIPPED, with_fields(FACT, price=pa.decimal128(10, 6), quantity=pa.int64()), with_fields(FACT, price=pa.decimal128(14, 2))
    )
    assert (made.field("price").type, made.field("quantity").type) == (pa.decimal128(18, 6), pa.int64())
    assert made.field("customer_id").type == pa.int32()


def test_the_extra_columns_of_all_parts_become_the_one_of_today() -> None:
    old = pa.schema([pa.field("more" if one.name == "additional_column" else one.name, one.type) for one in FACT])
    made = facts_of(SHIPPED, old, FACT)
    assert "more" not in made.names
    assert made.field("additional_column").type == pa.string()


def test_a_number_becomes_text_where_the_contract_says_text() -> None:
    assert facts_of(changed(SHIPPED, note="string"), with_fields(FACT, note=pa.int32())).field("note").type == pa.string()


def test_types_without_one_that_holds_both_are_refused_by_name() -> None:
    said = r"column note is int and string in parts of the facts that would be written as one, the first is s3://lake/0/: no type holds"
    with pytest.raises(BatchFailed, match=said):
        facts_of(SHIPPED, with_fields(FACT, note=pa.int32()), with_fields(FACT, note=pa.string()))
    with pytest.raises(BatchFailed, match=r"column note is date and string in parts"):
        facts_of(changed(SHIPPED, note="date"), with_fields(FACT, note=pa.string()))


def test_an_object_whose_middle_is_damaged_stops_the_batch() -> None:
    body = bytearray(parquet([ROW | {"product_name": f"product {at}"} for at in range(1000)], STORED))
    body[4:2000] = b"\0" * 1996
    clients = FakeFactory(FakeS3.holding({"0/a.parquet": bytes(body)}))
    [part] = looked_up(clients, 1)
    with pytest.raises(BatchFailed, match=r"s3://lake/0/a.parquet cannot be read as Parquet: "):
        list(stored_batches(clients(), part))
