"""Files of sound form that make their batch fail: each must cost itself at most, never its neighbours or the stream."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(900)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
GOOD = f"{HEADER}\n1,121,sugar,2024-04-01,1,50,1,50\n"


def test_a_bad_byte_below_an_extra_column_with_a_long_name_is_rejected_like_any_other(world: World, spark: SparkSession) -> None:
    world.set("stream", max_attempts=1)
    row = "1,121,sugar,2024-03-01,1,50,2,100"
    world.drop("good.csv", GOOD)
    world.drop("long_name.csv", f"{HEADER},{'n' * 256}\n{row},fine\n{row},".encode() + b"\xff\n")
    world.run_once(spark)
    assert world.states() == {"good.csv": "COMMITTED", "long_name.csv": "COMMITTED"}
    assert world.rows("SELECT reason_code, row_count, first_line FROM file_reject") == [
        {"reason_code": "INVALID_ENCODING", "row_count": 1, "first_line": 3}
    ]


def test_a_file_whose_total_is_beyond_the_mart_leaves_its_neighbours_alone(world: World, spark: SparkSession) -> None:
    world.set("stream", max_attempts=1)
    world.drop("good.csv", GOOD)
    # Each value is within the contract; 101 of them are more than the 16 digits before the point of total_sales.
    world.drop("huge.csv", f"{HEADER}\n" + "1,121,sugar,2024-03-01,1,1,1,99999999999999.9999\n" * 101)
    world.run_once(spark)
    assert world.states()["good.csv"] == "COMMITTED"
