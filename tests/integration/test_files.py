"""Looking without touching: `files`, `file` and `facts list` on real servers, and snippets that are run in their engines."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer
import yaml
from pyspark.sql import SparkSession

from app.cli import facts, files
from app.cli.facts import Engine
from app.errors import S3Error, UsageError
from app.ledger.file_search import Choice
from app.ledger.types import FileState, OperationKind
from app.operations.compact import mergeable, request_merge
from app.operations.select_files import choose, request_files
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

HOSTILE, SHOWN = "sub/[red]a\x1b.csv", "sales_data/sub/[red]a\\x1b.csv"
HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"


@pytest.fixture
def look(world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command with its own configuration; returns its exit code and what it printed."""
    for module in (files, facts):
        monkeypatch.setattr(module, "open_database", lambda env: (world.config, world.db))

    def run(command: Any, *args: Any, **options: Any) -> tuple[int, str, str]:
        capfd.readouterr()
        code = 0
        try:
            command(*args, **options)
        except typer.Exit as exc:
            code = exc.exit_code
        out, err = capfd.readouterr()
        return code, out, err

    return run


def ask(world: World, spark: SparkSession, kind: OperationKind, *names: str) -> None:
    request_files(world.db, world.config, kind, choose(world.db, world.config, kind, Choice(names=names), replaces=False), "test")
    world.run_once(spark)


def snapshot_of(world: World) -> dict[str, Any]:
    """Return everything in MySQL and on S3, to see that a look changes nothing."""
    tables = [next(iter(row.values())) for row in world.rows("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")]
    return {
        **{table: sorted(map(str, world.rows(f"SELECT * FROM `{table}`"))) for table in tables},
        "s3": [(version.key, version.etag) for version in world.objects("")],
    }


def test_a_file_tells_its_story_from_drop_to_withdrawal_and_looking_changes_nothing(world: World, spark: SparkSession, look: Any) -> None:
    path = world.folder / "conf" / "contract.yml"
    tree = yaml.safe_load(path.read_text())
    tree["settings"]["redelivery"] = "replace"
    next(column for column in tree["columns"] if column["name"] == "price")["sensitive"] = True
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    other = f"{HEADER}\n1,121,sugar,2024-01-09,2,50,1,50\n"
    world.drop(HOSTILE, other)
    first = [
        "1,121,sugar,2024-01-05,1,50,2,100",
        "2,121,sugar,2024-02-05,1,50,2,101",
        "2,122,sugar,2024-02-06,2,50,1,50",
        "9000,121,sugar,2024-01-05,1,50,2,100",
        "3,121,sugar,2024-01-05,1,secret,2,100",
    ]
    world.drop("day.csv", "\n".join([HEADER, *first, ""]))
    world.drop("bad.csv", "no,sales\n1,2\n")
    world.run_once(spark)
    before = snapshot_of(world)

    # A line a file, newest first; a hostile name does no harm.
    code, out, _ = look(files.list_command)
    lines = out.splitlines()
    assert (code, len(lines), lines[-1]) == (0, 5, "3 files")
    assert lines[0].split() == ["id", "state", "size", "read", "loaded", "rejected", "pending", "finished", "reason", "key"]
    ids = {line.split()[-1]: line for line in lines[1:-1]}
    assert "COMMITTED, in force" in ids["sales_data/day.csv"]
    assert ids["sales_data/day.csv"].split()[5:9] == ["5", "3", "1", "1"]
    assert "REJECTED" in ids["sales_data/bad.csv"]
    assert SHOWN in out
    numbers = {key: int(line.split()[0]) for key, line in ids.items()}
    day = numbers["sales_data/day.csv"]

    # Conditions.
    def keys(**options: Any) -> list[str]:
        return [file["key"].removeprefix("sales_data/") for file in json.loads(look(files.list_command, as_json=True, **options)[1])]

    assert keys(state=[FileState.REJECTED]) == ["bad.csv"]
    assert keys(like="%b__.csv") == ["bad.csv"]
    assert keys(like="da_.csv") == keys(like="d%") == ["day.csv"]
    assert keys(like="D%") == []
    assert keys(like="sub/%\x1b%") == [HOSTILE]
    assert len(keys(limit=2)) == 2
    last = world.rows("SELECT MAX(finished_at) AS t FROM source_file")[0]["t"]
    assert len(keys(since=last)) >= 1
    assert keys(since=last.replace(year=last.year + 1)) == []

    # The story.
    story = json.loads(look(files.show_command, "day.csv", as_json=True)[1])
    assert story["file"]["standing"] == "in force"
    reasons = [(row["reason"], row["rows"], row["first_line"], row["first_text"]) for row in story["reasons"]]
    assert reasons == [("INVALID_DECIMAL", 1, 6, "***")]
    assert [(row["rule"], row["rows"]) for row in story["warnings"]] == [("total_matches", 1)]
    assert story["waits_for"] == [{"dimension": "customer", "key": 9000, "rows": 1}]
    assert story["place"]["text"] == "archived"
    assert [(one["kind"], one["state"], [a["state"] for a in one["attempts"]]) for one in story["batches"]] == [
        ("LOAD", "COMMITTED", ["COMMITTED"])
    ]
    assert [(p["sales_month"], p["store_id"], p["rows"], p["amount"]) for p in story["touched"]["parts"]] == [
        ("2024-01", 121, 1, "100.0000"),
        ("2024-02", 121, 1, "101.0000"),
        ("2024-02", 122, 1, "50.0000"),
    ]
    customers, team = story["touched"]["marts"]
    assert (customers["count"], customers["shown"]) == (
        2,
        [
            {"customer_id": 1, "sales_date_month": "2024-01", "row_count": 1, "total_sales": "100.0000"},
            {"customer_id": 2, "sales_date_month": "2024-02", "row_count": 2, "total_sales": "151.0000"},
        ],
    )
    assert [(k["store_id"], k["sales_person_id"], k["sales_month"], k["row_count"]) for k in team["shown"]] == [
        (121, 1, "2024-01", 1),
        (121, 1, "2024-02", 1),
        (122, 2, "2024-02", 1),
    ]
    _, out, _ = look(files.show_command, str(day), limit=1)
    assert "  keys of customers_data_mart: 2\n    customer_id=1 sales_date_month=2024-01: 1 rows, total_sales 100.00\n    and 1 more" in out
    assert "secret" not in out
    _, out, _ = look(files.show_command, HOSTILE, no_keys=True)
    assert out.startswith(f"file {numbers[SHOWN]} s3://{world.bucket}/{SHOWN}\n")
    assert "parts of the facts that may hold rows of it" in out
    _, out, _ = look(files.show_command, "bad.csv")
    [rejected] = world.rows("SELECT reason_code FROM source_file WHERE state = 'REJECTED'")
    assert f"  reason      {rejected['reason_code']}: " in out
    assert snapshot_of(world) == before

    # A corrected version takes its place; rows of the other file are written anew beside it.
    world.drop("day.csv", f"{HEADER}\n1,121,sugar,2024-01-05,1,50,2,100\n")
    world.run_once(spark)
    new = world.rows("SELECT MAX(id) AS id FROM source_file")[0]["id"]
    with pytest.raises(UsageError, match=rf"'day.csv' was dropped several times, as files {new} \(COMMITTED\), "):
        look(files.show_command, "day.csv")
    _, out, _ = look(files.show_command, str(day))
    assert f"  state       COMMITTED, superseded by {new}\n" in out
    assert f"by batch 2: 3 rows, 1 pending ones, its place went to file {new}" in out
    assert f"  later versions of this key\n    file {new} COMMITTED, in force" in out
    assert "parts of the facts" not in out
    ask(world, spark, OperationKind.RETRACT, str(new))
    _, out, _ = look(files.show_command, str(new))
    assert "  state       COMMITTED, withdrawn\n" in out
    assert f"  earlier versions of this key\n    file {day} COMMITTED\n" in out
    assert "RETRACT DONE, asked for by test" in out
    # The file that only shared their parts is where it was moved to.
    story = json.loads(look(files.show_command, str(numbers[SHOWN]), as_json=True)[1])
    assert [(p["sales_month"], p["rows"], p["batch_key"][:2]) for p in story["touched"]["parts"]] == [("2024-01", 1, "3-")]
    assert [one["kind"] for one in story["batches"]] == ["RETRACT", "LOAD", "LOAD"]

    # Facts that lack the file's rows are an error, and no short answer.
    for version in world.objects(world.config.s3.facts_prefix + "sales_month"):
        world.client.delete_object(Bucket=world.bucket, Key=version.key)
    with pytest.raises(S3Error, match="hold 0 rows of file"):
        look(files.show_command, str(numbers[SHOWN]))


def test_the_list_of_facts_is_what_is_live_and_its_snippets_read_exactly_that(
    world: World, spark: SparkSession, look: Any, tmp_path: Path
) -> None:
    code, out, _ = look(facts.list_command)
    assert (code, out.split(" as of ")[0]) == (0, "0 objects in 0 parts")
    with pytest.raises(UsageError, match="nothing to read"):
        look(facts.list_command, engine=Engine.duckdb)
    for number, store in enumerate((121, 122, 121), start=1):
        rows = [f"{n},{store},sugar,2024-0{1 + n % 2}-05,1,50,{n},{50 * n}" for n in range(1, 5)]
        world.drop(f"{number}.csv", "\n".join([HEADER, *rows, ""]) + f"1,{store},sugar,2024-01-07,{number},50,2,100\n")
        world.run_once(spark)
    request_merge(world.db, mergeable(world.db, "2024-01"), "test")
    world.run_once(spark)
    ask(world, spark, OperationKind.RETRACT, "3.csv")
    # What was replaced is there still, and a killed attempt has left something in a live month.
    part = next(iter(world.live_parts()))
    stray = f"{world.config.s3.facts_prefix}sales_month={part[0]}/store_id={part[1]}/batch_key=99-9-9/part-0.parquet"
    world.client.put_object(Bucket=world.bucket, Key=stray, Body=b"half")
    before = snapshot_of(world)
    live = world.live_parts()
    wanted = (sum(rows for rows, _ in live.values()), sum((amount for _, amount in live.values()), Decimal(0)))
    assert wanted == (10, Decimal("1200.0000"))
    assert len(world.keys(f"{world.config.s3.facts_prefix}sales_month")) > len(live) + 1

    code, out, err = look(facts.list_command, as_json=True)
    found = json.loads(out)
    assert (code, err, found["faults"], found["rows"], Decimal(found["amount"])) == (0, "", [], *wanted)
    assert {(p["sales_month"], p["store_id"], p["batch_key"]): p["rows"] for p in found["parts"]} == {
        key: rows for key, (rows, _) in live.items()
    }
    assert sum(one["rows"] for p in found["parts"] for one in p["objects"]) == wanted[0]
    assert f"{len(live)} parts" in look(facts.list_command)[1]
    of_store = json.loads(look(facts.list_command, month="2024-01", store=122, as_json=True)[1])
    assert [(p["sales_month"], p["store_id"]) for p in of_store["parts"]] == [("2024-01", 122)]

    # DuckDB, on a copy of the bucket: its S3 extension is not here.
    text = look(facts.list_command, engine=Engine.duckdb)[1]
    world.download(world.config.s3.facts_prefix)
    copy = max(world.folder.glob("download*"))
    with duckdb.connect() as con:
        con.execute(text.replace(f"s3://{world.bucket}/", f"{copy}/"))
        assert con.execute("SELECT count(*), sum(total_cost) FROM facts").fetchall() == [wanted]
        read = con.execute("SELECT sales_month, store_id, batch_key, count(*), sum(total_cost) FROM facts GROUP BY ALL").fetchall()
    assert {(month, store, key): (rows, amount) for month, store, key, rows, amount in read} == live

    # Spark, on the server itself.
    spaces: dict[str, Any] = {"spark": spark}
    exec(look(facts.list_command, engine=Engine.spark)[1], spaces)  # what a user pastes
    rows = spaces["facts"].groupBy("sales_month", "store_id", "batch_key").agg({"*": "count", "total_cost": "sum"}).collect()
    assert {(r["sales_month"], r["store_id"], r["batch_key"]): (r["count(1)"], r["sum(total_cost)"]) for r in rows} == live

    text = look(facts.list_command, engine=Engine.athena)[1]
    assert text.count("  PARTITION (") == len(live)
    assert "  `_warnings` array<string>" in text
    assert "  `total_cost` decimal(" in text
    assert snapshot_of(world) == before

    # A part that lacks rows or has no object is named; nothing is left out in silence.
    victim = found["parts"][0]
    for one in victim["objects"]:
        world.client.put_object(Bucket=world.bucket, Key=one["key"], Body=b"PAR1 no more")
    gone = found["parts"][1]
    for one in gone["objects"]:
        world.client.delete_object(Bucket=world.bucket, Key=one["key"])
    code, out, err = look(facts.list_command, engine=Engine.spark)
    assert (code, out) == (1, "")
    assert f"{victim['prefix']}: part-" in err
    assert "is no Parquet" in err
    assert f"{gone['prefix']}: there is no object, and the ledger says {gone['rows']} rows" in err
    assert look(facts.list_command)[0] == 1
