"""Every file's effect in the user's hand: retract, replay, replace, mend, compact; expected values from DuckDB over the files in force."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession

from app.batch.context import Job
from app.cli.request import show_preview
from app.contract.contract import load_contract
from app.errors import UsageError
from app.ledger.file_search import Choice
from app.ledger.ledger import Ledger
from app.ledger.operations import request_for_files
from app.ledger.types import FileState, OperationKind
from app.model.totals import Totals
from app.operations.compact import mergeable, request_merge
from app.operations.corrected_rows import request_mend, upload_mended, upload_rejected
from app.operations.dry_run import Preview, preview
from app.operations.progress import progress_of
from app.operations.select_files import choose, request_files
from app.source.dimensions import Dimensions
from app.verify import Verification, differences
from app.views.quarantine import find_file, list_findings, rejected_rows
from scripts import generators
from tests.integration.test_continuous import running, wait_until
from tests.oracle import expected_marts
from tests.verified import found_by_verify
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
BY = "test"


def sales(folder: Path, name: str, seed: int, rows: int = 40) -> Path:
    """Write a file of generated sales of two months."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    made = generators.standard_rows(random.Random(seed), rows, start=date(2024, 1, 1), end=date(2024, 2, 29))
    path.write_text("\n".join([",".join(generators.SALES_HEADER), *(",".join(row) for row in made)]) + "\n")
    return path


def ask(world: World, kind: OperationKind, *names: str, replaces: bool = False, choice: Choice | None = None) -> list[int]:
    """Request an operation as the commands do."""
    files = choose(world.db, world.config, kind, choice or Choice(names=names), replaces=replaces)
    return request_files(world.db, world.config, kind, files, BY)


def assert_in_force(world: World, paths: Iterable[Path]) -> None:
    """Marts are the oracle's for these files, `verify --deep` finds nothing, and nothing half-done is left."""
    wanted = expected_marts(list(paths))
    assert world.customer_mart() == wanted.customers
    assert world.team_mart() == wanted.team
    assert found_by_verify(world.config) == []
    rows = world.rows("SELECT COALESCE(SUM(row_count), 0) AS n FROM fact_part WHERE state = 'LIVE'")[0]["n"]
    assert rows == sum(counts[1] for counts in wanted.files.values())
    assert world.rows("SELECT id FROM micro_batch WHERE state NOT IN ('COMMITTED', 'SPLIT')") == []
    assert world.rows("SELECT id, detail FROM file_operation WHERE state <> 'DONE'") == []


def load(world: World, spark: SparkSession, *paths: Path) -> None:
    for path in paths:
        world.drop(path.name, path)
    world.run_once(spark)


def test_a_retracted_file_is_taken_out_and_a_replay_brings_it_back(world: World, spark: SparkSession, tmp_path: Path) -> None:
    one, two, three = (sales(tmp_path / "in", f"{n}.csv", n) for n in (1, 2, 3))
    load(world, spark, one, two, three)
    before = (world.customer_mart(), world.team_mart())

    ask(world, OperationKind.RETRACT, "2.csv")
    world.run_once(spark)
    assert_in_force(world, [one, three])
    assert world.rows("SELECT state, in_force, rows_loaded FROM source_file WHERE id = 2") == [
        {"state": "COMMITTED", "in_force": 0, "rows_loaded": 40}
    ]
    with pytest.raises(UsageError, match=r"file 2 does not count in the marts \(COMMITTED\)"):
        ask(world, OperationKind.RETRACT, "2")

    ask(world, OperationKind.REPLAY, "2")
    world.run_once(spark)
    assert_in_force(world, [one, two, three])
    assert (world.customer_mart(), world.team_mart()) == before
    # Its history: taken out by the second batch, and read by the third.
    assert world.rows("SELECT batch_id, superseded_by, rows_loaded FROM file_withdrawal") == [
        {"batch_id": 2, "superseded_by": None, "rows_loaded": 40}
    ]
    assert world.rows("SELECT batch_id FROM source_file WHERE id = 2") == [{"batch_id": 3}]


def test_a_mart_row_that_no_fact_is_behind_any_more_is_gone_and_the_incentive_goes_to_the_next(world: World, spark: SparkSession) -> None:
    world.drop("one.csv", f"{HEADER}\n1,121,quaker oats,2024-01-05,1,10.00,1,10.00\n")
    world.run_once(spark)
    world.drop("two.csv", f"{HEADER}\n2,121,quaker oats,2024-01-06,2,30.00,1,30.00\n")
    world.run_once(spark)
    assert world.team_mart() == {
        (121, 1, "2024-01"): (Decimal("10.0000"), Decimal("0.00")),
        (121, 2, "2024-01"): (Decimal("30.0000"), Decimal("0.30")),
    }
    ask(world, OperationKind.RETRACT, "two.csv")
    world.run_once(spark)
    assert world.team_mart() == {(121, 1, "2024-01"): (Decimal("10.0000"), Decimal("0.10"))}
    assert world.customer_mart() == {(1, "2024-01"): Decimal("10.0000")}
    ask(world, OperationKind.RETRACT, "one.csv")
    world.run_once(spark)
    assert (world.team_mart(), world.customer_mart(), world.live_parts()) == ({}, {}, {})


def test_a_corrected_file_takes_the_place_of_the_earlier_one(world: World, spark: SparkSession, tmp_path: Path) -> None:
    set_contract(world, redelivery="replace")
    other, first = sales(tmp_path / "in", "a.csv", 1), sales(tmp_path / "in", "day.csv", 2)
    load(world, spark, other, first)
    corrected = sales(tmp_path / "again", "day.csv", 3, rows=25)
    load(world, spark, corrected)
    assert_in_force(world, [other, corrected])
    assert world.rows("SELECT file_id, superseded_by, rows_loaded FROM file_withdrawal") == [
        {"file_id": 2, "superseded_by": 3, "rows_loaded": 40}
    ]
    # A correction that is not loaded takes nobody's place.
    world.drop("day.csv", "no,sales\n1,2\n")
    world.run_once(spark)
    assert_in_force(world, [other, corrected])
    with pytest.raises(UsageError, match="file 2 was superseded by file 3: retract that one first"):
        ask(world, OperationKind.REPLAY, "2", replaces=True)


def test_waiting_rows_of_a_retracted_file_go_and_those_of_others_wait_on(world: World, spark: SparkSession) -> None:
    world.drop("one.csv", f"{HEADER}\n900,121,quaker oats,2024-01-05,1,10.00,1,10.00\n1,121,quaker oats,2024-01-05,1,5.00,1,5.00\n")
    world.drop("two.csv", f"{HEADER}\n901,121,quaker oats,2024-01-05,1,20.00,1,20.00\n")
    world.run_once(spark)
    ask(world, OperationKind.RETRACT, "one.csv")
    world.run_once(spark)
    assert world.rows("SELECT key_value, file_id FROM pending_key") == [{"key_value": 901, "file_id": 2}]
    world.execute("INSERT INTO customer (customer_id, first_name) VALUES (900, 'Late'), (901, 'Later')")
    world.run_once(spark)
    assert world.customer_mart() == {(901, "2024-01"): Decimal("20.0000")}
    assert found_by_verify(world.config) == []


def test_a_rejected_file_is_loaded_by_a_replay_once_the_contract_allows_it(world: World, spark: SparkSession) -> None:
    world.drop("late.csv", f"{HEADER.replace('store_id', 'shop')}\n1,121,quaker oats,2024-01-05,1,10.00,1,10.00\n")
    world.run_once(spark)
    assert world.states() == {"late.csv": "REJECTED"}
    path = world.folder / "conf" / "contract.yml"
    path.write_text(path.read_text().replace("aliases: [Store ID, StoreID]", "aliases: [Store ID, StoreID, shop]"))
    ask(world, OperationKind.REPLAY, choice=Choice(states=(FileState.REJECTED,)))
    world.run_once(spark)
    assert world.customer_mart() == {(1, "2024-01"): Decimal("10.0000")}
    [file] = world.rows("SELECT state, reason_code, CONVERT(archived_key USING utf8mb4) AS at FROM source_file")
    assert (file["state"], file["reason_code"]) == ("COMMITTED", None)
    # It is no error any more.
    assert file["at"].startswith(world.config.s3.processed_prefix)
    assert world.keys(world.config.s3.error_prefix) == []
    assert found_by_verify(world.config) == []


def test_a_compaction_leaves_one_part_for_each_partition_and_the_same_rows(world: World, spark: SparkSession, tmp_path: Path) -> None:
    paths = [sales(tmp_path / "in", f"{n}.csv", n) for n in range(3)]
    for path in paths:
        load(world, spark, path)
    request_merge(world.db, mergeable(world.db, None), BY)
    world.run_once(spark)
    assert_in_force(world, paths)
    partitions = [(month, store) for month, store, _ in world.live_parts()]
    assert len(partitions) == len(set(partitions))
    assert mergeable(world.db, None) == []
    # A file whose rows were merged with others' is found there.
    ask(world, OperationKind.RETRACT, "1.csv")
    world.run_once(spark)
    assert_in_force(world, [paths[0], paths[2]])


def set_contract(world: World, **settings: str) -> None:
    path = world.folder / "conf" / "contract.yml"
    text = path.read_text()
    for name, value in settings.items():
        lines = [f"  {name}: {value}" if line.startswith(f"  {name}:") else line for line in text.splitlines()]
        text = "\n".join(lines) + "\n"
    path.write_text(text)


def as_it_is(world: World) -> tuple[object, ...]:
    """Return everything that a dry run must leave alone: all tables, and every object on S3."""
    names = [next(iter(row.values())) for row in world.rows("SHOW TABLES")]
    tables = {name: world.rows(f"SELECT * FROM `{name}`") for name in names if name != "stream_owner"}
    return tables, world.objects("")


def rehearsed(world: World, spark: SparkSession, kind: OperationKind, *names: str) -> Preview:
    job = Job(
        spark, world.config, load_contract(world.config.contract_path), Ledger(world.db, 0), Dimensions(spark, world.config, lambda: 0)
    )
    ids = [file.id for file in choose(world.db, world.config, kind, Choice(names=names), replaces=False)]
    before = as_it_is(world)
    found = preview(job, lambda tx: request_for_files(tx, kind, ids, BY))
    assert as_it_is(world) == before
    return found


def marts_of(found: Preview, side: str) -> dict[str, dict[tuple[object, ...], object]]:
    """Return one side of a preview's mart rows: mart -> key -> values, without the rows that are not there."""
    rows = [(change.mart, tuple(change.key.values()), getattr(change, side)) for change in found.marts]
    return {mart: {key: values for other, key, values in rows if other == mart and values} for mart, _, _ in rows}


def test_a_dry_run_shows_exactly_what_the_operation_then_does_and_changes_nothing(
    world: World, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    world.drop("one.csv", f"{HEADER}\n1,121,quaker oats,2024-01-05,1,10.00,1,10.00\n")
    world.drop("two.csv", f"{HEADER}\n2,121,quaker oats,2024-01-06,2,30.00,1,30.00\n1,122,sugar,2024-01-06,4,5.00,1,5.00\n")
    world.run_once(spark)
    found = rehearsed(world, spark, OperationKind.RETRACT, "two.csv")
    assert (found.removed, found.added) == (Totals(2, Decimal("35.00")), Totals(0, Decimal(0)))
    assert marts_of(found, "before") == {
        "customers_data_mart": {
            (1, "2024-01"): {"total_sales": Decimal("15.0000"), "row_count": 2},
            (2, "2024-01"): {"total_sales": Decimal("30.0000"), "row_count": 1},
        },
        "sales_team_data_mart": {
            (121, 1, "2024-01"): {"total_sales": Decimal("10.0000"), "row_count": 1, "incentive": Decimal("0.00")},
            (121, 2, "2024-01"): {"total_sales": Decimal("30.0000"), "row_count": 1, "incentive": Decimal("0.30")},
            (122, 4, "2024-01"): {"total_sales": Decimal("5.0000"), "row_count": 1, "incentive": Decimal("0.05")},
        },
    }
    after = {
        "customers_data_mart": {(1, "2024-01"): {"total_sales": Decimal("10.0000"), "row_count": 1}},
        # The seller who is first now gets the incentive.
        "sales_team_data_mart": {(121, 1, "2024-01"): {"total_sales": Decimal("10.0000"), "row_count": 1, "incentive": Decimal("0.10")}},
    }
    assert marts_of(found, "after") == after
    [file] = found.files
    assert (file.id, file.key, file.before["in_force"], file.after["in_force"]) == (2, "sales_data/two.csv", 1, 0)
    # One part lay in each of two partitions; the one that also holds the other file's row is written again without these.
    assert sorted((part.sales_month, part.store_id, part.rows) for part in found.dead_parts) == [("2024-01", 121, 2), ("2024-01", 122, 1)]
    assert [(part.sales_month, part.store_id, part.rows) for part in found.new_parts] == [("2024-01", 121, 1)]
    capsys.readouterr()
    show_preview(found, limit=50)
    shown = capsys.readouterr().out
    assert shown.startswith("would take out 2 rows (35.00) and load 0 (0.00); nothing was changed\n")
    assert "customers_data_mart: 2\n" in shown
    assert "15.0000 -> 10.0000" in shown
    assert "sales_team_data_mart: 3\n" in shown

    ask(world, OperationKind.RETRACT, "two.csv")
    world.run_once(spark)
    assert world.team_mart() == {(121, 1, "2024-01"): (Decimal("10.0000"), Decimal("0.10"))}
    assert world.customer_mart() == {(1, "2024-01"): Decimal("10.0000")}
    assert sorted((month, store, rows) for (month, store, _), (rows, _) in world.live_parts().items()) == [("2024-01", 121, 1)]

    found = rehearsed(world, spark, OperationKind.REPLAY, "2")
    assert (found.removed, found.added) == (Totals(0, Decimal(0)), Totals(2, Decimal("35.00")))
    assert marts_of(found, "before") == after


def test_rejected_rows_come_back_mended_once_and_are_counted_for_their_file(world: World, spark: SparkSession, tmp_path: Path) -> None:
    good, wrong = "1,121,quaker oats,2024-01-05,1,10.00,1,10.00", "2,121,quaker oats,2024-13-05,2,30.00,1,30.00"
    world.drop("day.csv", f"{HEADER}\n{good}\n{wrong}\n3,121,sugar,never,1,1.00,1,1.00\n")
    world.run_once(spark)
    assert counts(world, 1) == (3, 1, 2, 0)
    path = tmp_path / "mend.csv"
    path.write_text(f"_line,{HEADER}\n3,{wrong.replace('2024-13-05', '2024-12-05')}\n")
    mended = upload_mended(world.db, world.client, world.config, find_file(world.db, world.config.s3.source_prefix, "1"), path)
    # Asked twice, done once: the second finds that the file's rejected rows are others by now.
    operations = [world.db.run(lambda tx: request_mend(tx, mended, BY)) for _ in range(2)]
    world.run_once(spark)
    first, second = progress_of(world.db, operations)
    assert (first.state, first.notes) == ("DONE", {})
    assert (second.state, second.notes) == ("DONE", {1: "its rejected rows are not those any more that were mended"})
    assert counts(world, 1) == (3, 2, 1, 0)
    assert world.customer_mart() == {(1, "2024-01"): Decimal("10.0000"), (2, "2024-12"): Decimal("30.0000")}
    rows = list(rejected_rows(world.db, world.client, world.config.s3, find_file(world.db, world.config.s3.source_prefix, "1")))
    assert [(row.line, row.raw) for row in rows] == [(4, "3,121,sugar,never,1,1.00,1,1.00")]
    assert [(f.rows, f.first_line) for f in list_findings(world.db, frozenset(), files=[1], reason=None, since=None, limit=9)] == [(1, 4)]
    assert [str(one) for one in differences(world.config, Verification()) if one.kind != "remark"] == []
    # The mended row goes with its file.
    ask(world, OperationKind.RETRACT, "day.csv")
    world.run_once(spark)
    assert (world.customer_mart(), world.live_parts()) == ({}, {})


def test_a_mended_row_that_was_not_rejected_is_refused(world: World, spark: SparkSession, tmp_path: Path) -> None:
    world.drop("day.csv", f"{HEADER}\n1,121,quaker oats,2024-01-05,1,10.00,1,10.00\n3,121,sugar,never,1,1.00,1,1.00\n")
    world.run_once(spark)
    path = tmp_path / "mend.csv"
    path.write_text(f"_line,{HEADER}\n2,1,121,quaker oats,2024-01-05,1,10.00,1,10.00\n")
    mended = upload_mended(world.db, world.client, world.config, find_file(world.db, world.config.s3.source_prefix, "1"), path)
    operation = world.db.run(lambda tx: request_mend(tx, mended, BY))
    world.run_once(spark)
    [said] = progress_of(world.db, [operation])
    assert said.state == "FAILED"
    assert "mended rows of file 1: line 2 is none of its rejected rows" in (said.detail or "")
    assert counts(world, 1) == (2, 1, 1, 0)


def test_rejected_rows_flow_once_the_contract_is_wider(world: World, spark: SparkSession) -> None:
    # Other delimiters and extra columns: the rows come back under the header of their own file.
    world.drop(
        "day.csv", f"{HEADER},note\n1,121,sugar,2024-01-05,1,10.00,0,0.00,x\n2,121,sugar,2024-01-05,1,5.00,1,5.00,y\n".replace(",", ";")
    )
    world.run_once(spark)
    assert counts(world, 1) == (2, 1, 1, 0)
    set_rule(world, "quantity_not_zero", on_fail="warn")
    file = find_file(world.db, world.config.s3.source_prefix, "day.csv")
    mended = upload_rejected(world.db, world.client, world.config, load_contract(world.config.contract_path), file)
    assert (mended.rows, mended.left_out) == (1, 0)
    world.db.run(lambda tx: request_mend(tx, mended, BY))
    world.run_once(spark)
    assert counts(world, 1) == (2, 2, 0, 0)
    assert world.customer_mart() == {(1, "2024-01"): Decimal("0.0000"), (2, "2024-01"): Decimal("5.0000")}
    # A warning counts once.
    assert world.rows("SELECT row_count FROM warning_total WHERE rule_name = 'quantity_not_zero'") == [{"row_count": 1}]
    with pytest.raises(UsageError, match=r"file 1 'sales_data/day.csv' has no rejected rows"):
        upload_rejected(world.db, world.client, world.config, load_contract(world.config.contract_path), file)
    lines = [row["_line"] for row in facts_of(world, 1)]
    assert sorted(lines) == [2, 3]


def set_rule(world: World, name: str, *, on_fail: str) -> None:
    path = world.folder / "conf" / "contract.yml"
    before, rule = path.read_text().split(f"  - name: {name}\n")
    path.write_text(f"{before}  - name: {name}\n{rule.replace('on_fail: reject', f'on_fail: {on_fail}', 1)}")


def facts_of(world: World, file_id: int) -> list[dict[str, object]]:
    """Return the rows of a file in the live facts."""
    folder = world.download(world.config.s3.facts_prefix)
    live = {key for _, _, key in world.live_parts()}
    with duckdb.connect() as con:
        rows = con.execute(
            "SELECT * FROM read_parquet(?, union_by_name = true, hive_partitioning = true, hive_types = {'batch_key': VARCHAR})"
            " WHERE _file_id = ?",
            [f"{folder}/**/*.parquet", file_id],
        )
        names = [column[0] for column in rows.description or ()]
        found = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
    return [row for row in found if row["batch_key"] in live]


def counts(world: World, file_id: int) -> tuple[int, ...]:
    [row] = world.rows("SELECT rows_read, rows_loaded, rows_rejected, rows_pending FROM source_file WHERE id = %s", file_id)
    return tuple(row.values())


def test_operations_asked_for_while_the_stream_loads_other_files_disturb_nothing(world: World, spark: SparkSession, tmp_path: Path) -> None:
    paths = [sales(tmp_path / "in", f"{n}.csv", n, rows=15) for n in range(12)]
    load(world, spark, *paths[:4])
    with running(world, spark):
        for number, path in enumerate(paths[4:]):
            world.drop(path.name, path)
            if number == 1:
                ask(world, OperationKind.RETRACT, "0.csv", "2.csv")
            if number == 3:
                wait_until("retracted", lambda: done(world, OperationKind.RETRACT))
                ask(world, OperationKind.REPLAY, "2.csv", "3.csv")
            if number == 5:
                wait_until("several parts", lambda: bool(mergeable(world.db, None)))
                request_merge(world.db, mergeable(world.db, None), BY)
            # Some drops share a batch, others do not.
            time.sleep(0.4 * (number % 3))
        wait_until("everything loaded and done", lambda: is_idle(world))
    assert_in_force(world, paths[1:])
    kinds = world.rows("SELECT kind, COUNT(*) AS n FROM file_operation GROUP BY kind ORDER BY kind")
    assert [(row["kind"], row["n"]) for row in kinds] == [("COMPACT", 1), ("REPLAY", 1), ("RETRACT", 1)]


def done(world: World, kind: OperationKind) -> bool:
    return world.rows("SELECT COUNT(*) AS n FROM file_operation WHERE kind = %s AND state <> 'DONE'", str(kind))[0]["n"] == 0


def is_idle(world: World) -> bool:
    unfinished = (
        "SELECT (SELECT COUNT(*) FROM source_file WHERE state IN ('DISCOVERED', 'CLAIMED') OR archive_due = 1)"
        " + (SELECT COUNT(*) FROM file_operation WHERE state <> 'DONE') AS n"
    )
    return world.rows(unfinished)[0]["n"] == 0 and world.objects(world.config.s3.source_prefix) == []


def test_many_files_in_one_request_cost_the_same_with_a_long_history_behind_them(world: World, spark: SparkSession) -> None:
    # CI has no time for a thousand: SALESTREAM_MANY_FILES=1000 takes three minutes.
    count = int(os.environ.get("SALESTREAM_MANY_FILES", "300"))
    with ThreadPoolExecutor(16) as pool:
        bodies = [f"{HEADER}\n{n % 20 + 1},121,sugar,2024-0{n % 2 + 1}-05,1,{n},1,{n}\n" for n in range(count)]
        list(pool.map(lambda n: world.drop(f"{n:04d}.csv", bodies[n]), range(count)))
    world.run_once(spark)
    before = (world.customer_mart(), world.team_mart())
    ids = [str(row["id"]) for row in world.rows("SELECT id FROM source_file ORDER BY id")]

    def take_out_and_bring_back() -> list[int]:
        """Return the rows that MySQL read for each of the two requests."""
        costs = []
        for kind in (OperationKind.RETRACT, OperationKind.REPLAY):
            reads = rows_read(world)
            assert len(ask(world, kind, *ids)) == 1
            world.run_once(spark)
            costs.append(rows_read(world) - reads)
            if kind == OperationKind.RETRACT:
                assert (world.customer_mart(), world.team_mart()) == ({}, {})
        assert (world.customer_mart(), world.team_mart()) == before
        return costs

    short = take_out_and_bring_back()
    add_history(world, 200)
    long = take_out_and_bring_back()
    # 40,000 files, batches and parts more: reading them once would show.
    assert all(one < 1.2 * other + 5000 for one, other in zip(long, short, strict=True)), (short, long)


def rows_read(world: World) -> int:
    """Return how many rows the server has read through its storage engine since it was started."""
    return sum(int(row["Value"]) for row in world.rows("SHOW GLOBAL STATUS LIKE 'Handler_read%'"))


def add_history(world: World, side: int) -> None:
    """Add side x side committed batches of one file each, with their parts in another month."""
    numbers = f"WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {side})"
    number = f"1000000 + a.i * {side} + b.i"
    source = "FROM n a CROSS JOIN n b"
    world.execute(
        "INSERT INTO source_file (id, identity, bucket, object_key, etag, size_bytes, last_modified, state, in_force, batch_id, rows_read,"
        f" rows_loaded, content_digest, discovered_at, finished_at) {numbers}"
        f" SELECT {number}, UNHEX(SHA2({number}, 256)), 'b', {number}, 'e', 10, NOW(), 'COMMITTED', 1, {number}, 1, 1,"
        f" UNHEX(MD5({number})), NOW(), NOW() {source}"
    )
    world.execute(
        f"INSERT INTO micro_batch (id, state, attempt, batch_key, files, planned_at, committed_at) {numbers}"
        f" SELECT {number}, 'COMMITTED', 1, CONCAT({number}, '-1-1'), 1, NOW(), NOW() {source}"
    )
    world.execute(
        f"INSERT INTO batch_attempt (batch_key, batch_id, state, started_at) {numbers}"
        f" SELECT CONCAT({number}, '-1-1'), {number}, 'COMMITTED', NOW() {source}"
    )
    world.execute(
        f"INSERT INTO fact_part (batch_key, sales_month, store_id, state, row_count, amount, planned_at, live_at) {numbers}"
        f" SELECT CONCAT({number}, '-1-1'), '2023-01', 121, 'LIVE', 1, 1, NOW(), NOW() {source}"
    )
