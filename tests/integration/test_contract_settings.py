"""Settings of the contract that change what becomes of a file, each through the real stream."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from tests.integration.test_stream import HEADER
from tests.verified import found_by_verify
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROW = "1,121,sugar,2024-02-01,1,50,2,100"


def settings(world: World, **values: Any) -> None:
    path = world.folder / "conf" / "contract.yml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["settings"] |= values
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")


def test_a_windows_1252_contract_reads_its_letters_and_rejects_bytes_that_are_none(world: World, spark: SparkSession) -> None:
    settings(world, encoding="windows-1252")
    good = "1,121,café – “crème”,2024-02-01,1,50,2,100".encode("windows-1252")
    world.drop("a.csv", HEADER.encode() + b"\n" + good + b"\n1,121,bad \x81 byte,2024-02-01,1,50,2,100\n")
    world.run_once(spark)
    facts = spark.read.parquet(f"s3a://{world.bucket}/sales_facts/").collect()
    assert [row["product_name"] for row in facts] == ["café – “crème”"]
    rejects = world.rows("SELECT reason_code, first_line, first_column FROM file_reject")
    assert rejects == [{"reason_code": "INVALID_ENCODING", "first_line": 3, "first_column": "product_name"}]


def test_a_byte_order_mark_wins_over_a_windows_1252_contract(world: World, spark: SparkSession) -> None:
    settings(world, encoding="windows-1252")
    mark = b"\xef\xbb\xbf"
    world.drop("a.csv", mark + f"{HEADER},Größe\n1,121,café Ā,2024-02-01,1,50,2,100,é\n".encode())
    world.drop("b.csv", mark + HEADER.encode() + b"\n1,121,caf\xe9,2024-02-01,1,50,2,100\n" + f"{ROW}\n".encode())
    world.drop("c.csv", f"{HEADER}\n{ROW}\n".encode("utf-16"))
    world.drop("d.csv", HEADER.encode() + b"\n1,121,caf\xe9,2024-02-02,1,50,2,100\nx,121,\x80,2024-02-02,1,50,2,100\n")
    world.run_once(spark)
    assert world.states() == {"a.csv": "COMMITTED", "b.csv": "COMMITTED", "c.csv": "REJECTED", "d.csv": "COMMITTED"}
    facts = spark.read.parquet(f"s3a://{world.bucket}/sales_facts/").collect()
    found = sorted((row["_file_id"], row["product_name"], row["additional_column"]) for row in facts)
    assert found == [(1, "café Ā", '{"Größe":"é"}'), (2, "sugar", None), (4, "café", None)]
    rejects = world.rows("SELECT file_id, reason_code, first_line, first_column FROM file_reject ORDER BY file_id")
    assert [tuple(row.values()) for row in rejects] == [(2, "INVALID_ENCODING", 2, "product_name"), (4, "INVALID_INT", 3, "customer_id")]
    assert found_by_verify(world.config) == []


@pytest.mark.parametrize(
    ("policy", "states", "total"),
    [("skip", ["COMMITTED", "DUPLICATE"], 100), ("process", ["COMMITTED", "COMMITTED"], 200), ("reject", ["COMMITTED", "REJECTED"], 100)],
)
def test_the_same_content_under_another_name_is_what_the_contract_says(
    world: World, spark: SparkSession, policy: str, states: list[str], total: int
) -> None:
    settings(world, duplicates=policy)
    for name in ("a.csv", "b.csv"):
        world.drop(name, f"{HEADER}\n{ROW}\n")
        world.run_once(spark)
    assert list(world.states().values()) == states
    assert world.customer_mart() == {(1, "2024-02"): Decimal(total)}


def test_a_column_and_a_rule_that_are_added_need_no_code(world: World, spark: SparkSession) -> None:
    path = world.folder / "conf" / "contract.yml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["columns"].append({"name": "discount", "type": "decimal(5,2)", "required": False, "nullable": True, "aliases": ["Rebate"]})
    tree["rules"].append({"name": "discount_fair", "expression": "discount <= 50", "columns": ["discount"], "on_fail": "reject"})
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    world.drop("a.csv", f"{HEADER},rebate\n{ROW},12.5\n{ROW},60\n{ROW},\n")
    world.drop("b.csv", f"{HEADER}\n2,121,sugar,2024-02-01,1,50,2,100\n")
    world.run_once(spark)
    facts = spark.read.parquet(f"s3a://{world.bucket}/sales_facts/").select("_file_id", "_line", "discount").collect()
    assert sorted((row["_file_id"], row["_line"], row["discount"]) for row in facts if row["discount"] is not None) == [
        (1, 2, Decimal("12.50"))
    ]
    assert sorted((row["_file_id"], row["_line"]) for row in facts) == [(1, 2), (1, 4), (2, 2)]
    assert world.rows("SELECT reason_code, first_line FROM file_reject") == [{"reason_code": "DISCOUNT_FAIR", "first_line": 3}]
