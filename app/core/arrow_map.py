"""A Python function over Arrow batches as a step of a Spark plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame

ArrowFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def map_in_arrow(frame: DataFrame, function: ArrowFunction, schema: pa.Schema) -> DataFrame:
    """Do what DataFrame.mapInArrow does. That one insists on pandas, though neither it nor its workers use it.

    `schema` is that of the batches that the function yields.
    """
    from pyspark.sql.pandas.types import from_arrow_schema
    from pyspark.sql.udf import UserDefinedFunction
    from pyspark.util import PythonEvalType

    udf = UserDefinedFunction(function, from_arrow_schema(schema), evalType=PythonEvalType.SQL_MAP_ARROW_ITER_UDF)
    call = udf(*[frame[name] for name in frame.columns])
    return DataFrame(frame._jdf.mapInArrow(call._jc, False, None), frame.sparkSession)
