from __future__ import annotations

import re
from pathlib import Path

from tests.data import expected

SQL = (Path(__file__).parents[3] / "scripts" / "sql" / "seed_dimensions.sql").read_text(encoding="utf-8")


def rows_of(table: str) -> list[list[str]]:
    """Cut the rows of one INSERT into their literals; strings keep their quotes."""
    body = SQL.split(f"INSERT INTO {table} ", 1)[1].split("VALUES", 1)[1].split("ON DUPLICATE", 1)[0]
    lines = re.findall(r"^  \((.*)\),?$", body, re.MULTILINE)
    return [re.findall(r"'(?:[^']|'')*'|[^',\s][^,]*", line) for line in lines]


def full_names(table: str) -> dict[int, str]:
    names = {int(row[0]): [text[1:-1].replace("''", "'") for text in row[1:3] if text != "NULL"] for row in rows_of(table)}
    return {key: " ".join(parts) for key, parts in names.items()}


def test_the_sample_dimensions_have_the_promised_keys() -> None:
    assert [row[0] for row in rows_of("customer")] == [str(n) for n in range(1, 26)]
    assert [row[0] for row in rows_of("store")] == ["121", "122", "123", "124"]
    assert [row[0] for row in rows_of("product")] == ["1", "2", "3", "4", "5", "6", "7", "8"]
    assert [row[0] for row in rows_of("sales_team")] == [str(n) for n in range(1, 11)]
    assert {len(row) for row in rows_of("customer")} == {7}


def test_the_products_have_the_promised_prices() -> None:
    assert {row[1]: row[2] for row in rows_of("product")} == {
        "'quaker oats'": "212.00",
        "'sugar'": "50.00",
        "'maida'": "20.00",
        "'besan'": "52.00",
        "'refined oil'": "110.00",
        "'clinic plus'": "1.50",
        "'dantkanti'": "100.00",
        "'nutrella'": "40.00",
    }


def test_seller_10_manages_the_others() -> None:
    assert {(row[0], row[3], row[4]) for row in rows_of("sales_team")} == {
        *((str(n), "10", "'N'") for n in range(1, 10)),
        ("10", "NULL", "'Y'"),
    }


def test_the_fixture_uses_the_names_of_the_sample_dimensions() -> None:
    assert expected.CUSTOMER_NAMES.items() <= full_names("customer").items()
    assert full_names("sales_team") == expected.SELLER_NAMES


def test_rows_that_are_there_are_never_overwritten() -> None:
    updates = re.findall(r"ON DUPLICATE KEY UPDATE (.*);", SQL)
    assert updates == ["customer_id = customer_id", "id = id", "id = id", "id = id"]
