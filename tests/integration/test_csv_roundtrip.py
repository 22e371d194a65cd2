"""What Python's csv module writes comes back from the facts exactly: 60 generated files, one example each, in one run of the stream.

tests/unit/parsing/test_csv_roundtrip.py does the same with any text in any column, without S3 and Spark.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from tests.integration.test_corpus import parquet
from tests.world import World
from tests.written import COLUMNS, DELIMITERS, ENDINGS, EXTRA_NAMES, QUOTINGS, Written, write_csv

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

FILES = 60
PIECES = [
    "a",
    "B",
    "7",
    ".",
    "é",
    "😀",
    "ñ",
    "\u2028",
    "\ufeff",
    "\x85",
    '"',
    '""',
    "'",
    ",",
    ";",
    "\t",
    "|",
    "\\",
    "\\n",
    "\n",
    "\r\n",
    "\r",
    " ",
]
# What the contract trims from a value.
TRIMMED = " \t\r\n\u00a0"


@dataclass(frozen=True)
class Example:
    """One generated file: the values it was made of, column by column, and what csv made of them."""

    name: str
    extras: Sequence[str]
    rows: list[dict[str, Any]]
    written: Written


def text(rng: random.Random, longest: int) -> str:
    return "".join(rng.choices(PIECES, k=rng.randint(0, longest)))


def sale(rng: random.Random, extras: Sequence[str]) -> dict[str, Any]:
    price = Decimal(rng.randint(0, 10**7)).scaleb(-rng.randint(0, 4))
    quantity = rng.choice([-3, -1, 1, 2, 1000])
    row = {
        "customer_id": rng.randint(1, 25),
        "store_id": rng.choice([121, 122]),
        # 250 ordinary letters now and then: together with the rest up to the 255 of the contract.
        "product_name": text(rng, 5) + "x" * rng.choice([0, 0, 0, 1, 230]),
        "sales_date": date(2024, 1, 31) + timedelta(rng.randint(0, 1)),
        "sales_person_id": rng.randint(1, 10),
        "price": price,
        "quantity": quantity,
        "total_cost": price * quantity,
    }
    return row | {name: text(rng, 4) for name in extras}


def example(number: int) -> Example:
    rng = random.Random(number)
    extras = rng.sample(EXTRA_NAMES, rng.randint(0, 2))
    header = rng.sample([*COLUMNS, *extras], len(COLUMNS) + len(extras))
    rows = [sale(rng, extras) for _ in range(rng.randint(1, 5))]
    # Every combination of quoting, line ending and delimiter within 24 files.
    written = write_csv(
        header,
        [[row[name] for name in header] for row in rows],
        quoting=QUOTINGS[number % 3],
        ending=ENDINGS[number // 3 % 2],
        delimiter=DELIMITERS[number // 6 % 4],
    )
    return Example(f"{number}.csv", extras, rows, written)


def expected(example: Example) -> dict[int, dict[str, Any]]:
    """Line -> what the facts must hold: blank text is NULL, text is trimmed, an extra value stays as it is."""
    found = {}
    for line, row, cells in zip(example.written.lines, example.rows, example.written.cells, strict=True):
        values = {name: row[name] for name in COLUMNS} | {"product_name": row["product_name"].strip(TRIMMED) or None}
        extra = {name: cells[name] for name in sorted(example.extras)}
        found[line] = values | {"additional_column": list(extra.items()) if extra else None}
    return found


def test_sixty_files_of_any_quoting_line_ending_delimiter_and_column_order_come_back_exactly(world: World, spark: SparkSession) -> None:
    contract = world.folder / "conf" / "contract.yml"
    tree = yaml.safe_load(contract.read_text(encoding="utf-8"))
    next(column for column in tree["columns"] if column["name"] == "product_name")["nullable"] = True
    contract.write_text(yaml.safe_dump(tree))
    examples = [example(number) for number in range(FILES)]
    for each in examples:
        world.drop(each.name, each.written.data)

    world.run_once(spark)

    assert world.states() == dict.fromkeys(sorted(each.name for each in examples), "COMMITTED")
    names = {
        row["id"]: bytes(row["object_key"]).decode().removeprefix("sales_data/")
        for row in world.rows("SELECT id, object_key FROM source_file")
    }
    found: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in parquet(world, "sales_facts/", "sales_month VARCHAR", "store_id INTEGER"):
        extra = row["additional_column"] and list(json.loads(row["additional_column"]).items())
        found[names[row["_file_id"]]][row["_line"]] = {name: row[name] for name in COLUMNS} | {"additional_column": extra}
    assert dict(found) == {each.name: expected(each) for each in examples}


def test_the_examples_hold_what_is_hard_to_read() -> None:
    examples = [example(number) for number in range(FILES)]
    data = b"".join(each.written.data for each in examples)
    rows = [row for each in examples for row in each.rows]
    assert {len(each.extras) for each in examples} == {0, 1, 2}
    assert all(piece in data for piece in (b'""', b"\\", b"\r\n", b"\r", b"\t", "😀".encode(), "\ufeff".encode()))
    assert any("\n" in row["product_name"].strip(TRIMMED) for row in rows)
    assert any(not row["product_name"].strip(TRIMMED) for row in rows)
    assert max(len(row["product_name"]) for row in rows) > 230
