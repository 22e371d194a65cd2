"""clean: what is over goes, what only looks like it stays; and nothing that counts changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from app import failpoints
from app.batch.cleanup import clear_mended, clear_replaced
from app.clean import Removal, clean
from app.cli import app as cli
from app.errors import RestoredLedger, S3Error, UsageError
from app.failpoints import InjectedFailure
from app.ledger.file_search import Choice
from app.ledger.ledger import Ledger
from app.ledger.restore_guard import Marker, write_marker
from app.ledger.types import OperationKind
from app.mysql.database import Row
from app.operations.select_files import choose, request_files
from app.source.object_names import CHECK_PROBE
from app.verify import Verification, differences
from app.verify.repair import plan, repair
from tests.integration.test_stream import HEADER
from tests.verified import found_by_verify
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

NO_AGE = timedelta(0)
OLD = "UTC_TIMESTAMP(6) - INTERVAL 100 DAY"
PARQUET = b"0123456789"
FACTS = "sales_facts/sales_month=2024-01/store_id=121/batch_key="
REJECTED = "sales_data_error/quarantine/load_date=2024-01-01/reason=INVALID_INT/batch_key="


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    failpoints.reset()
    yield
    failpoints.reset()


def put(world: World, *keys: str) -> None:
    for key in keys:
        world.client.put_object(Bucket=world.bucket, Key=key, Body=PARQUET)


def names(world: World, *, dry_run: bool, safety: timedelta = NO_AGE) -> dict[str, list[str]]:
    """What goes, by kind; kinds of which nothing goes are left out."""
    found = {kind: [one.name for one in gone] for kind, gone in clean(world.config, dry_run=dry_run, safety=safety)}
    return {kind: gone for kind, gone in found.items() if gone}


def removals(world: World, *, dry_run: bool) -> dict[str, list[Removal]]:
    return {kind: list(gone) for kind, gone in clean(world.config, dry_run=dry_run, safety=NO_AGE)}


def s3(world: World, key: str) -> str:
    return f"s3://{world.bucket}/{key}"


def attempt(world: World, key: str, state: str, *, ended: str = "NULL") -> None:
    batch = int(key.split("-")[0])
    values = f"%s, %s, %s, UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE, {ended}"
    sql = f"INSERT INTO batch_attempt (batch_key, batch_id, state, started_at, ended_at) VALUES ({values})"
    world.execute(sql, key, batch, state)


def batch(world: World, number: int, state: str = "COMMITTED", *, committed: str = "UTC_TIMESTAMP(6)") -> None:
    sql = f"INSERT INTO micro_batch (id, state, planned_at, committed_at) VALUES (%s, %s, UTC_TIMESTAMP(6), {committed})"
    world.execute(sql, number, state)


def fact_part(world: World, key: str, state: str, live: str, dead: str) -> None:
    sql = (
        "INSERT INTO fact_part (batch_key, sales_month, store_id, state, row_count, amount, planned_at, live_at, dead_at)"
        f" VALUES (%s, '2024-01', 121, %s, 1, 1, {OLD}, {live}, {dead})"
    )
    world.execute(sql, key, state)


def archived_file(world: World, number: int, name: str, *, archived: str = OLD) -> str:
    """Book a file that was rejected and archived; returns its archived key."""
    key = f"sales_data_error/2024-01-01/{number}/{name}"
    put(world, key)
    etag = world.client.head_object(Bucket=world.bucket, Key=key)["ETag"].strip('"')
    world.execute(
        "INSERT INTO source_file (id, identity, bucket, object_key, etag, size_bytes, last_modified, state, discovered_at, finished_at,"
        f" archived_at, archived_key, archived_etag) VALUES (%s, %s, %s, %s, %s, %s, {OLD}, 'REJECTED', {OLD}, {OLD}, {archived}, %s, %s)",
        number,
        number.to_bytes(32, "big"),
        world.bucket,
        f"sales_data/{name}".encode(),
        etag,
        len(PARQUET),
        key.encode(),
        etag,
    )
    return key


def mended(world: World, operation: int, state: str, file: int, key: str) -> None:
    put(world, key)
    etag = world.client.head_object(Bucket=world.bucket, Key=key)["ETag"].strip('"')
    world.execute(
        "INSERT INTO file_operation (id, kind, state, requested_by, requested_at) VALUES (%s, 'MEND', %s, 'test', UTC_TIMESTAMP(6))",
        operation,
        state,
    )
    sql = "INSERT INTO operation_file (operation_id, file_id, mended_key, mended_etag, mended_bytes) VALUES (%s, %s, %s, %s, %s)"
    world.execute(sql, operation, file, key.encode(), etag, len(PARQUET))


def states(world: World, table: str) -> dict[str, str]:
    return {row["batch_key"]: row["state"] for row in world.rows(f"SELECT batch_key, state FROM {table}")}


def test_leftovers_of_attempts_that_are_over_go_and_those_of_others_stay(world: World) -> None:
    world.execute("UPDATE stream_owner SET epoch = 3")
    batch(world, 1)
    batch(world, 2)
    for key, state in (("1-1-1", "COMMITTED"), ("1-1-2", "DEAD"), ("2-3-1", "OPEN")):
        attempt(world, key, state)
    fact_part(world, "1-1-1", "LIVE", OLD, "NULL")
    # An attempt that is over, one that is unknown and older than the ledger; then one that lives, a live part, and what is not ours.
    gone = [f"{FACTS}1-1-2/a.parquet", f"{FACTS}1-2-9/a.parquet", f"{FACTS}1-2-9/b.parquet", f"{REJECTED}1-2-9/a.parquet"]
    gone += ["sales_pending/batch_key=1-2-9/a.parquet"]
    stays = [f"{FACTS}1-1-1/a.parquet", f"{FACTS}2-3-1/a.parquet", f"{FACTS}mine/a.parquet", "sales_facts/notes.txt"]
    put(world, *gone, *stays)
    for key in ("1-1-2", "2-3-1"):
        world.execute("INSERT INTO stage_file VALUES (%s, 1, 'COMMITTED', NULL, NULL, 0, 0, 0, 0, NULL)", key)
    wanted = {
        "orphaned Parquet": [
            *(s3(world, f"{FACTS}{key}/") for key in ("1-1-2", "1-2-9")),
            s3(world, f"{REJECTED}1-2-9/"),
            s3(world, "sales_pending/batch_key=1-2-9/"),
        ],
        "stage rows": ["stage_file batch_key=1-1-2"],
    }
    # What was just written may be on its way.
    assert names(world, dry_run=True, safety=timedelta(hours=1)) == {"stage rows": wanted["stage rows"]}
    before = world.keys("")
    assert names(world, dry_run=True) == wanted
    assert world.keys("") == before
    assert names(world, dry_run=False) == wanted
    assert world.keys("sales_facts/") == sorted(stays)
    assert [key for key in world.keys("") if key in gone] == []
    assert [row["batch_key"] for row in world.rows("SELECT batch_key FROM stage_file")] == ["2-3-1"]
    assert names(world, dry_run=False) == {}


def test_a_copy_that_was_cut_off_goes_once_its_file_is_archived_or_forgotten(world: World) -> None:
    there, moving = archived_file(world, 1, "a.csv"), archived_file(world, 2, "b.csv")
    world.execute("UPDATE source_file SET archive_due = 1, archived_at = NULL, archived_key = NULL, archived_etag = NULL WHERE id = 2")
    forgotten, foreign = "sales_data_processed/2024-01-01/77/c.csv", "sales_data_processed/mine"
    for key in (there, moving, forgotten, foreign):
        world.client.create_multipart_upload(Bucket=world.bucket, Key=key)
    wanted = {"unfinished uploads": [s3(world, forgotten), s3(world, there)]}
    assert names(world, dry_run=True) == wanted
    assert names(world, dry_run=False) == wanted
    left = world.client.list_multipart_uploads(Bucket=world.bucket)["Uploads"]
    assert sorted(upload["Key"] for upload in left) == sorted([moving, foreign])
    assert names(world, dry_run=False) == {}


def test_what_a_check_that_was_cut_off_has_left_is_no_difference_and_goes(world: World) -> None:
    left = [f"{prefix}{CHECK_PROBE}0a1b" for prefix in ("sales_data/", "sales_data_error/", "sales_facts/", "sales_pending/")]
    left += [f"sales_data_processed/{CHECK_PROBE}0a1b/{name}" for name in ("month=1", "other")]
    put(world, *left, "sales_data/a.csv")
    assert [str(one) for one in differences(world.config, Verification()) if one.counts] == []
    assert names(world, dry_run=False, safety=timedelta(hours=1)) == {}
    for dry_run in (True, False):
        found = names(world, dry_run=dry_run)
        assert {kind: sorted(gone) for kind, gone in found.items()} == {"objects of checks": sorted(s3(world, key) for key in left)}
    assert world.keys("") == ["sales_data/a.csv"]


@pytest.mark.parametrize("newer", ["3-1-1", "1-9-1"])
def test_a_ledger_that_is_older_than_s3_is_refused_before_anything_goes(world: World, newer: str) -> None:
    world.execute("UPDATE stream_owner SET epoch = 1")
    batch(world, 1)
    put(world, f"{FACTS}1-1-7/a.parquet", f"sales_pending/batch_key={newer}/a.parquet")
    before = world.keys("")
    with pytest.raises(RestoredLedger, match=newer):
        names(world, dry_run=False)
    world.client.delete_object(Bucket=world.bucket, Key=f"sales_pending/batch_key={newer}/a.parquet")
    write_marker(world.client, world.config.s3, Marker(1, newer))
    with pytest.raises(RestoredLedger, match=newer):
        names(world, dry_run=False)
    assert f"{FACTS}1-1-7/a.parquet" in before
    assert f"{FACTS}1-1-7/a.parquet" in world.keys("")


def seed_named(world: World) -> dict[str, list[str]]:
    """One of each kind that the ledger names, with a lookalike that must stay. Returns what goes."""
    for number in (1, 2, 3):
        batch(world, number)
        attempt(world, f"{number}-1-1", "COMMITTED")
    fact_part(world, "1-1-1", "DEAD", OLD, OLD)
    fact_part(world, "2-1-1", "DEAD", OLD, "UTC_TIMESTAMP(6)")
    fact_part(world, "3-1-1", "LIVE", OLD, "NULL")
    put(world, *(f"{FACTS}{key}/a.parquet" for key in ("1-1-1", "2-1-1", "3-1-1")))
    for key, state in (("1-1-1", "CONSUMED"), ("2-1-1", "WAITING")):
        world.execute(f"INSERT INTO pending_part (batch_key, state, row_count, created_at) VALUES (%s, %s, 1, {OLD})", key, state)
        put(world, f"sales_pending/batch_key={key}/a.parquet")
    for key, planned in (("1-1-1", OLD), ("2-1-1", "UTC_TIMESTAMP(6)"), ("3-1-1", OLD)):
        sql = f"INSERT INTO quarantine_part VALUES (%s, '2024-01-01', 'INVALID_INT', 'LIVE', 1, {planned})"
        world.execute(sql, key)
        put(world, f"{REJECTED}{key}/a.parquet")
    old = archived_file(world, 1, "old.csv")
    archived_file(world, 2, "young.csv", archived="UTC_TIMESTAMP(6)")
    archived_file(world, 3, "wanted.csv")
    changed = archived_file(world, 4, "changed.csv")
    world.client.put_object(Bucket=world.bucket, Key=changed, Body=b"something else")
    # The rejected rows of the third batch are those of a file that an operation is about.
    world.execute("UPDATE source_file SET batch_id = 3 WHERE id = 3")
    world.execute("INSERT INTO file_operation (id, kind, requested_by, requested_at) VALUES (9, 'REPLAY', 'test', UTC_TIMESTAMP(6))")
    world.execute("INSERT INTO operation_file (operation_id, file_id) VALUES (9, 3)")
    mended(world, 1, "DONE", 1, "sales_data_error/mended/1/a.csv")
    mended(world, 2, "CLAIMED", 3, "sales_data_error/mended/3/a.csv")
    return {
        "replaced facts": [s3(world, f"{FACTS}1-1-1/")],
        "released rows": [s3(world, "sales_pending/batch_key=1-1-1/")],
        "mended rows": [s3(world, "sales_data_error/mended/1/a.csv")],
        "archived files": [s3(world, old)],
        "rejected rows": [s3(world, f"{REJECTED}1-1-1/")],
    }


def assert_only_those_went(world: World) -> None:
    assert states(world, "fact_part") == {"1-1-1": "DELETED", "2-1-1": "DEAD", "3-1-1": "LIVE"}
    assert states(world, "quarantine_part") == {"1-1-1": "DELETED", "2-1-1": "LIVE", "3-1-1": "LIVE"}
    assert [row["batch_key"] for row in world.rows("SELECT batch_key FROM pending_part WHERE deleted_at IS NULL")] == ["2-1-1"]
    files = world.rows("SELECT id, archived_key IS NULL AS gone, archived_at IS NULL AS never FROM source_file ORDER BY id")
    assert [(row["id"], row["gone"], row["never"]) for row in files] == [(1, 1, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0)]
    assert world.rows("SELECT operation_id FROM operation_file WHERE mended_etag IS NOT NULL") == [{"operation_id": 2}]
    assert world.keys("") == sorted(
        [
            *(f"{FACTS}{key}/a.parquet" for key in ("2-1-1", "3-1-1")),
            *(f"{REJECTED}{key}/a.parquet" for key in ("2-1-1", "3-1-1")),
            "sales_pending/batch_key=2-1-1/a.parquet",
            "sales_data_error/mended/3/a.csv",
            *(f"sales_data_error/2024-01-01/{name}" for name in ("2/young.csv", "3/wanted.csv", "4/changed.csv")),
        ]
    )


def wipe(world: World) -> None:
    for table in ("fact_part", "quarantine_part", "pending_part", "source_file", "operation_file", "file_operation", "batch_attempt"):
        world.execute(f"DELETE FROM {table}")
    world.execute("DELETE FROM micro_batch")
    for key in world.keys(""):
        world.client.delete_object(Bucket=world.bucket, Key=key)


def test_what_the_ledger_names_goes_when_it_is_over_also_after_a_failure_behind_the_delete(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set("retention", archive_days=30, quarantine_days=30)
    wanted = seed_named(world)
    assert names(world, dry_run=True) == wanted
    assert names(world, dry_run=False) == wanted
    assert_only_those_went(world)
    for nth in range(1, 6):
        wipe(world)
        seed_named(world)
        monkeypatch.setenv("SALESTREAM_FAILPOINT", f"clean_deleted:{nth}:raise")
        failpoints.reset()
        with pytest.raises(InjectedFailure):
            names(world, dry_run=False)
        monkeypatch.delenv("SALESTREAM_FAILPOINT")
        names(world, dry_run=False)
        assert_only_those_went(world)
        assert names(world, dry_run=False) == {}
    with pytest.raises(UsageError, match="file 1 has no object any more: clean has deleted it from the archive"):
        choose(world.db, world.config, OperationKind.REPLAY, Choice(names=("1",)), replaces=False)


def test_mended_rows_that_nobody_asked_for_go_once_they_are_old_enough_to_be_nobodys(world: World) -> None:
    left = "sales_data_error/mended/5/cut-off.csv"
    mended(world, 1, "REQUESTED", 5, "sales_data_error/mended/5/asked-for.csv")
    put(world, left)
    assert names(world, dry_run=False, safety=timedelta(hours=1)) == {}
    assert names(world, dry_run=False) == {"mended rows": [s3(world, left)]}
    assert world.keys("sales_data_error/mended/") == ["sales_data_error/mended/5/asked-for.csv"]


def test_nothing_that_the_settings_keep_goes(world: World) -> None:
    world.set("retention", archive_days=0, quarantine_days=0, ledger_days=0, replaced_facts_seconds=10**9)
    kept = seed_named(world)
    assert names(world, dry_run=False) == {kind: kept[kind] for kind in ("released rows", "mended rows")}


def test_the_streams_housekeeping_deletes_replaced_parts_when_their_grace_time_is_over(world: World) -> None:
    seed_named(world)
    ledger = Ledger(world.db, 0)
    assert clear_replaced(ledger, world.config, world.client) == 1
    assert clear_mended(ledger, world.config, world.client) == 1
    assert states(world, "fact_part") == {"1-1-1": "DELETED", "2-1-1": "DEAD", "3-1-1": "LIVE"}
    assert world.keys("sales_facts/") == [f"{FACTS}{key}/a.parquet" for key in ("2-1-1", "3-1-1")]
    assert "sales_data_error/mended/1/a.csv" not in world.keys("sales_data_error/mended/")
    assert clear_replaced(ledger, world.config, world.client) + clear_mended(ledger, world.config, world.client) == 0


def test_a_repair_keeps_its_hands_off_when_replaced_facts_are_gone_that_the_backup_counts_on(world: World) -> None:
    fact_part(world, "1-1-1", "LIVE", OLD, "NULL")
    merged = f"{FACTS}2-1-1/a.parquet"
    put(world, merged)
    for attempt_to in (repair, plan):
        with pytest.raises(S3Error, match="1 live parts of the facts are gone, .*store_id=121/batch_key=1-1-1/: .*nothing was changed"):
            list(attempt_to(world.config))
    assert world.keys("") == [merged]


def test_the_command_says_what_and_how_much_of_each_kind(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.set("retention", archive_days=30)
    monkeypatch.setattr("app.cli.clean.configuration", lambda _env: world.config)
    seed_named(world)
    assert cli.main(["clean", "--dry-run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert f"archived files: {s3(world, 'sales_data_error/2024-01-01/1/old.csv')}" in said
    assert "archived files: 0 rows, 1 objects, 10 bytes" in said
    assert "rejected rows: 0 rows, 0 objects, 0 bytes (retention.quarantine_days is 0: kept)" in said
    assert said[-1] == "clean: 0 rows, 4 objects, 40 bytes would be removed"
    assert cli.main(["clean", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == {"kind": "total", "rows": 0, "objects": 4, "bytes": 40, "dry_run": False}
    assert cli.main(["clean"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "clean: 0 rows, 0 objects, 0 bytes removed"


def test_after_clean_marts_facts_and_counters_are_as_before_and_verify_finds_nothing(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.set("stream", max_files_per_trigger=1)
    load_history(world, spark)
    before = effect(world)
    age_history(world)
    world.set("retention", archive_days=30, quarantine_days=30, ledger_days=30)
    planned = removals(world, dry_run=True)
    done = removals(world, dry_run=False)
    assert done == planned
    gone = {kind: [one.name.removeprefix(f"s3://{world.bucket}/") for one in found] for kind, found in done.items() if found}
    # a.csv (1) is loaded with a rejected row, c.csv (3) retracted, d.csv to g.csv (4 to 7) rejected; only d.csv has no object at all.
    assert gone.keys() == {"old batches, parts and operations", "old files", "replaced facts", "archived files", "rejected rows"}
    assert gone["old batches, parts and operations"] == ["batch_attempt batch_key=1-1-9", "fact_part batch_key=1-1-9"]
    assert gone["old files"] == ["source_file id=4 'sales_data/d.csv'"]
    assert [name.rsplit("/", 2)[1:] for name in gone["archived files"]] == [["1", "a.csv"], ["3", "c.csv"]]
    assert [name.split("/")[3:] for name in gone["rejected rows"]] == [["reason=INVALID_INT", "batch_key=1-1-1", ""]]
    assert [name for name in gone["replaced facts"] if "store_id=121" in name] == gone["replaced facts"] != []
    assert effect(world) == before
    assert found_by_verify(world.config, remarks=False) == []

    # What this one freed goes with the next: the row of c.csv, then what only it referred to.
    assert [one.name for one in removals(world, dry_run=False)["old files"]] == ["source_file id=3 'sales_data/c.csv'"]
    while any(removals(world, dry_run=False).values()):
        pass
    assert [row["id"] for row in world.rows("SELECT id FROM source_file ORDER BY id")] == [1, 2, 5, 6, 7]
    # The batch of d.csv is gone. That of c.csv has a replaced part in its grace time, and that of the retraction is the newest.
    assert [row["id"] for row in world.rows("SELECT id FROM micro_batch ORDER BY id")] == [1, 2, 3, 5, 6, 7, 8]
    assert world.rows("SELECT kind, state FROM file_operation") == [{"kind": "REPLAY", "state": "REQUESTED"}]
    assert effect(world) == before
    assert found_by_verify(world.config, remarks=False) == []
    assert_commands_say_so(world, monkeypatch, capsys)

    # The stream goes on, deletes what is still in its grace time when that is over, and loads.
    world.set("retention", replaced_facts_seconds=0)
    world.drop("new.csv", f"{HEADER}\n5,122,sugar,2024-05-01,3,50,2,100\n")
    world.run_once(spark)
    assert [row["state"] for row in world.rows("SELECT DISTINCT state FROM fact_part WHERE dead_at IS NOT NULL")] == ["DELETED"]
    assert set(world.parquet_parts()) == set(world.live_parts())
    assert found_by_verify(world.config, remarks=False) == []

    # Of b.csv the rejected rows go while its archived object stays.
    world.execute(f"UPDATE quarantine_part SET planned_at = {OLD} WHERE batch_key = '2-1-1'")
    assert len(removals(world, dry_run=False)["rejected rows"]) == 1
    said = "source_file id=2 'sales_data/b.csv': not comparable: clean has deleted its rejected rows; only its Parquet was compared"
    assert found_by_verify(world.config) == [said]


def load_history(world: World, spark: SparkSession) -> None:
    bad = "x,121,sugar,2024-02-01,1,50,2,100"
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n{bad}\n")
    world.drop("b.csv", f"{HEADER}\n2,121,sugar,2024-02-02,1,60,1,60\n9002,121,sugar,2024-02-02,1,60,1,60\n{bad}\n")
    world.drop("c.csv", f"{HEADER}\n3,121,sugar,2024-03-01,1,50,2,100\n4,122,sugar,2024-03-01,3,50,2,100\n3,121,sugar,2024-03-09,1,1,1,2\n")
    for name in "defg":
        world.drop(f"{name}.csv", f"no sales file {name}\n1\n")
    world.run_once(spark)
    ask(world, OperationKind.RETRACT, "c.csv")
    world.run_once(spark)
    assert world.states() == {f"{n}.csv": "COMMITTED" if n in "abc" else "REJECTED" for n in "abcdefg"}


def ask(world: World, kind: OperationKind, name: str) -> None:
    request_files(world.db, world.config, kind, choose(world.db, world.config, kind, Choice(names=(name,)), replaces=False), "test")


def age_history(world: World) -> None:
    """Make everything old, but a few lookalikes."""
    for table, columns in {
        "source_file": ("finished_at", "archived_at"),
        "micro_batch": ("committed_at",),
        "batch_attempt": ("ended_at",),
        "file_operation": ("finished_at",),
        "file_withdrawal": ("withdrawn_at",),
        "quarantine_part": ("planned_at",),
        "pending_part": ("created_at",),
        "fact_part": ("dead_at",),
    }.items():
        for column in columns:
            world.execute(f"UPDATE {table} SET {column} = {OLD} WHERE {column} IS NOT NULL")
    # An attempt that never committed, and a younger one.
    for key, when in (("1-1-9", OLD), ("1-1-10", "UTC_TIMESTAMP(6)")):
        attempt(world, key, "DEAD", ended=when)
        fact_part(world, key, "DELETED", "NULL", when)
    # Of the replaced parts one is still in its grace time; b.csv is younger in everything.
    assert world.execute("UPDATE fact_part SET dead_at = UTC_TIMESTAMP(6) WHERE state = 'DEAD' AND store_id = 122") == 1
    world.execute("UPDATE source_file SET archived_at = UTC_TIMESTAMP(6) WHERE id IN (2, 5)")
    world.execute("UPDATE quarantine_part SET planned_at = UTC_TIMESTAMP(6) WHERE batch_key = '2-1-1'")
    # d.csv has no object any more, and neither has g.csv; but that one lies in the source prefix again, as it was booked.
    for row in world.rows("SELECT id, archived_key FROM source_file WHERE id IN (4, 7)"):
        world.client.delete_object(Bucket=world.bucket, Key=bytes(row["archived_key"]).decode())
    world.execute("UPDATE source_file SET archived_key = NULL WHERE id IN (4, 7)")
    world.drop("g.csv", "no sales file g\n1\n")
    [there] = world.objects("sales_data/")
    world.execute("UPDATE source_file SET last_modified = %s WHERE id = 7", there.last_modified.replace(tzinfo=None))
    # Somebody has asked for f.csv again.
    ask(world, OperationKind.REPLAY, "f.csv")


def effect(world: World) -> Any:
    """What the files in force add up to."""
    files = "SELECT id, state, rows_read, rows_loaded, rows_rejected, rows_pending FROM source_file WHERE in_force = 1"
    tables: list[list[Row]] = [world.rows(sql) for sql in (files, "SELECT * FROM warning_total", "SELECT * FROM pending_key")]
    return world.customer_mart(), world.team_mart(), world.live_parts(), tables


def assert_commands_say_so(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("app.cli.quarantine.open_database", lambda _env: (world.config, world.db))
    for command in ("show", "export"):
        assert cli.main(["quarantine", command, "a.csv"]) == 2
        said = capsys.readouterr().err
        assert "clean has deleted the rejected rows of file 1, which were older than retention.quarantine_days" in said
        assert "the file's own object has been deleted as well" in said
    assert cli.main(["quarantine", "show", "b.csv"]) == 0
    capsys.readouterr()
    assert cli.main(["quarantine", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["file_id"], one["is_deleted"]) for one in found] == [(2, False), (1, True)]
