"""When something else fails: a file that ends its batch, a server that is away, a connection that is cut in the worst moment."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.errors import MySqlUnavailable
from app.mysql.database import Tx
from tests.fault_proxy import Fault, fault_proxy
from tests.integration.test_continuous import running, wait_until
from tests.integration.test_stream import HEADER, assert_parts_agree
from tests.poison import Poison, poison
from tests.tcp_proxy import tcp_proxy
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(600)]

# Shorter than the minute that a user may see, longer than every retry below the supervisor takes together.
AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", "12"))
LOCK = "SELECT IS_USED_LOCK(CONCAT('salestream.', LEFT(SHA2(DATABASE(), 256), 32))) AS id"
FINAL_UPDATE = b"SET state = 'COMMITTED', committed_at"


def row(customer: int, price: str = "50") -> str:
    return f"{HEADER}\n{customer},121,sugar,2024-02-01,1,{price},1,{price}\n"


def test_a_file_that_ends_every_job_is_isolated_and_given_up_and_the_rest_is_loaded(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, Poison("poisoned", "price", 601, 1000))
    world.set("stream", max_attempts=2)
    for customer in range(1, 6):
        world.drop(f"{customer}.csv", row(customer, "666" if customer == 4 else "50"))
    world.run_once(spark)
    assert world.states() == {f"{n}.csv": "FAILED" if n == 4 else "COMMITTED" for n in range(1, 6)}
    assert world.customer_mart() == {(n, "2024-02"): Decimal(50) for n in (1, 2, 3, 5)}
    failed = world.rows("SELECT reason_code, reason_detail, in_force, archived_key FROM source_file WHERE state = 'FAILED'")[0]
    assert (failed["reason_code"], failed["in_force"]) == ("FAILED", 0)
    assert "poisoned" in failed["reason_detail"]
    assert bytes(failed["archived_key"]).decode() in world.keys("sales_data_error/")
    assert world.keys("sales_data/") == []
    # 1-5 failed twice, 1-2 was loaded, 3-5 failed once, 3 was loaded, 4-5 failed once, 4 failed twice, 5 was loaded.
    states = ["SPLIT", "COMMITTED", "SPLIT", "COMMITTED", "SPLIT", "COMMITTED", "COMMITTED"]
    batches = world.rows("SELECT state, attempt FROM micro_batch ORDER BY id")
    assert [(b["state"], b["attempt"]) for b in batches] == list(zip(states, [2, 1, 1, 1, 1, 2, 1], strict=True))
    assert_parts_agree(world)


def test_mysql_may_be_away_for_a_while(world: World, spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    with tcp_proxy(world.config.mysql.host, world.config.mysql.port) as proxy, caplog.at_level(logging.WARNING, "app.stream.supervise"):
        world.set("mysql", host="127.0.0.1", port=proxy.port)
        world.set("stream", retry_seconds=120)
        with running(world, spark):
            world.drop("1.csv", row(1))
            wait_until("the first drop", lambda: len(world.keys("sales_data_processed/")) == 1)
            proxy.go_down()
            world.drop("2.csv", row(2))
            time.sleep(AWAY_SECONDS)
            proxy.is_down = False
            wait_until("the second drop", lambda: len(world.keys("sales_data_processed/")) == 2)
            wait_until("the lock is held again", lambda: world.rows(LOCK)[0]["id"] is not None)
        assert world.customer_mart() == {(1, "2024-02"): Decimal(50), (2, "2024-02"): Decimal(50)}
        assert any("starting again" in record.getMessage() for record in caplog.records)
        assert_parts_agree(world)


def test_s3_may_be_away_for_a_while(world: World, spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    client = world.client
    with fault_proxy(world.config.s3.endpoint_url) as proxy, caplog.at_level(logging.WARNING, "app.stream.supervise"):
        world.through(proxy.url, spark)
        world.set("stream", retry_seconds=120)
        with running(world, spark):
            client.put_object(Bucket=world.bucket, Key="sales_data/1.csv", Body=row(1).encode())
            wait_until("the first drop", lambda: world.states() == {"1.csv": "COMMITTED"})
            proxy.faults.append(Fault("", status=503, code="ServiceUnavailable"))
            client.put_object(Bucket=world.bucket, Key="sales_data/2.csv", Body=row(2).encode())
            time.sleep(AWAY_SECONDS)
            proxy.faults.clear()
            wait_until("the second drop", lambda: world.states() == {"1.csv": "COMMITTED", "2.csv": "COMMITTED"})
        assert proxy.hits > 0
        assert world.customer_mart() == {(1, "2024-02"): Decimal(50), (2, "2024-02"): Decimal(50)}


def test_mysql_that_stays_away_ends_the_run_with_one_line_and_nothing_half_done(world: World, spark: SparkSession) -> None:
    world.drop("1.csv", row(1))
    with tcp_proxy(world.config.mysql.host, world.config.mysql.port) as proxy:
        direct = world.config.mysql
        world.set("mysql", host="127.0.0.1", port=proxy.port)
        world.set("stream", retry_seconds=2)
        proxy.marked, proxy.reaches_server = FINAL_UPDATE, False
        watch = Watch(lambda: proxy.cuts > 0, proxy.go_down)
        with pytest.raises(MySqlUnavailable, match=r"^MYSQL_UNAVAILABLE "), watch:
            world.run_once(spark)
        world.set("mysql", host=direct.host, port=direct.port)
    assert world.customer_mart() == {}
    world.run_once(spark)
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}
    assert_parts_agree(world)


@pytest.mark.parametrize("reaches_server", [True, False], ids=["committed", "rolled back"])
def test_a_connection_cut_during_the_commit_counts_the_batch_exactly_once(world: World, spark: SparkSession, reaches_server: bool) -> None:
    world.drop("1.csv", row(1))
    with tcp_proxy(world.config.mysql.host, world.config.mysql.port) as proxy:
        world.set("mysql", host="127.0.0.1", port=proxy.port)
        proxy.marked, proxy.reaches_server = FINAL_UPDATE, reaches_server
        world.run_once(spark)
        assert proxy.cuts == 1
        assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}
        assert world.rows("SELECT state, attempt FROM micro_batch") == [{"state": "COMMITTED", "attempt": 1}]
        assert_parts_agree(world)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3100, "Error on observer while running replication hook 'before_commit'."),
        (1197, "Multi-statement transaction required more than 'max_binlog_cache_size' bytes of storage"),
        (1180, "Got error 90 'Message too long' during COMMIT"),
    ],
)
def test_a_batch_whose_transaction_is_too_large_is_split_and_loaded(world: World, spark: SparkSession, number: int, text: str) -> None:
    for customer in range(1, 5):
        world.drop(f"{customer}.csv", row(customer))
    with tcp_proxy(world.config.mysql.host, world.config.mysql.port) as proxy:
        world.set("mysql", host="127.0.0.1", port=proxy.port)
        world.set("stream", max_attempts=2)
        # Four files are too many, two are not.
        proxy.refused, proxy.refusals = FINAL_UPDATE, [(number, text)] * 2
        world.run_once(spark)
        assert proxy.refusals == []
        assert world.states() == {f"{n}.csv": "COMMITTED" for n in range(1, 5)}
        assert world.customer_mart() == {(n, "2024-02"): Decimal(50) for n in range(1, 5)}
        batches = world.rows("SELECT state, attempt, files FROM micro_batch ORDER BY id")
        assert [(b["state"], b["attempt"], b["files"]) for b in batches] == [("SPLIT", 2, 4), ("COMMITTED", 1, 2), ("COMMITTED", 1, 2)]
        assert_parts_agree(world)


@pytest.mark.parametrize("number", [1047, 1180, 1226, 1792, 3101, 9001])
def test_a_commit_that_a_cluster_or_a_proxy_refuses_for_now_is_tried_again(world: World, spark: SparkSession, number: int) -> None:
    world.drop("1.csv", row(1))
    with tcp_proxy(world.config.mysql.host, world.config.mysql.port) as proxy:
        world.set("mysql", host="127.0.0.1", port=proxy.port)
        proxy.refused, proxy.refusals = FINAL_UPDATE, [(number, "not now")] * 2
        world.run_once(spark)
        assert proxy.refusals == []
        assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}
        assert world.rows("SELECT state, attempt FROM micro_batch") == [{"state": "COMMITTED", "attempt": 1}]
        assert_parts_agree(world)


def test_of_two_transactions_that_lock_each_other_out_both_succeed(world: World) -> None:
    meeting = threading.Barrier(2)
    begun: list[int] = []

    def change(first: int, second: int) -> None:
        def work(tx: Tx) -> None:
            begun.append(first)
            tx.execute("UPDATE customer SET last_name = 'locked' WHERE customer_id = %s", (first,))
            if begun.count(first) == 1:
                meeting.wait(30)
            tx.execute("UPDATE customer SET last_name = 'locked' WHERE customer_id = %s", (second,))

        world.admin.run(work)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(change, 1, 2), pool.submit(change, 2, 1)]:
            done.result(60)
    assert len(begun) == 3  # MySQL has thrown one of them out
    assert len(world.rows("SELECT 1 FROM customer WHERE last_name = 'locked'")) == 2


class Watch:
    """Do something as soon as something else has happened, in a thread."""

    def __init__(self, happened: Callable[[], bool], act: Callable[[], None]) -> None:
        self._stop = threading.Event()

        def target() -> None:
            while not self._stop.wait(0.005):
                if happened():
                    act()
                    return

        self._thread = threading.Thread(target=target, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


# Races with producers, beside those in test_continuous.py


def test_an_object_overwritten_between_discovery_and_scan_is_loaded_once_in_its_new_version(
    world: World, spark: SparkSession, pause_at: Callable[[str], Path]
) -> None:
    marker = pause_at("after_begin")
    world.drop("a.csv", row(1))
    with running(world, spark):
        wait_until("the batch has begun", marker.exists)
        world.drop("a.csv", row(2))
        marker.unlink()
        wait_until("the new version", lambda: len(world.keys("sales_data_processed/")) == 1)
    assert world.customer_mart() == {(2, "2024-02"): Decimal(50)}
    assert sorted(r["state"] for r in world.rows("SELECT state FROM source_file")) == ["COMMITTED", "OVERWRITTEN"]


def test_an_object_overwritten_between_archive_copy_and_delete_stays_and_is_loaded(
    world: World, spark: SparkSession, pause_at: Callable[[str], Path]
) -> None:
    marker = pause_at("archive_copied")
    world.drop("a.csv", row(1))
    with running(world, spark):
        wait_until("the copy", marker.exists)
        world.drop("a.csv", row(2))
        marker.unlink()
        wait_until("both versions", lambda: len(world.keys("sales_data_processed/")) == 2)
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50), (2, "2024-02"): Decimal(50)}
    assert world.keys("sales_data/") == []


def test_a_drop_under_the_name_of_a_version_that_waits_for_its_archive_is_loaded_as_well(
    world: World, spark: SparkSession, pause_at: Callable[[str], Path]
) -> None:
    marker = pause_at("after_commit")
    world.drop("a.csv", row(1))
    with running(world, spark):
        wait_until("the commit", marker.exists)
        world.drop("a.csv", row(2))
        marker.unlink()
        wait_until("both versions", lambda: len(world.rows("SELECT 1 FROM source_file WHERE state = 'COMMITTED'")) == 2)
        wait_until("the archive", lambda: world.keys("sales_data/") == [])
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50), (2, "2024-02"): Decimal(50)}


def test_an_object_overwritten_between_two_reads_of_it_is_loaded_in_its_new_version_only(world: World, spark: SparkSession) -> None:
    client = world.client
    world.set("stream", split_bytes="256k")
    line = "1,121,sugar,2024-02-01,1,50,1,50\n"
    client.put_object(Bucket=world.bucket, Key="sales_data/a.csv", Body=(f"{HEADER}\n" + line * 20_000).encode())
    with fault_proxy(world.config.s3.endpoint_url) as proxy:
        world.through(proxy.url, spark)
        # One of the reads of the three splits waits; the others go through before the object changes.
        slow = Fault(r"^GET \S+/sales_data/a\.csv$", delay=4, times=1)
        proxy.faults.append(slow)
        with running(world, spark):
            wait_until("the reads", lambda: sum(r.method == "GET" and r.key == "sales_data/a.csv" for r in proxy.requests) >= 3)
            time.sleep(1)
            client.put_object(Bucket=world.bucket, Key="sales_data/a.csv", Body=row(2).encode())
            wait_until("the new version", lambda: len(world.keys("sales_data_processed/")) == 1)
        assert slow.times == 0
    assert world.customer_mart() == {(2, "2024-02"): Decimal(50)}
    assert sorted(r["state"] for r in world.rows("SELECT state FROM source_file")) == ["COMMITTED", "OVERWRITTEN"]
