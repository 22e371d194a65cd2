"""A content counts as long as one of its files may count: a skipped duplicate comes back when its original leaves."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from pyspark.sql import SparkSession

from app.cli import app as cli
from app.errors import UsageError
from app.ledger.file_search import Choice
from app.ledger.types import OperationKind
from app.operations.progress import progress_of
from app.views.files import list_files
from tests.integration.test_operations import ask, set_contract
from tests.integration.test_stream import HEADER
from tests.verified import found_by_verify
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

X = f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n"
Y = f"{HEADER}\n2,121,sugar,2024-02-01,1,50,1,50\n"
Z = f"{HEADER}\n3,121,sugar,2024-02-01,1,30,1,30\n"
ONLY_X = {(1, "2024-02"): Decimal(100)}
ONLY_Y = {(2, "2024-02"): Decimal(50)}


def load(world: World, spark: SparkSession, *batches: dict[str, str]) -> None:
    """Drop files side by side, batch after batch."""
    for batch in batches:
        for name, body in batch.items():
            world.drop(name, body)
        world.run_once(spark)


def counting(world: World) -> list[str]:
    """Return the keys, with their id, of the files that count."""
    rows = world.rows("SELECT id, object_key FROM source_file WHERE in_force = 1 ORDER BY id")
    return [f"{row['id']} {bytes(row['object_key']).decode().removeprefix('sales_data/')}" for row in rows]


def said(world: World) -> list[str]:
    return found_by_verify(world.config)


@pytest.mark.parametrize("policy", ["skip", "reject"])
@pytest.mark.parametrize("batches", [({"a.csv": X}, {"a.csv": Y, "b.csv": X}), ({"a.csv": X}, {"b.csv": X}, {"a.csv": Y})])
def test_a_content_stays_when_its_file_is_replaced_however_the_files_fall_into_batches(
    world: World, spark: SparkSession, batches: tuple[dict[str, str], ...], policy: str
) -> None:
    set_contract(world, redelivery="replace", duplicates=policy)
    load(world, spark, *batches)
    assert world.customer_mart() == ONLY_X | ONLY_Y
    assert [name.split()[1] for name in sorted(counting(world))] == (["b.csv", "a.csv"] if len(batches) == 3 else ["a.csv", "b.csv"])
    assert set(world.states().values()) == {"COMMITTED"}
    assert world.keys("sales_data_error/") == []
    assert said(world) == []


def test_a_later_version_of_its_own_name_keeps_a_skipped_file_out(world: World, spark: SparkSession) -> None:
    set_contract(world, redelivery="replace")
    # b.csv is X, then Z: when a.csv leaves X for Y, no name stands for X any more.
    load(world, spark, {"a.csv": X}, {"b.csv": X}, {"b.csv": Z}, {"a.csv": Y})
    assert world.customer_mart() == ONLY_Y | {(3, "2024-02"): Decimal(30)}
    assert said(world) == []


def test_files_that_swap_their_contents_count_once_each(world: World, spark: SparkSession) -> None:
    set_contract(world, redelivery="replace")
    load(world, spark, {"a.csv": X, "b.csv": Y}, {"a.csv": Y, "b.csv": X})
    assert world.customer_mart() == ONLY_X | ONLY_Y
    assert counting(world) == ["1 a.csv", "2 b.csv"]
    # Now X comes back by b.csv, which so leaves Y; and a.csv, which was skipped with Y, has another content by now.
    load(world, spark, {"a.csv": Z})
    assert counting(world) == ["4 b.csv", "5 a.csv"]
    assert world.customer_mart() == ONLY_X | {(3, "2024-02"): Decimal(30)}
    assert said(world) == []


def test_a_chain_of_contents_that_leave_and_come_back(world: World, spark: SparkSession) -> None:
    set_contract(world, redelivery="replace")
    # When a.csv leaves X, b.csv comes back with it and leaves Y, which comes back by c.csv.
    load(world, spark, {"a.csv": X, "b.csv": Y}, {"c.csv": Y}, {"b.csv": X}, {"a.csv": Z})
    assert counting(world) == ["3 c.csv", "4 b.csv", "5 a.csv"]
    assert world.customer_mart() == ONLY_X | ONLY_Y | {(3, "2024-02"): Decimal(30)}
    assert said(world) == []


def test_retracting_one_of_several_duplicates_brings_back_the_next_until_all_are_retracted(world: World, spark: SparkSession) -> None:
    load(world, spark, {"a.csv": X}, {"b.csv": X, "c.csv": X})
    for gone, back in pairwise(["1 a.csv", "2 b.csv", "3 c.csv"]):
        assert counting(world) == [gone]
        ask(world, OperationKind.RETRACT, gone.split()[0])
        world.run_once(spark)
        assert counting(world) == [back]
        assert world.customer_mart() == ONLY_X
        assert said(world) == []
    ask(world, OperationKind.RETRACT, "c.csv")
    world.run_once(spark)
    assert (counting(world), world.customer_mart(), said(world)) == ([], {}, [])
    requests = world.rows("SELECT kind, requested_by, state FROM file_operation WHERE requested_by = 'stream'")
    assert requests == [{"kind": "REPLAY", "requested_by": "stream", "state": "DONE"}] * 2


def test_retracting_a_file_with_its_duplicates_leaves_none(world: World, spark: SparkSession) -> None:
    load(world, spark, {"a.csv": X}, {"b.csv": X})
    # The same name and content once more, as another object version: the key stands for both.
    world.client.delete_object(Bucket=world.bucket, Key="sales_data/a.csv")
    world.drop("a.csv", X)
    world.run_once(spark)
    assert list(world.states()) == ["a.csv", "b.csv"]
    assert world.rows("SELECT COUNT(*) AS n FROM source_file WHERE state = 'DUPLICATE'") == [{"n": 2}]
    ask(world, OperationKind.RETRACT, "a.csv", "b.csv")
    world.run_once(spark)
    assert (counting(world), world.customer_mart(), said(world)) == ([], {}, [])
    outcomes = [file.outcome for file in list_files(world.db, "sales_data/", Choice(), 9)]
    assert outcomes == ["DUPLICATE, withdrawn", "DUPLICATE, withdrawn", "COMMITTED, withdrawn"]
    with pytest.raises(UsageError, match=r"file 2 does not count in the marts \(DUPLICATE\)"):
        ask(world, OperationKind.RETRACT, "2")
    # What is asked for by name comes back.
    ask(world, OperationKind.REPLAY, "2")
    world.run_once(spark)
    assert (counting(world), world.customer_mart(), said(world)) == (["2 b.csv"], ONLY_X, [])


def test_a_request_that_is_cut_in_two_still_takes_out_all(world: World, spark: SparkSession) -> None:
    world.set("stream", max_files_per_trigger=1)
    load(world, spark, {"a.csv": X}, {"b.csv": X})
    assert len(ask(world, OperationKind.RETRACT, "1", "2")) == 2
    world.run_once(spark)
    assert (counting(world), world.customer_mart(), said(world)) == ([], {}, [])


def test_a_duplicate_that_cannot_be_read_leaves_its_place_to_the_next_and_is_named_where_there_is_none(
    world: World, spark: SparkSession
) -> None:
    load(world, spark, {"a.csv": X}, {"b.csv": X, "c.csv": X, "d.csv": X})
    places = {row["id"]: bytes(row["archived_key"]).decode() for row in world.rows("SELECT id, archived_key FROM source_file")}
    # Of b.csv clean has deleted the object; that of c.csv is gone without a word.
    for file_id in (2, 3):
        world.client.delete_object(Bucket=world.bucket, Key=places[file_id])
    world.execute("UPDATE source_file SET archived_key = NULL, archived_etag = NULL WHERE id = 2")
    ask(world, OperationKind.RETRACT, "1")
    world.run_once(spark)
    assert (counting(world), world.customer_mart()) == (["4 d.csv"], ONLY_X)
    world.client.delete_object(Bucket=world.bucket, Key=places[4])
    world.execute("UPDATE source_file SET archived_key = NULL, archived_etag = NULL WHERE id = 4")
    ask(world, OperationKind.RETRACT, "4")
    world.run_once(spark)
    assert (counting(world), world.customer_mart()) == ([], {})
    text = "was skipped as a duplicate, and its content counts by no file; replay it, or retract it: ./spark-submit.sh replay 2"
    assert f"source_file id=2 'sales_data/b.csv': {text}" in said(world)


def test_a_replay_that_rejects_the_original_judges_its_duplicates_as_well(world: World, spark: SparkSession) -> None:
    mixed = f"{HEADER}\n1,121,sugar,2024-02-01,1,50,2,100\n1,121,sugar,never,1,50,2,100\n"
    load(world, spark, {"a.csv": mixed}, {"b.csv": mixed})
    set_contract(world, max_reject_ratio="0")
    operations = ask(world, OperationKind.REPLAY, "1")
    world.run_once(spark)
    assert progress_of(world.db, operations)[0].state == "DONE"
    assert world.states() == {"a.csv": "REJECTED", "b.csv": "REJECTED"}
    assert [row["reason_code"] for row in world.rows("SELECT reason_code FROM source_file")] == ["REJECT_RATIO", "REJECT_RATIO"]
    assert (counting(world), world.customer_mart(), said(world)) == ([], {}, [])


def test_a_replay_of_the_stream_that_fails_is_tried_file_by_file_and_named(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set("stream", max_attempts=1)
    load(world, spark, {"a.csv": X, "b.csv": Y}, {"c.csv": X, "d.csv": Y})
    # Both are requested as one operation, which fails; of the two that follow one is what made it fail.
    broken = bytes(world.rows("SELECT archived_key FROM source_file WHERE id = 3")[0]["archived_key"]).decode()
    world.execute("UPDATE source_file SET size_bytes = size_bytes + 5 WHERE id = 3")
    ask(world, OperationKind.RETRACT, "1", "2")
    world.run_once(spark)
    assert world.client.head_object(Bucket=world.bucket, Key=broken)
    assert world.customer_mart() == ONLY_Y
    assert any(line.startswith("source_file id=3 'sales_data/c.csv': was skipped as a duplicate, and its content") for line in said(world))


def test_the_command_says_which_duplicate_takes_over(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cli.options.configuration", lambda _env: world.config)
    load(world, spark, {"a.csv": X, "b.csv": Y}, {"c.csv": X, "d.csv": Y})
    world.execute("UPDATE source_file SET archived_key = NULL WHERE id = 4")
    capsys.readouterr()
    assert cli.main(["retract", "1", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    takes_over = "is loaded in its original's place; retract it as well to take the content out"
    cannot = "cannot be read again: the content counts nowhere then; drop it again to load it"
    assert lines[:2] == [
        f"file 3 'sales_data/c.csv' was skipped as a duplicate and {takes_over}",
        f"file 4 'sales_data/d.csv' was skipped as a duplicate and {cannot}",
    ]
    assert lines[2].startswith("requested operation ")
    assert cli.main(["retract", "1", "3"]) == 0
    assert capsys.readouterr().out.startswith("requested operation ")
