"""Facts: partitioned Parquet on S3, written by the Python workers (docs/decisions/0008-facts-by-workers.md)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame

from app.config import S3Config
from app.core.arrow_map import map_in_arrow
from app.errors import TaskRepeated
from app.prefixes import fact_part_prefix
from app.sinks.marts import Totals
from app.sinks.part_writer import RESULT, PartWriter

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any


def s3a(config: S3Config, prefix: str) -> str:
    """Return the Hadoop path of a prefix of our own."""
    return f"s3a://{config.bucket}/{prefix.rstrip('/')}"


def write_facts(
    rows: DataFrame,
    complete: Callable[[pa.RecordBatch], pa.RecordBatch],
    batch_key: str,
    config: S3Config,
    client_factory: Callable[[], S3Client],
    *,
    is_small: bool = False,
) -> Totals:
    """Write rows below `<facts>/sales_month=/store_id=/batch_key=/`, few files per partition.

    Needs `sales_month` and `store_id`. `complete` makes fact rows of them, one of each, in the worker that writes them: what it adds is
    neither shuffled nor sorted. Rows that are few (`is_small`) are written by one task. Returns what really went into the files, as the
    workers that wrote them have counted it.

    Raises:
        TaskRepeated: Spark started a task again; what its first attempt wrote, or is writing still, must never count.
        S3Unavailable: S3 stays out of reach.
        S3Error: S3 refuses a request.
    """
    gathered = rows.coalesce(1) if is_small else rows.hint("rebalance", "sales_month", "store_id")
    placed = gathered.sortWithinPartitions("sales_month", "store_id")
    writer = PartWriter(client_factory, config.bucket, partial(fact_part_prefix, config, batch_key=batch_key), complete, "total_cost")
    # One row for each file of the batch.
    files = map_in_arrow(placed, writer, RESULT).collect()
    tracker = rows.sparkSession.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in {file["stage"] for file in files}]
    if any(file["attempt"] for file in files) or any(stage is not None and stage.currentAttemptId for stage in stages):
        raise TaskRepeated(f"batch {batch_key}: a task that writes facts was started again by Spark, after an executor was lost or failed")
    return Totals(sum(file["rows"] for file in files), sum((Decimal(file["amount"]) for file in files), Decimal(0)))
