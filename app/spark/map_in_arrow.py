"""A Python function over Arrow batches as a step of a Spark plan."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

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

    udf = UserDefinedFunction(InWorker(function), from_arrow_schema(schema), evalType=PythonEvalType.SQL_MAP_ARROW_ITER_UDF)
    call = udf(*[frame[name] for name in frame.columns])
    return DataFrame(frame._jdf.mapInArrow(call._jc, False, None), frame.sparkSession)


@dataclass(frozen=True)
class InWorker:
    """What a worker runs. Spark has it collect garbage behind every task, through all that is loaded: 60 ms of a core each time."""

    function: ArrowFunction
    tasks: ClassVar[int] = 0

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Do the function's work; set aside from then on what has been loaded, which is never garbage."""
        yield from self.function(batches)
        InWorker.tasks += 1
        # After tasks 1, 2, 4, 8...: later ones may have loaded more, and what is set aside by mistake stays little.
        if InWorker.tasks & (InWorker.tasks - 1) == 0:
            gc.collect()
            gc.freeze()
