from __future__ import annotations

import csv
import random
import re
import subprocess
import sys
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from scripts import generators

SCRIPTS = Path(__file__).parents[3] / "scripts"
JANUARY = {"start": date(2024, 1, 1), "end": date(2024, 1, 31)}
PRICES = {
    "quaker oats": Decimal("212"),
    "sugar": Decimal("50"),
    "maida": Decimal("20"),
    "besan": Decimal("52"),
    "refined oil": Decimal("110"),
    "clinic plus": Decimal("1.5"),
    "dantkanti": Decimal("100"),
    "nutrella": Decimal("40"),
}
SALES = ["customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost"]


def run(name: str, *args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / f"generate_{name}.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL, check=False)


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_standard_rows_follow_the_rules_of_the_sample_data() -> None:
    rows = list(generators.standard_rows(random.Random(3), 2000, **JANUARY))
    assert len(rows) == 2000
    staff = {("121", "1"), ("121", "2"), ("121", "3"), ("122", "4"), ("122", "5"), ("122", "6"), ("123", "7"), ("123", "8"), ("123", "9")}
    assert {(row[1], row[4]) for row in rows} == staff
    assert {row[0] for row in rows} == {str(customer) for customer in range(1, 21)}
    assert {row[6] for row in rows} == {str(quantity) for quantity in range(1, 11)}
    assert {row[3] for row in rows} == {f"2024-01-{day:02d}" for day in range(1, 32)}
    assert {(row[2], Decimal(row[5])) for row in rows} == set(PRICES.items())
    assert all(Decimal(row[5]) * int(row[6]) == Decimal(row[7]) for row in rows)


def test_the_number_of_rows_is_exact_across_blocks() -> None:
    for wanted in (0, 1, 10_000, 10_001):
        assert sum(1 for _ in generators.standard_rows(random.Random(1), wanted, **JANUARY)) == wanted


def test_extra_column_rows_add_the_payment_mode() -> None:
    rows = list(generators.extra_column_rows(random.Random(3), 200, **JANUARY))
    assert list(generators.EXTRA_HEADER) == [*SALES, "payment_mode"]
    assert {len(row) for row in rows} == {9}
    assert {row[8] for row in rows} == {"cash", "UPI"}


def test_fewer_column_rows_lack_the_store_and_hold_a_list() -> None:
    rows = list(generators.fewer_column_rows(random.Random(3), 200, **JANUARY))
    without_store = [name for name in SALES if name != "store_id"]
    assert list(generators.FEWER_HEADER) == [*without_store, "payment_mode", "voucher_ids"]
    assert {len(row) for row in rows} == {9}
    assert all(re.fullmatch(r"\[\d, \d, \d\]", row[8]) for row in rows)
    assert all(Decimal(row[4]) * int(row[5]) == Decimal(row[6]) for row in rows)


def test_customers_are_numbered_and_some_have_no_last_name() -> None:
    rows = list(generators.customer_rows(random.Random(1), 25, **JANUARY))
    assert [row[0] for row in rows] == [str(n) for n in range(1, 26)]
    assert any(row[2] == "" for row in rows)
    assert all(re.fullmatch(r"\d{6}", row[4]) and re.fullmatch(r"\d{10}", row[5]) for row in rows)
    assert all(row[6].startswith("2024-01-") for row in rows)


def test_dirt_spoils_exactly_the_rows_asked_for() -> None:
    clean = list(generators.standard_rows(random.Random(1), 100, **JANUARY))
    dirty = list(generators.with_dirt(random.Random(2), clean, 100, bad=5, unknown_customers=7))
    changed = [(old, new) for old, new in zip(clean, dirty, strict=True) if old != new]
    assert len(changed) == 12
    assert all(sum(a != b for a, b in zip(old, new, strict=True)) == 1 for old, new in changed)
    texts = Counter(text for old, new in changed for text in set(new) - set(old))
    assert texts == {"x": 2, "2024-02-30": 1, "lots": 1, "seven": 1, "9001": 2, "9002": 2, "9003": 1, "9004": 1, "9005": 1}


def test_standard_writes_the_header_and_the_rows_asked_for_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "a folder" / "with blanks"
    done = run("standard", "--rows", "3", "--files", "2", "--seed", "7", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wrote 2 files, 6 rows, ")
    assert done.stdout.count("\n") == 1
    assert sorted(path.name for path in out.iterdir()) == ["standard_seed7_0001.csv", "standard_seed7_0002.csv"]
    for path in out.iterdir():
        assert read(path)[0] == SALES
        assert len(read(path)) == 4


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for folder, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert run("standard", "--rows", "50", "--files", "2", "--seed", seed, "--out", tmp_path / folder).returncode == 0
    a, b, c = ([path.read_bytes() for path in sorted((tmp_path / folder).iterdir())] for folder in "abc")
    assert a == b
    assert len({*a, *c}) == 4


def test_all_generators_together_never_write_one_name_twice(tmp_path: Path) -> None:
    common = ("--rows", "20", "--start", "2024-01-05", "--end", "2024-01-05", "--out", tmp_path)
    for name in ("standard", "datewise", "extra_columns", "fewer_columns", "customers"):
        assert run(name, *common).returncode == 0
    assert run("standard", *common, "--bad-rows", "2", "--unknown-customers", "2").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "customers_seed1_0001.csv",
        "extra_columns_seed1_0001.csv",
        "fewer_columns_seed1_0001.csv",
        "sales_data_2024-01-05.csv",
        "standard_dirty_seed1_0001.csv",
        "standard_seed1_0001.csv",
    ]
    assert '"[' in (tmp_path / "fewer_columns_seed1_0001.csv").read_text()
    assert {row[3] for row in read(tmp_path / "sales_data_2024-01-05.csv")[1:]} == {"2024-01-05"}


@pytest.mark.parametrize(
    ("args", "days"),
    [
        (["--files", "3"], ["01-30", "01-31", "02-01"]),
        (["--end", "2024-02-01"], ["01-30", "01-31", "02-01"]),
        (["--end", "2024-02-28", "--files", "2"], ["01-30", "02-14"]),
    ],
)
def test_datewise_makes_one_file_per_date(tmp_path: Path, args: list[str], days: list[str]) -> None:
    assert run("datewise", "--rows", "2", "--start", "2024-01-30", *args, "--out", tmp_path).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"sales_data_2024-{day}.csv" for day in days]


@pytest.mark.parametrize(
    ("name", "args", "complaint"),
    [
        ("standard", ["--rows", "-1"], "not a whole number"),
        ("standard", ["--files", "0"], "not a whole number"),
        ("standard", ["--start", "2024-13-01"], "not a date"),
        ("standard", ["--start", "2024-02-01", "--end", "2024-01-01"], "is before"),
        ("standard", ["--rows", "3", "--bad-rows", "4"], "ask for 4 rows"),
        ("datewise", ["--start", "2024-01-01", "--end", "2024-01-03", "--files", "4"], "there are 3 dates"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, name: str, args: list[str], complaint: str) -> None:
    done = run(name, *args, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run("standard", "--out", tmp_path / "file" / "below")
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_out_files_go_below_the_current_folder(tmp_path: Path) -> None:
    assert run("customers", cwd=tmp_path).returncode == 0
    rows = read(tmp_path / "build" / "customer_table" / "customers_seed1_0001.csv")
    assert rows[0] == ["customer_id", "first_name", "last_name", "address", "pincode", "phone_number", "customer_joining_date"]
    assert len(rows) == 26
