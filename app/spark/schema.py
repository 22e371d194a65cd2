"""The enforced schema of a sales row as Spark sees it."""

from __future__ import annotations

from pyspark.sql import types as T

from app.contract.contract import Column, Contract


def sales_schema(contract: Contract) -> T.StructType:
    """Return the enforced schema: one field per column, in the contract's order."""
    return T.StructType([T.StructField(column.name, _spark_type(column), column.nullable) for column in contract.columns])


def _spark_type(column: Column) -> T.DataType:
    if column.precision_scale:
        return T.DecimalType(*column.precision_scale)
    return {"int": T.IntegerType(), "bigint": T.LongType(), "string": T.StringType(), "date": T.DateType()}[column.type]
