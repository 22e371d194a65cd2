"""The Python processes that Spark starts: what they load, and from where."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

from app.spark.map_in_arrow import map_in_arrow


def origin(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyspark

    for _ in batches:
        yield pa.RecordBatch.from_pydict({"path": [pyspark.__file__]})


def test_workers_take_pyspark_from_the_packages_and_not_from_a_zip_that_each_would_compile_anew(spark: SparkSession) -> None:
    frame = map_in_arrow(spark.range(0, 1, 1, 1), origin, pa.schema([pa.field("path", pa.string())]))
    [row] = frame.collect()
    assert row["path"].endswith("/site-packages/pyspark/__init__.py")
