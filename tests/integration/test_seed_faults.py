"""The faults of the batch job that Salestream replaces, 4 to 8, 10 and 16 to 19: one test each that proves it does not have them.

All look at one world: a drop of everything, then a second drop under the other tie rule with a name that was there before. Each
fault has a month of its own, so that none gets in another's way.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from app import local
from app.ledger.ledger import Ledger
from app.ledger.ownership import Ownership
from app.local import LocalEnv
from app.s3.read import list_all
from app.source.planner import planner_of
from tests.integration.test_corpus import parquet
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
SQL_NAME = "o'brien\"; DROP TABLE source_file; --.csv"

FIRST_DROP = {
    # 4: sellers 1 and 2 lead store 121 together, seller 3 does not.
    "tie.csv": ["1,121,sugar,2024-04-01,1,50,4,200", "2,121,sugar,2024-04-02,2,50,4,200", "3,121,sugar,2024-04-03,3,50,1,50"],
    # 5: what a FLOAT or a DOUBLE cannot hold.
    "money.csv": [
        *["5,121,sugar,2024-05-01,1,0.1,1,0.1"] * 3,
        "6,121,sugar,2024-05-01,2,1,1,12345678901234.5678",
        "6,121,sugar,2024-05-02,2,1,1,0.0001",
    ],
    # 6: an unknown customer, store and seller; customer 7 and seller 5 have no last name.
    "unknown.csv": [
        "9001,121,sugar,2024-06-01,1,50,1,50",
        "1,999,sugar,2024-06-01,1,50,1,50",
        "1,121,sugar,2024-06-01,77,50,1,50",
        "7,121,sugar,2024-06-01,5,50,1,50",
    ],
    # 7: a good row, then quantity, price, product and total gone wrong.
    "unchecked.csv": [
        "1,121,sugar,2024-07-01,1,50,1,50",
        "1,121,sugar,2024-07-01,1,50,0,0",
        "1,121,sugar,2024-07-01,1,-50,1,-50",
        "1,121,plutonium,2024-07-01,1,50,1,50",
        "1,121,sugar,2024-07-01,1,50,1,5000",
    ],
    # 8: one content, two names.
    "once.csv": ["8,121,sugar,2024-08-01,1,50,1,50"],
    "again.csv": ["8,121,sugar,2024-08-01,1,50,1,50"],
    # 10: a name that ends in another one, which is rejected; one name in two folders.
    "my_sales_data.csv": ["10,121,sugar,2024-10-01,1,50,1,50"],
    "a/x.csv": ["11,121,sugar,2024-10-01,1,50,2,100"],
    "b/x.csv": ["12,121,sugar,2024-10-01,1,50,3,150"],
    # 16: a name that comes again.
    "daily.csv": ["16,121,sugar,2023-04-01,1,50,1,50"],
    # 17
    SQL_NAME: ["17,121,sugar,2023-05-01,1,50,1,50"],
    # 18: the header is right, nothing else is.
    "wrong_types.csv": ["one,two,sugar,someday,three,cheap,many,lots", "x,y,maida,never,z,dear,few,little"],
    # 19: customer and seller both have a first name, a last name, an address and a pincode.
    "names.csv": ["19,121,sugar,2023-07-01,2,50,1,50"],
}
SECOND_DROP = {
    "tie_first.csv": ["1,122,sugar,2024-04-01,4,50,2,100", "2,122,sugar,2024-04-02,5,50,2,100"],
}


@dataclass(frozen=True)
class Seen:
    """The world, and what the ledger said of daily.csv before the name came again."""

    world: World
    first_daily: dict[str, Any]


@pytest.fixture(scope="module")
def seen(servers: LocalEnv, home: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with pymysql.connect(**local.root_connection_args(home), autocommit=True) as root:
        world = World.make(servers, root, tmp_path_factory.mktemp("faults"))
        for name, rows in FIRST_DROP.items():
            world.drop(name, "\n".join([HEADER, *rows]) + "\n")
        world.drop("sales_data.csv", "customer_id,product_name\n1,sugar\n")
        world.drop("a/empty/", b"")
        world.run_once(spark)
        first = books(world, "daily.csv")[0]

        world.set("marts", tie_rule="first")
        for name, rows in SECOND_DROP.items():
            world.drop(name, "\n".join([HEADER, *rows]) + "\n")
        world.drop("daily.csv", "customer_id,product_name\n16,sugar\n")
        world.run_once(spark)
        yield Seen(world, first)
        world.destroy(root)


def books(world: World, name: str) -> list[dict[str, Any]]:
    """Return the ledger's rows of one name, the oldest first."""
    return [dict(row) for row in world.rows("SELECT * FROM source_file WHERE object_key = %s ORDER BY id", f"sales_data/{name}")]


def customers(world: World, month: str) -> dict[int, D]:
    return {customer: total for (customer, found), total in world.customer_mart().items() if found == month}


def team(world: World, store: int, month: str) -> dict[int, tuple[D, D]]:
    return {seller: figures for (found, seller, at), figures in world.team_mart().items() if (found, at) == (store, month)}


def archived(world: World, name: str) -> bytes:
    key = bytes(books(world, name)[0]["archived_key"]).decode()
    return bytes(world.client.get_object(Bucket=world.bucket, Key=key)["Body"].read())


def test_fault_04_tied_leaders_each_get_the_incentive_as_the_tie_rule_all_says(seen: Seen) -> None:
    assert team(seen.world, 121, "2024-04") == {1: (D(200), D("2.00")), 2: (D(200), D("2.00")), 3: (D(50), D("0.00"))}


def test_fault_04_only_the_lowest_id_gets_the_incentive_as_the_tie_rule_first_says(seen: Seen) -> None:
    assert team(seen.world, 122, "2024-04") == {4: (D(100), D("1.00")), 5: (D(100), D("0.00"))}


def test_fault_05_money_is_exact_where_a_float_is_not(seen: Seen) -> None:
    assert customers(seen.world, "2024-05") == {5: D("0.3"), 6: D("12345678901234.5679")}
    assert team(seen.world, 121, "2024-05") == {1: (D("0.3"), D("0.00")), 2: (D("12345678901234.5679"), D("123456789012.35"))}


def test_fault_05_no_column_of_the_database_is_a_float(seen: Seen) -> None:
    found = seen.world.rows(
        "SELECT table_name AS t, column_name AS c FROM information_schema.columns"
        " WHERE table_schema = %s AND data_type IN ('float', 'double')",
        seen.world.bucket,
    )
    assert found == []
    decimals = seen.world.rows(
        "SELECT table_name AS t FROM information_schema.columns WHERE table_schema = %s AND column_name = 'total_sales'"
        " AND data_type = 'decimal' AND table_name NOT LIKE 'stage%%' ORDER BY t",
        seen.world.bucket,
    )
    assert [row["t"] for row in decimals] == ["customers_data_mart", "sales_team_data_mart"]


def test_fault_06_rows_with_an_unknown_customer_store_or_seller_wait_and_are_counted(seen: Seen) -> None:
    book = books(seen.world, "unknown.csv")[0]
    assert (book["rows_read"], book["rows_loaded"], book["rows_rejected"], book["rows_pending"]) == (4, 1, 0, 3)
    waiting = seen.world.rows("SELECT dimension, key_value, row_count FROM pending_key WHERE file_id = %s", book["id"])
    assert {(row["dimension"], row["key_value"], row["row_count"]) for row in waiting} == {
        ("customer", 9001, 1),
        ("store", 999, 1),
        ("sales_team", 77, 1),
    }


def test_fault_06_a_missing_last_name_leaves_the_first_name(seen: Seen) -> None:
    names = seen.world.rows(
        "SELECT c.full_name AS customer, t.full_name AS seller FROM customers_data_mart c JOIN sales_team_data_mart t"
        " ON t.sales_month = c.sales_date_month WHERE c.sales_date_month = '2024-06'"
    )
    assert [(row["customer"], row["seller"]) for row in names] == [("Gowri", "Elango")]


def test_fault_07_quantity_and_price_are_checked_and_product_and_total_are_warned_of(seen: Seen) -> None:
    book = books(seen.world, "unchecked.csv")[0]
    rejects = seen.world.rows("SELECT reason_code, first_line FROM file_reject WHERE file_id = %s", book["id"])
    assert {row["reason_code"]: row["first_line"] for row in rejects} == {"QUANTITY_NOT_ZERO": 3, "PRICE_NOT_NEGATIVE": 4}
    facts = parquet(seen.world, "sales_facts/", "sales_month VARCHAR")
    assert {row["_line"]: row["_warnings"] for row in facts if row["_file_id"] == book["id"]} == {
        2: None,
        5: ["product_known"],
        6: ["total_matches"],
    }


def test_fault_08_the_same_content_under_another_name_counts_once(seen: Seen) -> None:
    found = [(row["state"], row["reason_code"]) for name in ("once.csv", "again.csv") for row in books(seen.world, name)]
    assert sorted(found) == [("COMMITTED", None), ("DUPLICATE", "DUPLICATE")]
    assert customers(seen.world, "2024-08") == {8: D(50)}


def test_fault_10_a_prefix_of_more_than_a_thousand_objects_is_listed_to_its_end(world: World) -> None:
    names = [f"part_{number:04d}.csv" for number in range(1001)]
    client = world.client
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: client.put_object(Bucket=world.bucket, Key=f"sales_data/{name}", Body=b"x"), names))
    with Ownership(world.db, world.bucket, world.config.stream.takeover_seconds) as ownership:
        planner_of(world.config, Ledger(world.db, ownership.epoch)).freeze()
    assert sorted(world.states()) == names


def test_fault_10_a_name_that_ends_in_another_one_goes_its_own_way(seen: Seen) -> None:
    assert [(row["state"], row["reason_code"]) for row in books(seen.world, "sales_data.csv")] == [("REJECTED", "MISSING_COLUMN")]
    mine = books(seen.world, "my_sales_data.csv")
    assert [row["state"] for row in mine] == ["COMMITTED"]
    assert bytes(mine[0]["archived_key"]).startswith(b"sales_data_processed/")
    assert archived(seen.world, "my_sales_data.csv") == f"{HEADER}\n10,121,sugar,2024-10-01,1,50,1,50\n".encode()


def test_fault_10_one_name_in_two_folders_is_two_files(seen: Seen) -> None:
    assert customers(seen.world, "2024-10") == {10: D(50), 11: D(100), 12: D(150)}
    assert archived(seen.world, "a/x.csv").endswith(b"11,121,sugar,2024-10-01,1,50,2,100\n")
    assert archived(seen.world, "b/x.csv").endswith(b"12,121,sugar,2024-10-01,1,50,3,150\n")


def test_fault_10_folder_markers_are_neither_booked_nor_moved(seen: Seen) -> None:
    assert books(seen.world, "a/empty/") == []
    assert "sales_data/a/empty/" in [version.key for version in list_all(seen.world.client, seen.world.bucket, "sales_data/")]


def test_fault_16_a_name_that_comes_again_leaves_its_earlier_row_alone(seen: Seen) -> None:
    first, second = books(seen.world, "daily.csv")
    assert first == seen.first_daily
    assert (first["state"], first["rows_loaded"], first["reason_code"]) == ("COMMITTED", 1, None)
    assert (second["state"], second["rows_loaded"], second["reason_code"]) == ("REJECTED", 0, "MISSING_COLUMN")
    assert customers(seen.world, "2023-04") == {16: D(50)}


def test_fault_17_a_name_full_of_sql_is_a_name(seen: Seen) -> None:
    assert [row["state"] for row in books(seen.world, SQL_NAME)] == ["COMMITTED"]
    assert customers(seen.world, "2023-05") == {17: D(50)}
    assert seen.world.rows("SELECT COUNT(*) AS n FROM source_file")[0]["n"] == len(FIRST_DROP) + 1 + len(SECOND_DROP) + 1


def test_fault_18_a_file_of_wrong_types_costs_its_own_rows_and_nothing_else(seen: Seen) -> None:
    book = books(seen.world, "wrong_types.csv")[0]
    assert (book["state"], book["rows_read"], book["rows_loaded"], book["rows_rejected"]) == ("COMMITTED", 2, 0, 2)
    same_batch = seen.world.rows(
        "SELECT COUNT(*) AS n FROM source_file WHERE batch_id = %s AND state = 'COMMITTED' AND id <> %s", book["batch_id"], book["id"]
    )
    # All of the first drop but the file itself and one of the two duplicates; sales_data.csv is not among them.
    assert same_batch[0]["n"] == len(FIRST_DROP) - 2


def test_fault_19_no_column_comes_twice_and_each_is_of_its_own_dimension(seen: Seen, spark: SparkSession) -> None:
    # The job's session does not guess the types of partition columns, a reader's does.
    facts = spark.read.parquet(f"s3a://{seen.world.bucket}/sales_facts/").withColumn("store_id", F.col("store_id").cast("int"))
    assert sorted(facts.columns) == sorted(set(facts.columns))
    rows = facts.where("sales_month = '2023-07'").collect()
    assert [
        (row["first_name"], row["address"], row["pincode"], row["sales_person_first_name"], row["sales_person_address"], row["store_id"])
        for row in rows
    ] == [("Sunita", "14 Johari Bazaar, Jaipur", "302003", "Bindu", "7 Lajpat Nagar, Delhi", 121)]
