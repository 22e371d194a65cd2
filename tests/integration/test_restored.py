"""A MySQL restored from an older backup: `run` refuses it, and `verify --repair` sets it right."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from pyspark.sql import SparkSession

from app import failpoints
from app.clean import clean
from app.cli import app as cli
from app.failpoints import InjectedFailure
from app.ledger.ownership import Ownership
from app.ledger.restore_guard import Marker, read_marker
from app.ledger.types import OperationKind
from app.verify import Verification, differences
from tests.integration.test_contract_changes import change, column
from tests.integration.test_operations import ask, set_contract
from tests.integration.test_stream import HEADER
from tests.verified import found_by_verify
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TABLES = (
    *("stream_owner", "file_operation", "micro_batch", "batch_attempt", "source_file", "fact_part", "quarantine_part", "pending_part"),
    *("pending_key", "file_reject", "stage_file", "stage_customers_data_mart", "stage_sales_team_data_mart"),
    *("customers_data_mart", "sales_team_data_mart", "operation_file", "batch_file", "file_withdrawal", "file_header", "file_warning"),
)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """`run` catches signals; give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def back_up(world: World) -> None:
    """Keep a copy of every table of ledger and marts."""
    for table in TABLES:
        world.execute(f"CREATE TABLE backup_{table} AS SELECT * FROM {table}")


def restore(world: World) -> None:
    """Put the copies back; the numbers that are given out begin where the copies end, as after a restore."""
    for table in TABLES:
        world.execute(f"DELETE FROM {table}")
        world.execute(f"INSERT INTO {table} SELECT * FROM backup_{table}")
    for table in ("micro_batch", "source_file", "file_operation"):
        world.execute(f"ALTER TABLE {table} AUTO_INCREMENT = 1")


def said(world: World, *, deep: bool = False) -> list[str]:
    """What verify says."""
    return [str(one) for one in differences(world.config, Verification(), deep=deep)]


def test_a_restored_ledger_is_refused_and_repaired(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cli.app.configuration", lambda _env: world.config)
    monkeypatch.setattr("app.cli.verify.configuration", lambda _env: world.config)
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    world.run_once(spark)
    world.drop("b.csv", f"{HEADER}\n2,121,sugar,2024-02-01,2,50,1,50\n9,121,sugar,2024-02-01,2,50,0,0\n")
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "after_facts:1:raise")
    failpoints.reset()
    with pytest.raises(InjectedFailure):
        world.run_once(spark)
    monkeypatch.delenv("SALESTREAM_FAILPOINT")
    # At the time of the backup, b.csv is claimed by an attempt that has just written its Parquet.
    back_up(world)
    world.run_once(spark)
    world.drop("c.csv", f"{HEADER}\n1,121,sugar,2024-03-01,1,70,1,70\n")
    world.drop("d.csv", "no sales file\n1\n")
    world.run_once(spark)
    world.drop("c.csv", f"{HEADER}\n3,121,sugar,2024-03-01,3,80,1,80\n")
    world.run_once(spark)
    assert said(world, deep=True) == []
    customers, team = world.customer_mart(), world.team_mart()
    assert customers == {
        (1, "2024-02"): Decimal(100),
        (2, "2024-02"): Decimal(50),
        (1, "2024-03"): Decimal(70),
        (3, "2024-03"): Decimal(80),
    }
    restore(world)

    for _ in range(2):
        assert cli.main(["run", "--once"]) == 3
        assert "RESTORED the ledger in MySQL is older than S3" in capsys.readouterr().err
    assert len([line for line in said(world) if "no row of source_file names" in line]) == 4
    with Ownership(world.db, world.bucket, 15):
        assert cli.main(["verify", "--repair"]) == 3
    before = world.keys("")
    capsys.readouterr()
    assert cli.main(["verify", "--repair", "--dry-run"]) == 0
    assert world.keys("") == before
    planned = capsys.readouterr().out.splitlines()
    assert cli.main(["verify", "--repair"]) == 0
    done = capsys.readouterr().out.splitlines()
    assert len([line for line in done if "removed, the ledger has no live part there" in line]) == 4
    assert len([line for line in done if "offered again as sales_data/" in line]) == 3
    assert len([line for line in done if "left alone, another object lies at sales_data/c.csv" in line]) == 1
    assert len(planned) == len(done)
    assert world.keys("sales_data/") == ["sales_data/b.csv", "sales_data/c.csv", "sales_data/d.csv"]

    world.run_once(spark)
    assert world.states()["b.csv"] == "COMMITTED"
    assert cli.main(["verify", "--repair"]) == 0
    world.run_once(spark)
    assert (world.customer_mart(), world.team_mart()) == (customers, team)
    assert said(world, deep=True) == []
    capsys.readouterr()
    assert cli.main(["verify", "--repair"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    # What a copy of a large file left that was cut off.
    world.client.create_multipart_upload(Bucket=world.bucket, Key="sales_data_processed/2024-02-01/1/a.csv")
    assert cli.main(["verify", "--repair"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"s3://{world.bucket}/sales_data_processed/: 1 unfinished uploads removed"
    assert world.client.list_multipart_uploads(Bucket=world.bucket).get("Uploads", []) == []


def test_a_ledger_made_anew_over_a_used_bucket_is_refused(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cli.app.configuration", lambda _env: world.config)
    back_up(world)
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    world.run_once(spark)
    found = read_marker(world.client, world.config.s3)
    assert found == Marker(1, "1-1-1", committed=True)
    world.execute("UPDATE batch_attempt SET state = 'OPEN'")
    assert cli.main(["run", "--once"]) == 3
    assert "batch 1-1-1 was committed, and it says OPEN" in capsys.readouterr().err
    restore(world)
    assert cli.main(["run", "--once"]) == 3
    assert "it does not know batch 1-1-1, which S3 has seen; run ./spark-submit.sh verify --repair" in capsys.readouterr().err


def test_rows_that_were_released_since_the_backup_wait_again(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cli.app.configuration", lambda _env: world.config)
    monkeypatch.setattr("app.cli.verify.configuration", lambda _env: world.config)
    late = "9001,121,sugar,2024-02-01,1,50,2,100,south\n9002,122,'x' salt,2024-03-01,1,70,1,70,\n"
    world.drop("a.csv", f"{HEADER},zone\n1,121,sugar,2024-02-01,1,50,2,100,north\n{late}")
    world.run_once(spark)
    back_up(world)
    # One of the two goes on waiting, in a part that the backup does not know.
    world.execute("INSERT INTO customer (customer_id, first_name) VALUES (9001, 'Late')")
    world.run_once(spark)
    assert said(world, deep=True) == []
    customers = world.customer_mart()
    assert customers == {(1, "2024-02"): Decimal(100), (9001, "2024-02"): Decimal(100)}
    restore(world)

    assert cli.main(["run", "--once"]) == 3
    assert any(line.startswith("pending_part ") and "no Parquet that can be read" in line for line in said(world))
    capsys.readouterr()
    assert cli.main(["verify", "--repair"]) == 0
    assert "part-repaired.parquet: 2 rows that were released since the backup wait again" in capsys.readouterr().out
    world.run_once(spark)
    assert world.customer_mart() == customers
    assert said(world, deep=True) == []
    facts = spark.read.parquet(f"s3a://{world.bucket}/sales_facts/").collect()
    assert sorted((row["customer_id"], row["additional_column"]) for row in facts) == [(1, '{"zone":"north"}'), (9001, '{"zone":"south"}')]
    assert world.rows("SELECT rows_loaded, rows_pending FROM source_file") == [{"rows_loaded": 2, "rows_pending": 1}]


@pytest.fixture
def repaired(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Run `verify --repair`, give what it says."""
    monkeypatch.setattr("app.cli.verify.configuration", lambda _env: world.config)

    def run() -> list[str]:
        capsys.readouterr()
        assert cli.main(["verify", "--repair"]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_the_only_copy_of_a_row_is_kept_and_named(world: World, spark: SparkSession, repaired: Callable[[], list[str]]) -> None:
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    world.run_once(spark)
    back_up(world)
    world.drop("b.csv", f"{HEADER}\n2,121,sugar,2024-02-01,2,50,1,50\n9001,121,sugar,2024-02-01,2,50,1,50\nx,1,y,z,2,50,1,50\n")
    world.drop("c.csv", f"{HEADER}\n3,122,sugar,2024-02-01,2,50,1,50\n")
    world.run_once(spark)
    # b.csv was overwritten before the move, or clean has deleted it.
    [csv] = [key for key in world.keys("sales_data_processed/") if key.endswith("/b.csv")]
    world.client.delete_object(Bucket=world.bucket, Key=csv)
    kept = [key for prefix in ("sales_facts/sales_month", "sales_pending/", "sales_data_error/quarantine/") for key in world.keys(prefix)]
    kept = [key for key in kept if "store_id=122" not in key and "batch_key=1-" not in key]
    assert len(kept) == 3
    restore(world)
    lines = repaired()
    assert len([line for line in lines if ": kept, no other copy is known of 1 rows of files 2, which do not count" in line]) == 3
    assert len([line for line in lines if "removed, the ledger has no live part there" in line]) == 1
    assert set(kept) <= set(world.keys(""))
    # It says so again until somebody has dropped the rows as a file; nothing else takes it away, nor is the id given to another file.
    assert len([line for line in said(world) if "kept by a repair: 1 rows that do not count" in line]) == 3
    for _, removals in clean(world.config, dry_run=False, safety=timedelta(0)):
        assert list(removals) == []
    world.run_once(spark)
    assert world.rows("SELECT MIN(id) > 3 AS beyond FROM source_file WHERE id > 1") == [{"beyond": 1}]
    assert repaired()[:-1] == []
    assert set(kept) <= set(world.keys(""))
    assert world.customer_mart() == {(1, "2024-02"): Decimal(100), (3, "2024-02"): Decimal(50)}


def test_of_two_versions_the_newer_one_wins_after_a_repair(world: World, spark: SparkSession, repaired: Callable[[], list[str]]) -> None:
    set_contract(world, redelivery="replace")
    back_up(world)
    world.execute("ALTER TABLE source_file AUTO_INCREMENT = 9")
    for total in (50, 100):
        world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,{total},1,{total}\n")
        world.run_once(spark)
    assert world.rows("SELECT id, in_force FROM source_file") == [{"id": 9, "in_force": 0}, {"id": 10, "in_force": 1}]
    restore(world)
    for number in (9, 10):
        assert any(f"/{number}/a.csv: offered again as sales_data/a.csv" in line for line in repaired())
        world.run_once(spark)
    assert world.customer_mart() == {(1, "2024-02"): Decimal(100)}
    assert said(world, deep=True) == []
    assert len(repaired()) == 1


def test_what_was_asked_since_the_backup_must_be_asked_again(world: World, spark: SparkSession, repaired: Callable[[], list[str]]) -> None:
    rows = [f"{HEADER}\n{n},121,sugar,2024-02-01,1,50,1,50\n" for n in (1, 2, 3)]
    world.drop("a.csv", rows[0])
    world.drop("b.csv", rows[1])
    world.run_once(spark)
    back_up(world)
    world.drop("c.csv", rows[2])
    world.run_once(spark)
    ask(world, OperationKind.RETRACT, "a.csv")
    ask(world, OperationKind.RETRACT, "c.csv")
    world.run_once(spark)
    assert world.customer_mart() == {(2, "2024-02"): Decimal(50)}
    restore(world)
    lines = repaired()
    again = "was done since the backup: ask again (retract)"
    assert [line for line in lines if again in line] == [
        f"RETRACT of 'sales_data/a.csv' by 'test' {again}",
        f"RETRACT of 'sales_data/c.csv' by 'test' {again} after the next run, which gives these files new ids",
    ]
    world.run_once(spark)
    assert sorted(world.customer_mart()) == [(1, "2024-02"), (2, "2024-02"), (3, "2024-02")]
    ask(world, OperationKind.RETRACT, "a.csv", "c.csv")
    world.run_once(spark)
    assert world.customer_mart() == {(2, "2024-02"): Decimal(50)}
    assert said(world, deep=True) == []


def test_waiting_rows_come_back_under_another_contract(world: World, spark: SparkSession, repaired: Callable[[], list[str]]) -> None:
    world.drop("a.csv", f"{HEADER},zone\n9001,121,sugar,2024-02-01,1,50,2,100,south\n9002,122,salt,2024-03-01,1,70,1,70,\n")
    world.run_once(spark)
    back_up(world)
    change(world, lambda tree: (column(tree, "quantity").update(type="bigint"), tree["settings"].update(extra_columns="others")))
    world.execute("INSERT INTO customer (customer_id, first_name) VALUES (9001, 'Late')")
    world.run_once(spark)
    customers = world.customer_mart()
    restore(world)
    change(world, lambda tree: tree["columns"].append({"name": "channel", "type": "string", "required": False, "nullable": True}))
    assert any("part-repaired.parquet: 2 rows that were released since the backup wait again" in line for line in repaired())
    world.run_once(spark)
    assert world.customer_mart() == customers
    assert found_by_verify(world.config, remarks=False) == []
