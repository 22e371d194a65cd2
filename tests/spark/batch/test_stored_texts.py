"""A stored number or date that becomes text is the text that Spark's CAST makes of it: rows were written so before."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from app.sinks.parts import conformed

pytestmark = pytest.mark.spark

VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "int": (pa.int32(), [0, -1, 2**31 - 1, -(2**31), None]),
    "bigint": (pa.int64(), [0, -1, 2**63 - 1, -(2**63), 1234567890]),
    "day": (pa.date32(), [date(1, 1, 1), date(1582, 10, 15), date(1969, 12, 31), date(2024, 2, 29), date(9999, 12, 31)]),
    "money": (pa.decimal128(18, 4), [D("0"), D("-0.0001"), D("1.5"), D("99999999999999.9999"), None]),
    "whole": (pa.decimal128(20, 0), [D("0"), D("-7"), D("99999999999999999999"), None, D("100")]),
    # Small numbers of many places are written with an exponent.
    "tiny": (pa.decimal128(38, 12), [D("0"), D("1E-12"), D("-0.0000001"), D("0.000001"), D("12345678901234567890123456.5")]),
    "fraction": (pa.decimal128(10, 10), [D("0.1234567890"), D("0"), D("1E-10"), D("-0.0000009"), D("0.5")]),
}


def test_values_become_the_texts_that_spark_makes_of_them(spark: SparkSession) -> None:
    rows = pa.RecordBatch.from_pydict({name: pa.array(values, kind) for name, (kind, values) in VALUES.items()})
    frame = spark.createDataFrame(pa.Table.from_batches([rows]))
    assert frame.schema == from_arrow_schema(rows.schema)
    spoken = [row.asDict() for row in frame.selectExpr(*(f"CAST({name} AS STRING) AS {name}" for name in VALUES)).collect()]
    target = pa.schema([(name, pa.string()) for name in VALUES])
    assert conformed({name: rows.column(name) for name in VALUES}, rows.num_rows, target).to_pylist() == spoken
    assert (spoken[2]["day"], spoken[1]["money"], spoken[1]["tiny"]) == ("1969-12-31", "-0.0001", "1E-12")


def test_values_become_wider_as_spark_makes_them(spark: SparkSession) -> None:
    wider = {
        "int": (pa.int64(), "bigint"),
        "money": (pa.decimal128(24, 6), "decimal(24,6)"),
        "whole": (pa.decimal128(24, 4), "decimal(24,4)"),
    }
    rows = pa.RecordBatch.from_pydict({name: pa.array(VALUES[name][1], VALUES[name][0]) for name in wider})
    frame = spark.createDataFrame(pa.Table.from_batches([rows]))
    spoken = [
        row.asDict() for row in frame.selectExpr(*(f"CAST({name} AS {kind}) AS {name}" for name, (_, kind) in wider.items())).collect()
    ]
    target = pa.schema([(name, kind) for name, (kind, _) in wider.items()])
    assert conformed({name: rows.column(name) for name in wider}, rows.num_rows, target).to_pylist() == spoken
