"""The one way executors write to MySQL: rows of a batch under its key, into tables that count for nothing before the commit."""

from __future__ import annotations

import re

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.config.load import MySqlConfig
from app.errors import TaskRepeated
from app.mysql.jdbc import jdbc_options

# One statement carries this many rows; rewriteBatchedStatements makes it a multi-row INSERT.
JDBC_BATCH_ROWS = 5000
# What MySQL and MariaDB say of a row whose key is there already.
_IS_THERE = re.compile(r"Duplicate entry '.*' for key")


def append_rows(rows: DataFrame, table: str, batch_key: str, config: MySqlConfig) -> None:
    """Append rows to a table keyed by (batch_key, grain); a task that Spark repeats fails on the key instead of doubling.

    Raises:
        TaskRepeated: rows of this batch key are there already; the attempt has to begin again under another key.
    """
    writer = (
        rows.withColumn("batch_key", F.lit(batch_key))
        .write.format("jdbc")
        .options(**jdbc_options(config), dbtable=table, batchsize=str(JDBC_BATCH_ROWS), isolationLevel="READ_COMMITTED")
        .mode("append")
    )
    try:
        writer.save()
    except (Py4JJavaError, PySparkException) as exc:
        if not _IS_THERE.search(f"{exc}\n{getattr(exc, '_stackTrace', '')}"):
            raise
        # Spark's own text repeats a row. Nothing else of this batch key is ever staged twice: plan and attempt are new each time.
        what = f"batch {batch_key}: a task that stages rows in {table} was started again by Spark after its first try had written them"
        raise TaskRepeated(what) from None
