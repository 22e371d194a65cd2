"""Facts, rejected and waiting rows as Spark reads them: with the types that sales rows have, and the columns that the folders say."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from app.batch.classify import sales_columns
from app.batch.gather import by_place, fact_pieces
from app.batch.held_pieces import InDriver
from app.config.load import S3Config
from app.contract.contract import Contract
from app.model.dimensions import FactRows, fact_columns
from app.model.pieces import FACTS, REJECTS, WAITERS, Piece, packed
from app.sinks.part_writer import PartWriter
from app.sinks.parts import CompleteFacts, FileLines, fact_part, quarantine_part, waiting_part
from tests.doubles import Folder
from tests.frames import classified, gathered, known
from tests.unit.sinks.test_parts import REJECTED, sales

pytestmark = pytest.mark.spark

CONFIG = S3Config(bucket="bucket", region="us-east-1")


def written(folder: Path, contract: Contract) -> Path:
    """Write facts, rejected and waiting rows; return the bucket's folder."""
    made = FactRows(known(), [name for name in fact_columns(contract) if name not in ("sales_month", "store_id")])
    lines = FileLines({})
    parts = {
        FACTS: fact_part(CONFIG, "9-1-1", CompleteFacts(made, lines)),
        REJECTS: quarantine_part(CONFIG, "9-1-1", date(2024, 5, 1), {7: "sales_data/a.csv", 8: "sales_data/b.csv"}, lines),
        WAITERS: waiting_part(CONFIG, "9-1-1", sales_columns(contract), lines),
    }
    pieces = [piece for place, rows in by_place(sales(40)) for piece in fact_pieces(FACTS, *place, rows)]
    pieces += [piece for piece in gathered(classified(*REJECTED), marts=()) if piece.kind == REJECTS]
    pieces.append(Piece(WAITERS, rows=3, blob=packed(sales(3))))
    InDriver(pieces).write(PartWriter(Folder(folder), "bucket", parts))
    return folder / "bucket"


def test_spark_reads_them_as_what_was_written(spark: SparkSession, contract: Contract, tmp_path: Path) -> None:
    bucket = written(tmp_path, contract)
    wanted = {
        "customer_id": T.IntegerType(),
        "product_name": T.StringType(),
        "sales_date": T.DateType(),
        "price": T.DecimalType(12, 4),
        "quantity": T.IntegerType(),
        "total_cost": T.DecimalType(18, 4),
        "additional_column": T.StringType(),
        "_warnings": T.ArrayType(T.StringType()),
        "_file_id": T.LongType(),
        "_line": T.LongType(),
    }
    facts = spark.read.parquet(f"{bucket}/sales_facts")
    waiting = spark.read.parquet(f"{bucket}/sales_pending/batch_key=9-1-1")
    assert {name: facts.schema[name].dataType for name in wanted} == wanted
    assert {name: waiting.schema[name].dataType for name in wanted} == wanted
    assert facts.columns[-3:] == ["sales_month", "store_id", "batch_key"]
    assert waiting.columns == [*sales_columns(contract), "sales_month"]
    assert facts.count() == 40
    first = facts.where("sales_date = DATE'2024-02-05'").first()
    assert first is not None
    assert (first["total_cost"], first["sales_date"], first["_warnings"]) == (Decimal("0.7143"), date(2024, 2, 5), ["small", None])
    assert (first["first_name"], first["sales_month"], first["store_id"], first["batch_key"]) == ("Gowri", "2024-02", "123", "9-1-1")
    months = waiting.selectExpr("_line", "sales_month", "sales_date").collect()
    assert sorted(map(tuple, months)) == [(at, f"2024-0{1 + at}", date(2024, 1, 31) + timedelta(at)) for at in range(3)]
    quarantine = spark.read.parquet(f"{bucket}/sales_data_error/quarantine")
    found = (
        quarantine.select("_file_id", "_file_name", "_line", "_raw", "_reasons", "reason", "load_date", "batch_key")
        .orderBy("_raw")
        .collect()
    )
    no_int, no_date = ("INVALID_INT", "price", "x"), ("INVALID_DATE", "sales_date", None)
    place = ("2024-05-01", "9-1-1")
    assert [tuple(row) for row in found] == [
        (7, "sales_data/a.csv", 2, "1,x", [no_int, no_date], "INVALID_INT", *place),
        (8, "sales_data/b.csv", 5, "2,y", [no_date], "INVALID_DATE", *place),
        (7, "sales_data/a.csv", 3, "3,x", [no_int], "INVALID_INT", *place),
        (9, None, 1, "4,x", [no_int], "INVALID_INT", *place),
    ]
