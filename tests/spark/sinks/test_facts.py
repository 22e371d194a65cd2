"""Facts as the workers write them: every row in the file of its partition, whatever order and joins stand before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from app.config.load import S3Config
from app.errors import TaskRepeated
from app.sinks import facts
from app.sinks.part_writer import RESULT, as_they_are
from tests.doubles import Folder

pytestmark = pytest.mark.spark

MONTHS, STORES, ROWS = 4, 3, 5000
CONFIG = S3Config(bucket="bucket", region="us-east-1")


def sales(spark: SparkSession) -> DataFrame:
    """Make rows whose partitions alternate: 5,000 of 4 months and 3 stores."""
    return spark.range(ROWS).selectExpr(
        "cast(1 + id % 2 AS int) AS customer_id",
        "cast(id / 7 AS decimal(18,4)) AS total_cost",
        "date_add(DATE'2024-01-31', cast(id AS int)) AS sales_date",
        "if(id % 5 = 0, array('small', NULL), NULL) AS _warnings",
        f"concat('2024-0', 1 + id % {MONTHS}) AS sales_month",
        f"cast(121 + id % {STORES} AS int) AS store_id",
    )


def named(rows: pa.RecordBatch) -> pa.RecordBatch:
    names = {1: "Asha", 2: "Gowri"}
    return rows.append_column("first_name", pa.array([names[key] for key in rows.column("customer_id").to_pylist()]))


def test_each_partition_is_one_file_with_its_rows_as_completed(spark: SparkSession, tmp_path: Path) -> None:
    rows = sales(spark)
    written = facts.write_facts(rows, named, "9-1-1", CONFIG, Folder(tmp_path))
    files = sorted(str(path.relative_to(tmp_path / "bucket")) for path in tmp_path.rglob("*.parquet"))
    assert [path.rsplit("/", 1)[0] for path in files] == [
        f"sales_facts/sales_month=2024-0{month}/store_id={store}/batch_key=9-1-1" for month in range(1, 5) for store in (121, 122, 123)
    ]
    # The oracle: SQL over the same numbers.
    with duckdb.connect() as db:
        expected = db.execute(
            "SELECT 1 + i % 2, CAST(i / 7 AS DECIMAL(18, 4)), DATE '2024-01-31' + CAST(i AS INTEGER), i % 5 = 0,"
            f" '2024-0' || (1 + i % {MONTHS}), 121 + i % {STORES}, if(i % 2 = 0, 'Asha', 'Gowri') FROM range({ROWS}) t(i) ORDER BY 3"
        ).fetchall()
        found = db.execute(
            "SELECT customer_id, total_cost, sales_date, _warnings IS NOT NULL, sales_month, store_id, first_name FROM read_parquet(?,"
            " hive_partitioning = true, hive_types = {'sales_month': VARCHAR, 'store_id': INTEGER, 'batch_key': VARCHAR}) ORDER BY 3",
            [f"{tmp_path}/**/*.parquet"],
        ).fetchall()
    assert found == expected
    assert written == facts.Totals(ROWS, sum((row[1] for row in expected), Decimal(0)))


def test_spark_reads_them_as_what_was_written(spark: SparkSession, tmp_path: Path) -> None:
    rows = sales(spark)
    facts.write_facts(rows, as_they_are, "9-1-1", CONFIG, Folder(tmp_path))
    back = spark.read.parquet(f"{tmp_path}/bucket/sales_facts")
    types = {field.name: field.dataType for field in back.schema}
    assert {name: types[name] for name in ("total_cost", "sales_date", "_warnings")} == {
        field.name: field.dataType for field in rows.schema if field.name in ("total_cost", "sales_date", "_warnings")
    }
    first = back.where("sales_date = DATE'2024-01-31'").first()
    assert first is not None
    assert (first["total_cost"], first["sales_date"], first["_warnings"]) == (Decimal(0), date(2024, 1, 31), ["small", None])


@dataclass(frozen=True)
class SecondAttempt:
    """Stands for a writer whose task Spark had to start twice."""

    partition_by: tuple[str, ...] = ("sales_month",)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = sum(batch.num_rows for batch in batches)
        made = {"rows": rows, "amount": "1", "attempt": 1, "stage": 0}
        yield pa.RecordBatch.from_pylist([made], schema=RESULT)


def test_what_a_repeated_task_wrote_never_counts(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def second_attempt(*_: Any) -> SecondAttempt:
        return SecondAttempt()

    monkeypatch.setattr(facts, "PartWriter", second_attempt)
    with pytest.raises(TaskRepeated, match="batch 9-1-1: a task that writes facts was started again"):
        facts.write_facts(sales(spark), as_they_are, "9-1-1", CONFIG, Folder(tmp_path))
