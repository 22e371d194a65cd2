"""A database of an earlier version, in the middle of its work, is updated by `init-db`, and the stream goes on from there.

What is loaded here is described in `tests/make_round1.py`. Every later change of the schema goes through this test.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.mysql.migrations import apply_migrations, pending_migrations
from tests.dump import ROUND1, grant_new_tables, load
from tests.oracle import Dimensions, expected_marts
from tests.verified import found_by_verify
from tests.world import ADMIN, World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
# What counts in the end, file by file, as a person reads it off the CSV files and the operations that were asked for.
COUNTS = {
    "first.csv": ["1,121,sugar,2024-01-05,1,10,1,10", "2,122,sugar,2024-02-05,4,20,1,20"],
    "rejects.csv": ["3,121,sugar,2024-01-06,1,30,1,30", "3,121,sugar,2024-12-06,1,31,1,31"],  # the second is mended
    "late.csv": ["5,121,sugar,2024-01-07,1,40,1,40", "9001,121,sugar,2024-01-07,1,41,1,41", "9002,121,sugar,2024-02-07,1,42,1,42"],
    "day.csv": ["8,121,sugar,2024-01-10,1,62,1,62", "9,121,sugar,2024-01-10,1,61,1,61"],
    "over.csv": ["11,121,sugar,2024-03-01,1,82,1,82"],
    "second try.csv": ["13,121,sugar,2024-03-02,1,83,1,83", "9002,121,sugar,2024-03-02,1,85,1,85"],
    "last 1.csv": ["14,121,sugar,2024-03-03,1,101,1,101"],
    "last 2.csv": ["15,122,sugar,2024-04-01,4,102,1,102"],
    "last 3.csv": ["16,122,sugar,2024-05-01,5,103,1,103", "9003,121,sugar,2024-04-01,1,110,1,110"],  # 9003 is nobody yet
    "last 4.csv": ["17,122,sugar,2024-04-01,4,104,1,104"],
    "last 5.csv": ["18,122,sugar,2024-05-01,5,105,1,105"],
    "last 6.csv": ["19,122,sugar,2024-04-01,4,106,1,106"],
    "last 7.csv": ["20,122,sugar,2024-05-01,5,107,1,107"],
}
CUSTOMERS = [*range(1, 26), 9001, 9002]


def states(world: World, table: str) -> set[str]:
    return {row["state"] for row in world.rows(f"SELECT DISTINCT state FROM {table}")}


def test_what_is_loaded_here_holds_what_an_update_may_meet(world: World) -> None:
    load(world, ROUND1)
    every = {"DISCOVERED", "CLAIMED", "COMMITTED", "REJECTED", "DUPLICATE", "FAILED", "OVERWRITTEN", "GONE"}
    assert states(world, "source_file") == every
    assert states(world, "micro_batch") == {"PLANNED", "STARTED", "COMMITTED", "SPLIT"}
    assert states(world, "batch_attempt") == {"OPEN", "COMMITTED", "DEAD"}
    assert states(world, "fact_part") == {"PLANNED", "LIVE", "DEAD", "DELETED"}
    assert states(world, "quarantine_part") == {"PLANNED", "LIVE", "DEAD"}
    assert states(world, "pending_part") == {"PLANNED", "WAITING", "CONSUMED", "DEAD"}
    assert states(world, "file_operation") == {"REQUESTED", "DONE", "FAILED"}
    kinds = {row["kind"] for row in world.rows("SELECT kind FROM file_operation")}
    assert kinds == {"RELEASE", "REPLAY", "RETRACT", "REPLACE", "COMPACT", "MEND"}
    filled = ("stage_file", "stage_customers_data_mart", "pending_key", "file_withdrawal", "operation_partition", "batch_file")
    assert [table for table in filled if not world.rows(f"SELECT 1 FROM {table} LIMIT 1")] == []
    assert world.rows("SELECT COUNT(*) AS n FROM source_file WHERE archive_due = 1") == [{"n": 2}]


def test_an_earlier_database_is_updated_and_its_work_goes_on(world: World, spark: SparkSession) -> None:
    load(world, ROUND1)
    update(world)
    world.run_once(spark)
    assert_work_is_done(world)


def update(world: World) -> None:
    """Do what docs/operations.md says about an update: `init-db` as the administrator, then grants.sql."""
    missing = pending_migrations(world.admin)
    assert apply_migrations(world.mysql_as(ADMIN)) == missing
    grant_new_tables(world)
    assert pending_migrations(world.db) == []
    assert apply_migrations(world.mysql_as(ADMIN)) == []


def assert_work_is_done(world: World) -> None:
    """Everything that was under way has come to its right end, and `verify --deep` agrees."""
    folder = world.folder / "counts"
    folder.mkdir()
    paths = [write(folder / name, rows) for name, rows in COUNTS.items()]
    wanted = expected_marts(paths, Dimensions(customers=CUSTOMERS))
    assert world.customer_mart() == wanted.customers
    assert world.team_mart() == wanted.team
    assert world.rows("SELECT dimension, key_value FROM pending_key") == [{"dimension": "customer", "key_value": 9003}]
    assert states(world, "micro_batch") == {"COMMITTED", "SPLIT"}
    assert world.rows("SELECT COUNT(*) AS n FROM file_operation WHERE state = 'FAILED'") == [{"n": 1}]
    assert states(world, "file_operation") == {"DONE", "FAILED"}
    assert world.keys("sales_data/") == []
    assert found_by_verify(world.config, remarks=False) == []


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path
