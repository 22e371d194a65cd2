"""The final transaction is one: whatever stops it, and wherever, nothing of a batch counts, and its files lie where they were dropped."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pyspark.sql import SparkSession

from app import failpoints
from app.errors import MySqlError
from app.failpoints import InjectedFailure
from tests.integration.test_stream import HEADER, assert_parts_agree
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(600)]

REST = "121,sugar,2024-02-01,1,50,2,100"
# A loaded row, a rejected one and one that waits: the transaction touches every table that it can touch.
BODY = f"{HEADER}\n1,{REST}\nx,{REST}\n9001,{REST}\n"
MARTS = ("customers_data_mart", "sales_team_data_mart")
# Every table that the final transaction writes to, and what it writes there and nobody before it.
WRITES = {
    "customers_data_mart": ("INSERT", "1"),
    "sales_team_data_mart": ("INSERT", "1"),
    "source_file": ("UPDATE", "NEW.state = 'COMMITTED'"),
    "fact_part": ("UPDATE", "NEW.state = 'LIVE'"),
    "quarantine_part": ("UPDATE", "NEW.state = 'LIVE'"),
    "pending_part": ("UPDATE", "NEW.state = 'WAITING'"),
    "micro_batch": ("UPDATE", "NEW.state = 'COMMITTED'"),
    "batch_attempt": ("UPDATE", "NEW.state = 'COMMITTED'"),
}


def assert_nothing_counts(world: World) -> None:
    """No table shows anything of the batch, and its file is neither moved nor copied."""
    assert [world.rows(f"SELECT COUNT(*) AS n FROM {mart}")[0]["n"] for mart in MARTS] == [0, 0]
    books = world.rows("SELECT state, in_force, archive_due, archived_key, rows_read FROM source_file")
    assert books == [{"state": "CLAIMED", "in_force": 0, "archive_due": 0, "archived_key": None, "rows_read": 0}]
    assert world.rows("SELECT state FROM micro_batch") == [{"state": "STARTED"}]
    for table in ("fact_part", "quarantine_part", "pending_part"):
        assert {row["state"] for row in world.rows(f"SELECT state FROM {table}")} <= {"PLANNED", "DEAD", "DELETED"}, table
    assert world.keys("sales_data/") == ["sales_data/a.csv"]
    assert world.keys("sales_data_processed/") == []


def assert_counted_once(world: World) -> None:
    assert world.customer_mart() == {(1, "2024-02"): Decimal(100)}
    books = world.rows("SELECT state, rows_read, rows_loaded, rows_rejected, rows_pending FROM source_file")
    assert books == [{"state": "COMMITTED", "rows_read": 3, "rows_loaded": 1, "rows_rejected": 1, "rows_pending": 1}]
    assert world.keys("sales_data/") == []
    assert_parts_agree(world)


def test_a_write_that_is_refused_takes_every_other_write_of_the_batch_back(world: World, spark: SparkSession) -> None:
    world.drop("a.csv", BODY)
    for table, (event, condition) in WRITES.items():
        world.as_root(
            f"USE {world.bucket}",
            f"CREATE TRIGGER refuse BEFORE {event} ON {table} FOR EACH ROW"
            f" BEGIN IF {condition} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no {table}'; END IF; END",
        )
        with pytest.raises(MySqlError, match=f"no {table}"):
            world.run_once(spark)
        assert_nothing_counts(world)
        world.as_root("DROP TRIGGER refuse")
    world.run_once(spark)
    assert_counted_once(world)


def test_before_the_commit_nothing_counts_and_no_file_is_moved(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    world.drop("a.csv", BODY)
    for point in ("after_facts", "in_commit"):
        monkeypatch.setenv("SALESTREAM_FAILPOINT", f"{point}:1:raise")
        failpoints.reset()
        with pytest.raises(InjectedFailure):
            world.run_once(spark)
        assert_nothing_counts(world)
    monkeypatch.delenv("SALESTREAM_FAILPOINT")
    world.run_once(spark)
    assert_counted_once(world)
