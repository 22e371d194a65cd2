"""verify on real servers: nothing to say after a mixed history, and every kind of damage found and named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest
from pyspark.sql import SparkSession

from app import local
from app.cli import app as cli
from app.local import LocalEnv
from app.verify import Verification, differences
from tests.integration.test_stream import HEADER
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

# Store 121, February: seller 1 leads with 280.00 and gets 2.80; seller 2 has 50.00. March: seller 1 has 30.00 and gets 0.30.
GOOD = "1,121,sugar,2024-02-01,1,50,2,100\n1,121,maida,2024-02-03,1,90,2,180\n2,121,sugar,2024-02-04,2,50,1,50\n"
BAD = "x,121,sugar,2024-02-01,1,50,2,100\n1,121,sugar,2024-02-01,1,50,0,0\n"
LATE = "9001,121,sugar,2024-03-01,1,30,1,30\n"
WAITING = "9002,121,sugar,2024-03-01,1,30,1,30\n"
# Another order of columns, another delimiter, a column more.
SEMICOLONS = "quantity;customer_id;store_id;product_name;sales_date;sales_person_id;price;total_cost;zone\n"
SEMICOLONS += "1;3;122;'x' sugar;2024-02-05;3;10;10;north\n"
# BOM, CRLF, gzip, quotes, a record of two lines, numbers as people write them, and one that is too short.
ODD = f"\ufeff{HEADER}\r\n" + '1,123,"sugar, white",2024-02-05,3,10,1,10\r\n'
ODD += '1,123,"say ""hi""\r\nthere", 2024-02-06 ,3,+5.0,2.,10.00\r\n1,123\r\n'


@pytest.fixture(scope="module")
def mixed(servers: LocalEnv, home: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with rejected, released and waiting rows, a duplicate, and a file that is no sales file; tests put back what they change."""
    with pymysql.connect(**local.root_connection_args(home), autocommit=True) as root:
        world = World.make(servers, root, tmp_path_factory.mktemp("mixed"))
        world.drop("a.csv", f"{HEADER}\n{GOOD}{BAD}{LATE}{WAITING}")
        world.run_once(spark)
        world.drop("again.csv", f"{HEADER}\n{GOOD}{BAD}{LATE}{WAITING}")
        world.drop("b.csv", "no sales file\n1\n")
        world.drop("c.csv", SEMICOLONS)
        world.drop("d.csv.gz", gzip.compress(ODD.encode()))
        world.run_once(spark)
        world.execute("INSERT INTO customer (customer_id, first_name) VALUES (9001, 'Late')")
        world.run_once(spark)
        assert world.states() == {
            "a.csv": "COMMITTED",
            "again.csv": "DUPLICATE",
            "b.csv": "REJECTED",
            "c.csv": "COMMITTED",
            "d.csv.gz": "COMMITTED",
        }
        yield world
        world.destroy(root)


def lines(world: World, *, deep: bool = False) -> list[str]:
    """What verify says."""
    return [str(one) for one in differences(world.config, Verification(), deep=deep)]


@contextmanager
def changed(world: World, there: str, back: str) -> Iterator[None]:
    """Run a statement, and another one that puts things back."""
    assert world.execute(there) == 1
    try:
        yield
    finally:
        assert world.execute(back) == 1


@contextmanager
def moved(world: World, key: str, to: str | None) -> Iterator[None]:
    """Take an object away, or put it under another key as well; and put things back."""
    body = world.client.get_object(Bucket=world.bucket, Key=key)["Body"].read()
    if to:
        world.client.put_object(Bucket=world.bucket, Key=to, Body=body)
    else:
        world.client.delete_object(Bucket=world.bucket, Key=key)
    try:
        yield
    finally:
        if to:
            world.client.delete_object(Bucket=world.bucket, Key=to)
        else:
            world.client.put_object(Bucket=world.bucket, Key=key, Body=body)


def only(keys: list[str], text: str) -> str:
    """The one key that holds a text."""
    found = [key for key in keys if text in key]
    assert len(found) == 1, keys
    return found[0]


def test_nothing_differs_after_a_mixed_history(mixed: World) -> None:
    seen = Verification()
    assert [str(one) for one in differences(mixed.config, seen)] == []
    # Facts: February and the released March of store 121, February of 122 and 123; three reasons in quarantine; what waits still.
    assert (seen.parts, seen.rows, seen.files) == (8, 7 + 3 + 1, 5)


@pytest.mark.parametrize(
    ("column", "wrong", "right", "said"),
    [
        ("total_sales", "281", "280", "total_sales is 281.00, the Parquet says 280.00"),
        ("incentive", "2.81", "2.80", "incentive is 2.81, the Parquet says 2.80"),
        ("row_count", "3", "2", "row_count is 3, the Parquet says 2"),
    ],
)
def test_a_changed_mart_value_is_named(mixed: World, column: str, wrong: str, right: str, said: str) -> None:
    update = f"UPDATE sales_team_data_mart SET {column} = %s WHERE store_id = 121 AND sales_person_id = 1 AND sales_month = '2024-02'"
    with changed(mixed, update.replace("%s", wrong), update.replace("%s", right)):
        assert lines(mixed) == [f"sales_team_data_mart store_id=121 sales_person_id=1 sales_month=2024-02: {said}"]


def test_a_mart_row_too_many_and_one_too_few_are_named(mixed: World) -> None:
    update = "UPDATE customers_data_mart SET customer_id = {} WHERE customer_id = {} AND sales_date_month = '2024-02'"
    with changed(mixed, update.format(17, 2), update.format(2, 17)):
        assert lines(mixed) == [
            "customers_data_mart customer_id=2 sales_date_month=2024-02: total_sales is missing, the Parquet says 50.00",
            "customers_data_mart customer_id=2 sales_date_month=2024-02: row_count is missing, the Parquet says 1",
            "customers_data_mart customer_id=17 sales_date_month=2024-02: total_sales is 50.00, the Parquet says there is no such row",
            "customers_data_mart customer_id=17 sales_date_month=2024-02: row_count is 1, the Parquet says there is no such row",
        ]


def test_a_deleted_parquet_object_is_missed_in_part_marts_and_file(mixed: World) -> None:
    key = only(mixed.keys("sales_facts/sales_month=2024-03/"), "store_id=121")
    folder = key.rsplit("/", 1)[0]
    with moved(mixed, key, None):
        place = folder.removeprefix("sales_facts/").replace("/", " ")
        found = lines(mixed)
        assert f"fact_part {place}: row_count is 1, and there is no Parquet that can be read below {folder}/" in found
        assert (
            "customers_data_mart customer_id=9001 sales_date_month=2024-03: total_sales is 30.00, the Parquet says there is no such row"
            in found
        )
        assert len(found) == 7


def test_an_extra_object_in_a_live_part_and_one_of_an_unknown_batch_are_named(mixed: World) -> None:
    key = only(mixed.keys("sales_facts/sales_month=2024-03/"), "store_id=121")
    folder, name = key.rsplit("/", 1)
    with moved(mixed, key, f"{folder}/second.parquet"):
        assert f"fact_part {folder.removeprefix('sales_facts/').replace('/', ' ')}: row_count is 1, the Parquet says 2" in lines(mixed)
    unknown = folder.rsplit("/", 1)[0] + "/batch_key=99-1-1"
    with moved(mixed, key, f"{unknown}/{name}"):
        assert lines(mixed) == [f"s3://{mixed.bucket}/{unknown}/: 1 objects, and the ledger has no live part there"]
    for stray in ("sales_facts/strange.txt", "sales_pending/x.parquet", f"{folder}/notes.txt"):
        with moved(mixed, key, stray):
            assert lines(mixed) == [f"s3://{mixed.bucket}/{stray}: the ledger knows no such object"]


def test_parquet_that_cannot_be_read_is_named(mixed: World) -> None:
    key = only(mixed.keys("sales_facts/sales_month=2024-03/"), "store_id=121")
    broken = key.rsplit("/", 1)[0] + "/broken.parquet"
    mixed.client.put_object(Bucket=mixed.bucket, Key=broken, Body=b"PAR1 is how it begins")
    try:
        found = lines(mixed)
    finally:
        mixed.client.delete_object(Bucket=mixed.bucket, Key=broken)
    assert len(found) == 1
    assert found[0].startswith(f"s3://{mixed.bucket}/{broken}: cannot be read: ")


@pytest.mark.parametrize(
    ("column", "right", "said"),
    [
        ("rows_loaded", 4, ["rows_loaded is 5, the Parquet says 4", "rows_read is 7, loaded, rejected and pending are 8"]),
        ("rows_rejected", 2, ["rows_rejected is 3, the Parquet says 2", "rows_read is 7, loaded, rejected and pending are 8"]),
        ("rows_pending", 1, ["rows_pending is 2, the Parquet says 1", "rows_read is 7, loaded, rejected and pending are 8"]),
        ("rows_read", 7, ["rows_read is 8, loaded, rejected and pending are 7"]),
        (
            "in_force",
            1,
            ["rows_loaded is not in force (COMMITTED), the Parquet says 4", "rows_pending is not in force (COMMITTED), the Parquet says 1"],
        ),
    ],
)
def test_a_changed_count_of_a_file_is_named(mixed: World, column: str, right: int, said: list[str]) -> None:
    wrong = 0 if column == "in_force" else right + 1
    update = f"UPDATE source_file SET {column} = %s WHERE id = 1"
    with changed(mixed, update.replace("%s", str(wrong)), update.replace("%s", str(right))):
        assert lines(mixed) == [f"source_file id=1 'sales_data/a.csv': {text}" for text in said]


def test_a_changed_part_and_a_part_that_is_no_longer_live_are_named(mixed: World) -> None:
    update = "UPDATE fact_part SET amount = {} WHERE sales_month = '2024-03'"
    place = mixed.rows("SELECT batch_key FROM fact_part WHERE sales_month = '2024-03'")[0]["batch_key"]
    with changed(mixed, update.format("31"), update.format("30")):
        assert lines(mixed) == [f"fact_part sales_month=2024-03 store_id=121 batch_key={place}: amount is 31.00, the Parquet says 30.00"]
    update = "UPDATE quarantine_part SET row_count = {} WHERE reason = 'INVALID_INT'"
    with changed(mixed, update.format("2"), update.format("1")):
        assert [line.rsplit(": ", 1)[1] for line in lines(mixed)] == ["row_count is 2, the Parquet says 1"]
    with changed(
        mixed,
        "UPDATE pending_part SET state = 'DEAD' WHERE state = 'WAITING'",
        "UPDATE pending_part SET state = 'WAITING' WHERE state = 'DEAD'",
    ):
        found = lines(mixed)
        assert "source_file id=1 'sales_data/a.csv': rows_pending is 1, the Parquet says 0" in found
        assert len(found) == 2
        assert found[1].endswith(": 1 objects, and the ledger has no live part there")


def test_the_archive_is_compared_both_ways(mixed: World) -> None:
    archived = only(mixed.keys("sales_data_processed/"), "/a.csv")
    with moved(mixed, archived, None):
        assert lines(mixed) == [f"source_file id=1 'sales_data/a.csv': its archived object s3://{mixed.bucket}/{archived} is gone"]
    for strange in ("sales_data_processed/2024-01-01/77/x.csv", "sales_data_processed/found.csv", "sales_data_error/2024-01-01/1/a.csv"):
        with moved(mixed, archived, strange):
            assert lines(mixed) == [f"s3://{mixed.bucket}/{strange}: an archived object that no row of source_file names"]


def test_what_is_just_being_archived_is_no_difference(mixed: World) -> None:
    archived = only(mixed.keys("sales_data_processed/"), "/a.csv")
    note = "UPDATE source_file SET archive_due = {}, archived_key = {} WHERE id = 1"
    with changed(mixed, note.format(1, "NULL"), note.format(0, f"'{archived}'")):
        assert lines(mixed) == []


def test_parts_of_an_open_attempt_are_no_orphans(mixed: World) -> None:
    key = only(mixed.keys("sales_facts/sales_month=2024-03/"), "store_id=121")
    unknown = key.rsplit("/", 2)[0] + "/batch_key=98-1-1/x.parquet"
    mixed.execute("INSERT INTO batch_attempt (batch_key, batch_id, started_at) VALUES ('98-1-1', 98, UTC_TIMESTAMP(6))")
    try:
        with moved(mixed, key, unknown):
            assert lines(mixed) == []
    finally:
        mixed.execute("DELETE FROM batch_attempt WHERE batch_id = 98")


def test_the_command_prints_lines_a_summary_and_an_exit_code(
    mixed: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cli.verify.configuration", lambda _env: mixed.config)
    assert cli.main(["verify"]) == 0
    assert capsys.readouterr().out == "verify: 8 parts, 11 rows, 2 marts, 5 files: 0 differences\n"
    update = "UPDATE sales_team_data_mart SET total_sales = total_sales + {} WHERE store_id = 121 AND sales_month = '2024-02'"
    assert mixed.execute(update.format(1)) == 2
    try:
        assert cli.main(["verify", "--limit", "1"]) == 1
        plain = capsys.readouterr().out.splitlines()
        assert cli.main(["verify", "--json"]) == 1
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    finally:
        mixed.execute(update.format(-1))
    assert plain == [
        "sales_team_data_mart store_id=121 sales_person_id=1 sales_month=2024-02: total_sales is 281.00, the Parquet says 280.00",
        "and 1 more of kind mart",
        "verify: 8 parts, 11 rows, 2 marts, 5 files: 2 differences",
    ]
    assert [(one["kind"], one.get("mysql"), one.get("s3")) for one in records] == [
        ("mart", "281.00", "280.00"),
        ("mart", "51.00", "50.00"),
        ("summary", None, None),
    ]
    assert records[-1]["differences"] == 2


# --deep


def test_the_archived_files_hold_what_was_loaded(mixed: World) -> None:
    seen = Verification()
    assert [str(one) for one in differences(mixed.config, seen, deep=True)] == []
    assert (seen.csv_files, seen.summary()) == (3, "8 parts, 11 rows, 2 marts, 5 files, 3 CSV files read again")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (LATE, LATE * 2, ["rows_read is 7, the archived CSV says 8", "the sum of total_cost is 490.00, the archived CSV says 520.00"]),
        ("sugar,2024-02-04", "salt,2024-02-04", ["rows and sum agree with the archived CSV, the values of some row do not"]),
        ("1,50\n", "1,51\n", ["the sum of total_cost is 490.00, the archived CSV says 491.00"]),
        (HEADER, "something else", ["the archived CSV is no sales file: the header lacks " + HEADER.replace(",", ", ")]),
    ],
)
def test_an_archived_file_that_holds_something_else_is_named(mixed: World, old: str, new: str, said: list[str]) -> None:
    key = only(mixed.keys("sales_data_processed/"), "/a.csv")
    body = mixed.client.get_object(Bucket=mixed.bucket, Key=key)["Body"].read()
    assert body.decode().count(old) == 1
    mixed.client.put_object(Bucket=mixed.bucket, Key=key, Body=body.decode().replace(old, new).encode())
    try:
        assert lines(mixed, deep=True) == [f"source_file id=1 'sales_data/a.csv': {text}" for text in said]
    finally:
        mixed.client.put_object(Bucket=mixed.bucket, Key=key, Body=body)


# Lone CRs, doubled ones, quotes that are never closed, a NUL: what DuckDB reads otherwise.
STRANGE = f"{HEADER}\r\r\n" + '1,121,su\rgar,2024-02-01,1,50,2,100\r\r\n1,121,"sugar,2024-02-01,1,50,2,100\r\r\n'
STRANGE += '"1","121","sugar","2024-02-02","1","50","2","101"\r\r\n \n1,121,su\0gar,2024-02-01,1,50,2,100\n'
STRANGE += '1,121,"su""gar\nx",2024-02-03,1,50,2,102\nx,121,y\rz,2024-02-01,1,50,2,7\n'


@pytest.fixture(scope="module")
def strange(servers: LocalEnv, home: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with one file in which nearly every row is odd."""
    with pymysql.connect(**local.root_connection_args(home), autocommit=True) as root:
        world = World.make(servers, root, tmp_path_factory.mktemp("strange"))
        world.drop("a.csv", STRANGE)
        world.run_once(spark)
        file = world.rows("SELECT rows_read, rows_loaded, rows_rejected FROM source_file")[0]
        assert tuple(file.values()) == (6, 3, 3)
        yield world
        world.destroy(root)


def test_a_file_that_duckdb_reads_otherwise_is_compared_all_the_same(strange: World) -> None:
    assert lines(strange, deep=True) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("su\rgar", "su\rgas", ["rows and sum agree with the archived CSV, the values of some row do not"]),
        ('"su""gar\nx"', '"su""gar\ny"', ["rows and sum agree with the archived CSV, the values of some row do not"]),
        ("y\rz", "y\rw", ["rows and sum agree with the archived CSV, the values of some row do not"]),
        (',"101"', ',"111"', ["the sum of total_cost is 310.00, the archived CSV says 320.00"]),
        (
            '"sugar,2024-02-01,1,50,2,100',
            "sugar,2024-02-01,1,50,2,100",
            [
                "the sum of total_cost is 310.00, the archived CSV says 410.00",
                "rejected for their form, and whole records in the archived CSV or not in it: line 3",
            ],
        ),
        (
            '"sugar","2024-02-02"',
            '"sug"ar","2024-02-02"',
            [
                "the sum of total_cost is 310.00, the archived CSV says 209.00",
                "no whole records in the archived CSV, and not rejected as such: line 4",
            ],
        ),
    ],
)
def test_a_changed_value_of_a_strange_file_is_named(strange: World, old: str, new: str, said: list[str]) -> None:
    key = only(strange.keys("sales_data_processed/"), "/a.csv")
    assert STRANGE.count(old) == 1
    strange.client.put_object(Bucket=strange.bucket, Key=key, Body=STRANGE.replace(old, new).encode())
    try:
        assert lines(strange, deep=True) == [f"source_file id=1 'sales_data/a.csv': {text}" for text in said]
    finally:
        strange.client.put_object(Bucket=strange.bucket, Key=key, Body=STRANGE.encode())
