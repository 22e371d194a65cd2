"""The stream that never stops: drops while it runs, the same name again, thousands of objects, objects that change under it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.stream.supervise import StopRequest
from tests.integration.test_stream import HEADER, assert_parts_agree
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(900)]

# Generous: these tests are about what happens, not how fast; the benchmarks measure that.
PATIENCE = 300


@contextmanager
def running(world: World, spark: SparkSession) -> Iterator[None]:
    """Run the continuous stream in a thread; stop it gracefully at the end and raise what ended it."""
    stop = StopRequest()
    failures: list[BaseException] = []

    def target() -> None:
        try:
            world.run(spark, stop, once=False)
        except BaseException as exc:  # noqa: BLE001 - handed to the test below
            failures.append(exc)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.request()
        thread.join(PATIENCE)
    assert not thread.is_alive(), "the stream did not stop"
    assert failures == []


def wait_until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for: {what}"
        time.sleep(0.1)


def test_a_drop_is_committed_and_archived_while_the_stream_runs_and_the_same_name_counts_again(world: World, spark: SparkSession) -> None:
    with running(world, spark):
        world.drop("sales_data.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
        wait_until("first drop archived", lambda: len(world.keys("sales_data_processed/")) == 1)
        assert world.customer_mart() == {(1, "2024-02"): Decimal(100)}
        assert world.states() == {"sales_data.csv": "COMMITTED"}
        world.drop("sales_data.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,1,50\n")
        wait_until("second drop archived", lambda: len(world.keys("sales_data_processed/")) == 2)
        assert world.customer_mart() == {(1, "2024-02"): Decimal(150)}
    assert world.keys("sales_data/") == []
    assert_parts_agree(world)


def test_more_objects_than_one_listing_page_are_all_loaded(world: World, spark: SparkSession) -> None:
    count = 1100
    client = world.client
    world.set("stream", max_files_per_trigger=400)
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda n: client.put_object(
                    Bucket=world.bucket,
                    Key=f"sales_data/part_{n:05d}.csv",
                    Body=f"{HEADER}\n{n % 20 + 1},121,sugar,2024-02-01,1,{n},1,{n}\n".encode(),
                ),
                range(count),
            )
        )
    with running(world, spark):
        wait_until("all committed", lambda: world.rows("SELECT COUNT(*) AS n FROM source_file WHERE state = 'COMMITTED'")[0]["n"] == count)
    assert sum(world.customer_mart().values()) == sum(range(count))
    assert_parts_agree(world)


def test_rows_with_an_unknown_customer_are_released_by_themselves_once_its_row_appears(world: World, spark: SparkSession) -> None:
    world.set("dimensions", refresh_seconds=3600)
    with running(world, spark):
        world.drop("a.csv", f"{HEADER}\n9001,121,sugar,2024-02-01,1,50,2,100\n1,121,sugar,2024-02-01,1,50,1,50\n")
        wait_until("first batch", lambda: world.customer_mart() == {(1, "2024-02"): Decimal(50)})
        assert world.rows("SELECT rows_loaded, rows_pending FROM source_file") == [{"rows_loaded": 1, "rows_pending": 1}]
        world.execute("INSERT INTO customer (customer_id, first_name) VALUES (9001, 'Late')")
        wait_until("released", lambda: world.customer_mart() == {(1, "2024-02"): Decimal(50), (9001, "2024-02"): Decimal(100)})
    assert world.rows("SELECT rows_loaded, rows_pending FROM source_file") == [{"rows_loaded": 2, "rows_pending": 0}]
    assert world.rows("SELECT kind, state FROM file_operation") == [{"kind": "RELEASE", "state": "DONE"}]
    assert world.rows("SELECT state FROM pending_part") == [{"state": "CONSUMED"}]
    assert_parts_agree(world)


def test_an_object_overwritten_while_its_batch_runs_is_loaded_once_in_its_new_version(
    world: World, spark: SparkSession, pause_at: Callable[[str], Path]
) -> None:
    marker = pause_at("after_scan")
    with running(world, spark):
        world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
        world.drop("b.csv", f"{HEADER}\n2,121,sugar,2024-02-01,1,50,2,100\n")
        wait_until("the batch is scanned", marker.exists)
        world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,70,1,70\n")
        marker.unlink()
        wait_until("both loaded", lambda: len(world.keys("sales_data_processed/")) == 2)
    assert world.customer_mart() == {(1, "2024-02"): Decimal(70), (2, "2024-02"): Decimal(100)}
    assert sorted(row["state"] for row in world.rows("SELECT state FROM source_file")) == ["COMMITTED", "COMMITTED", "OVERWRITTEN"]
    assert_parts_agree(world)


def test_an_object_deleted_while_its_batch_runs_is_gone_and_nothing_of_it_is_loaded(
    world: World, spark: SparkSession, pause_at: Callable[[str], Path]
) -> None:
    marker = pause_at("after_begin")
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    world.drop("b.csv", f"{HEADER}\n2,121,sugar,2024-02-01,1,50,2,100\n")
    with running(world, spark):
        wait_until("the batch has begun", marker.exists)
        world.client.delete_object(Bucket=world.bucket, Key="sales_data/a.csv")
        marker.unlink()
        wait_until("the other one is loaded", lambda: world.states().get("b.csv") == "COMMITTED")
    assert world.states() == {"a.csv": "GONE", "b.csv": "COMMITTED"}
    assert world.customer_mart() == {(2, "2024-02"): Decimal(100)}
    assert_parts_agree(world)


def test_a_stop_waits_for_a_batch_only_so_long_and_the_next_run_does_it_again(
    world: World, spark: SparkSession, pause_at: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    marker = pause_at("after_facts")
    world.set("stream", stop_timeout_seconds=1)
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    before = spark.conf.get("spark.sql.streaming.stopTimeout")
    spark.conf.set("spark.sql.streaming.stopTimeout", "2s")
    try:
        with running(world, spark), caplog.at_level(logging.WARNING, "app.stream.supervise"):
            wait_until("everything is written", marker.exists)
        assert marker.exists()
    finally:
        spark.conf.set("spark.sql.streaming.stopTimeout", before)
        # In a process of its own the batch would have ended with it: here a successor takes over before it goes on.
        world.execute("UPDATE stream_owner SET epoch = epoch + 1")
        marker.unlink()
    assert "the running micro-batch was cut after 1 s; the next start does it again" in caplog.text
    world.run_once(spark)
    assert world.customer_mart() == {(1, "2024-02"): Decimal(100)}
    assert_parts_agree(world)
