"""docs/iam-policy.json: the job runs under it, with every other request refused, and needs all of it."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from app import failpoints
from app.checks import check_all
from app.clean import clean
from app.failpoints import InjectedFailure
from tests.conftest import REPOSITORY
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.iam import Bucket, Policy
from tests.integration.test_stream import HEADER
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

GOOD = "1,121,sugar,2024-02-01,1,50,2,100"
BAD = "x,121,sugar,2024-02-01,1,50,2,100"
WAITING = "9001,121,sugar,2024-02-01,1,50,2,100"


def test_the_job_runs_under_the_policy_and_needs_all_of_it(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tagged files in an encrypted bucket with a default Object Lock need the most.
    objects = Bucket(tagged={"sales_data/a.csv", "sales_data/b.csv"}, is_encrypted=True, is_locked=True)
    policy = Policy(REPOSITORY / "docs" / "iam-policy.json", world.bucket, objects)
    with fault_proxy(world.config.s3.endpoint_url) as proxy:
        proxy.allows = policy.allows
        world.drop("a.csv", f"{HEADER}\n{GOOD}\n{BAD}\n{WAITING}\n")
        world.drop("b.csv", "no sales file\n1\n")
        client = world.client
        world.through(proxy.url, spark)
        assert_the_checks_pass(world, proxy)
        leave_an_attempt_behind(world, spark, monkeypatch)
        world.run_once(spark)
        assert world.states() == {"a.csv": "COMMITTED", "b.csv": "REJECTED"}
        world.execute("INSERT INTO customer (customer_id, first_name) VALUES (9001, 'Late')")
        world.run_once(spark)
        counts = world.rows("SELECT rows_loaded, rows_rejected, rows_pending FROM source_file WHERE rows_read = 3")
        assert counts == [{"rows_loaded": 2, "rows_rejected": 1, "rows_pending": 0}]
        move_between_the_archives(world, spark)
        clean_up(world, client)
        assert policy.unused() == []


def assert_the_checks_pass(world: World, proxy: FaultProxy) -> None:
    found = {one.name: one for one in check_all(lambda: world.config)}
    assert [one.detail for one in found.values() if not one.ok] == []
    assert "listing all buckets is refused" in found["s3 bucket"].detail
    assert "write is refused" in found["s3 source"].detail
    assert proxy.requests


def move_between_the_archives(world: World, spark: SparkSession) -> None:
    """What a replay does to an object whose file it judges otherwise: it moves to the other archive and back, with its tags."""
    for state in ("DUPLICATE", "REJECTED"):
        world.execute("UPDATE source_file SET state = %s, archive_due = 1 WHERE object_key = 'sales_data/b.csv'", state)
        world.run_once(spark)
        assert world.rows("SELECT archive_due FROM source_file WHERE object_key = 'sales_data/b.csv'") == [{"archive_due": 0}]


def clean_up(world: World, own: Any) -> None:
    """The command needs no right that the job does not have."""
    world.execute("UPDATE source_file SET archived_at = archived_at - INTERVAL 2 DAY")
    world.execute("UPDATE quarantine_part SET planned_at = planned_at - INTERVAL 2 DAY")
    world.set("retention", archive_days=1, quarantine_days=1, ledger_days=1)
    for row in world.rows("SELECT archived_key FROM source_file"):
        # What a copy of a large file leaves that was cut off.
        own.create_multipart_upload(Bucket=world.bucket, Key=row["archived_key"].decode())
    gone = {kind: len(list(removals)) for kind, removals in clean(world.config, dry_run=False)}
    wanted = {"unfinished uploads": 2, "archived files": 2, "rejected rows": 1}
    # And the quarantine part of the attempt that was left behind.
    assert {kind: count for kind, count in gone.items() if count} == {"old batches, parts and operations": 1, **wanted}


def leave_an_attempt_behind(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "after_facts:1:raise")
    failpoints.reset()
    with pytest.raises(InjectedFailure):
        world.run_once(spark)
    monkeypatch.delenv("SALESTREAM_FAILPOINT")
