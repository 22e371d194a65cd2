"""`check`, the last-run check, and the bucket that is looked up: on real servers, as the job's own user."""

from __future__ import annotations

import contextlib
import io
import logging

import pytest
from pyspark.sql import SparkSession

from app.checks import Finding, check_all
from app.cli import app as cli
from app.errors import ConfigError, DimensionError, MySqlError, PipelineError, S3Error
from app.ledger.ledger import Ledger
from app.ledger.ownership import Ownership
from app.mysql.bucket_info import with_bucket
from app.source.planner import planner_of
from tests.integration.test_stream import HEADER
from tests.world import JOB, World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def failures(world: World) -> dict[str, PipelineError]:
    return {found.name: found.error for found in check_all(lambda: world.config) if found.error is not None}


def test_everything_in_place_is_a_line_each_and_exit_code_0(world: World) -> None:
    found = {one.name: one.detail for one in check_all(lambda: world.config)}
    assert failures(world) == {}
    assert world.bucket in found["s3 bucket"]
    assert found["s3 facts"].endswith("sales_facts/: list, read, write, delete")
    assert f"user {JOB}@" in found["mysql"]
    assert found["dimensions"] == "customer 25, store 4, sales_team 10, product 8, every key once"
    assert world.keys("") == []


def test_a_proxy_and_a_profile_of_the_shell_are_not_for_a_server_on_this_machine_with_keys_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-it")
    assert failures(world) == {}


def test_settings_of_the_server_that_lose_commits_are_named_and_fail_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def commits() -> Finding:
        return next(found for found in check_all(lambda: world.config) if found.name == "mysql commits")

    assert "innodb_flush_log_at_trx_commit=1" in commits().detail
    assert not commits().is_caution
    world.as_root("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        found = commits()
        assert (found.ok, found.is_caution) == (True, True)
        assert found.detail == "innodb_flush_log_at_trx_commit=2: a crash loses the last commits"
        monkeypatch.setattr("app.cli.app.configuration", lambda _env: world.config)
        assert "warn  mysql commits innodb_flush_log_at_trx_commit=2" in checked()
    finally:
        world.as_root("SET GLOBAL innodb_flush_log_at_trx_commit = 1")


def checked() -> str:
    """Return what `check` prints; nothing fails."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert cli.main(["check"]) == 0
    return out.getvalue()


def test_a_missing_privilege_fails_the_check_by_name(world: World) -> None:
    world.as_root(f"REVOKE DELETE ON {world.bucket}.stage_file FROM '{JOB}'@'%'")
    assert str(failures(world)["mysql grants"]).startswith(f"MYSQL user {JOB} lacks DELETE on stage_file; ")


def test_a_database_below_this_versions_level_fails_the_check(world: World) -> None:
    world.execute("DELETE FROM schema_migration WHERE migration_id = '003_marts'")
    found = failures(world)
    assert str(found["mysql tables"]) == f"MYSQL database {world.bucket} lacks 003_marts; run ./spark-submit.sh init-db"


def test_a_doubled_dimension_key_fails_the_check_and_is_named(world: World) -> None:
    world.execute("ALTER TABLE product DROP PRIMARY KEY, ADD INDEX (id)")
    world.execute("INSERT INTO product (id, name) VALUES (99, 'sugar')")
    assert isinstance(failures(world)["dimensions"], DimensionError)
    assert "product holds name sugar more than once" in str(failures(world)["dimensions"])


def test_a_missing_bucket_fails_every_check_of_s3_and_none_of_mysql(world: World) -> None:
    world.set("s3", bucket="no-such-bucket")
    found = failures(world)
    assert {"s3 bucket", "s3 source", "s3 facts"} <= set(found)
    assert not {"mysql", "mysql grants", "dimensions"} & set(found)
    assert all(isinstance(error, S3Error) for error in found.values())


# The bucket


def test_an_empty_bucket_is_looked_up_for_the_source_prefix(world: World) -> None:
    world.execute("INSERT INTO s3_bucket_info (bucket_name, file_location, status) VALUES ('other', 'elsewhere/', 'active')")
    world.execute("INSERT INTO s3_bucket_info (bucket_name, file_location, status) VALUES ('old', 'sales_data', 'inactive')")
    name = world.bucket
    world.set("s3", bucket="")
    found = with_bucket(world.config)
    assert (found.s3.bucket, found.origins["s3.bucket"]) == (name, "table s3_bucket_info")
    assert found.s3.source_prefix == world.config.s3.source_prefix


def test_two_active_buckets_or_none_are_an_error_that_says_what_to_do(world: World) -> None:
    name = world.bucket
    world.set("s3", bucket="")
    world.execute("INSERT INTO s3_bucket_info (bucket_name, file_location, status) VALUES ('b2', '/sales_data/', 'Active')")
    with pytest.raises(ConfigError, match=r"names 2 buckets \(b2, " + name):
        with_bucket(world.config)
    world.execute("UPDATE s3_bucket_info SET status = 'closed'")
    assert "names no bucket as active for sales_data/" in str(failures(world)["s3 bucket"])


def test_the_planner_looks_the_bucket_up_as_well(world: World, spark: SparkSession) -> None:
    world.drop("a.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n")
    world.set("s3", bucket="")
    world.config = with_bucket(world.config)
    world.run_once(spark)
    assert world.states() == {"a.csv": "COMMITTED"}


# The last run


def test_what_the_last_run_left_is_named_and_picked_up(world: World, spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    world.set("stream", max_files_per_trigger=2)
    for name in ("a", "b", "c"):
        world.drop(f"{name}.csv", f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,10{ord(name) % 10}\n")
    with Ownership(world.db, "x", 15) as cut:
        planner = planner_of(world.config, Ledger(world.db, cut.epoch))
        planner.freeze()
        batch = planner.next_batch(0)
        Ledger(world.db, cut.epoch).begin(batch, "0" * 64)
    with caplog.at_level(logging.WARNING, "app.stream.run"):
        world.run_once(spark)
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("last run")]
    assert said == [
        "last run: batch 1 (STARTED, 1 attempts) with 2 files ('sales_data/a.csv', 'sales_data/b.csv') was not finished:"
        " it is finished now",
        "last run: 1 files ('sales_data/c.csv') were discovered and not yet planned: they are loaded now",
        "last run: the last attempt at batch 1 ended without a word: it is counted from the second time on",
    ]
    assert set(world.states().values()) == {"COMMITTED"}


def test_an_older_error_of_the_login_is_not_taken_for_missing_tables(world: World) -> None:
    world.set("mysql", password="wrong")
    assert "Access denied" in str(failures(world)["mysql tables"])
    assert isinstance(failures(world)["mysql tables"], MySqlError)
