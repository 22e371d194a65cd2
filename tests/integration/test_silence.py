"""Servers that accept and say nothing, or fall silent in mid-conversation: every wait ends, as an error that may pass."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest
from pyspark.sql import SparkSession

from app.cli import app as cli
from app.errors import MySqlUnavailable, S3Unavailable
from app.mysql.database import Database, connect_plainly
from app.mysql.jdbc import jdbc_options
from app.spark.errors import failure_of
from tests.integration.test_continuous import running, wait_until
from tests.integration.test_outages import row
from tests.integration.test_stream import assert_parts_agree
from tests.tcp_proxy import TcpProxy, tcp_proxy
from tests.world import ADMIN, World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(300)]

SHORT = {"connect_timeout_seconds": 1, "read_timeout_seconds": 2, "lock_wait_seconds": 2}


@contextmanager
def behind_proxy(world: World, **limits: int) -> Iterator[TcpProxy]:
    """Send all MySQL connections of the world through a proxy, with short limits."""
    with tcp_proxy(world.config.mysql.host, world.config.mysql.port) as proxy:
        world.set("mysql", host="127.0.0.1", port=proxy.port, **(SHORT | limits))
        yield proxy


@contextmanager
def takes(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_a_mysql_that_accepts_and_says_nothing_ends_a_connection_in_bounded_time(world: World) -> None:
    with behind_proxy(world) as proxy:
        proxy.go_silent()
        with takes(5), pytest.raises(MySqlUnavailable, match="timed out"):
            Database(world.config.mysql).connect()


def test_a_mysql_that_falls_silent_ends_a_statement_in_bounded_time(world: World) -> None:
    with behind_proxy(world) as proxy:
        db = Database(world.config.mysql, attempts=1)
        assert db.run(lambda tx: tx.scalar("SELECT 1")) == 1
        proxy.go_silent()
        with (
            takes(10),
            pytest.raises(MySqlUnavailable, match="no answer for 2 s, and the server does not say that it works on the statement"),
        ):
            db.single(lambda tx: tx.scalar("SELECT 1"))
        proxy.speak()
        assert db.run(lambda tx: tx.scalar("SELECT 1")) == 1
        # Not even the whole statement is taken, which is more than the buffers on the way hold.
        proxy.go_silent()
        with takes(10), pytest.raises(MySqlUnavailable, match="timed out"):
            db.single(lambda tx: tx.scalar("SELECT LENGTH(%s)", ("x" * (12 << 20),)))


def test_a_lost_statement_is_noticed_though_the_server_answers_others(world: World) -> None:
    with behind_proxy(world) as proxy:
        db = Database(world.config.mysql, attempts=1)
        assert db.run(lambda tx: tx.scalar("SELECT 1")) == 1
        proxy.swallowed = b"SELECT 17"
        with takes(10), pytest.raises(MySqlUnavailable, match="the server does not say that it works on the statement"):
            db.run(lambda tx: tx.scalar("SELECT 17"))
        assert proxy.swallowed is None
        assert db.run(lambda tx: tx.scalar("SELECT 17")) == 17


def test_a_long_statement_that_the_server_works_on_is_waited_for(world: World) -> None:
    with behind_proxy(world, read_timeout_seconds=1):
        db = Database(world.config.mysql, attempts=1)
        assert db.run(lambda tx: tx.scalar("SELECT SLEEP(4)")) == 0


def test_a_statement_that_takes_longer_than_any_may_is_given_up(world: World) -> None:
    with behind_proxy(world, read_timeout_seconds=1, statement_timeout_seconds=3):
        db = Database(world.config.mysql, attempts=1)
        with takes(6), pytest.raises(MySqlUnavailable, match="a statement was not done after 3 s"):
            db.single(lambda tx: tx.scalar("SELECT SLEEP(60)"))


def test_a_row_and_a_table_that_others_lock_are_waited_for_no_longer_than_configured(world: World) -> None:
    world.set("mysql", **SHORT)
    with world.admin.connect() as other, other.cursor() as cursor:
        other.begin()
        cursor.execute("UPDATE stream_owner SET holder = 'somebody' WHERE id = 1")
        with takes(6), pytest.raises(MySqlUnavailable, match="error 1205"):
            Database(world.config.mysql, attempts=1).run(lambda tx: tx.execute("UPDATE stream_owner SET holder = 'else' WHERE id = 1"))
        with takes(6), pytest.raises(MySqlUnavailable, match="error 1205"):
            Database(world.mysql_as(ADMIN), attempts=1).single(lambda tx: tx.execute("ALTER TABLE stream_owner COMMENT 'x'"))
        other.rollback()
    # And the migrations' library, which opens its own.
    with connect_plainly(world.mysql_as(ADMIN)) as plain, plain.cursor() as cursor:
        cursor.execute("SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout")
        assert cursor.fetchall() == ((2, 2),)


def test_a_resolver_that_answers_nothing_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.set("mysql", host="silent.example", **SHORT)
    asked = threading.Event()

    def never(*_: object, **__: object) -> None:
        asked.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    with takes(5), pytest.raises(MySqlUnavailable, match="could not be resolved within 1 s"):
        Database(world.config.mysql).connect()
    asked.set()


def test_spark_waits_for_a_silent_mysql_in_bounded_time(world: World, spark: SparkSession) -> None:
    with behind_proxy(world) as proxy:
        options = jdbc_options(world.config.mysql)

        def read() -> int:
            return spark.read.format("jdbc").options(**options, dbtable="(SELECT COUNT(*) AS n FROM customer) AS t").load().first()["n"]

        assert read() == 25
        settings = (
            "(SELECT @@innodb_lock_wait_timeout AS a, @@lock_wait_timeout AS b, @@wait_timeout AS c, @@sql_safe_updates AS d,"
            " @@sql_big_selects AS e, @@sql_select_limit AS f, @@sql_mode LIKE '%STRICT_ALL_TABLES%' AS g) AS t"
        )
        found = spark.read.format("jdbc").options(**options, dbtable=settings).load().first().asDict()
        assert {name: int(value) for name, value in found.items()} == {"a": 2, "b": 2, "c": 600, "d": 0, "e": 1, "f": 2**64 - 1, "g": 1}
        for silence in ("in mid-conversation", "from the start"):
            if silence == "from the start":
                proxy.go_silent()
            else:
                proxy.silenced_by = b"COUNT(*)"
            with takes(60), pytest.raises(Exception) as caught:
                read()
            assert proxy.is_silent
            assert isinstance(failure_of(caught.value), MySqlUnavailable), caught.value
            proxy.cut()
            proxy.speak()


@pytest.mark.parametrize("command", [["status"], ["files"], ["file", "1"], ["verify"], ["clean", "--dry-run"], ["init-db"]], ids=" ".join)
def test_a_command_ends_with_one_line_when_mysql_is_silent(
    world: World, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with behind_proxy(world) as proxy:
        for module in ("app", "options", "verify", "clean"):
            monkeypatch.setattr(f"app.cli.{module}.configuration", lambda _env: world.config, raising=False)
        proxy.go_silent()
        with takes(45):
            assert cli.main(command) == 1
        err = capsys.readouterr().err
        assert "Traceback" not in err
        [line] = [line for line in err.splitlines() if line.startswith("salestream: ")]
        assert line.startswith("salestream: MYSQL_UNAVAILABLE mysql.host=127.0.0.1:")


def test_the_stream_goes_on_after_a_mysql_that_was_silent(world: World, spark: SparkSession) -> None:
    with behind_proxy(world) as proxy:
        world.set("stream", retry_seconds=120, takeover_seconds=5)
        with running(world, spark):
            world.drop("1.csv", row(1))
            wait_until("the first drop", lambda: len(world.keys("sales_data_processed/")) == 1)
            proxy.go_silent()
            world.drop("2.csv", row(2))
            time.sleep(10)
            proxy.speak()
            wait_until("the second drop", lambda: len(world.keys("sales_data_processed/")) == 2)
        assert world.customer_mart() == {(1, "2024-02"): Decimal(50), (2, "2024-02"): Decimal(50)}
        assert_parts_agree(world)


# Where the conversation stops: what the statement begins with, on whichever connection it comes.
MOMENTS = {
    "begin": b"INSERT INTO batch_attempt",
    "stage": b"REPLACE INTO stage_customers_data_mart",
    "merge": b"INSERT INTO customers_data_mart",
    "final": b"SET state = 'COMMITTED', committed_at",
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_mysql_that_falls_silent_in_a_batch_ends_the_run_and_the_next_counts_it_once(
    world: World, spark: SparkSession, moment: bytes
) -> None:
    world.drop("1.csv", row(1))
    direct = world.config.mysql
    with behind_proxy(world) as proxy:
        world.set("stream", retry_seconds=2, takeover_seconds=2)
        proxy.silenced_by = moment
        with takes(120), pytest.raises(MySqlUnavailable):
            world.run_once(spark)
        assert proxy.is_silent
        proxy.cut()
    world.set("mysql", host=direct.host, port=direct.port)
    wait_until("the silent run's heartbeat is too old", lambda: is_over(world))
    world.run_once(spark)
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}
    assert_parts_agree(world)


def is_over(world: World) -> bool:
    silent = "SELECT TIMESTAMPDIFF(SECOND, heartbeat_at, UTC_TIMESTAMP(6)) AS s FROM stream_owner"
    return int(world.rows(silent)[0]["s"]) >= 3


# S3


def test_the_stream_goes_on_after_an_s3_that_was_silent_or_slow(world: World, spark: SparkSession) -> None:
    client = world.client
    port = int(world.config.s3.endpoint_url.rpartition(":")[2])
    with tcp_proxy("127.0.0.1", port) as proxy:
        world.through(f"http://127.0.0.1:{proxy.port}", spark)
        world.set("s3", connect_timeout_seconds=1, read_timeout_seconds=2, least_bytes_per_second="1m")
        world.set("stream", retry_seconds=120)
        with running(world, spark):
            client.put_object(Bucket=world.bucket, Key="sales_data/1.csv", Body=row(1).encode())
            wait_until("the first drop", lambda: world.states() == {"1.csv": "COMMITTED"})
            proxy.go_silent()
            client.put_object(Bucket=world.bucket, Key="sales_data/2.csv", Body=row(2).encode())
            time.sleep(10)
            proxy.speak()
            wait_until("the second drop", lambda: world.states() == {"1.csv": "COMMITTED", "2.csv": "COMMITTED"})
            proxy.rate = 1
            client.put_object(Bucket=world.bucket, Key="sales_data/3.csv", Body=row(3).encode())
            time.sleep(15)
            proxy.rate = None
            wait_until("the third drop", lambda: world.states().get("3.csv") == "COMMITTED")
        assert world.customer_mart() == {(n, "2024-02"): Decimal(50) for n in (1, 2, 3)}
        assert_parts_agree(world)


@pytest.mark.parametrize("how", ["silent", "slow"])
def test_a_run_whose_s3_is_silent_or_slow_ends_and_says_so(world: World, spark: SparkSession, how: str) -> None:
    world.drop("1.csv", row(1))
    direct = world.config.s3.endpoint_url
    with tcp_proxy("127.0.0.1", int(direct.rpartition(":")[2])) as proxy:
        world.through(f"http://127.0.0.1:{proxy.port}", spark)
        world.set("s3", connect_timeout_seconds=1, read_timeout_seconds=1, least_bytes_per_second="1m")
        world.set("stream", retry_seconds=2, takeover_seconds=2)
        if how == "silent":
            proxy.go_silent()
        else:
            proxy.rate = 2
        with takes(120), pytest.raises(S3Unavailable):
            world.run_once(spark)
    world.through(direct, spark)
    world.run_once(spark)
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}
