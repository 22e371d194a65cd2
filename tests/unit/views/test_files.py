"""Files for people: conditions, standing, where an object is, the story in lines."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from app.cli import app as cli
from app.cli import files as cli_files
from app.cli.files import print_files, story_lines
from app.cli.options import MOMENTS, utc
from app.config.load import Config
from app.errors import S3Error, UsageError
from app.ledger.file_search import Choice, matching
from app.ledger.types import FileState, LivePart
from app.views import file_mart_keys
from app.views.file_history import FileStory, Place, place_of
from app.views.file_mart_keys import HeldPart, MartKeys, Touched
from app.views.files import ListedFile, find_row, list_files, listed
from app.views.text import aligned, plain
from tests.doubles import FakeDatabase, FakeS3, FakeTx

AT = datetime(2024, 5, 1, 12, 30)


def row(number: int = 7, state: str = "COMMITTED", in_force: int = 1, **values: Any) -> dict[str, Any]:
    found = {
        "id": number,
        "bucket": "lake",
        "object_key": b"sales_data/a.csv",
        "etag": "e",
        "size_bytes": 99,
        "last_modified": AT,
        "state": state,
        "in_force": in_force,
        "batch_id": 3,
        "rows_read": 5,
        "rows_loaded": 3,
        "rows_rejected": 1,
        "rows_pending": 1,
        "reason_code": None,
        "reason_detail": None,
        "discovered_at": AT,
        "claimed_at": AT,
        "finished_at": AT,
        "archived_at": AT,
        "archived_key": b"done/7/a.csv",
        "archive_due": 0,
    }
    return {**found, **values}


# Conditions


def test_no_condition_is_every_file() -> None:
    assert matching(Choice(), "sales_data/") == ("1 = 1", [])


def test_conditions_are_values_and_never_text_of_the_statement() -> None:
    hostile = "x' OR 1=1 -- %"
    sql, values = matching(Choice(states=(FileState.FAILED, FileState.GONE), since=AT, like=hostile), "sales_data/")
    assert "OR 1=1" not in sql
    assert values == ["FAILED", "GONE", AT, b"sales\\_data/x' OR 1=1 -- %", f"sales\\_data/{hostile}"]
    assert sql.count("%s") == len(values)


@pytest.mark.parametrize(
    ("like", "beginning"),
    [
        ("2024/%", b"in/2024/%"),
        ("a_c", b"in/a%"),
        ("a\\_c", b"in/a%"),
        ("é.csv", "in/é.csv%".encode()),
        ("\udcff", b"in/?%"),
        ("%", b"in/%"),
    ],
)
def test_a_pattern_is_sought_by_its_beginning(like: str, beginning: bytes) -> None:
    assert matching(Choice(like=like), "in/")[1][0] == beginning


@pytest.mark.parametrize(
    "text", ["2024-05-01", "2024-05-01T10:00", "2024-05-01 10:00:00", "2024-05-01T10:00:00.123456Z", "2024-05-01T12:00:00+02:00"]
)
def test_a_moment_may_be_written_in_many_ways(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(cli_files, "open_database", lambda env: asked.append(env) or _stop())
    assert cli.main(["files", "--since", text]) == 2
    assert asked == ["dev"]
    assert any(_parses(text, form) for form in MOMENTS)


def _stop() -> Any:
    raise UsageError("stop")


def _parses(text: str, form: str) -> bool:
    try:
        return bool(datetime.strptime(text, form))
    except ValueError:
        return False


def test_a_moment_with_an_offset_becomes_utc() -> None:
    assert utc(datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))) == datetime(2024, 5, 1, 10)
    assert utc(AT) == AT
    assert utc(None) is None


@pytest.mark.parametrize("arguments", [["--since", "yesterday"], ["--state", "LOST"], ["--limit", "0"]], ids=" ".join)
def test_a_condition_that_makes_no_sense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["files", *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err


# The list


def words(text: str) -> list[str]:
    return text.split()


def test_the_list_is_bounded_newest_first_and_asks_twice_at_most() -> None:
    tx = FakeDatabase(
        [row(9), row(8, in_force=0), row(7, in_force=0), row(6, "REJECTED", 0)],
        [{"file_id": 8, "superseded_by": 9}, {"file_id": 7, "superseded_by": None}],
    )
    found = list_files(tx, "sales_data/", Choice(states=(FileState.COMMITTED,)), 4)
    assert [file.outcome for file in found] == ["COMMITTED, in force", "COMMITTED, superseded by 9", "COMMITTED, withdrawn", "REJECTED"]
    assert tx.asked[0][0].endswith("WHERE 1 = 1 AND f.state IN (%s) ORDER BY f.id DESC LIMIT %s")
    assert tx.asked[0][1] == ("COMMITTED", 4)
    assert tx.asked[1][1] == (8, 7)


def test_a_file_that_was_superseded_and_then_retracted_again_is_withdrawn() -> None:
    gone = [{"file_id": 7, "superseded_by": 9}, {"file_id": 7, "superseded_by": None}]
    assert listed(FakeTx(gone), [row(in_force=0)])[0].outcome == "COMMITTED, withdrawn"


def test_files_are_a_line_each_whatever_their_names_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    files = listed(
        FakeDatabase(), [row(9, object_key=b"sales_data/[red]\x1b[2J\n.csv"), row(8, "REJECTED", 0, reason_code="EMPTY", finished_at=None)]
    )
    print_files(files, is_cut=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[1].split() == [*words("9 COMMITTED, in force 99 5 3 1 1 2024-05-01 12:30:00"), "sales_data/[red]\\x1b[2J\\n.csv"]
    assert lines[2].split() == words("8 REJECTED 99 5 3 1 1 EMPTY sales_data/a.csv")
    assert lines[3] == "2 files, perhaps more: see --limit"
    print_files([], is_cut=False)
    assert capsys.readouterr().out == "no files\n"


def test_columns_stand_below_each_other() -> None:
    assert aligned([("id", "name"), (7, "a"), (100, None)]) == [" id  name", "  7  a", "100"]


def test_json_has_moments_as_utc_and_decimals_as_they_are() -> None:
    assert json.dumps([AT, Decimal("1.50")], default=plain) == '["2024-05-01T12:30:00Z", "1.50"]'


# One file


def test_a_file_is_found_by_id_or_key() -> None:
    assert find_row(FakeTx([row(7)]), "sales_data/", "7")["id"] == 7
    tx = FakeTx([], [row(3)])
    assert find_row(tx, "sales_data/", "2024")["id"] == 3
    assert tx.asked[1][1] == (b"2024", b"sales_data/2024")


def test_a_name_that_is_unknown_or_of_several_files_is_refused_in_one_harmless_line() -> None:
    with pytest.raises(UsageError, match=r"no file has the id or key 'x\\x1b\.csv'; see \./spark-submit\.sh files"):
        find_row(FakeTx([]), "sales_data/", "x\x1b.csv")
    many = [row(number) for number in range(30, 9, -1)]
    with pytest.raises(UsageError, match=r"as files 30 \(COMMITTED\), .*, 11 \(COMMITTED\) and more; give the id"):
        find_row(FakeTx(many), "sales_data/", "a.csv")


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"state": "CLAIMED", "archived_key": None}, Place("in the source prefix, not loaded yet", "sales_data/a.csv")),
        ({"archived_key": None, "archive_due": 1}, Place("in the source prefix, about to be archived", "sales_data/a.csv")),
        ({}, Place("archived", "done/7/a.csv")),
        ({"archive_due": 1}, Place("archived, and about to be moved", "done/7/a.csv")),
        ({"state": "GONE", "archived_key": None}, Place("gone: it was deleted before it was loaded", None)),
        ({"state": "OVERWRITTEN", "archived_key": None}, Place("gone: it was overwritten before it was loaded", None)),
        (
            {"archived_key": None},
            Place("gone: deleted from the archive by clean, or from the source prefix before it was archived", None),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_story_says_where_the_object_is(values: dict[str, Any], place: Place) -> None:
    assert place_of(row(**values)) == place


FILE = ListedFile(7, "sales_data/a.csv", "COMMITTED", "in force", None, 99, 5, 3, 1, 1, None, None, AT, AT)
STORY = FileStory(
    file=FILE,
    bucket="lake",
    etag="e",
    last_modified=AT,
    claimed=AT,
    archived=None,
    place=Place("archived", "done/7/a.csv"),
    batches=[
        {
            "id": 3,
            "state": "COMMITTED",
            "kind": "REPLAY",
            "operation": 2,
            "failures": 1,
            "planned": AT,
            "committed": AT,
            "error": None,
            "attempts": [{"key": "3-1-2", "batch": 3, "state": "DEAD", "started": AT, "ended": AT, "error": "lost\nconnection"}],
        }
    ],
    reasons=[{"reason": "INVALID_INT", "rows": 1, "first_line": 4, "first_column": "price", "first_text": "***"}],
    warnings=[],
    withdrawals=[{"at": AT, "batch": 2, "operation": 1, "superseded_by": None, "rows_loaded": 3, "rows_pending": 0}],
    operations=[
        {"id": 2, "kind": "REPLAY", "state": "DONE", "by": "ann", "requested": AT, "finished": AT, "detail": "1 files", "note": "why"}
    ],
    earlier=[{"id": 5, "state": "COMMITTED", "in_force": False}],
    later=[],
    waits_for=[{"dimension": "customer", "key": 9000, "rows": 1}],
    parts=(LivePart("3-1-1", "2024-05", 121, 9, Decimal(9)),),
)
TOUCHED = Touched(
    3,
    (HeldPart("2024-05", 121, "3-1-1", 3, Decimal("12.5000")),),
    (
        MartKeys(
            "customers_data_mart",
            30,
            [{"customer_id": "1", "sales_date_month": "2024-05", "row_count": 3, "total_sales": Decimal("12.5000")}],
        ),
    ),
)


def test_the_story_is_told_in_lines() -> None:
    when = "2024-05-01 12:30:00"
    assert list(story_lines(STORY, TOUCHED, 1)) == [
        "file 7 s3://lake/sales_data/a.csv",
        "  state       COMMITTED, in force",
        "  rows        5 read, 3 loaded, 1 rejected, 1 pending",
        f"  object      99 bytes, etag e, last modified {when}",
        "  where       archived: s3://lake/done/7/a.csv",
        f"  discovered  {when}",
        f"  claimed     {when}",
        f"  finished    {when}",
        "  rejected rows",
        "    INVALID_INT: 1 rows, the first in line 4: price = ***",
        "    perhaps more: see --limit",
        "  waits for",
        "    customer 9000: 1 rows",
        "    perhaps more: see --limit",
        "  withdrawn",
        f"    {when} by batch 2 of operation 1: 3 rows, 0 pending ones",
        "    perhaps more: see --limit",
        "  earlier versions of this key",
        "    file 5 COMMITTED",
        "    perhaps more: see --limit",
        "  operations",
        f"    2 REPLAY DONE, asked for by ann {when}, finished {when}; 1 files; why",
        "    perhaps more: see --limit",
        "  batches",
        f"    3 REPLAY of operation 2 COMMITTED, planned {when}, 1 failures",
        f"      attempt 3-1-2 DEAD, {when} to {when}: lost\nconnection",
        "  parts of the facts: 1",
        "    month 2024-05 store 121 batch 3-1-1: 3 rows, 12.50",
        "  keys of customers_data_mart: 30",
        "    customer_id=1 sales_date_month=2024-05: 3 rows, total_sales 12.50",
        "    and 29 more: see --limit",
    ]


def test_without_a_look_at_s3_only_possible_parts_are_named() -> None:
    assert list(story_lines(STORY, None, 20))[-2:] == [
        "  parts of the facts that may hold rows of it: 1",
        "    month 2024-05 store 121 batch 3-1-1",
    ]


def facts(*rows: tuple[int, int, int, str]) -> bytes:
    """Write Parquet of (file, customer, seller, amount)."""
    files, customers, sellers, amounts = zip(*rows, strict=True)
    table = pa.table(
        {
            "_file_id": pa.array(files, pa.int64()),
            "customer_id": pa.array(customers, pa.int32()),
            "sales_person_id": pa.array(sellers, pa.int32()),
            "total_cost": pa.array([Decimal(amount) for amount in amounts], pa.decimal128(10, 2)),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def find(
    config: Config, monkeypatch: pytest.MonkeyPatch, objects: dict[str, bytes], *parts: tuple[str, int, str], limit: int = 20
) -> Touched:
    folders = {
        f"sales_facts/sales_month={place[0]}/store_id={place[1]}/batch_key={place[2]}/{name}": body
        for key, body in objects.items()
        for place, name in [(key.split("/")[:3], key.split("/")[3])]
    }
    monkeypatch.setattr(file_mart_keys, "ClientFactory", lambda _: lambda: FakeS3.holding(folders))
    return file_mart_keys.find_keys(config, 7, [LivePart(key, month, store, 0, Decimal(0)) for month, store, key in parts], limit)


def test_mart_keys_come_from_the_files_rows_in_its_parts_and_are_cut_at_the_limit(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {
        "2024-05/121/3-1-1/a.parquet": facts((7, 10, 1, "1.10"), (8, 10, 1, "100.00"), (7, 9, 1, "2.20")),
        "2024-05/121/3-1-1/b.parquet": facts((7, 10, 2, "3.30")),
        "2024-06/9/3-1-1/a.parquet": facts((8, 10, 1, "50.00")),
        "2024-06/121/3-1-1/a.parquet": facts((7, 10, 1, "4.40")),
        "2024-06/121/9-9-9/a.parquet": facts((7, 10, 1, "999.00")),
    }
    found = find(config, monkeypatch, objects, ("2024-05", 121, "3-1-1"), ("2024-06", 9, "3-1-1"), ("2024-06", 121, "3-1-1"), limit=2)
    assert found.rows == 4
    assert found.parts == (
        HeldPart("2024-05", 121, "3-1-1", 3, Decimal("6.6000")),
        HeldPart("2024-06", 121, "3-1-1", 1, Decimal("4.4000")),
    )
    customers, team = found.marts
    assert customers == MartKeys(
        "customers_data_mart",
        3,
        [
            {"customer_id": 9, "sales_date_month": "2024-05", "row_count": 1, "total_sales": Decimal("2.2000")},
            {"customer_id": 10, "sales_date_month": "2024-05", "row_count": 2, "total_sales": Decimal("4.4000")},
        ],
    )
    assert (team.count, team.shown[1]) == (
        3,
        {"store_id": 121, "sales_person_id": 1, "sales_month": "2024-06", "row_count": 1, "total_sales": Decimal("4.4000")},
    )


def test_a_part_without_objects_has_no_rows_and_a_broken_one_is_an_error(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(config, monkeypatch, {}, ("2024-05", 121, "3-1-1")).rows == 0
    with pytest.raises(S3Error, match="the facts of 2024-05, store 121, batch 3-1-1 cannot be read"):
        find(config, monkeypatch, {"2024-05/121/3-1-1/a.parquet": b"no"}, ("2024-05", 121, "3-1-1"))


def test_facts_that_lack_rows_of_the_file_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.views.file_mart_keys.find_keys", lambda *_: replace(TOUCHED, rows=2))
    with pytest.raises(S3Error, match=r"the live facts hold 2 rows of file 7, the ledger counts 3; run .* verify"):
        cli_files._touched(None, STORY, 20)


def test_the_commands_are_walked() -> None:
    commands = typer.main.get_command(cli.app).commands
    assert {"files", "file", "facts"} <= set(commands)
