"""The committed facts: objects of live parts, what is wrong with them, and snippets for other engines."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.cli import app as cli
from app.cli import facts as cli_facts
from app.cli.facts import print_json, print_listing
from app.config.load import Config, S3Config
from app.errors import UsageError
from app.views import facts, facts_snippets
from app.views.facts import FactObject, ListedPart, Listing, list_facts
from app.views.facts_snippets import Engine, snippet
from tests.doubles import FakeDatabase, FakeS3

AT = datetime(2024, 5, 1, 12, 30)
FOLDER = "sales_facts/sales_month=2024-05/store_id=121/batch_key=3-1-1/"


def parquet(rows: int, **kinds: pa.DataType) -> bytes:
    out = io.BytesIO()
    columns = {"total_cost": pa.decimal128(10, 2), **kinds}
    pq.write_table(pa.table({name: pa.nulls(rows, kind) for name, kind in columns.items()}), out)
    return out.getvalue()


def ledger(*parts: tuple[Any, ...], still_live: bool = True) -> FakeDatabase:
    """Live parts of one moment, and whether they are live now."""
    now = [{"1": 1}] if still_live else []
    return FakeDatabase(found={"SELECT UTC_TIMESTAMP": [(AT,)], "SELECT 1 FROM fact_part": now, "SELECT batch_key": list(parts)})


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, config: Config) -> Any:
    def run(db: FakeDatabase, s3: FakeS3, month: str | None = None, store: int | None = None) -> Listing:
        @contextmanager
        def snapshot(given: Any) -> Any:
            yield given

        monkeypatch.setattr(facts, "snapshot", snapshot)
        monkeypatch.setattr(facts, "ClientFactory", lambda _: lambda: s3)
        return list_facts(db, config, month, store)

    return run


def part(batch: str = "3-1-1", month: str = "2024-05", store: int = 121, rows: int = 5) -> tuple[Any, ...]:
    return (batch, month, store, rows, Decimal("12.5000"))


def test_the_objects_of_live_parts_are_listed_and_no_others_with_one_list_a_month(read: Any) -> None:
    s3 = FakeS3.holding(
        {
            FOLDER + "part-0.parquet": parquet(3),
            FOLDER + "part-1.parquet": parquet(2),
            FOLDER + "part-2.parquet-0b5c": b"going on",
            FOLDER.replace("3-1-1", "2-1-1") + "part-0.parquet": parquet(7),
            FOLDER.replace("=121", "=122") + "part-0.parquet": parquet(4),
            "sales_facts/sales_month=2024-06/store_id=121/batch_key=3-1-1/part-0.parquet": parquet(1),
            "sales_facts/_salestream/last_batch.json": b"{}",
        }
    )
    found = read(ledger(part(), part(store=122, rows=4), part(month="2024-06", rows=1)), s3)
    assert [(one.key.removeprefix("sales_facts/sales_month="), one.rows) for one in found.objects] == [
        ("2024-05/store_id=121/batch_key=3-1-1/part-0.parquet", 3),
        ("2024-05/store_id=121/batch_key=3-1-1/part-1.parquet", 2),
        ("2024-05/store_id=122/batch_key=3-1-1/part-0.parquet", 4),
        ("2024-06/store_id=121/batch_key=3-1-1/part-0.parquet", 1),
    ]
    assert (found.rows, found.amount, found.faults, found.as_of) == (10, Decimal("37.5000"), [], AT)
    assert [request["Prefix"] for request in s3.requests("list_objects_v2")] == [
        "sales_facts/sales_month=2024-05/",
        "sales_facts/sales_month=2024-06/",
    ]


def test_a_month_and_a_store_narrow_both_sides(read: Any) -> None:
    db, s3 = ledger(part()), FakeS3.holding({FOLDER + "part-0.parquet": parquet(5)})
    assert read(db, s3, "2024-05", 121).faults == []
    assert "state = 'LIVE' AND sales_month = '2024-05' AND store_id = 121 ORDER" in db.asked[1][0]
    assert [request["Prefix"] for request in s3.requests("list_objects_v2")] == ["sales_facts/sales_month=2024-05/store_id=121/"]


@pytest.mark.parametrize("month", ["2024", "2024-5", "2024-05' OR '1'='1", "2024-05\n"])
def test_what_is_no_month_is_refused(read: Any, month: str) -> None:
    with pytest.raises(UsageError, match="is no month; write it as 2024-05"):
        read(ledger(), FakeS3(), month)


def test_a_footer_longer_than_the_first_read_is_read_whole(read: Any) -> None:
    wide = parquet(5, **{f"a_column_with_a_long_name_{n}": pa.string() for n in range(900)})
    s3 = FakeS3.holding({FOLDER + "part-0.parquet": wide})
    assert read(ledger(part()), s3).faults == []
    assert len(s3.requests("get_object")) == 2


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ({}, "there is no object, and the ledger says 5 rows"),
        ({"part-0.parquet": parquet(4)}, "4 rows in 1 objects, and the ledger says 5"),
        ({"part-0.parquet": parquet(5), "part-1.parquet": parquet(1)}, "6 rows in 2 objects, and the ledger says 5"),
        ({"part-0.parquet": parquet(5), "part-1.parquet": b""}, "part-1.parquet is no Parquet"),
        ({"part-0.parquet": b"PAR1 and more PAR1"}, "part-0.parquet is no Parquet"),
    ],
    ids=["none", "fewer", "more", "empty", "broken"],
)
def test_a_part_without_its_rows_is_a_fault_and_not_left_out(read: Any, objects: dict[str, bytes], said: str) -> None:
    s3 = FakeS3.holding({FOLDER + name: body for name, body in objects.items()})
    found = read(ledger(part()), s3)
    assert found.faults == [f"s3://lake/{FOLDER}: {said}"]
    assert found.parts[0].rows == 5
    assert read(ledger(part(), still_live=False), s3).faults == [f"s3://lake/{FOLDER}: {said}; it was replaced meanwhile, so ask again"]


def test_columns_are_those_of_the_newest_batch_and_what_older_ones_had_besides(read: Any) -> None:
    objects = {
        FOLDER + "p.parquet": parquet(5, note=pa.string(), quantity=pa.int64()),
        FOLDER.replace("3-1-1", "12-1-1") + "p.parquet": parquet(5, quantity=pa.int32()),
    }
    found = read(ledger(part("12-1-1"), part()), FakeS3.holding(objects))
    assert found.columns == {"total_cost": pa.decimal128(10, 2), "quantity": pa.int32(), "note": pa.string()}


# What is printed

OBJECTS = (FactObject(FOLDER + "part-0.parquet", 900, 3), FactObject(FOLDER + "part-1.parquet", 100, 2))
LISTING = Listing(
    AT,
    (ListedPart("2024-05", 121, "3-1-1", 5, Decimal("12.5000"), FOLDER, OBJECTS),),
    {
        "customer_id": pa.int32(),
        "_line": pa.int64(),
        "product_name": pa.string(),
        "sales_date": pa.date32(),
        "total_cost": pa.decimal128(10, 2),
        "_warnings": pa.list_(pa.string()),
    },
)
EMPTY = Listing(AT, (), {})
FAULTY = Listing(AT, (ListedPart("2024-05", 121, "3-1-1", 5, Decimal("12.5000"), FOLDER, (), "s3://lake/x: \x1bno object"),), {})


def test_an_object_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_listing(LISTING)
    assert capsys.readouterr().out.splitlines() == [
        "month    store  batch  rows  size  key",
        f"2024-05    121  3-1-1     3   900  {FOLDER}part-0.parquet",
        f"2024-05    121  3-1-1     2   100  {FOLDER}part-1.parquet",
        "2 objects in 1 parts as of 2024-05-01T12:30:00Z: 5 rows, 12.50 in all",
    ]


def test_json_is_one_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_json("lake", LISTING)
    found = json.loads(capsys.readouterr().out)
    assert (found["as_of"], found["bucket"], found["rows"], found["amount"], found["faults"]) == (
        "2024-05-01T12:30:00Z",
        "lake",
        5,
        "12.5000",
        [],
    )
    assert found["parts"][0]["objects"][1] == {"key": FOLDER + "part-1.parquet", "size": 100, "rows": 2}


@pytest.mark.parametrize(
    ("listing", "arguments", "code", "out", "err"),
    [
        (FAULTY, ["--as", "duckdb"], 1, "", "salestream: s3://lake/x: \\x1bno object\n"),
        (
            EMPTY,
            ["--as", "spark"],
            2,
            "",
            "salestream: USAGE no facts are committed here: there is nothing to read; see ./spark-submit.sh facts list\n",
        ),
        (EMPTY, [], 0, "0 objects in 0 parts as of 2024-05-01T12:30:00Z: 0 rows, 0 in all\n", ""),
    ],
    ids=["faulty", "nothing to read", "nothing"],
)
def test_a_snippet_is_printed_only_of_what_is_whole(
    listing: Listing,
    arguments: list[str],
    code: int,
    out: str,
    err: str,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli_facts, "open_database", lambda env: (config, None))
    monkeypatch.setattr(facts, "list_facts", lambda *_: listing)
    assert cli.main(["facts", "list", *arguments]) == code
    assert tuple(capsys.readouterr()) == (out, err)


def test_a_snippet_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["facts", "list", "--as", "spark", "--json"]) == 2
    assert "--json does not go with --as" in capsys.readouterr().err


# Snippets


def test_the_duckdb_snippet_names_every_object_and_the_types_of_folders() -> None:
    config = S3Config(bucket="lake", region="eu-central-1", endpoint_url="http://127.0.0.1:9000", path_style=True)
    text = snippet(Engine.duckdb, config, LISTING)
    assert f"  's3://lake/{FOLDER}part-0.parquet',\n  's3://lake/{FOLDER}part-1.parquet',\n]" in text
    assert "hive_types = {'sales_month': VARCHAR, 'store_id': INTEGER, 'batch_key': VARCHAR}" in text
    assert "REGION 'eu-central-1', ENDPOINT '127.0.0.1:9000', URL_STYLE 'path', USE_SSL false)" in text
    assert "ENDPOINT" not in snippet(Engine.duckdb, S3Config(bucket="lake"), LISTING)


def test_the_spark_snippet_is_python() -> None:
    config = S3Config(bucket="lake", facts_prefix="it's/", endpoint_url="http://127.0.0.1:9000")
    text = snippet(Engine.spark, config, LISTING)
    compile(text, "snippet", "exec")
    assert f"'s3a://lake/{FOLDER}part-1.parquet'," in text
    assert '.option("basePath", "s3a://lake/it\'s/")' in text


def test_no_snippet_holds_a_secret() -> None:
    config = S3Config(bucket="lake", access_key_id="AKIA", secret_access_key="hush", session_token="hushhush")
    for engine in Engine:
        text = snippet(engine, config, LISTING)
        assert "hush" not in text
        assert "AKIA" not in text


def test_the_athena_snippet_has_the_live_parts_as_its_only_partitions() -> None:
    text = snippet(Engine.athena, S3Config(bucket="lake", facts_prefix="it's/"), LISTING)
    statements = [statement.strip() for statement in text.split(";\n")]
    assert statements[1] == (
        "CREATE EXTERNAL TABLE salestream_facts (\n  `customer_id` int,\n  `_line` bigint,\n  `product_name` string,\n"
        "  `sales_date` date,\n  `total_cost` decimal(10,2),\n  `_warnings` array<string>\n)\n"
        "PARTITIONED BY (`sales_month` string, `store_id` int, `batch_key` string)\nSTORED AS PARQUET\nLOCATION 's3://lake/it''s/'"
    )
    assert statements[2] == (
        f"ALTER TABLE salestream_facts ADD\n  PARTITION (sales_month = '2024-05', store_id = 121, batch_key = '3-1-1') LOCATION 's3://lake/{FOLDER}'"
    )
    assert len(statements) == 4


def test_athena_gets_no_statement_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_snippets, "ATHENA_BYTES", 500)
    parts = tuple(ListedPart("2024-05", n, "3-1-1", 1, Decimal(1), f"f/store_id={n}/", OBJECTS) for n in range(20))
    text = snippet(Engine.athena, S3Config(bucket="lake"), Listing(AT, parts, {"a": pa.string()}))
    adding = [statement for statement in text.split(";\n") if statement.startswith("ALTER")]
    assert len(adding) > 2
    assert all(len(statement) < 600 for statement in adding)
    assert [text.count(f"store_id = {n}, ") for n in range(20)] == [1] * 20


def test_snippets_hold_what_objects_of_two_contracts_hold() -> None:
    old = FactObject("f/old.parquet", 9, 1, (("quantity", pa.int32()), ("price", pa.decimal128(12, 4)), ("note", pa.string())))
    new = FactObject("f/new.parquet", 9, 1, (("price", pa.decimal128(16, 4)), ("quantity", pa.int64())))
    columns = {"price": pa.decimal128(12, 4), "quantity": pa.int32(), "note": pa.string()}
    found = Listing(AT, (ListedPart("2024-05", 121, "3-1-1", 2, Decimal(1), FOLDER, (old, new)),), columns)
    athena = snippet(Engine.athena, S3Config(bucket="lake"), found)
    assert "  `price` decimal(16,4),\n  `quantity` bigint,\n  `note` string\n)" in athena
    spark = snippet(Engine.spark, S3Config(bucket="lake"), found)
    compile(spark, "snippet", "exec")
    assert spark.count("frames.append(spark.read.schema(") == 2
    assert "types = {'price': 'decimal(16,4)', 'quantity': 'bigint', 'note': 'string'}" in spark
