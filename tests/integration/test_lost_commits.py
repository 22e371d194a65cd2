"""A ledger that loses its last commits under a running stream: the stream stops as RESTORED, and nothing is removed on S3."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app import failpoints
from app.errors import RestoredLedger
from app.ledger.ledger import Ledger
from app.ledger.operations import request_for_files
from app.ledger.ownership import Ownership
from app.ledger.restore_guard import marker_key
from app.ledger.types import OperationKind
from app.source.planner import planner_of
from app.stream.supervise import StopRequest
from tests.integration.test_continuous import PATIENCE, wait_until
from tests.integration.test_stream import HEADER
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ROW = "121,sugar,2024-02-01,1,50,2,100"
# What the job itself writes; dimensions and the list of applied files stay.
KEPT = ("customer", "store", "product", "sales_team", "s3_bucket_info", "schema_migration")


@dataclass
class Running:
    """The stream in a thread, and what ended it."""

    world: World
    spark: SparkSession
    stop: StopRequest = field(default_factory=StopRequest)
    failures: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.world.run(self.spark, self.stop, once=False)
        except BaseException as exc:  # noqa: BLE001 - looked at by the test
            self.failures.append(exc)

    def ends_as_restored(self) -> str:
        """Wait for the end; the stream must have ended by itself, as RESTORED. Returns its words."""
        self.thread.join(60)
        is_alive = self.thread.is_alive()
        self.stop.request()
        self.thread.join(PATIENCE)
        assert not is_alive, "the stream goes on"
        assert [type(one) for one in self.failures] == [RestoredLedger], self.failures
        return str(self.failures[0])


@dataclass
class Backup:
    """The rows of all tables at one moment, and the way back to them: what a replica has that lags."""

    world: World

    def __post_init__(self) -> None:
        found = [str(next(iter(row.values()))) for row in self.world.rows("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")]
        self.tables = [name for name in found if name not in KEPT and not name.startswith(("backup_", "_yoyo", "yoyo"))]
        for table in self.tables:
            self.world.execute(f"CREATE TABLE backup_{table} AS SELECT * FROM {table}")

    def put_back(self) -> None:
        def work(tx: object) -> None:
            for table in self.tables:
                tx.execute(f"DELETE FROM {table}")  # type: ignore[attr-defined]
                tx.execute(f"INSERT INTO {table} SELECT * FROM backup_{table}")  # type: ignore[attr-defined]

        self.world.admin.run(work)
        for table in ("micro_batch", "source_file", "file_operation"):
            self.world.execute(f"ALTER TABLE {table} AUTO_INCREMENT = 1")


def load(world: World, name: str, count: int, customer: int = 1) -> None:
    world.drop(name, f"{HEADER}\n{customer},{ROW}\n")
    wait_until(f"{name} archived", lambda: len(world.keys("sales_data_processed/")) == count)
    wait_until(f"{name} noted", lambda: world.rows("SELECT COUNT(*) AS n FROM source_file WHERE archive_due = 1")[0]["n"] == 0)


@pytest.mark.parametrize("drops_another", [True, False], ids=["with another drop", "while nothing is dropped"])
def test_a_stream_whose_ledger_has_lost_a_commit_stops_as_restored_and_removes_nothing(
    world: World, spark: SparkSession, drops_another: bool
) -> None:
    running = Running(world, spark)
    load(world, "a.csv", 1)
    backup = Backup(world)
    load(world, "b.csv", 2, customer=2)
    before = world.keys("")
    backup.put_back()
    if drops_another:
        world.drop("c.csv", f"{HEADER}\n3,{ROW}\n")
    said = running.ends_as_restored()
    # Who looks first: the batch or the housekeeping, which remember the commit, or the planner, which is given that number again.
    assert re.match(r"RESTORED the ledger in MySQL has gone back: it (does not know attempt 2-1-1|gives out batch 2 again)", said)
    assert said.endswith("run ./spark-submit.sh verify --repair")
    assert world.keys("") == sorted([*before, *(["sales_data/c.csv"] if drops_another else [])])


def test_the_parquet_of_a_lost_commit_is_no_leftover(world: World, spark: SparkSession, pause_at: Callable[[str], Path]) -> None:
    """The ledger goes back to where the batch was begun and its parts were planned: they look as if they had never been committed."""
    paused = pause_at("after_facts")
    running = Running(world, spark)
    world.drop("a.csv", f"{HEADER}\n1,{ROW}\nx,{ROW}\n9001,{ROW}\n")
    wait_until("everything is written", paused.exists)
    backup = Backup(world)
    paused.unlink()
    wait_until("archived", lambda: len(world.keys("sales_data_processed/")) == 1)
    wait_until("noted", lambda: world.rows("SELECT archive_due, state FROM source_file") == [{"archive_due": 0, "state": "COMMITTED"}])
    before = world.keys("")
    assert len([key for key in before if "/batch_key=1-1-1/" in key]) == 3
    backup.put_back()
    assert world.rows("SELECT state FROM batch_attempt") == [{"state": "OPEN"}]
    world.drop("b.csv", f"{HEADER}\n2,{ROW}\n")
    assert "this run has committed batch 1-1-1, and it says OPEN" in running.ends_as_restored()
    assert world.keys("") == sorted([*before, "sales_data/b.csv"])
    assert world.states()["a.csv"] == "CLAIMED"


def test_the_lost_commit_of_an_operation_is_noticed_as_well(world: World, spark: SparkSession) -> None:
    world.set("retention", replaced_facts_seconds=0)
    running = Running(world, spark)
    world.drop("a.csv", f"{HEADER}\n1,{ROW}\n")
    load(world, "b.csv", 2, customer=2)
    backup = Backup(world)
    world.db.run(lambda tx: request_for_files(tx, OperationKind.RETRACT, [1], "test"))
    wait_until("retracted", lambda: world.rows("SELECT state FROM file_operation") == [{"state": "DONE"}])
    wait_until("deleted", lambda: world.rows("SELECT COUNT(*) AS n FROM fact_part WHERE state = 'DEAD'")[0]["n"] == 0)
    before = world.keys("")
    backup.put_back()
    assert "the ledger in MySQL has gone back" in running.ends_as_restored()
    assert world.keys("") == before


def test_a_ledger_that_does_not_know_the_epoch_of_a_running_stream_has_gone_back(world: World, spark: SparkSession) -> None:
    backup = Backup(world)
    running = Running(world, spark)
    load(world, "a.csv", 1)
    before = world.keys("")
    backup.put_back()
    world.drop("b.csv", f"{HEADER}\n2,{ROW}\n")
    assert "epoch 1 is over: the ledger has epoch 0" in running.ends_as_restored()
    assert world.keys("") == sorted([*before, "sales_data/b.csv"])


def test_the_marker_is_read_again_when_the_query_begins_again(world: World, spark: SparkSession) -> None:
    """The process is a new one, or MySQL was away: what S3 has seen counts before anything is cleared."""
    world.drop("a.csv", f"{HEADER}\n1,{ROW}\n")
    world.run_once(spark)
    before = world.keys("")
    world.execute("UPDATE batch_attempt SET state = 'OPEN'")
    world.execute("UPDATE fact_part SET state = 'PLANNED'")
    with pytest.raises(RestoredLedger, match="batch 1-1-1 was committed, and it says OPEN"):
        world.run_once(spark)
    assert world.keys("") == before


def test_before_a_file_is_called_missing_its_place_in_the_archive_is_looked_at(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody remembers the commit: another process, and S3 was not told of it."""
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "after_claim:1:raise")
    world.drop("a.csv", f"{HEADER}\n1,{ROW}\n")
    with Ownership(world.db, "x", 15) as owner:
        ledger = Ledger(world.db, owner.epoch)
        failpoints.reset()
        with pytest.raises(failpoints.InjectedFailure):
            planner_of(world.config, ledger).next_batch(0)
    monkeypatch.delenv("SALESTREAM_FAILPOINT")
    backup = Backup(world)
    world.run_once(spark)
    assert world.keys("sales_data/") == []
    archived = world.keys("sales_data_processed/")
    world.client.delete_object(Bucket=world.bucket, Key=marker_key(world.config.s3))
    backup.put_back()
    assert world.states() == {"a.csv": "CLAIMED"}
    with pytest.raises(
        RestoredLedger, match=f"it has not finished file 1 'sales_data/a.csv', which lies archived at s3://{world.bucket}/sales_d"
    ):
        world.run_once(spark)
    assert world.states() == {"a.csv": "CLAIMED"}
    assert world.keys("sales_data_processed/") == archived


@pytest.mark.usefixtures("verified")
def test_a_replay_of_a_file_whose_move_was_not_noted_finds_it_in_the_archive(world: World, spark: SparkSession) -> None:
    """A crash, or a lost commit, between the deletion in the source prefix and its note."""
    world.drop("a.csv", f"{HEADER}\n1,{ROW}\n")
    world.run_once(spark)
    place = world.rows("SELECT archived_key, archived_etag FROM source_file")
    world.execute("UPDATE source_file SET archive_due = 1, archived_at = NULL, archived_key = NULL, archived_etag = NULL")
    world.db.run(lambda tx: request_for_files(tx, OperationKind.REPLAY, [1], "test"))
    # Planned already, so that it runs before any move to the archive does.
    with Ownership(world.db, "x", 15) as owner:
        assert Ledger(world.db, owner.epoch).claim_operation() is not None
    world.run_once(spark)
    assert world.rows("SELECT note FROM operation_file") == [{"note": None}]
    assert world.rows("SELECT state FROM file_operation") == [{"state": "DONE"}]
    assert world.rows("SELECT batch_id, state, in_force FROM source_file") == [{"batch_id": 2, "state": "COMMITTED", "in_force": 1}]
    assert world.rows("SELECT archived_key, archived_etag FROM source_file") == place
