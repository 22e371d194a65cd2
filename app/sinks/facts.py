"""Facts: partitioned Parquet on S3."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame

from app.config.load import S3Config
from app.model.totals import Totals
from app.s3.prefixes import fact_part_prefix
from app.sinks.part_writer import PartWriter
from app.sinks.parts import write_parts

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any


def write_facts(
    rows: DataFrame,
    complete: Callable[[pa.RecordBatch], pa.RecordBatch],
    batch_key: str,
    config: S3Config,
    client_factory: Callable[[], S3Client],
    *,
    is_small: bool = False,
) -> Totals:
    """Write rows below `<facts>/sales_month=/store_id=/batch_key=/`. Returns what went into the files: see `write_parts`.

    Needs `sales_month` and `store_id`. `complete` makes fact rows of them, one of each, in the worker that writes them.
    """
    prefix_of = partial(fact_part_prefix, config, batch_key=batch_key)
    writer = PartWriter(client_factory, config.bucket, prefix_of, ("sales_month", "store_id"), complete, "total_cost")
    return write_parts(rows, writer, "facts", batch_key, is_small=is_small)
