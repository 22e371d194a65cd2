"""Held rows are computed once, many or few, and let go of for good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from app.batch.held_rows import hold
from app.errors import RowsLost
from app.spark.errors import spark_error
from app.spark.map_in_arrow import map_in_arrow

pytestmark = pytest.mark.spark


def kept(spark: SparkSession) -> int:
    return int(spark.sparkContext._jsc.getPersistentRDDs().size())


def counted(spark: SparkSession, folder: Path) -> DataFrame:
    """Make 50 rows in two tasks, of which each leaves a file whenever it runs."""

    def note(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        (folder / uuid4().hex).touch()
        yield from batches

    return map_in_arrow(spark.range(0, 50, 1, 2), note, pa.schema([("id", pa.int64())]))


@pytest.mark.parametrize("is_small", [True, False])
def test_rows_are_computed_once_and_gone_in_the_end(spark: SparkSession, tmp_path: Path, is_small: bool) -> None:
    before = kept(spark)
    held, release = hold(counted(spark, tmp_path), is_small=is_small)
    for _ in range(3):
        assert sorted(row["id"] for row in held.where("id >= 48").collect()) == [48, 49]
    assert len(list(tmp_path.iterdir())) == 2
    assert kept(spark) == before + 1
    release()
    assert kept(spark) == before


def test_few_rows_that_are_lost_are_no_fault_of_their_file(spark: SparkSession) -> None:
    held, release = hold(spark.range(10), is_small=True)
    assert held.count() == 10
    # As when the executor that has them goes away.
    release()
    with pytest.raises(Py4JJavaError) as failed:
        held._jdf.count()
    error = spark_error(str(failed.value))
    assert isinstance(error, RowsLost)
    assert "not found" in str(error)


def test_rows_of_one_partition_need_no_shuffle_when_they_are_few(spark: SparkSession) -> None:
    held, release = hold(spark.range(0, 10, 1, 1).selectExpr("id % 2 AS key", "id"), is_small=True)
    plan = held.groupBy("key").count()._jdf.queryExecution().executedPlan().toString()
    assert "Exchange" not in plan
    release()
