"""verify without servers: keys, values as they are shown, the SQL of incentives and of values, the report."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from app.cli import app as cli
from app.cli.verify import report
from app.config.load import Config, MartsConfig, S3Config
from app.contract.contract import Column
from app.ledger.paging import batched
from app.ledger.parts import key_of
from app.model.marts import CUSTOMERS, SALES_TEAM
from app.verify import Verification
from app.verify.archive_side import Archived, read_key
from app.verify.compare import calculated_sql
from app.verify.deep import strptime_of, typed_sql
from app.verify.difference import REMARK, Difference, differs, shown
from app.verify.objects import place_of
from app.verify.parquet import print_of
from app.verify.scratch_database import Scratch, open_scratch


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("280.0000"), "280.00"),
        (Decimal("0.1230"), "0.123"),
        (Decimal("-5.5000"), "-5.50"),
        (Decimal("1E+3"), "1000"),
        (7, "7"),
        ("missing", "missing"),
    ],
)
def test_values_are_shown_as_people_read_them(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_difference_is_a_line_with_key_and_both_values() -> None:
    found = differs("mart", "customers_data_mart customer_id=1", "total_sales", Decimal("280.0000"), Decimal("281.0000"))
    assert str(found) == "customers_data_mart customer_id=1: total_sales is 280.00, the Parquet says 281.00"
    assert (found.mysql, found.s3) == ("280.00", "281.00")


@pytest.mark.parametrize(
    ("kind", "name", "place"),
    [
        ("facts", "sales_month=2024-02/store_id=-1/batch_key=1-2-3/part-0.parquet", "sales_month=2024-02/store_id=-1/batch_key=1-2-3"),
        ("facts", "sales_month=2024-02/store_id=1/batch_key=1-2-3/deeper/part-0.parquet", None),
        ("facts", "batch_key=1-2-3/part-0.parquet", None),
        ("facts", "strange/tasks/x", None),
        ("pending", "batch_key=1-2-3/part-0.parquet", "batch_key=1-2-3"),
        ("quarantine", "load_date=2024-02-01/reason=TOO_LONG/batch_key=1-2-3/x", "load_date=2024-02-01/reason=TOO_LONG/batch_key=1-2-3"),
    ],
)
def test_a_key_tells_its_part(kind: str, name: str, place: str | None) -> None:
    assert place_of(kind, name) == place


def test_a_place_ends_in_its_batch_key() -> None:
    assert key_of("sales_month=2024-02/store_id=1/batch_key=1-2-3") == key_of("batch_key=1-2-3") == "1-2-3"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("sales_data_processed/2024-02-01/12/a/b c.csv", Archived(12, "a/b c.csv")),
        ("sales_data_error/2024-02-01/12-3/2024-01-01/5/x", Archived(12, "2024-01-01/5/x")),
        ("sales_data_processed/2024-02-01/12/a\nb.csv", Archived(12, "a\nb.csv")),
        ("sales_data_processed/2024-02-01/a.csv", None),
        ("sales_data_processed/a.csv", None),
        ("elsewhere/2024-02-01/12/a.csv", None),
    ],
)
def test_a_key_of_the_archive_tells_file_and_name(key: str, found: Archived | None) -> None:
    assert read_key(S3Config(bucket="lake"), key) == found


# One store and month: 1 and 10 tie at 100.50; 2 has less. Another: a leader below zero. A third: half a cent, up.
TOTALS = [
    ("5", "2", "2024-01", "100.4900"),
    ("5", "10", "2024-01", "100.5000"),
    ("5", "1", "2024-01", "100.5000"),
    ("6", "1", "2024-01", "-3.0000"),
    ("7", "3", "2024-01", "10.5000"),
    ("7", "3", "2024-01", "1.0000"),
]


@pytest.mark.parametrize(
    ("rule", "rate", "expected"),
    [
        ("all", "0.01", {"5 1": "1.01", "5 10": "1.01", "5 2": "0", "6 1": "0", "7 3": "0.12"}),
        ("first", "0.01", {"5 1": "1.01", "5 10": "0", "5 2": "0", "6 1": "0", "7 3": "0.12"}),
        ("all", "0", {"5 1": "0", "5 10": "0", "5 2": "0", "6 1": "0", "7 3": "0"}),
        ("all", "1", {"5 1": "100.5", "5 10": "100.5", "5 2": "0", "6 1": "0", "7 3": "11.5"}),
    ],
)
def test_incentives_go_to_the_leaders_rounded_half_up_and_never_below_zero(rule: Any, rate: str, expected: dict[str, str]) -> None:
    with duckdb.connect() as db:
        db.execute(
            "CREATE TABLE calc_sales_team_data_mart (store_id VARCHAR, sales_person_id VARCHAR, sales_month VARCHAR,"
            " total_sales DECIMAL(38, 4), row_count BIGINT)"
        )
        db.executemany("INSERT INTO calc_sales_team_data_mart VALUES (?, ?, ?, ?, 1)", TOTALS)
        sql = calculated_sql(SALES_TEAM, MartsConfig(incentive_rate=Decimal(rate), tie_rule=rule))
        found = db.execute(f"SELECT store_id || ' ' || sales_person_id, incentive FROM ({sql})").fetchall()
    assert dict(found) == {key: Decimal(value) for key, value in expected.items()}


def test_an_incentive_on_a_total_beyond_sixteen_digits_is_still_exact() -> None:
    with duckdb.connect() as db:
        db.execute(
            "CREATE TABLE calc_sales_team_data_mart AS SELECT '1' AS store_id, '2' AS sales_person_id, '2024-01' AS sales_month,"
            " CAST('1234567890123456789012.5000' AS DECIMAL(38, 4)) AS total_sales, 1 AS row_count"
        )
        found = db.execute(f"SELECT incentive FROM ({calculated_sql(SALES_TEAM, MartsConfig(incentive_rate=Decimal('0.01')))})").fetchone()
    assert found == (Decimal("12345678901234567890.13"),)


def test_a_mart_without_ranking_has_sums_only() -> None:
    assert calculated_sql(CUSTOMERS, MartsConfig()) == (
        "SELECT customer_id, sales_date_month, sum(total_sales) AS total_sales, sum(row_count) AS row_count"
        " FROM calc_customers_data_mart GROUP BY customer_id, sales_date_month"
    )


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        (Column("a", "int"), " +5.0\u00a0", "5"),
        (Column("a", "int"), "x", None),
        (Column("a", "int"), "", None),
        (Column("a", "decimal(18,4)"), ".5", "0.5000"),
        (Column("a", "date"), "2024-02-03", "2024-02-03"),
        (Column("a", "date", date_formats=("dd.MM.yyyy", "d/M/yyyy")), "3/2/2024", "2024-02-03"),
        (Column("a", "string"), " sugar ", "sugar"),
        (Column("a", "string", trim=False), " sugar ", " sugar "),
    ],
)
def test_text_becomes_the_value_that_the_contract_means(column: Column, text: str, value: str | None) -> None:
    with duckdb.connect() as db:
        assert db.execute(f"SELECT CAST({typed_sql(column, 'c')} AS VARCHAR) FROM (SELECT ?::VARCHAR AS c)", [text]).fetchone() == (value,)


def test_a_column_that_the_file_lacks_has_no_value() -> None:
    assert typed_sql(Column("a", "int", required=False, nullable=True), None) == "NULL"


def test_date_formats_are_translated() -> None:
    assert strptime_of("d-MMM-yyyy") == "%-d-%b-%Y"


def test_a_fingerprint_does_not_know_the_order_but_every_value() -> None:
    with duckdb.connect() as db:

        def of(*rows: tuple[int, str | None]) -> int:
            values = ", ".join(f"({number}, {text!r})" if text else f"({number}, NULL)" for number, text in rows)
            return db.execute(f"SELECT {print_of(['a', 'b'])} FROM (VALUES {values}) t(a, b)").fetchone()[0]

        assert of((1, "x"), (2, "y")) == of((2, "y"), (1, "x"))
        assert len({of((1, "x"), (2, "y")), of((1, "y"), (2, "x")), of((1, "x"), (2, None)), of((1, "x"), (1, "x"), (2, "y"))}) == 4


def test_items_come_in_pages() -> None:
    assert list(batched(iter(range(5)), 2)) == [[0, 1], [2, 3], [4]]


def delete_and_fail(scratch: Scratch) -> None:
    with scratch.transaction():
        scratch.run("DELETE FROM t")
        scratch.run("SELECT nonsense")


def test_the_scratch_database_leaves_nothing_behind() -> None:
    with open_scratch() as scratch:
        scratch.run("CREATE TABLE t (a BIGINT, b VARCHAR, c DECIMAL(38, 4))")
        scratch.fill("t", [[(1, None, None), (2, None, Decimal("1.5"))], [(3, "x", Decimal("12345678901234567.1"))]])
        folder: Path = scratch.folder
        assert list(scratch.rows("SELECT * FROM t ORDER BY a"))[1:] == [
            (2, None, Decimal("1.5000")),
            (3, "x", Decimal("12345678901234567.1000")),
        ]
        with pytest.raises(duckdb.Error):
            delete_and_fail(scratch)
        assert scratch.scalar("SELECT count(*) FROM t") == 3
    assert not folder.exists()


def test_remarks_are_printed_and_do_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Verification(parts=1200, rows=3400, files=15)
    assert report([Difference(REMARK, "a\x1b[2J\n.csv", "not comparable")], seen, limit=5, as_json=False) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a\\x1b[2J\\n.csv: not comparable",
        "verify: 1,200 parts, 3,400 rows, 2 marts, 15 files: 0 differences",
    ]


def test_only_so_many_of_each_kind_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Difference("mart", str(at), "wrong") for at in range(1503)] + [Difference("file", "f", "wrong")]
    assert report(iter(found), Verification(), limit=2, as_json=False) == 1
    assert capsys.readouterr().out.splitlines() == [
        "0: wrong",
        "1: wrong",
        "f: wrong",
        "and 1,501 more of kind mart",
        "verify: 0 parts, 0 rows, 2 marts, 0 files: 1,504 differences",
    ]
    report(iter(found), Verification(), limit=2, as_json=True)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 4
    assert records[-1]["by_kind"] == {"mart": 1503, "file": 1}


def test_what_a_repair_does_is_a_harmless_line(config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("app.cli.verify.configuration", lambda _env: config)
    monkeypatch.setattr("app.mysql.bucket_info.with_bucket", lambda config: config)
    for name in ("plan", "repair"):
        monkeypatch.setattr(f"app.verify.repair.{name}", lambda _config: iter(["a\x1b[2J\n.csv: offered again"]))
    assert cli.main(["verify", "--repair", "--dry-run"]) == cli.main(["verify", "--repair"]) == 0
    assert capsys.readouterr().out == "a\\x1b[2J\\n.csv: offered again\n" * 2
