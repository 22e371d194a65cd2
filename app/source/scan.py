"""The scan of a micro-batch: one Spark job that reads splits from S3 and yields their rows, typed, each with its line number.

Python reads and parses, because Spark's reader loses what this job promises: docs/decisions/0002-scan.md has the reasons and
the numbers. The frame is lazy: whoever uses it twice without persisting it reads S3 twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pyspark.sql import DataFrame, SparkSession

from app.contract.contract import Contract
from app.model.dimensions import KnownKeys
from app.model.lookup import LookupSource
from app.parsing.record_rules import Limits
from app.source.split_reader import SplitReader, batch_schema
from app.source.splits import Marker, ScanFile, Split, broken_borders, bundle_splits, line_bases, plan_splits
from app.spark.map_in_arrow import map_in_arrow

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

__all__ = ["Marker", "ScanFile", "Split", "broken_borders", "line_bases", "plan_splits", "scan"]


class ScanSettings(Protocol):
    """The settings that bound a scan: config.stream has them."""

    @property
    def split_bytes(self) -> int:
        """Bytes of one split."""

    @property
    def max_header_bytes(self) -> int:
        """How far into a file its header may reach."""

    @property
    def max_record_lines(self) -> int:
        """Lines of one quoted field."""

    @property
    def max_record_bytes(self) -> int:
        """Bytes of one record."""


def scan(
    spark: SparkSession,
    splits: Sequence[Split],
    contract: Contract,
    settings: ScanSettings,
    lookups: LookupSource,
    client_factory: Callable[[], S3Client],
) -> DataFrame:
    """Read splits. One row per record (`_kind` row) and one marker row per split (`_kind` split).

    Columns: `_kind`, `_file_id`, `_split`, `_line` (of the record's first line, counted from 1 in the split: see `line_bases`), the
    contract's columns (see `app.contract.columns`), `_extra` (extra columns by name, NULL where the file has none), `_raw` (the record's
    text without its last line break), `_faults` (of its form or else of its values, NULL for sound rows), `_marker` (a Marker's JSON),
    `_known` (see `app.model.dimensions`). Rows of a file whose markers are not all OK, or with broken borders, do not count.
    `client_factory` is pickled; it gives a worker process its client, and `lookups` the dimensions.
    """
    bundles = bundle_splits(splits, settings.split_bytes, spark.sparkContext.defaultParallelism)
    limits = Limits(settings.max_record_lines, settings.max_record_bytes, settings.max_header_bytes)
    reader = SplitReader(contract, limits, KnownKeys(lookups).of, client_factory, bundles)
    # One number per task: a partition of exactly the splits that were bundled, without a shuffle.
    tasks = spark.range(0, len(bundles), 1, max(1, len(bundles)))
    rows = map_in_arrow(tasks, reader, batch_schema(contract))
    # Text, as every Column built here costs a handful of calls to the JVM: 40 ms of a small batch.
    return rows.selectExpr("if(_marker IS NULL, 'row', 'split') AS _kind", "*")
