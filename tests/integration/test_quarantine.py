"""A contract that never lies, on real servers: limits, warnings, masked values, and rejected rows that are mended and come back."""

from __future__ import annotations

import logging
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from app.cli import quarantine
from app.errors import UsageError
from app.views.status import read_status
from tests.poison import Poison, poison
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
GOOD = "1,121,sugar,2024-02-01,1,50,2,100"
BAD = "x,121,sugar,2024-02-01,1,50,2,100"
SECRET = "mallory@example.org"


def change_contract(world: World, **settings: object) -> None:
    path = world.folder / "conf" / "contract.yml"
    tree = yaml.safe_load(path.read_text())
    tree["settings"] |= settings
    path.write_text(yaml.safe_dump(tree, sort_keys=False))


def test_a_file_with_too_many_bad_rows_is_rejected_as_a_whole_and_says_why(world: World, spark: SparkSession) -> None:
    change_contract(world, max_reject_ratio=0.5)
    odd = "1,121,sugar,2024-02-01,1,50,2,101"
    bad = ["x,121,sugar,2024-02-30,1,50,2,100", *[BAD] * 6]
    world.drop("bad.csv", "\n".join([HEADER, GOOD, odd, *bad, "99,121,sugar,2024-02-01,1,50,2,100", ""]))
    world.drop("half.csv", "\n".join([HEADER, odd, BAD, ""]))
    world.run_once(spark)
    found = world.rows(
        "SELECT state, in_force, reason_code, reason_detail, rows_read, rows_loaded, rows_rejected, rows_pending"
        " FROM source_file ORDER BY id"
    )
    assert [tuple(row.values()) for row in found] == [
        ("REJECTED", 0, "REJECT_RATIO", "7 of 10 rows rejected, at most 0.50 allowed", 10, 0, 10, 0),
        ("COMMITTED", 1, None, None, 2, 1, 1, 0),
    ]
    assert world.customer_mart() == {(1, "2024-02"): Decimal("101.0000")}
    assert world.rows("SELECT COUNT(*) AS n FROM pending_key") == [{"n": 0}]
    assert [key.rsplit("/", 1)[1] for key in world.keys("sales_data_error/2")] == ["bad.csv"]
    kept = world.rows("SELECT file_id, reason_code, row_count, first_line, first_column, first_text FROM file_reject ORDER BY 1, 2")
    assert [tuple(row.values()) for row in kept] == [
        (1, "INVALID_DATE", 1, 4, "sales_date", "2024-02-30"),
        (1, "INVALID_INT", 7, 4, "customer_id", "x"),
        (2, "INVALID_INT", 1, 3, "customer_id", "x"),
    ]
    # The warnings of a file that was not loaded do not count.
    assert world.rows("SELECT file_id, rule_name, row_count, first_line FROM file_warning") == [
        {"file_id": 2, "rule_name": "total_matches", "row_count": 1, "first_line": 2}
    ]
    assert read_status(world.db)["warnings"] == {"total_matches": 1}

    # Its content is not in force: the same again is judged again, and the mended file is loaded.
    change_contract(world, max_reject_ratio=0.7)
    world.drop("bad.csv", "\n".join([HEADER, GOOD, odd, *bad, "99,121,sugar,2024-02-01,1,50,2,100", ""]))
    world.run_once(spark)
    assert world.rows("SELECT state, rows_loaded, rows_rejected, rows_pending FROM source_file WHERE id = 3") == [
        {"state": "COMMITTED", "rows_loaded": 2, "rows_rejected": 7, "rows_pending": 1}
    ]
    assert read_status(world.db)["warnings"] == {"total_matches": 2}


def test_a_sensitive_value_is_nowhere_in_mysql_nor_in_the_log(
    world: World,
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = world.folder / "conf" / "contract.yml"
    tree = yaml.safe_load(path.read_text())
    tree["columns"].append({"name": "email", "type": "string", "sensitive": True, "max_length": 5, "required": False, "nullable": True})
    tree["rules"].append({"name": "not_mallory", "expression": "email not like 'm%'", "columns": ["price", "email"], "on_fail": "reject"})
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    caplog.set_level(logging.DEBUG, logger="app")
    rows = [f"{GOOD},{SECRET}", f"{GOOD},m@x", f"{GOOD},{SECRET},9", f'{GOOD},"{SECRET}', f"{GOOD},\udcff{SECRET}"]
    world.drop("secret.csv", "\n".join([f"{HEADER},email", GOOD + ",a@b", *rows, ""]).encode(errors="surrogateescape"))
    world.drop("headless.csv", f"{SECRET},{SECRET}\n")
    # A failure of a worker's that repeats what stands in a row.
    poison(monkeypatch, Poison("mallory is {value}", "email", "p@x", "p@x"))
    world.drop("poison.csv", f"{HEADER},email\n{GOOD},p@x\n")
    world.set("stream", max_attempts=1)
    world.run_once(spark)
    errors = world.rows("SELECT reason_detail AS e FROM source_file WHERE state = 'FAILED' UNION SELECT error FROM batch_attempt")
    assert any("RuntimeError" in (row["e"] or "") for row in errors)
    assert [row for row in errors if "p@x" in (row["e"] or "")] == []
    found = world.rows("SELECT reason_code, first_column, first_text FROM file_reject ORDER BY reason_code")
    assert [tuple(row.values()) for row in found] == [
        ("INVALID_ENCODING", "email", "***"),
        ("NOT_MALLORY", "price,email", "***"),
        ("TOO_LONG", "email", "***"),
        ("TOO_MANY_FIELDS", None, "10"),
        ("UNCLOSED_QUOTE", None, None),
    ]
    for table in [next(iter(row.values())) for row in world.rows("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")]:
        assert "mallory" not in str(world.rows(f"SELECT * FROM `{table}`")), table
    assert caplog.text
    assert "mallory" not in caplog.text

    monkeypatch.setattr(quarantine, "open_database", lambda env: (world.config, world.db))
    capfd.readouterr()
    quarantine.list_command(file="secret.csv")
    quarantine.show_command("secret.csv")
    shown = capfd.readouterr()
    assert "mallory" not in shown.out + shown.err
    assert "m@x" not in shown.out
    assert "texts are hidden" in shown.err
    quarantine.show_command("secret.csv", reveal=True)
    assert capfd.readouterr().out.count(SECRET) == 6


def test_rejected_rows_are_exported_mended_dropped_again_and_loaded(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    header = "Customer ID;store_id;product_name;sales_date;sales_person_id;price;qty;total_cost;note"
    lines = [
        "1;121;sugar;2024-02-01;1;50;2;100;fine",
        "2;121;sugar;2024-02-30;1;50;2;100;é",
        '3;121;"su""gar\nfree";2024-02-01;1;x;2;y;two',
        "4;121;sugar;2024-02-01;1;50;2",
    ]
    name = "it's [odd].csv"
    world.drop(name, "\n".join([header, *lines, ""]))
    world.drop("other.csv", f"{HEADER}\n{BAD}\n")
    world.run_once(spark)
    monkeypatch.setattr(quarantine, "open_database", lambda env: (world.config, world.db))
    capfd.readouterr()

    quarantine.list_command(as_json=True, reason="invalid_date")
    assert '"first_text": "2024-02-30"' in capfd.readouterr().out
    quarantine.show_command(name)
    assert capfd.readouterr().out.splitlines() == [
        f"file 1 sales_data/{name}",
        "line 3",
        "  INVALID_DATE sales_date = 2024-02-30",
        "  | 2;121;sugar;2024-02-30;1;50;2;100;é",
        "line 4",
        "  INVALID_DECIMAL price = x",
        "  INVALID_DECIMAL total_cost = y",
        '  | 3;121;"su""gar\\nfree";2024-02-01;1;x;2;y;two',
        "line 6",
        "  TOO_FEW_FIELDS = 7",
        "  | 4;121;sugar;2024-02-01;1;50;2",
    ]

    out = tmp_path / "mend.csv"
    quarantine.export_command(f"sales_data/{name}", out=str(out))
    assert out.read_text() == "\n".join([header, *lines[1:], ""])
    assert "3 rows of file 1" in capfd.readouterr().err
    mended = out.read_text().replace("02-30", "02-28").replace(";x;2;y;", ";50;2;100;").replace("1;50;2\n", "1;50;2;100;\n")
    world.drop(name, mended)
    world.run_once(spark)
    books = world.rows("SELECT state, rows_loaded, rows_rejected FROM source_file ORDER BY id")
    assert [tuple(row.values()) for row in books] == [("COMMITTED", 1, 3), ("COMMITTED", 0, 1), ("COMMITTED", 3, 0)]
    assert world.customer_mart() == {(n, "2024-02"): Decimal("100.0000") for n in (1, 2, 3, 4)}
    with pytest.raises(UsageError, match="dropped 2 times"):
        quarantine.show_command(name)
    with pytest.raises(UsageError, match="file 3 .* has no rejected rows"):
        quarantine.export_command("3")
