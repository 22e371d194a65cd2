"""Quarantine: rejected rows with file, line, raw text and every reason, as Parquet below the error prefix; and pending rows."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.config import S3Config
from app.prefixes import quarantine_prefix
from app.sinks.facts import s3a

QUARANTINE_COLUMNS = ("_file_id", "_file_name", "_line", "_raw", "_reasons", "load_date", "reason", "batch_key")


def write_quarantine(rejected: DataFrame, config: S3Config, batch_key: str, load_date: date) -> None:
    """Write rejected rows below `<error>/quarantine/load_date=/reason=/batch_key=/`; `reason` is a row's first reason."""
    (
        rejected.withColumns({"load_date": F.lit(load_date), "batch_key": F.lit(batch_key)})
        .select(*QUARANTINE_COLUMNS)
        .hint("rebalance", "reason")
        .write.mode("append")
        .partitionBy("load_date", "reason", "batch_key")
        .parquet(s3a(config, quarantine_prefix(config)))
    )


def write_pending(pending: DataFrame, config: S3Config, batch_key: str) -> None:
    """Write rows that wait for a dimension row below `<pending>/batch_key=/`."""
    pending.withColumn("batch_key", F.lit(batch_key)).write.mode("append").partitionBy("batch_key").parquet(
        s3a(config, config.pending_prefix)
    )
