"""What a frozen executor or JVM leaves: a session that lives and keeps its row locks. Nobody waits for them."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from pyspark.sql import SparkSession

from app.batch.cleanup import clear_stage
from app.clean.stage import stage_rows
from app.clean.sweep import Sweep
from app.errors import MySqlUnavailable
from app.ledger.ledger import Ledger
from app.ledger.ownership import Ownership
from app.ledger.types import Attempt, FactPart, Outcome
from app.mysql.database import Connection
from app.mysql.jdbc import jdbc_options
from app.source.planner import planner_of
from tests.integration.test_outages import row
from tests.integration.test_stream import assert_parts_agree
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(600)]

STAGE = "stage_customers_data_mart"
COLUMNS = "(batch_key, customer_id, sales_date_month, total_sales, row_count)"


def begin_attempt(world: World) -> Attempt:
    """Plan a batch and begin an attempt at it, as an owner that is gone by now."""
    with Ownership(world.db, "x", 3600) as owner:
        ledger = Ledger(world.db, owner.epoch)
        planner_of(world.config, ledger).next_batch(0)
        attempt = ledger.begin(1, "0" * 64)
        assert attempt is not None
        ledger.plan_outcome(attempt, Outcome(facts=(FactPart("2024-02", 121, 1, Decimal(50)),)))
    return attempt


def freeze(world: World, key: str) -> Connection:
    """Open a session in the middle of staging: it has locked rows that are there, and has written others."""
    for customer in range(1, 4):
        world.execute(f"INSERT INTO {STAGE} {COLUMNS} VALUES (%s, %s, '2024-02', 50, 1)", key, customer)
    world.execute("INSERT INTO pending_key (batch_key, file_id, dimension, key_value, row_count) VALUES (%s, 1, 'store', 9, 1)", key)
    frozen = world.db.connect()
    frozen.begin()
    with frozen.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {STAGE} WHERE batch_key = %s AND customer_id = 2 FOR UPDATE", (key,))
        cursor.execute(f"INSERT INTO {STAGE} {COLUMNS} VALUES (%s, 7, '2024-02', 50, 1)", (key,))
        cursor.execute("SELECT * FROM pending_key WHERE batch_key = %s FOR UPDATE", (key,))
        cursor.execute(
            "INSERT INTO pending_key (batch_key, file_id, dimension, key_value, row_count) VALUES (%s, 1, 'store', 8, 1)", (key,)
        )
    return frozen


def left(world: World, key: str) -> int:
    sql = f"SELECT (SELECT COUNT(*) FROM {STAGE} WHERE batch_key = %s) + (SELECT COUNT(*) FROM pending_key WHERE batch_key = %s) AS n"
    return int(world.rows(sql, key, key)[0]["n"])


def test_the_next_owner_waits_for_no_lock_of_a_dead_attempt_and_removes_its_rows_later(world: World, spark: SparkSession) -> None:
    world.drop("1.csv", row(1))
    key = begin_attempt(world).batch_key
    # So long would each wait for a lock take.
    world.set("mysql", lock_wait_seconds=100)
    with freeze(world, key):
        began = time.monotonic()
        world.run_once(spark)
        assert time.monotonic() - began < 60
        assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}
        assert world.rows("SELECT state FROM batch_attempt WHERE batch_key = %s", key) == [{"state": "DEAD"}]
        assert left(world, key) > 0
    world.run_once(spark)
    assert left(world, key) == 0
    assert world.customer_mart() == {(1, "2024-02"): Decimal(50)}
    assert_parts_agree(world)


def test_rows_that_are_locked_are_nothing_done_so_that_a_run_can_end(world: World) -> None:
    world.drop("1.csv", row(1))
    key = begin_attempt(world).batch_key
    with Ownership(world.db, "x", 3600) as owner:
        ledger = Ledger(world.db, owner.epoch)
        with freeze(world, key):
            ledger.bury(key)
            assert clear_stage(ledger) == 0
            sweep = Sweep(world.db, world.client, world.config, now=None, safety=None, dry_run=False)  # type: ignore[arg-type]
            assert list(stage_rows(sweep)) == []
        assert clear_stage(ledger) == 2
    assert left(world, key) == 0


def test_a_session_of_spark_ends_with_its_owner(world: World, spark: SparkSession) -> None:
    """What `wait_timeout` does to a frozen executor: the server ends its session, and its locks with it."""
    world.set("mysql", idle_seconds=2)
    options = jdbc_options(world.config.mysql)
    drivers = spark._jvm.org.apache.spark.sql.execution.datasources.jdbc.DriverRegistry
    drivers.register(options["driver"])
    login = spark._jvm.java.util.Properties()
    login.setProperty("user", options["user"])
    login.setProperty("password", options["password"])
    connection = drivers.get(options["driver"]).connect(options["url"], login)
    connection.setAutoCommit(False)
    connection.createStatement().executeUpdate(f"INSERT INTO {STAGE} {COLUMNS} VALUES ('1-1-1', 1, '2024-02', 50, 1)")
    began = time.monotonic()
    # It waits for the frozen session's key.
    world.execute(f"INSERT INTO {STAGE} {COLUMNS} VALUES ('1-1-1', 1, '2024-02', 50, 1)")
    assert time.monotonic() - began < 15
    with pytest.raises(Exception, match="Communications|closed"):
        connection.commit()


def test_a_lock_of_a_living_session_is_an_error_that_may_pass(world: World) -> None:
    world.set("mysql", lock_wait_seconds=1)
    with world.db.connect() as other, other.cursor() as cursor:
        other.begin()
        cursor.execute("UPDATE stream_owner SET holder = 'x' WHERE id = 1")
        with pytest.raises(MySqlUnavailable, match="error 1205"), world.db.transaction() as tx:
            tx.execute("UPDATE stream_owner SET holder = 'y' WHERE id = 1")
