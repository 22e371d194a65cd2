"""Looking without touching: `files` and `file` on real servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer
import yaml
from pyspark.sql import SparkSession

from app import cli_files
from app.errors import S3Error, UsageError
from app.ledger_types import FileState, OperationKind
from app.requests import Choice, choose, request_files
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

HOSTILE, SHOWN = "sub/[red]a\x1b.csv", "sales_data/sub/[red]a\\x1b.csv"
HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"


@pytest.fixture
def look(world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command with its own configuration; returns its exit code and what it printed."""
    monkeypatch.setattr(cli_files, "open_database", lambda env: (world.config, world.db))

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
    code, out, _ = look(cli_files.list_command)
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
        return [file["key"].removeprefix("sales_data/") for file in json.loads(look(cli_files.list_command, as_json=True, **options)[1])]

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
    story = json.loads(look(cli_files.show_command, "day.csv", as_json=True)[1])
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
    _, out, _ = look(cli_files.show_command, str(day), limit=1)
    assert "  keys of customers_data_mart: 2\n    customer_id=1 sales_date_month=2024-01: 1 rows, total_sales 100.00\n    and 1 more" in out
    assert "secret" not in out
    _, out, _ = look(cli_files.show_command, HOSTILE, no_keys=True)
    assert out.startswith(f"file {numbers[SHOWN]} s3://{world.bucket}/{SHOWN}\n")
    assert "parts of the facts that may hold rows of it" in out
    _, out, _ = look(cli_files.show_command, "bad.csv")
    [rejected] = world.rows("SELECT reason_code FROM source_file WHERE state = 'REJECTED'")
    assert f"  reason      {rejected['reason_code']}: " in out
    assert snapshot_of(world) == before

    # A corrected version takes its place; rows of the other file are written anew beside it.
    world.drop("day.csv", f"{HEADER}\n1,121,sugar,2024-01-05,1,50,2,100\n")
    world.run_once(spark)
    new = world.rows("SELECT MAX(id) AS id FROM source_file")[0]["id"]
    with pytest.raises(UsageError, match=rf"'day.csv' was dropped several times, as files {new} \(COMMITTED\), "):
        look(cli_files.show_command, "day.csv")
    _, out, _ = look(cli_files.show_command, str(day))
    assert f"  state       COMMITTED, superseded by {new}\n" in out
    assert f"by batch 2: 3 rows, 1 pending ones, its place went to file {new}" in out
    assert f"  later versions of this key\n    file {new} COMMITTED, in force" in out
    assert "parts of the facts" not in out
    ask(world, spark, OperationKind.RETRACT, str(new))
    _, out, _ = look(cli_files.show_command, str(new))
    assert "  state       COMMITTED, withdrawn\n" in out
    assert f"  earlier versions of this key\n    file {day} COMMITTED\n" in out
    assert "RETRACT DONE, asked for by test" in out
    # The file that only shared their parts is where it was moved to.
    story = json.loads(look(cli_files.show_command, str(numbers[SHOWN]), as_json=True)[1])
    assert [(p["sales_month"], p["rows"], p["batch_key"][:2]) for p in story["touched"]["parts"]] == [("2024-01", 1, "3-")]
    assert [one["kind"] for one in story["batches"]] == ["RETRACT", "LOAD", "LOAD"]

    # Facts that lack the file's rows are an error, and no short answer.
    for version in world.objects(world.config.s3.facts_prefix + "sales_month"):
        world.client.delete_object(Bucket=world.bucket, Key=version.key)
    with pytest.raises(S3Error, match="hold 0 rows of file"):
        look(cli_files.show_command, str(numbers[SHOWN]))
