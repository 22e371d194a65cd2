"""Files as they come in the field: uploads in progress, markers, bad files in the log, and what a run says at its end."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from pyspark.sql import SparkSession

from app.batch.cleanup import clear_replaced
from app.clean import clean
from app.ledger.ledger import Ledger
from app.ledger.ownership import Ownership, owners_database
from app.operations.compact import mergeable, request_merge
from app.stream import summary
from app.views.status import read_status
from tests.integration.test_stream import HEADER as NAMES
from tests.world import World

HEADER = f"{NAMES}\n"

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(600)]


def sale(customer: int, day: int = 1, total: int = 50) -> str:
    return f"{customer},121,sugar,2024-01-{day:02},1,50,1,{total}\n"


def test_an_upload_in_progress_counts_once_under_its_final_name(world: World, spark: SparkSession) -> None:
    body = HEADER + sale(1)
    for name in ("day.csv.filepart", "b.csv._COPYING_", "~$day.csv", ".day.csv.swp", "in.partial/day.csv"):
        world.drop(name, body)
    world.run_once(spark)
    assert world.states() == {}
    assert read_status(world.db)["ignored_objects"] == [
        {"rule": "temporary_name", "objects": 5, "example": f"{world.config.s3.source_prefix}.day.csv.swp"}
    ]
    world.client.delete_object(Bucket=world.bucket, Key=f"{world.config.s3.source_prefix}day.csv.filepart")
    world.drop("day.csv", body)
    world.run_once(spark)
    assert world.states() == {"day.csv": "COMMITTED"}
    assert read_status(world.db)["ignored_objects"][0]["objects"] == 4


def test_a_file_is_loaded_with_its_marker_which_clean_then_removes(world: World, spark: SparkSession) -> None:
    world.set("stream", done_marker=".done")
    world.drop("a.csv", HEADER + sale(1))
    world.run_once(spark)
    assert world.states() == {}
    assert [one["rule"] for one in read_status(world.db)["ignored_objects"]] == ["no_done_marker"]
    world.drop("a.csv.done", b"")
    world.drop("b.csv.done", b"")
    world.drop("b.csv", HEADER + sale(2))
    world.run_once(spark)
    # The marker of b.csv may be as old as its file by a clock of whole seconds, never older than a second.
    assert world.states()["a.csv"] == "COMMITTED"
    world.drop("b.csv.done", b"")
    world.run_once(spark)
    assert world.states() == {"a.csv": "COMMITTED", "b.csv": "COMMITTED"}
    gone = {kind: [one.name for one in removed] for kind, removed in clean(world.config, dry_run=False, safety=timedelta(0))}
    source = world.config.s3.source_prefix
    assert gone["markers of finished files"] == [f"s3://{world.bucket}/{source}{name}.csv.done" for name in "ab"]
    assert world.keys(source) == []


def test_bad_files_are_named_in_the_log_and_counted_at_the_end(world: World, spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    world.drop("good.csv", HEADER + sale(1))
    world.drop("half.csv", HEADER + sale(2) + "x,121,sugar,2024-01-01,y,50,1,50\n")
    world.drop("no\x1b[2Jheader.csv", b"a,b\n1,2\n")
    since = summary.begin(world.db)
    with caplog.at_level(logging.WARNING, "app.batch"):
        world.run_once(spark)
    told = "\n".join(caplog.messages)
    assert "half.csv' state=COMMITTED rows_read=2 rows_rejected=1 reason=INVALID_INT first_line=3 column=customer_id value='x'" in told
    assert "no\\x1b[2Jheader.csv' state=REJECTED reason=MISSING_COLUMN" in told
    assert "good.csv" not in told
    found = summary.summarise(world.db, since)
    assert found.files == {"COMMITTED": 2, "REJECTED": 1}
    assert found.rows == {"read": 3, "loaded": 2, "rejected": 1, "pending": 0}
    assert world.rows("SELECT reason_code, row_count FROM file_reject") == [{"reason_code": "INVALID_INT", "row_count": 1}]
    assert summary.summarise(world.db, summary.begin(world.db)).files == {}


def test_daily_merging_leaves_no_more_rows_than_live_parts_need(world: World, spark: SparkSession) -> None:
    counts = []
    for day in range(1, 4):
        world.drop(f"{day}.csv", HEADER + sale(1, day))
        world.run_once(spark)
        merges = mergeable(world.db, None)
        if merges:
            request_merge(world.db, merges, "test")
            world.run_once(spark)
        with Ownership(owners_database(world.config), "test", 15) as owner:
            now = world.config.model_copy(update={"retention": world.config.retention.model_copy(update={"replaced_facts_seconds": 0.0})})
            clear_replaced(Ledger(owners_database(now), owner.epoch), now, world.client)
        counts.append(world.rows("SELECT COUNT(*) AS n FROM batch_file")[0]["n"])
    assert counts == [0, 2, 3]
