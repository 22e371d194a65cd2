"""Least privilege: scripts/sql/grants.sql is what the job has in every test here, and what readers have; nothing more."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from app.checks.grants import missing_privileges
from app.errors import MySqlError
from app.mysql.database import Database
from tests.integration.test_stream import HEADER
from tests.world import JOB, READER, World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM stream_owner",
        "DELETE FROM warning_total",
        "DELETE FROM customer",
        "UPDATE customer SET first_name = 'x'",
        "DROP TABLE file_reject",
        "CREATE TABLE mine (id INT)",
        "INSERT INTO schema_migration (migration_hash) VALUES ('x')",
        "SELECT * FROM mysql.user",
    ],
)
def test_the_job_may_not(world: World, sql: str) -> None:
    with pytest.raises(MySqlError, match="denied"):
        world.db.run(lambda tx: tx.execute(sql))


def test_the_jobs_user_is_the_granted_one(world: World) -> None:
    assert world.db.run(lambda tx: tx.scalar("SELECT CURRENT_USER()")).startswith(f"{JOB}@")


def test_readers_see_marts_parts_and_file_states_and_nothing_else(world: World, spark: SparkSession) -> None:
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    world.run_once(spark)
    reader = Database(world.mysql_as(READER))
    for table in ("customers_data_mart", "sales_team_data_mart", "fact_part"):
        assert reader.run(lambda tx, table=table: tx.scalar(f"SELECT COUNT(*) FROM {table}")) == 1
    assert reader.run(lambda tx: tx.row("SELECT file_name, status FROM product_staging_table")) == {"file_name": "a.csv", "status": "I"}
    for sql in ("SELECT * FROM customer", "SELECT * FROM source_file", "UPDATE customers_data_mart SET total_sales = 0"):
        with pytest.raises(MySqlError, match="denied"):
            reader.run(lambda tx, sql=sql: tx.execute(sql))


def test_a_privilege_that_was_taken_away_is_named(world: World) -> None:
    assert missing_privileges(world.db)[1] == []
    world.as_root(
        f"REVOKE UPDATE ON {world.bucket}.micro_batch FROM '{JOB}'@'%'", f"REVOKE SELECT ON {world.bucket}.store FROM '{JOB}'@'%'"
    )
    assert missing_privileges(world.db)[1] == ["SELECT on store", "UPDATE on micro_batch"]
