"""Parts: the Parquet of a batch on S3, written by the Python workers (docs/decisions/0008-facts-by-workers.md)."""

from __future__ import annotations

from decimal import Decimal

from pyspark.sql import DataFrame

from app.config.load import S3Config
from app.errors import TaskRepeated
from app.model.totals import Totals
from app.sinks.part_writer import RESULT, PartWriter
from app.spark.map_in_arrow import map_in_arrow


def s3a(config: S3Config, prefix: str) -> str:
    """Return the Hadoop path of a prefix of our own."""
    return f"s3a://{config.bucket}/{prefix.rstrip('/')}"


def write_parts(rows: DataFrame, writer: PartWriter, what: str, batch_key: str, *, is_small: bool) -> Totals:
    """Write rows, few files per partition. Returns what really went into the files, as the workers that wrote them have counted it.

    Needs the writer's partition columns. What its `complete` adds is neither shuffled nor sorted. Rows that are few (`is_small`) are
    written by one task.

    Raises:
        TaskRepeated: Spark started a task again; what its first attempt wrote, or is writing still, must never count.
        S3Unavailable: S3 stays out of reach.
        S3Error: S3 refuses a request.
    """
    by = writer.partition_by
    gathered = rows.coalesce(1) if is_small else rows.hint("rebalance", *by) if by else rows
    placed = gathered.sortWithinPartitions(*by) if by else gathered
    # One row for each file of the batch.
    files = map_in_arrow(placed, writer, RESULT).collect()
    tracker = rows.sparkSession.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in {file["stage"] for file in files}]
    if any(file["attempt"] for file in files) or any(stage is not None and stage.currentAttemptId for stage in stages):
        raise TaskRepeated(f"batch {batch_key}: a task that writes {what} was started again by Spark, after an executor was lost or failed")
    return Totals(sum(file["rows"] for file in files), sum((Decimal(file["amount"]) for file in files), Decimal(0)))
