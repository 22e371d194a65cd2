"""What fails again and again: whose fault it is, what it costs the others, and what may still pass by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from app.batch import process
from app.batch.cleanup import withdraw
from app.batch.context import Job
from app.batch.held_pieces import InSpark
from app.batch.process import BatchRunner
from app.contract.contract import load_contract
from app.errors import AttemptStuck, BatchFailed, LedgerError, MySqlUnavailable, PipelineError, SystemicFault, UsageError
from app.ledger import manual_changes
from app.ledger.commit import is_open
from app.ledger.ledger import Ledger
from app.ledger.operations import request, request_for_files
from app.ledger.ownership import Ownership, owners_database
from app.ledger.types import Attempt, OperationKind
from app.mysql.database import Tx
from app.operations import dry_run
from app.operations.compact import mergeable, request_merge
from app.operations.dry_run import preview
from app.s3.read import ObjectVersion
from app.sinks import marts
from app.sinks.part_writer import PartWriter
from app.source.dimensions import Dimensions
from app.stream.housekeeping import Housekeeper
from app.stream.run import recover
from app.stream.supervise import StopRequest, noting_stop
from tests.fault_proxy import Fault, fault_proxy
from tests.integration.test_continuous import running, wait_until
from tests.integration.test_outages import FINAL_UPDATE, Watch
from tests.integration.test_stream import HEADER
from tests.poison import Poison, poison
from tests.tcp_proxy import tcp_proxy
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(900)]


def row(customer: int, price: str = "50") -> str:
    return f"{HEADER}\n{customer},121,sugar,2024-02-01,1,{price},1,{price}\n"


# What blocks, what is not bounded, what ends too much


def test_rows_whose_staging_is_repeated_count_once(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the server's answer is lost: the page is sent again."""
    put = marts.put_rows

    def repeated(tx: Tx, **page: Any) -> None:
        put(tx, **page)
        put(tx, **page)

    monkeypatch.setattr("app.sinks.marts.put_rows", repeated)
    world.drop("a.csv", row(1))
    world.run_once(spark)
    assert world.rows("SELECT state, attempt, failures FROM micro_batch") == [{"state": "COMMITTED", "attempt": 1, "failures": 0}]
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}


def test_a_batch_of_which_a_task_wrote_twice_is_done_by_its_next_attempt(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As large batches are written.
    monkeypatch.setattr("app.batch.evaluate.SMALL_BYTES", -1)
    twice = iter([True])
    written = InSpark._written

    def repeated(self: InSpark, writer: PartWriter) -> list[dict[str, Any]]:
        files = written(self, writer)
        # Files of two attempts of one task lie there by then.
        return [file | {"attempt": 1} for file in files] if next(twice, False) else files

    monkeypatch.setattr(InSpark, "_written", repeated)
    world.drop("a.csv", row(1))
    world.run_once(spark)
    assert world.rows("SELECT state, attempt, failures FROM micro_batch") == [{"state": "COMMITTED", "attempt": 2, "failures": 0}]
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}


def test_a_dry_run_keeps_nobody_waiting(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it computes, and at its end, requests are planned as ever, and no statement of the stream waits for its locks."""
    world.drop("a.csv", row(1))
    world.run_once(spark)
    world.db.run(lambda tx: tx.execute("UPDATE stream_owner SET epoch = epoch + 1"))
    epoch = world.rows("SELECT epoch FROM stream_owner")[0]["epoch"]
    contract = load_contract(world.config.contract_path)
    job = Job(spark, world.config, contract, Ledger(world.db, 0), Dimensions(spark, world.config, lambda: 1))
    ledger = Ledger(world.db, epoch)
    looked: list[str] = []

    def look(when: str) -> None:
        """Ask for an operation and plan it, as the stream and its planner do beside a dry run."""
        began = time.monotonic()
        done: list[object] = []

        def plan() -> None:
            world.db.run(lambda tx: request(tx, OperationKind.COMPACT, "test", when))
            done.append(ledger.claim_operation())

        thread = threading.Thread(target=plan)
        thread.start()
        thread.join(5)
        assert done != [None] and done, f"{when}: the planner waits"
        assert time.monotonic() - began < 5
        looked.append(when)

    deltas = dry_run.mart_deltas

    def computing(*args: Any) -> Any:
        looked.append("compute")
        # What MySQL knows of this moment: is a transaction open that has changed something?
        assert world.root is not None
        with world.root.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0")
            assert cursor.fetchall()[0][0] == 0, "it computes inside of its transaction"
        return deltas(*args)

    change = dry_run.change_everything

    def changing(*args: Any) -> None:
        change(*args)
        look("inside")

    monkeypatch.setattr(dry_run, "mart_deltas", computing)
    monkeypatch.setattr(dry_run, "change_everything", changing)
    found = preview(job, lambda tx: request_for_files(tx, OperationKind.RETRACT, [1], "test"))
    assert (found.removed.rows, looked) == (1, ["compute", "compute", "inside"])
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}


def test_a_partition_of_many_parts_is_merged_by_several_operations(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("app.ledger.operations", "app.operations.compact", "app.batch.replace_parts"):
        monkeypatch.setattr(f"{module}.MOST_MERGED_PARTS", 3, raising=False)
    world.set("stream", max_files_per_trigger=1)
    for customer in range(1, 8):
        world.drop(f"{customer}.csv", row(customer))
    world.run_once(spark)
    assert len(world.live_parts()) == 7
    [merge] = mergeable(world.db, None)
    # 7 parts, 3 at a time: 5 are left, 3 are left, 1 is left.
    assert len(request_merge(world.db, [merge], "test")) == 3
    world.run_once(spark)
    assert [rows for rows, _ in world.live_parts().values()] == [7]
    merged = world.rows("SELECT COUNT(*) AS n FROM fact_part f WHERE state = 'DEAD' GROUP BY dead_at ORDER BY dead_at")
    assert [one["n"] for one in merged] == [3, 3, 3]


def test_what_bytes_leave_over_is_merged_by_a_further_operation(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    world.set("stream", max_files_per_trigger=1)
    for customer in range(1, 5):
        world.drop(f"{customer}.csv", row(customer))
    world.run_once(spark)
    size = max(version.size for version in world.objects("sales_facts/sales_month"))
    monkeypatch.setattr("app.batch.replace_parts.MOST_MERGED_BYTES", 2 * size, raising=False)
    assert len(request_merge(world.db, mergeable(world.db, None), "test")) == 1
    world.run_once(spark)
    assert [rows for rows, _ in world.live_parts().values()] == [4]
    details = [one["detail"] for one in world.rows("SELECT detail FROM file_operation ORDER BY id")]
    assert details[1:] == [f"the rest of operation {number}" for number in range(1, len(details))]
    assert len(details) > 1


# Never two attempts in one process


def hiccup_when(monkeypatch: pytest.MonkeyPatch, is_due: Callable[[], bool]) -> None:
    """Let the housekeeping lose MySQL once, for a moment, as soon as something is so."""
    tick, done = Housekeeper.tick, threading.Event()

    def losing(keeper: Housekeeper) -> int:
        if not done.is_set() and is_due():
            done.set()
            raise MySqlUnavailable("mysql.host=db:3306: error 2013: Lost connection")
        return tick(keeper)

    monkeypatch.setattr(Housekeeper, "tick", losing)


def test_an_attempt_is_over_before_the_next_one_begins(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.client
    world.set("stream", stop_timeout_seconds=1, retry_seconds=120)
    with fault_proxy(world.config.s3.endpoint_url) as proxy:
        world.through(proxy.url, spark)
        # The batch is longer than a stop would wait for it.
        slow = Fault(r"^GET \S+/sales_data/a\.csv$", delay=30, times=1)
        proxy.faults.append(slow)
        hiccup_when(monkeypatch, lambda: slow.times == 0)
        with running(world, spark):
            client.put_object(Bucket=world.bucket, Key="sales_data/a.csv", Body=row(1).encode())
            wait_until("the batch", lambda: world.states() == {"a.csv": "COMMITTED"})
        attempts = world.rows("SELECT state, error FROM batch_attempt ORDER BY started_at")
        assert [one["state"] for one in attempts] == ["DEAD", "COMMITTED"]
        assert "was cancelled" in attempts[0]["error"]
        assert world.rows("SELECT attempt, failures FROM micro_batch") == [{"attempt": 2, "failures": 0}]
        assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}


def test_an_attempt_that_cannot_be_ended_ends_the_process(
    world: World, spark: SparkSession, pause_at: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = pause_at("after_facts")
    monkeypatch.setattr("app.stream.supervise.CANCEL_SECONDS", 2.0, raising=False)
    world.set("stream", stop_timeout_seconds=1, retry_seconds=120)
    before = spark.conf.get("spark.sql.streaming.stopTimeout")
    spark.conf.set("spark.sql.streaming.stopTimeout", "2s")
    hiccup_when(monkeypatch, marker.exists)
    world.drop("a.csv", row(1))
    try:
        with pytest.raises(AttemptStuck, match=r"^STUCK "):
            world.run(spark, StopRequest(), once=False)
        # Nothing of the attempt was taken away under it.
        assert len(world.keys("sales_facts/sales_month")) == 1
        assert [one["state"] for one in world.rows("SELECT state FROM batch_attempt")] == ["OPEN"]
    finally:
        spark.conf.set("spark.sql.streaming.stopTimeout", before)
        world.execute("UPDATE stream_owner SET epoch = epoch + 1")
        marker.unlink(missing_ok=True)
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "")
    wait_until("the end of the query", lambda: not spark.streams.active)
    world.run_once(spark)
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}


def test_a_job_killed_in_sparks_user_interface_is_no_failure_of_its_batch(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set("stream", max_attempts=2)
    client = world.client
    with fault_proxy(world.config.s3.endpoint_url) as proxy:
        world.through(proxy.url, spark)
        slow = Fault(r"^GET \S+/sales_data/a\.csv$", delay=10, times=1)
        proxy.faults.append(slow)
        client.put_object(Bucket=world.bucket, Key="sales_data/a.csv", Body=row(1).encode())
        watch = threading.Thread(target=lambda: (wait_until("the job", lambda: slow.times == 0), spark.sparkContext.cancelAllJobs()))
        watch.start()
        world.run_once(spark)
        watch.join()
    assert world.rows("SELECT state, attempt, failures FROM micro_batch") == [{"state": "COMMITTED", "attempt": 2, "failures": 0}]
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}


# Attempts that end without a word


def open_attempt(world: World, epoch: int) -> str:
    """Begin an attempt at the first batch under a new epoch, and end as a killed process does."""
    world.execute("UPDATE stream_owner SET epoch = %s, stopped_at = NULL", epoch)
    ledger = Ledger(world.db, epoch)
    if not ledger.unfinished():
        versions = [
            ObjectVersion(world.bucket, version.key, version.etag, version.size, version.last_modified)
            for version in world.objects("sales_data/")
        ]
        ledger.discover(versions)
        ledger.claim_files(1000, 1 << 30)
    attempt = ledger.begin(ledger.unfinished()[0], "0" * 64)
    assert attempt is not None
    return attempt.batch_key


def counted(world: World) -> list[tuple[int, int]]:
    return [(one["unexplained"], one["failures"]) for one in world.rows("SELECT unexplained, failures FROM micro_batch ORDER BY id")]


def test_an_attempt_that_ends_without_a_word_counts_from_the_second_time_on(world: World) -> None:
    world.drop("a.csv", row(1))
    seen = []
    for epoch in range(1, 5):
        key = open_attempt(world, epoch)
        world.execute("UPDATE stream_owner SET epoch = %s", epoch + 1)
        ledger = Ledger(world.db, epoch + 1)
        assert ledger.count_silent() == [int(key.split("-")[0])]
        # A crash right behind it counts nothing twice.
        assert ledger.count_silent() == []
        ledger.bury(key)
        seen += counted(world)
    assert seen == [(1, 0), (2, 1), (3, 2), (4, 3)]


def test_an_attempt_of_a_living_owner_that_was_displaced_is_counted_back(world: World) -> None:
    world.drop("a.csv", row(1))
    for epoch in (1, 2, 3):
        key = open_attempt(world, epoch)
        world.execute("UPDATE stream_owner SET epoch = %s", epoch + 1)
        Ledger(world.db, epoch + 1).count_silent()
        zombie = Ledger(world.db, epoch)
        withdraw(zombie, world.config, world.client, key)
        withdraw(zombie, world.config, world.client, key)
        assert counted(world) == [(0, 0)]
        Ledger(world.db, epoch + 1).bury(key)


def test_a_run_that_was_asked_to_stop_and_is_killed_then_suspects_no_batch(world: World) -> None:
    world.drop("a.csv", row(1))
    for epoch in (1, 2, 3):
        key = open_attempt(world, epoch)
        stop = StopRequest()
        with noting_stop(stop, Ledger(world.db, epoch)):
            stop.request()
            wait_until(
                "the note", lambda key=key: world.rows("SELECT error FROM batch_attempt WHERE batch_key = %s", key)[0]["error"] is not None
            )
        world.execute("UPDATE stream_owner SET epoch = %s", epoch + 1)
        assert Ledger(world.db, epoch + 1).count_silent() == []
        Ledger(world.db, epoch + 1).bury(key)
    assert counted(world) == [(0, 0)]


def test_an_outage_of_mysql_that_ends_run_after_run_counts_nothing(world: World, spark: SparkSession) -> None:
    """What failed cannot be noted while MySQL is away; it is told to the ledger by the next start."""
    world.drop("a.csv", row(1))
    direct = world.config.mysql
    for _ in range(3):
        with tcp_proxy(direct.host, direct.port) as proxy:
            world.set("mysql", host="127.0.0.1", port=proxy.port)
            proxy.marked, proxy.reaches_server = FINAL_UPDATE, False
            with pytest.raises(MySqlUnavailable), Watch(lambda proxy=proxy: proxy.cuts > 0, proxy.go_down):
                world.run_once(spark)
            world.set("mysql", host=direct.host, port=direct.port)
    world.run_once(spark)
    assert world.states() == {"a.csv": "COMMITTED"}
    assert counted(world) == [(0, 0)]


def test_a_batch_that_kills_run_after_run_is_cut_until_the_killer_is_alone(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The death of the process is played here: an end that writes nothing and is no Exception. tests/e2e kills for real."""
    world.set("stream", max_attempts=2)
    for customer in range(1, 5):
        world.drop(f"{customer}.csv", row(customer))
    evaluate = process.evaluate

    def dying(job: Any, attempt: Any) -> Any:
        if any(file.key.endswith("/3.csv") for file in attempt.files):
            raise SystemExit("killed")
        return evaluate(job, attempt)

    monkeypatch.setattr(process, "evaluate", dying)
    deaths = 0
    while True:
        try:
            # As at a start of its own: what is unfinished comes first.
            with Ownership(owners_database(world.config), world.bucket, 15) as ownership:
                job = Job(
                    spark,
                    world.config,
                    load_contract(world.config.contract_path),
                    Ledger(world.db, ownership.epoch),
                    Dimensions(spark, world.config, lambda: 1),
                )
                if not deaths:
                    job.ledger.discover(world.objects("sales_data/"))
                    job.ledger.claim_files(1000, 1 << 30)
                recover(job, BatchRunner(job, lambda: False))
            break
        except SystemExit:
            deaths += 1
            assert deaths < 20
    assert world.states() == {f"{n}.csv": "FAILED" if n == 3 else "COMMITTED" for n in range(1, 5)}
    # 1-4 three times, of which the first was free; then 3-4, which is known to hold a killer; then 3 alone.
    assert deaths == 3 + 1 + 2


# Not the files, but everything


def assert_nothing_is_final(world: World, names: Iterable[str]) -> None:
    states = world.states()
    # A run may stop before it has listed all of them.
    assert {states.get(name, "DISCOVERED") for name in names} <= {"DISCOVERED", "CLAIMED"}
    assert world.keys("sales_data_error/") == []
    assert {f"sales_data/{name}" for name in names} <= set(world.keys("sales_data/"))


RAISES = Poison("the rule is broken", "price", 0, 10**9)


@pytest.mark.parametrize("files_per_batch", [1, 1000])
@pytest.mark.parametrize("is_known_good", [False, True], ids=["first files ever", "others were loaded"])
def test_a_fault_that_every_file_meets_stops_the_run_and_gives_nothing_up(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, is_known_good: bool, files_per_batch: int
) -> None:
    world.set("stream", max_attempts=2, max_files_per_trigger=files_per_batch)
    good = {}
    if is_known_good:
        world.drop("good.csv", row(9))
        world.run_once(spark)
        good = {"good.csv": "COMMITTED"}
    names = [f"{n}.csv" for n in range(1, 6)]
    for number, name in enumerate(names, start=1):
        world.drop(name, row(number))
    with monkeypatch.context() as patch:
        poison(patch, RAISES)
        for _ in range(2):
            with pytest.raises(SystemicFault, match=r"^SYSTEMIC .*the rule is broken") as failure:
                world.run_once(spark)
            assert failure.value.exit_code == 1
            assert_nothing_is_final(world, names)
    world.run_once(spark)
    assert world.states() == good | dict.fromkeys(names, "COMMITTED")


def test_a_fault_that_every_file_meets_stops_the_stream_that_never_ends(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set("stream", max_attempts=1, max_files_per_trigger=1, retry_seconds=60)
    poison(monkeypatch, RAISES)
    for number in range(1, 5):
        world.drop(f"{number}.csv", row(number))
    with pytest.raises(SystemicFault, match="3 files in a row fail for one cause"):
        world.run(spark, StopRequest(), once=False)
    assert_nothing_is_final(world, ["1.csv", "2.csv", "3.csv"])


def test_a_file_a_day_by_runs_of_their_own_is_never_given_up_for_a_fault_of_everything(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set("stream", max_attempts=1)
    with monkeypatch.context() as patch:
        poison(patch, RAISES)
        for day in range(1, 5):
            world.drop(f"{day}.csv", row(day))
            with pytest.raises(SystemicFault, match="the rule is broken"):
                world.run_once(spark)
            assert_nothing_is_final(world, [f"{n}.csv" for n in range(1, day + 1)])
    world.run_once(spark)
    assert set(world.states().values()) == {"COMMITTED"}


def test_what_a_file_known_good_does_not_show_is_seen_by_its_row(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluating works, and writing does not: a package that only the writers need, for one."""
    world.set("stream", max_attempts=1, max_files_per_trigger=1)
    world.drop("good.csv", row(9))
    world.run_once(spark)

    def missing(*_: Any) -> Any:
        raise BatchFailed("ModuleNotFoundError: No module named 'zstd'")

    names = [f"{n}.csv" for n in range(1, 7)]
    for number, name in enumerate(names, start=1):
        world.drop(name, row(number))
    with monkeypatch.context() as patch:
        patch.setattr(process, "write_outputs", missing)
        with pytest.raises(SystemicFault, match="5 files in a row fail for one cause.*zstd"):
            world.run_once(spark)
    assert_nothing_is_final(world, names)
    world.run_once(spark)
    assert set(world.states().values()) == {"COMMITTED"}


def test_a_dimension_that_lost_a_column_costs_no_file(world: World, spark: SparkSession) -> None:
    world.set("stream", max_attempts=1, max_files_per_trigger=1)
    world.execute("ALTER TABLE customer CHANGE address place VARCHAR(200)")
    names = [f"{n}.csv" for n in range(1, 5)]
    for number, name in enumerate(names, start=1):
        world.drop(name, row(number))
    with pytest.raises(PipelineError, match="address") as failure:
        world.run_once(spark)
    assert failure.value.exit_code == 1
    assert_nothing_is_final(world, names)
    world.execute("ALTER TABLE customer CHANGE place address VARCHAR(200)")
    world.run_once(spark)
    assert set(world.states().values()) == {"COMMITTED"}


def test_memory_that_a_refresh_lacks_costs_no_file(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    world.set("stream", max_attempts=1, max_files_per_trigger=1)
    names = [f"{n}.csv" for n in range(1, 5)]
    for number, name in enumerate(names, start=1):
        world.drop(name, row(number))

    def full(_: Dimensions) -> Any:
        raise BatchFailed("java.lang.OutOfMemoryError: Java heap space")

    with monkeypatch.context() as patch:
        patch.setattr(Dimensions, "current", full)
        with pytest.raises(SystemicFault, match="OutOfMemoryError"):
            world.run_once(spark)
    assert_nothing_is_final(world, names)
    world.run_once(spark)
    assert set(world.states().values()) == {"COMMITTED"}


def test_a_handful_of_bad_files_with_causes_of_their_own_stops_nothing(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set("stream", max_attempts=1, max_files_per_trigger=1)
    words = ["apple", "pear", "plum", "fig", "quince"]
    poison(monkeypatch, *(Poison(word, "price", 1000 + number, 1000 + number) for number, word in enumerate(words)))
    for number, word in enumerate(words):
        world.drop(f"{word}.csv", row(1, str(1000 + number)))
    world.drop("good.csv", row(2))
    world.run_once(spark)
    assert world.states() == {f"{word}.csv": "FAILED" for word in words} | {"good.csv": "COMMITTED"}
    assert {key.rpartition("/")[2] for key in world.keys("sales_data_error/")} == {f"{word}.csv" for word in words}


def test_two_bad_files_of_one_kind_in_a_row_stop_nothing(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    world.set("stream", max_attempts=1, max_files_per_trigger=1)
    poison(monkeypatch, Poison("poison", "price", 601, 1000))
    world.drop("good.csv", row(1))
    world.run_once(spark)
    world.drop("a.csv", row(2, "666"))
    world.drop("b.csv", row(3, "777"))
    world.run_once(spark)
    assert world.states() == {"good.csv": "COMMITTED", "a.csv": "FAILED", "b.csv": "FAILED"}
    assert world.keys("sales_data/") == []


def test_the_stream_gives_a_bad_file_up_once_it_is_known_to_be_the_file(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set("stream", max_attempts=1, max_files_per_trigger=1)
    poison(monkeypatch, Poison("poison", "price", 601, 1000))
    with running(world, spark):
        world.drop("bad.csv", row(2, "666"))
        wait_until("it is held back", lambda: [r["state"] for r in world.rows("SELECT state FROM micro_batch")] == ["HELD"])
        assert_nothing_is_final(world, ["bad.csv"])
        world.drop("good.csv", row(1))
        wait_until("both are decided", lambda: world.states() == {"bad.csv": "FAILED", "good.csv": "COMMITTED"})
        wait_until("both are moved", lambda: world.keys("sales_data/") == [])


# What people can do


def test_a_batch_is_listed_and_split_by_hand(world: World) -> None:
    for customer in range(1, 6):
        world.drop(f"{customer}.csv", row(customer))
    key = open_attempt(world, 1)
    world.execute("UPDATE stream_owner SET heartbeat_at = UTC_TIMESTAMP(6), holder = 'host pid 7'")
    [batch] = world.db.run(lambda tx: manual_changes.list_batches(tx, 10, everything=False))
    assert (batch["id"], batch["state"], batch["kind"], batch["files"], batch["attempts"]) == (1, "STARTED", "FILES", 5, 1)

    def cut(number: int) -> tuple[int, int]:
        return world.db.run(lambda tx: manual_changes.split_batch(tx, number, 15, "ann"))

    with pytest.raises(UsageError, match="carried out right now by the stream of host pid 7"):
        cut(1)
    # The attempt failed, or the stream is gone: then nobody is at it.
    world.execute("UPDATE batch_attempt SET error = 'it failed'")
    assert cut(1) == (2, 3)
    assert [one["files"] for one in world.rows("SELECT files FROM micro_batch ORDER BY id")] == [5, 2, 3]
    assert Ledger(world.db, 1).unfinished() == [2, 3]
    with pytest.raises(UsageError, match="batch 1 is SPLIT"):
        cut(1)
    with pytest.raises(UsageError, match="there is no batch 99"):
        cut(99)
    cut(2)
    with pytest.raises(UsageError, match="batch 4 has 1 files"):
        cut(4)
    # The attempt that was under way can never commit.
    attempt = Attempt(1, key, 1, datetime.now(UTC), ())
    with pytest.raises(LedgerError, match="it is SPLIT"):
        world.db.run(lambda tx: is_open(tx, attempt))


def test_what_was_split_by_hand_beside_a_running_stream_is_loaded_by_it(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set("stream", max_attempts=100, retry_seconds=300)
    fails = process.evaluate

    def failing(job: Any, attempt: Any) -> Any:
        if len(attempt.files) > 2:
            raise BatchFailed("too many")
        return fails(job, attempt)

    monkeypatch.setattr(process, "evaluate", failing)
    for customer in range(1, 5):
        world.drop(f"{customer}.csv", row(customer))

    def is_split() -> bool:
        try:
            world.db.run(lambda tx: manual_changes.split_batch(tx, 1, 15, "ann"))
        except UsageError:
            return False
        return True

    with running(world, spark):
        wait_until("it failed", lambda: bool(world.rows("SELECT 1 FROM micro_batch WHERE failures > 1")))
        wait_until("between two attempts", is_split)
        wait_until("all files", lambda: len(world.keys("sales_data_processed/")) == 4)
    assert set(world.states().values()) == {"COMMITTED"}


def test_an_operation_is_listed_and_cancelled(world: World, spark: SparkSession) -> None:
    world.drop("a.csv", row(1))
    world.run_once(spark)

    def ask(kind: OperationKind = OperationKind.RETRACT) -> int:
        return world.db.run(lambda tx: request_for_files(tx, kind, [1], "ann"))

    def cancel(number: int) -> None:
        world.db.run(lambda tx: manual_changes.cancel_operation(tx, number, 15, "bob"))

    requested, claimed, release = ask(), ask(), ask(OperationKind.RELEASE)
    shown = world.db.run(lambda tx: manual_changes.list_operations(tx, 10, everything=False))
    assert [(one["id"], one["kind"], one["state"]) for one in shown] == [
        (release, "RELEASE", "REQUESTED"),
        (claimed, "RETRACT", "REQUESTED"),
        (requested, "RETRACT", "REQUESTED"),
    ]
    cancel(requested)
    with pytest.raises(UsageError, match="is CANCELLED: there is nothing to cancel"):
        cancel(requested)
    with pytest.raises(UsageError, match="asked for by the stream itself"):
        cancel(release)
    with pytest.raises(UsageError, match="there is no operation 99"):
        cancel(99)
    world.execute("UPDATE file_operation SET state = 'DONE' WHERE id = %s", release)
    # Planned, its attempt begun by the owner, and failed.
    world.execute("UPDATE stream_owner SET epoch = 5, stopped_at = NULL, heartbeat_at = UTC_TIMESTAMP(6)")
    ledger = Ledger(world.db, 5)
    batch = ledger.claim_operation()
    assert batch is not None
    attempt = ledger.begin(batch, "0" * 64)
    assert attempt is not None
    with pytest.raises(UsageError, match="carried out right now"):
        cancel(claimed)
    ledger.fail(attempt, "it failed", is_counted=True)
    cancel(claimed)
    world.execute("UPDATE stream_owner SET stopped_at = UTC_TIMESTAMP(6)")
    world.run_once(spark)
    assert (
        world.rows("SELECT state, detail FROM file_operation WHERE kind = 'RETRACT'")
        == [{"state": "CANCELLED", "detail": "cancelled by bob"}] * 2
    )
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}
