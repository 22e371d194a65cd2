"""Rejected and waiting rows as the workers write them: where they lie, what they hold, and how many went there."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.config.load import S3Config
from app.model.totals import Totals
from app.sinks.quarantine import write_pending, write_quarantine
from tests.doubles import Folder
from tests.frames import FAULTS

pytestmark = pytest.mark.spark

CONFIG = S3Config(bucket="bucket", region="us-east-1")
NO_INT, NO_DATE = ("INVALID_INT", "price", "x"), ("INVALID_DATE", "sales_date", None)
REJECTED = [
    (7, 2, "1,x", [NO_INT, NO_DATE], "INVALID_INT", "loaded too, but not written here"),
    (8, 5, "2,y", [NO_DATE], "INVALID_DATE", None),
    (7, 3, "3,x", [NO_INT], "INVALID_INT", None),
    (9, 1, "4,x", [NO_INT], "INVALID_INT", None),
]
SCHEMA = f"_file_id bigint, _line bigint, _raw string, _faults {FAULTS}, _reason string, other string"


@pytest.mark.parametrize("is_small", [True, False])
def test_rejected_rows_lie_under_the_day_their_first_reason_and_the_batch(spark: SparkSession, tmp_path: Path, is_small: bool) -> None:
    rows = spark.createDataFrame(REJECTED, SCHEMA).repartition(3)
    names = {7: "sales_data/a.csv", 8: "sales_data/b.csv"}
    written = write_quarantine(rows, names, "9-1-1", date(2024, 5, 1), CONFIG, Folder(tmp_path), is_small=is_small)
    assert written == Totals(4, Decimal(0))
    root = tmp_path / "bucket" / "sales_data_error" / "quarantine"
    assert {str(path.parent.relative_to(root)) for path in root.rglob("*.parquet")} == {
        f"load_date=2024-05-01/reason={reason}/batch_key=9-1-1" for reason in ("INVALID_DATE", "INVALID_INT")
    }
    found = spark.read.parquet(str(root)).select("_file_id", "_file_name", "_line", "_raw", "_reasons", "reason").orderBy("_raw").collect()
    assert [tuple(row) for row in found] == [
        (7, "sales_data/a.csv", 2, "1,x", [NO_INT, NO_DATE], "INVALID_INT"),
        (8, "sales_data/b.csv", 5, "2,y", [NO_DATE], "INVALID_DATE"),
        (7, "sales_data/a.csv", 3, "3,x", [NO_INT], "INVALID_INT"),
        (9, None, 1, "4,x", [NO_INT], "INVALID_INT"),
    ]


@pytest.mark.parametrize("is_small", [True, False])
def test_waiting_rows_lie_under_the_batch_as_they_are(spark: SparkSession, tmp_path: Path, is_small: bool) -> None:
    rows = spark.range(3).selectExpr("id", "cast(id AS decimal(18,4)) AS total_cost", "'2024-01' AS sales_month", "DATE'2024-01-31' AS day")
    written = write_pending(rows, "9-1-1", CONFIG, Folder(tmp_path), is_small=is_small)
    assert written.rows == 3
    folder = tmp_path / "bucket" / "sales_pending" / "batch_key=9-1-1"
    back = spark.read.parquet(str(folder))
    assert [(one.name, one.dataType) for one in back.schema] == [(one.name, one.dataType) for one in rows.schema]
    assert sorted(map(tuple, back.collect())) == [(at, Decimal(at), "2024-01", date(2024, 1, 31)) for at in range(3)]
