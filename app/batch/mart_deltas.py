"""What a batch adds to a mart and takes out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from app.model.lookup import LookupSource
from app.model.marts import Mart, lookup_column
from app.spark.map_in_arrow import map_in_arrow

# As wide as the columns of the marts. A cast that overflows gives NULL, which no stage table takes: the batch would fail for ever.
TOTAL_TYPE = "decimal(30,4)"


def to_delta(rows: DataFrame, mart: Mart) -> DataFrame:
    """Aggregate typed sales rows to what they add to a mart.

    Needs the mart's fact columns. One row per grain key, with the measures summed exactly and `row_count`.
    """
    return _summed(rows, mart, F.count(F.lit(1)))


def to_net_delta(added: DataFrame | None, removed: DataFrame, mart: Mart) -> DataFrame:
    """Aggregate rows that are added and rows that are taken out to what a mart changes by.

    Both need the mart's fact columns. One row per grain key that is touched; measures and `row_count` may be negative or zero.
    """
    sides = [(removed, -1)] + ([(added, 1)] if added is not None else [])
    signed = [_signed(rows, mart, sign) for rows, sign in sides]
    return _summed(reduce(DataFrame.unionByName, signed), mart, F.sum("_sign"))


def _signed(rows: DataFrame, mart: Mart, sign: int) -> DataFrame:
    measures = [(F.col(source) * sign).cast(TOTAL_TYPE).alias(source) for source in mart.measures.values()]
    return rows.select(*mart.grain.values(), *measures, F.lit(sign).cast("bigint").alias("_sign"))


def _summed(rows: DataFrame, mart: Mart, row_count: Column) -> DataFrame:
    grain: list[Column] = [F.col(source).alias(column) for column, source in mart.grain.items()]
    sums = [F.sum(source).cast(TOTAL_TYPE).alias(column) for column, source in mart.measures.items()]
    return rows.groupBy(*grain).agg(*sums, row_count.alias("row_count"))


def with_mart_attributes(deltas: DataFrame, mart: Mart, lookups: LookupSource) -> DataFrame:
    """Attach the dimension's current attributes, which are texts. Same rows."""
    types = {field.name: field for field in to_arrow_schema(deltas.schema)}
    schema = pa.schema([types.get(name, pa.field(name, pa.string())) for name in mart.columns])
    return map_in_arrow(deltas, _Attributes(mart, lookups), schema)


def delta_rows(deltas: pa.RecordBatch, mart: Mart, lookups: LookupSource) -> Iterator[tuple[object, ...]]:
    """Yield the rows of deltas that are here, with the dimension's current attributes, in the order of `mart.columns`.

    Needs the mart's grain, its measures and `row_count`.
    """
    (rows,) = _Attributes(mart, lookups)(iter([deltas]))
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)


@dataclass(frozen=True)
class _Attributes:
    """What a worker does for `with_mart_attributes`."""

    mart: Mart
    lookups: LookupSource

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        mart, lookup = self.mart, self.lookups.value[self.mart.dimension]
        for rows in batches:
            at = lookup.find(rows.column(mart.dimension_key))
            attributes = {name: lookup.rows.column(lookup_column(mart, name)).take(at) for name in mart.attributes}
            columns = [attributes[name] if name in attributes else rows.column(name) for name in mart.columns]
            yield pa.RecordBatch.from_arrays(columns, list(mart.columns))
