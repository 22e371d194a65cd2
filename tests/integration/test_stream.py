"""The main path on real servers: what is dropped is in marts, Parquet and ledger, once, whatever the batches are."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.batch import evaluate, replace_parts
from app.model.marts import CUSTOMERS
from app.sinks.marts import stage_rows
from scripts import generators
from tests.data import expected
from tests.oracle import expected_marts
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"


def assert_agrees_with_oracle(world: World, paths: Iterable[Path]) -> None:
    """Compare marts, the list of committed Parquet and the Parquet itself with DuckDB's view of the CSVs."""
    paths = list(paths)
    wanted = expected_marts(paths)
    assert world.customer_mart() == wanted.customers
    assert world.team_mart() == wanted.team
    assert_parts_agree(world)
    live: dict[tuple[str, int], tuple[int, Decimal]] = {}
    for (month, store, _), (rows, amount) in world.live_parts().items():
        before = live.get((month, store), (0, Decimal(0)))
        live[month, store] = (before[0] + rows, before[1] + amount)
    assert live == wanted.facts


def assert_parts_agree(world: World) -> None:
    """The Parquet below the facts prefix is exactly what the ledger says is live, and the marts add up to the same rows and sum."""
    live = world.live_parts()
    assert world.parquet_parts() == live
    rows, amount = sum(part[0] for part in live.values()), sum((part[1] for part in live.values()), Decimal(0))
    for table in ("customers_data_mart", "sales_team_data_mart"):
        total = world.rows(f"SELECT COALESCE(SUM(row_count), 0) AS n, COALESCE(SUM(total_sales), 0) AS s FROM {table}")[0]
        assert (total["n"], total["s"]) == (rows, amount), table
    books = world.rows(
        "SELECT COALESCE(SUM(rows_loaded), 0) AS n, SUM(rows_read <> rows_loaded + rows_rejected + rows_pending) AS wrong FROM source_file"
    )[0]
    assert (books["n"], books["wrong"] or 0) == (rows, 0)


def written(folder: Path, name: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Path:
    """Write one CSV file."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join([",".join(header), *(",".join(row) for row in rows)]) + "\n")
    return path


def test_generated_files_give_the_oracles_marts_in_several_batches_and_after_a_second_drop(
    world: World, spark: SparkSession, tmp_path: Path
) -> None:
    import random
    from datetime import date

    rng = random.Random(7)
    span = {"start": date(2024, 1, 1), "end": date(2024, 3, 31)}
    files = [
        written(tmp_path / "in", f"standard_{n}.csv", generators.SALES_HEADER, generators.standard_rows(rng, 200, **span)) for n in range(3)
    ]
    files += [
        written(
            tmp_path / "in",
            f"sales_data_2024-02-0{n}.csv",
            generators.SALES_HEADER,
            generators.datewise_rows(rng, 300, day=date(2024, 2, n)),
        )
        for n in (1, 2)
    ]
    world.set("stream", max_files_per_trigger=2)
    for path in files:
        world.drop(path.name, path)
    world.run_once(spark)
    assert set(world.states().values()) == {"COMMITTED"}
    assert [row["files"] for row in world.rows("SELECT files FROM micro_batch ORDER BY id")] == [2, 2, 1]
    assert_agrees_with_oracle(world, files)

    again = written(tmp_path / "in", "late.csv", generators.SALES_HEADER, generators.standard_rows(rng, 150, **span))
    world.drop("late.csv", again)
    world.run_once(spark)
    assert_agrees_with_oracle(world, [*files, again])


def pending_keys(world: World) -> dict[tuple[str, int], int]:
    """Return the rows that wait, by dimension and key."""
    pending = world.rows("SELECT dimension, key_value, SUM(row_count) AS n FROM pending_key GROUP BY dimension, key_value")
    return {(row["dimension"], row["key_value"]): row["n"] for row in pending}


def test_hand_made_drops_become_the_marts_worked_out_on_paper(world: World, spark: SparkSession) -> None:
    for path in expected.FIRST_DROP:
        world.drop(path.name, path)
    world.run_once(spark)
    assert world.customer_mart() == expected.CUSTOMERS_AFTER_FIRST
    assert world.team_mart() == expected.TEAM_AFTER_FIRST
    assert pending_keys(world) == expected.PENDING
    assert_parts_agree(world)

    for path in expected.SECOND_DROP:
        world.drop(path.name, path)
    world.run_once(spark)
    assert world.customer_mart() == expected.CUSTOMERS_AFTER_SECOND
    assert world.team_mart() == expected.TEAM_AFTER_SECOND
    books = world.rows("SELECT object_key, rows_read, rows_loaded, rows_pending FROM source_file")
    assert {
        bytes(r["object_key"]).decode().rsplit("/", 1)[1]: (r["rows_read"], r["rows_loaded"], r["rows_pending"]) for r in books
    } == expected.ROWS

    world.execute("INSERT INTO customer (customer_id, first_name, last_name) VALUES (9001, 'Late', 'Comer')")
    world.run_once(spark)
    assert world.customer_mart() == expected.CUSTOMERS_AFTER_RELEASE
    assert world.team_mart() == expected.TEAM_AFTER_RELEASE
    assert_parts_agree(world)

    world.run_once(spark)
    assert world.customer_mart() == expected.CUSTOMERS_AFTER_RELEASE


def test_what_is_too_much_for_a_small_batch_becomes_the_same(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "SMALL_BYTES", 0)
    monkeypatch.setattr(replace_parts, "SMALL_ROWS", 0)
    for path in expected.FIRST_DROP:
        world.drop(path.name, path)
    world.run_once(spark)
    assert world.customer_mart() == expected.CUSTOMERS_AFTER_FIRST
    assert world.team_mart() == expected.TEAM_AFTER_FIRST
    assert pending_keys(world) == expected.PENDING
    assert_parts_agree(world)


def test_staging_few_rows_again_changes_nothing(world: World) -> None:
    rows = [(7, "2024-02", "Ann", None, None, Decimal("1.5000"), 2), (8, "2024-02", "Bo", None, None, Decimal(-1), 1)]
    for _ in range(2):
        stage_rows(world.db, CUSTOMERS.stage_table, CUSTOMERS.columns, "9-1-1", rows)
    staged = world.rows("SELECT batch_key, customer_id, sales_date_month, full_name, total_sales, row_count FROM stage_customers_data_mart")
    assert [tuple(row.values()) for row in staged] == [
        ("9-1-1", 7, "2024-02", "Ann", Decimal("1.5000"), 2),
        ("9-1-1", 8, "2024-02", "Bo", Decimal("-1.0000"), 1),
    ]


def test_a_missing_last_name_never_makes_the_full_name_null(world: World, spark: SparkSession) -> None:
    world.drop("a.csv", f"{HEADER}\n7,121,sugar,2024-02-01,5,50,1,50\n")
    world.run_once(spark)
    customer = world.rows("SELECT c.first_name, m.full_name FROM customers_data_mart m JOIN customer c USING (customer_id)")[0]
    seller = world.rows("SELECT s.first_name, m.full_name FROM sales_team_data_mart m JOIN sales_team s ON s.id = m.sales_person_id")[0]
    assert customer["full_name"] == customer["first_name"]
    assert seller["full_name"] == seller["first_name"]


def test_running_again_without_the_checkpoint_or_with_a_foreign_one_changes_nothing(world: World, spark: SparkSession) -> None:
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    world.run_once(spark)
    first = (world.customer_mart(), world.team_mart(), world.live_parts(), world.keys(""))
    world.run_once(spark)
    assert (world.customer_mart(), world.team_mart(), world.live_parts(), world.keys("")) == first
    shutil.rmtree(world.config.checkpoint_root)
    world.run_once(spark)
    assert (world.customer_mart(), world.team_mart(), world.live_parts(), world.keys("")) == first
    # Where the next start begins, a foreign checkpoint that is broken as well and claims to be far ahead.
    foreign = world.config.checkpoint_root / str(world.rows("SELECT epoch FROM stream_owner")[0]["epoch"] + 1)
    (foreign / "offsets").mkdir(parents=True)
    (foreign / "metadata").write_text("no JSON")
    (foreign / "offsets" / "7").write_text('v1\n{}\n{"batch": 999}')
    world.drop("b.csv", f"{HEADER}\n2,121,sugar,2024-02-01,1,50,1,50\n")
    world.run_once(spark)
    assert world.customer_mart() == {(1, "2024-02"): Decimal(100), (2, "2024-02"): Decimal(50)}
    assert_parts_agree(world)


def test_files_that_are_no_sales_files_go_to_the_error_prefix_with_their_reason(world: World, spark: SparkSession) -> None:
    world.drop("good.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    world.drop("fewer.csv", "customer_id,product_name\n1,sugar\n")
    world.drop("double.csv", f"{HEADER},Price\n")
    world.drop("empty.csv", b"")
    world.drop("binary.csv", b"PK\x03\x04" + bytes(range(256)) * 8)
    world.run_once(spark)
    found = world.rows("SELECT object_key, state, reason_code, archived_key FROM source_file ORDER BY object_key")
    assert [(bytes(r["object_key"]).decode(), r["state"], r["reason_code"]) for r in found] == [
        ("sales_data/binary.csv", "REJECTED", "NOT_CSV"),
        ("sales_data/double.csv", "REJECTED", "DUPLICATE_COLUMN"),
        ("sales_data/empty.csv", "REJECTED", "EMPTY"),
        ("sales_data/fewer.csv", "REJECTED", "MISSING_COLUMN"),
        ("sales_data/good.csv", "COMMITTED", None),
    ]
    assert world.keys("sales_data/") == []
    moved = sorted(bytes(r["archived_key"]).decode() for r in found)
    assert moved == sorted(world.keys("sales_data_error/") + world.keys("sales_data_processed/"))
    assert len(world.keys("sales_data_error/")) == 4


def test_rejected_rows_are_in_the_quarantine_with_line_raw_text_and_every_reason(world: World, spark: SparkSession) -> None:
    world.drop(
        "mixed.csv",
        f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\nx,121,sugar,2024-13-01,1,50,2,100\n1,121,sugar,2024-02-01,1,50,0,0\n1,121\n",
    )
    world.run_once(spark)
    path = f"s3a://{world.bucket}/sales_data_error/quarantine/"
    rows = {row["_line"]: row.asDict(recursive=True) for row in spark.read.parquet(path).collect()}
    assert {line: [(r["code"], r["column"], r["value"]) for r in row["_reasons"]] for line, row in rows.items() if line < 5} == {
        3: [("INVALID_INT", "customer_id", "x"), ("INVALID_DATE", "sales_date", "2024-13-01")],
        4: [("QUANTITY_NOT_ZERO", "quantity", "0")],
    }
    assert [reason["code"] for reason in rows[5]["_reasons"]] == ["TOO_FEW_FIELDS"]
    assert rows[3]["_raw"] == "x,121,sugar,2024-13-01,1,50,2,100"
    assert {row["_file_name"] for row in rows.values()} == {"sales_data/mixed.csv"}
    book = world.rows("SELECT state, rows_read, rows_loaded, rows_rejected FROM source_file")
    assert book == [{"state": "COMMITTED", "rows_read": 4, "rows_loaded": 1, "rows_rejected": 3}]
    counts = world.rows("SELECT reason_code, row_count, first_line FROM file_reject ORDER BY reason_code")
    assert [(r["reason_code"], r["row_count"], r["first_line"]) for r in counts] == [
        ("INVALID_DATE", 1, 3),
        ("INVALID_INT", 1, 3),
        ("QUANTITY_NOT_ZERO", 1, 4),
        ("TOO_FEW_FIELDS", 1, 5),
    ]


def test_extra_columns_land_in_additional_column_as_json(world: World, spark: SparkSession) -> None:
    world.drop("extra.csv", f"zone,{HEADER},payment_mode\nnorth,1,121,sugar,2024-02-01,1,50,2,100,UPI\n")
    world.run_once(spark)
    facts = spark.read.parquet(f"s3a://{world.bucket}/sales_facts/").collect()
    assert [row["additional_column"] for row in facts] == ['{"payment_mode":"UPI","zone":"north"}']


def test_the_fact_set_carries_every_column_of_both_outputs_of_the_seed(world: World, spark: SparkSession) -> None:
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    world.run_once(spark)
    facts = spark.read.parquet(f"s3a://{world.bucket}/sales_facts/")
    customer = "customer_id first_name last_name address pincode phone_number sales_date total_cost"
    seller = (
        "store_id sales_person_id sales_person_first_name sales_person_last_name store_manager_name manager_id is_manager"
        " sales_person_address sales_person_pincode sales_date total_cost sales_month"
    )
    lineage = "product_name price quantity additional_column _file_id _line batch_key"
    assert set(f"{customer} {seller} {lineage}".split()) <= set(facts.columns)
    assert len(facts.columns) == len(set(facts.columns))
    assert facts.select("_line", "sales_month", "total_cost").collect()[0].asDict() == {
        "_line": 2,
        "sales_month": "2024-02",
        "total_cost": Decimal("100.0000"),
    }
