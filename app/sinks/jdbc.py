"""The one way executors write to MySQL: rows of a batch under its key, into tables that count for nothing before the commit."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.config.load import MySqlConfig
from app.mysql.jdbc import jdbc_options

# One statement carries this many rows; rewriteBatchedStatements makes it a multi-row INSERT.
JDBC_BATCH_ROWS = 5000


def append_rows(rows: DataFrame, table: str, batch_key: str, config: MySqlConfig) -> None:
    """Append rows to a table keyed by (batch_key, grain); a task that Spark repeats fails on the key instead of doubling."""
    (
        rows.withColumn("batch_key", F.lit(batch_key))
        .write.format("jdbc")
        .options(**jdbc_options(config), dbtable=table, batchsize=str(JDBC_BATCH_ROWS), isolationLevel="READ_COMMITTED")
        .mode("append")
        .save()
    )
