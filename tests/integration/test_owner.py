"""One writer at a time: the lock turns a second instance away, the epoch fences one that did not notice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.batch.cleanup import clear_leftovers, clear_stage
from app.errors import OwnershipError
from app.ledger.ledger import Ledger
from app.ledger.ownership import Ownership, acquire, owners_database
from app.ledger.records import FactPart, Outcome
from app.mysql.database import Database, Tx
from app.source.planner import planner_of
from tests.integration.test_continuous import wait_until
from tests.integration.test_stream import HEADER
from tests.world import World

pytestmark = pytest.mark.integration

LOCK = "CONCAT('salestream.', LEFT(SHA2(DATABASE(), 256), 32))"
PROCESSES = "SELECT id AS ID FROM information_schema.processlist"


def test_a_second_instance_is_turned_away_and_told_who_holds_the_source(world: World) -> None:
    with Ownership(world.db, "s3://a/b/", 15) as first:
        assert first.epoch == 1
        with pytest.raises(OwnershipError, match=r"the source is held by \S+ pid \d+ \(epoch 1, heartbeat"):
            Ownership(world.db, "s3://a/b/", 15)


def test_a_source_given_back_is_taken_at_once_under_a_new_epoch(world: World) -> None:
    with Ownership(world.db, "x", 15):
        pass
    with Ownership(world.db, "x", 15) as again:
        assert again.epoch == 2


def test_a_source_given_back_is_taken_though_the_server_has_not_freed_the_lock_yet_and_the_lock_then_follows(world: World) -> None:
    with Ownership(world.db, "x", 15):
        pass
    lock = f"SELECT IS_USED_LOCK({LOCK}) AS id"
    with world.db.connect() as stopped, stopped.cursor() as cursor:
        cursor.execute(f"SELECT GET_LOCK({LOCK}, 0)")
        before = world.rows(lock)[0]["id"]
        assert before is not None
        successor = Ownership(world.db, "x", 0.5)
    with successor:
        assert successor.epoch == 2
        wait_until("the lock is the successor's", lambda: world.rows(lock)[0]["id"] not in (None, before))
        with pytest.raises(OwnershipError, match="held by"):
            Ownership(world.db, "x", 15)


def test_an_instance_whose_heartbeat_has_stopped_is_taken_over_and_its_writes_fail(world: World) -> None:
    with Ownership(world.db, "x", 3600) as silent:
        world.execute("UPDATE stream_owner SET heartbeat_at = heartbeat_at - INTERVAL 1 HOUR")
        with Ownership(world.db, "x", 15) as successor:
            assert successor.epoch == silent.epoch + 1
            with pytest.raises(OwnershipError, match="epoch 1 is over: the ledger has epoch 2"):
                Ledger(world.db, silent.epoch).write(
                    lambda tx: tx.execute("INSERT INTO micro_batch (planned_at) VALUES (UTC_TIMESTAMP(6))")
                )
        assert world.rows("SELECT id FROM micro_batch") == []


def test_the_heartbeat_notices_a_takeover(world: World) -> None:
    with Ownership(world.db, "x", 0.5) as old:
        world.execute("UPDATE stream_owner SET epoch = epoch + 1")

        def is_noticed() -> bool:
            try:
                old.check()
            except OwnershipError:
                return True
            return False

        wait_until("the takeover is noticed", is_noticed)


def test_a_lock_whose_connection_was_killed_is_taken_again(world: World) -> None:
    with Ownership(world.db, "x", 0.5) as held:
        lock = f"SELECT IS_USED_LOCK({LOCK}) AS id"
        before = world.rows(lock)[0]["id"]
        assert before is not None
        world.as_root(f"KILL {before}")
        wait_until("the lock is held again", lambda: world.rows(lock)[0]["id"] not in (None, before))
        held.check()
        with pytest.raises(OwnershipError, match="held by"):
            Ownership(world.db, "x", 15)


def test_a_holder_that_is_frozen_inside_a_transaction_keeps_nobody_out_for_longer_than_its_heartbeat(world: World) -> None:
    world.set("stream", takeover_seconds=2)
    db = owners_database(world.config)
    frozen = Ledger(db, acquire(db, "x", 2).epoch)
    inside, thaw = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def write(tx: Tx) -> None:
        tx.execute("INSERT INTO micro_batch (planned_at) VALUES (UTC_TIMESTAMP(6))")
        inside.set()
        thaw.wait(200)

    def run() -> None:
        try:
            frozen.write(write)
        except BaseException as exc:  # noqa: BLE001 - looked at below
            failures.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert inside.wait(30)
    time.sleep(2.5)
    began = time.monotonic()
    # One attempt: MySQL's own patience with a lock is 50 s.
    successor = acquire(Database(world.config.mysql, attempts=1), "x", 2)
    assert time.monotonic() - began < 15
    assert successor.epoch == 2
    thaw.set()
    thread.join(60)
    assert [type(failure) for failure in failures] == [OwnershipError]
    assert world.rows("SELECT id FROM micro_batch") == []


def test_a_connection_that_the_server_has_ended_for_its_silence_is_opened_again_without_a_word(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    db = Database(world.config.mysql, attempts=1, silence=1)
    first = db.run(lambda tx: tx.scalar("SELECT CONNECTION_ID()"))
    assert db.run(lambda tx: tx.scalar("SELECT CONNECTION_ID()")) == first
    wait_until("the server ends it", lambda: first not in [row["ID"] for row in world.db.run(lambda tx: tx.rows(PROCESSES))])
    assert db.run(lambda tx: tx.scalar("SELECT CONNECTION_ID()")) != first
    assert caplog.records == []


# What a zombie must leave alone, and what it must take back


def test_a_zombie_never_cleans_up_behind_its_successor(world: World) -> None:
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    facts = "sales_facts/sales_month=2024-02/store_id=121/batch_key={}/part.parquet"
    with Ownership(world.db, "x", 3600) as zombie:
        zombies = Ledger(world.db, zombie.epoch)
        planner_of(world.config, zombies).next_batch(0)
        with Ownership(world.db, "x", 0) as successor:
            theirs = Ledger(world.db, successor.epoch)
            attempt = theirs.begin(1, "0" * 64)
            theirs.plan_outcome(attempt, Outcome(facts=(FactPart("2024-02", 121, 1, Decimal(100)),)))
            world.client.put_object(Bucket=world.bucket, Key=facts.format(attempt.batch_key), Body=b"x")
            with pytest.raises(OwnershipError):
                clear_leftovers(zombies, world.config, world.client, alive=None)
            staged = "stage_sales_team_data_mart WHERE batch_key = %s"
            world.execute(
                "INSERT INTO stage_sales_team_data_mart (batch_key, store_id, sales_month, sales_person_id, total_sales, row_count)"
                " VALUES (%s, 121, '2024-02', 1, 100, 1)",
                attempt.batch_key,
            )
            with pytest.raises(OwnershipError):
                clear_stage(zombies)
            assert world.rows(f"SELECT row_count FROM {staged}", attempt.batch_key) == [{"row_count": 1}]
            assert world.keys("sales_facts/") == [facts.format(attempt.batch_key)]


def test_a_writer_that_was_taken_over_removes_what_it_wrote_since(
    world: World, spark: SparkSession, pause_at: Callable[[str], Path]
) -> None:
    marker = pause_at("after_facts")
    rest = "121,sugar,2024-02-01,1,50,2,100"
    world.drop("a.csv", f"{HEADER}\n1,{rest}\nx,{rest}\n9001,{rest}\n")
    failures: list[BaseException] = []

    def run() -> None:
        try:
            world.run_once(spark)
        except BaseException as exc:  # noqa: BLE001 - looked at below
            failures.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until("everything is written", marker.exists)
    assert any("/batch_key=" in key for key in world.keys("sales_facts/")) and world.keys("sales_pending/") != []
    world.execute("UPDATE stream_owner SET epoch = epoch + 1")
    marker.unlink()
    thread.join(120)
    assert [type(failure) for failure in failures] == [OwnershipError]
    assert [key for key in world.keys("sales_") if "/batch_key=" in key] == []
    assert world.customer_mart() == {}
