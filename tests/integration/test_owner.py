"""One writer at a time: the lock turns a second instance away, the epoch fences one that did not notice."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.batch.cleanup import clear_leftovers, clear_stage
from app.errors import OwnershipError, RestoredLedger, StillRunning
from app.ledger.ledger import Ledger
from app.ledger.ownership import Candidate, Ownership, acquire, beat, owners_database, release
from app.ledger.succession import Step
from app.ledger.types import FactPart, Outcome
from app.lifeline import Life
from app.mysql.database import Database, Tx
from app.operations.stop import stop_stream
from app.source.planner import planner_of
from app.views.status import read_status
from tests.conftest import REPOSITORY
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


# Starts at once, and stops: the real code makes the decisions that tests/integration/test_succession.py has searched

ROW = (
    "UPDATE stream_owner SET epoch = 7, holder = 'host a pid 1', process = %s, started_at = UTC_TIMESTAMP(6), stop_epoch = NULL,"
    " heartbeat_at = IF(%s, UTC_TIMESTAMP(6), NULL), stopped_at = IF(%s, UTC_TIMESTAMP(6), NULL) WHERE id = 1"
)
DEAD_HERE, ELSEWHERE = "dead", "elsewhere"
# What the last owner was: its process, whether it has beaten, whether it has given the source back, whether its lock is still taken.
FREE = {
    "nobody yet": ("", False, False, False),
    "given back": (ELSEWHERE, True, True, False),
    "given back, its lock not free yet": (ELSEWHERE, True, True, True),
    "killed on this machine": (DEAD_HERE, True, False, False),
}


def judged(process: str) -> Life:
    """Processes of this test live; the last owner is dead, or on another machine."""
    return {DEAD_HERE: Life.DEAD, "": Life.UNKNOWN, ELSEWHERE: Life.UNKNOWN}.get(process, Life.ALIVE)


def as_from_afar(process: str) -> Life:
    return Life.DEAD if process == DEAD_HERE else Life.UNKNOWN


def orders(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every order in which some starts make so many steps each."""
    yield from sorted(set(permutations([number for number, count in enumerate(counts) for _ in range(count)])))


def run_in_order(world: World, order: Sequence[int], life: Callable[[str], Life]) -> list[tuple[Candidate, Step | None]]:
    """Let starts take the lock and look, each step at its place in the order."""
    starts = [Candidate(world.db, "x", 3600, life=life) for _ in range(max(order) + 1)]
    made, steps = [0] * len(starts), [None] * len(starts)
    for number in order:
        if made[number] == 0:
            starts[number].lock()
        else:
            steps[number] = starts[number].look()  # type: ignore[call-overload]
        made[number] += 1
    return list(zip(starts, steps, strict=True))


@pytest.mark.parametrize("life", [judged, as_from_afar], ids=["one machine", "several machines"])
@pytest.mark.parametrize(("process", "has_beaten", "has_stopped", "is_locked"), FREE.values(), ids=FREE)
def test_of_starts_at_once_one_takes_the_source_whatever_their_order_and_no_other_ever_displaces_it(
    world: World, process: str, has_beaten: bool, has_stopped: bool, is_locked: bool, life: Callable[[str], Life]
) -> None:
    db = world.db
    for order in (*orders((2, 2)), *list(orders((2, 2, 2)))[::9]):
        world.execute(ROW, f"{process} x".strip(), has_beaten, has_stopped)
        with closing(db.connect()) as last:
            with last.cursor() as cursor:
                cursor.execute(f"SELECT {'GET_LOCK' if is_locked else 'LENGTH'}({LOCK}{', 0' if is_locked else ''})")
            ran = run_in_order(world, order, life)
        # With a lock that is taken by nobody who lives, a start whose look came first may have been without it.
        takers = [start for start, step in ran if step == Step.TAKE]
        assert len(takers) == 1, (order, [step for _, step in ran])
        owner = takers[0].held()
        assert owner.epoch == 8
        assert takers[0].look() == Step.TAKE, "asked again after a lost answer it is the owner, and of the same epoch"
        others = [start for start, step in ran if step != Step.TAKE]
        assert {step for start, step in ran if start in others} <= {Step.REFUSE, Step.WAIT}, order
        beat(db, owner)
        for start in others:
            start.lock()
            assert start.look() == Step.REFUSE, order
            assert re.search(r" \(epoch 8, heartbeat \d+\.\d s ago\)$", start.owner)
        beat(db, owner)
        assert world.rows("SELECT epoch FROM stream_owner") == [{"epoch": 8}]
        for start, _ in ran:
            start.close()


def test_an_owner_elsewhere_that_has_lost_its_lock_keeps_the_source(world: World) -> None:
    held = acquire(world.db, "x", 3600)
    world.as_root(f"KILL {held.connection.thread_id()}")
    second = Candidate(world.db, "x", 3600, life=as_from_afar)
    for _ in range(20):
        second.lock()
        if second._is_locked:
            break
        time.sleep(0.1)
    assert second.look() == Step.WAIT
    beat(world.db, held)
    assert second.look() == Step.REFUSE
    second.close()
    release(world.db, held)


def test_a_start_takes_over_from_a_silent_owner_only_after_it_has_watched_the_silence(world: World) -> None:
    now = [0.0]
    world.execute(ROW, f"{ELSEWHERE} x", True, False)
    world.execute("UPDATE stream_owner SET heartbeat_at = heartbeat_at - INTERVAL 1 HOUR")
    start = Candidate(world.db, "x", 15, life=as_from_afar, clock=lambda: now[0])
    steps = []
    for now[0] in (0.0, 2.5, 5.0, 7.5):
        start.lock()
        steps.append(start.look())
    # A gap longer than a beat: MySQL was away, and the owner may not have been able to beat either.
    for now[0] in (12.0, 14.5, 17.0, 19.5, 22.0):
        steps.append(start.look())
    start.close()
    assert steps == [Step.WAIT] * 8 + [Step.TAKE]


def test_an_epoch_that_the_ledger_has_given_out_twice_is_nobodys_by_mistake(world: World) -> None:
    held = acquire(world.db, "x", 15)
    world.execute("UPDATE stream_owner SET process = 'another start of the same epoch'")
    with pytest.raises(RestoredLedger, match="has given it out again"):
        beat(world.db, held)
    release(world.db, held)
    assert world.rows("SELECT stopped_at FROM stream_owner") == [{"stopped_at": None}]


def test_stop_asks_the_owner_of_this_moment_through_the_ledger_and_waits_for_its_end(world: World) -> None:
    asked: list[str] = []
    assert stop_stream(world.db, 15, "ana on desk", 5) == "no stream has run yet: there is nothing to stop"
    owner = Ownership(world.db, "x", 1)

    def end(by: str) -> None:
        asked.append(by)
        threading.Timer(0.5, lambda: owner.__exit__()).start()

    owner.when_asked_to_stop(end)
    assert "finishes its micro-batch first" in stop_stream(world.db, 15, "ana on desk", 0)
    found = read_status(world.db, 15)["stream"]
    assert (found["running"], found["state"], found["stop_asked_by"], found["epoch"]) == (True, "stopping", "ana on desk", 1)
    assert re.fullmatch(r"the stream of \S+ pid \d+ \(epoch 1\) has stopped", stop_stream(world.db, 15, "ana on desk", 30))
    assert asked == ["ana on desk"]
    assert stop_stream(world.db, 15, "ana", 5).startswith("no stream is running: the last one, of ")
    # The next one is not meant.
    with Ownership(world.db, "x", 0.5) as successor:
        successor.when_asked_to_stop(end)
        time.sleep(1)
        assert read_status(world.db, 15)["stream"]["state"] == "running"
    assert asked == ["ana on desk"]


def test_stop_tells_a_stream_that_does_not_end_from_one_that_was_killed_and_from_one_that_is_not_heard_of(world: World) -> None:
    held = acquire(world.db, "x", 15)
    with pytest.raises(StillRunning, match="has not stopped within 1 s"):
        stop_stream(world.db, 15, "ana", 1)
    world.execute("UPDATE stream_owner SET heartbeat_at = heartbeat_at - INTERVAL 60 SECOND")
    with pytest.raises(StillRunning, match="nothing has been heard of the stream of .* for 6"):
        stop_stream(world.db, 15, "ana", 30)
    assert read_status(world.db, 15)["stream"]["state"] == "silent"
    dead = subprocess.run(
        [sys.executable, "-c", "from app.lifeline import this_process as p; print(p())"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    world.execute("UPDATE stream_owner SET process = %s", f"{dead.stdout.strip()} x")
    assert stop_stream(world.db, 15, "ana", 30).endswith("was killed")
    found = read_status(world.db, 15)["stream"]
    assert (found["running"], found["state"]) == (False, "dead")
    held.connection.close()
    # A process that is known to be dead is followed at once, however young its heartbeat is.
    world.execute("UPDATE stream_owner SET heartbeat_at = UTC_TIMESTAMP(6)")
    began = time.monotonic()
    release(world.db, acquire(world.db, "x", 3600))
    assert time.monotonic() - began < 10


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


@pytest.mark.usefixtures("verified")
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
