"""Every file's effect in the user's hand: retract, replay, replace, mend, compact; expected values from DuckDB over the files in force."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.errors import UsageError
from app.ledger_types import FileState, OperationKind
from app.requests import Choice, choose, request_files, request_merge
from app.verify import Verification, differences
from scripts import generators
from tests.oracle import expected_marts
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
    seen = Verification()
    assert [str(one) for one in differences(world.config, seen, deep=True)] == []
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
    assert list(differences(world.config, Verification(), deep=True)) == []


def test_a_rejected_file_is_loaded_by_a_replay_once_the_contract_allows_it(world: World, spark: SparkSession) -> None:
    world.drop("late.csv", f"{HEADER.replace('store_id', 'shop')}\n1,121,quaker oats,2024-01-05,1,10.00,1,10.00\n")
    world.run_once(spark)
    assert world.states() == {"late.csv": "REJECTED"}
    path = world.folder / "conf" / "contract.yml"
    path.write_text(
        path.read_text().replace("  - name: store_id\n    type: int\n", "  - name: store_id\n    type: int\n    aliases: [shop]\n")
    )
    ask(world, OperationKind.REPLAY, choice=Choice(states=(FileState.REJECTED,)))
    world.run_once(spark)
    assert world.customer_mart() == {(1, "2024-01"): Decimal("10.0000")}
    [file] = world.rows("SELECT state, reason_code, CONVERT(archived_key USING utf8mb4) AS at FROM source_file")
    assert (file["state"], file["reason_code"]) == ("COMMITTED", None)
    # It is no error any more.
    assert file["at"].startswith(world.config.s3.processed_prefix)
    assert world.keys(world.config.s3.error_prefix) == []
    assert list(differences(world.config, Verification(), deep=True)) == []


def test_a_compaction_leaves_one_part_for_each_partition_and_the_same_rows(world: World, spark: SparkSession, tmp_path: Path) -> None:
    paths = [sales(tmp_path / "in", f"{n}.csv", n) for n in range(3)]
    for path in paths:
        load(world, spark, path)
    request_merge(world.db, None, BY)
    world.run_once(spark)
    assert_in_force(world, paths)
    partitions = [(month, store) for month, store, _ in world.live_parts()]
    assert len(partitions) == len(set(partitions))
    assert request_merge(world.db, None, BY) == []
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
