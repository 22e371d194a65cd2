"""Mended rows: rejected rows that come back, each with the line it had, in the place of what was rejected.

The object that holds them is a CSV with the file's own header behind a first column LINE_COLUMN. Rejected rows of the file that are
not in it stay rejected as they are; they are written again with this batch, whose quarantine is the one that counts from then on.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from app.batch.context import Job
from app.errors import BatchFailed
from app.ledger.operations import rejected_parts
from app.ledger.types import Attempt
from app.model.tally import LOADED, PENDING, REJECTED, SPLIT
from app.parsing.header import LINE_COLUMN
from app.s3.prefixes import quarantine_part_prefix
from app.sinks.parts import s3a

# What stands before a row's own text: the line, perhaps quoted, and a delimiter.
_PREFIX = r'^"?(\d{1,18})"?[,;\t|]'


def with_mended_lines(rows: DataFrame) -> DataFrame:
    """Take each row's line from its first column and that column away. Needs `_line`, `_extra`, `_raw`, `_kind`. Same rows."""
    is_row = F.col("_kind") != SPLIT
    # A row of the wrong form has no columns: its line is still the first thing in its text.
    line = F.coalesce(F.col("_extra")[LINE_COLUMN], F.regexp_extract("_raw", _PREFIX, 1)).try_cast("bigint")
    return rows.withColumns(
        {
            "_line": F.when(is_row, F.coalesce(line, F.lit(0))).otherwise(F.col("_line")),
            "_raw": F.regexp_replace("_raw", _PREFIX, ""),
            "_extra": F.map_filter("_extra", lambda name, _value: name != LINE_COLUMN),
        }
    )


def still_rejected(job: Job, attempt: Attempt, mended: DataFrame) -> DataFrame:
    """Return the rejected rows of the attempt's files that were not mended, as rows of the batch.

    Raises:
        BatchFailed: a mended row is none of the rejected ones, or comes twice.
    """
    config = job.config.s3
    ids = [file.id for file in attempt.files]
    parts = job.ledger.db.run(lambda tx: rejected_parts(tx, ids))
    if not parts:
        raise BatchFailed("the rejected rows of the files are not in the quarantine any more: clean has deleted them")
    paths = [s3a(config, quarantine_part_prefix(config, part["load_date"], part["reason"], part["batch_key"])) for part in parts]
    rejected = job.spark.read.parquet(*paths).where(F.col("_file_id").isin(ids))
    lines = mended.where(_is_row()).select("_file_id", "_line")
    _check(lines, rejected)
    left = rejected.join(lines, on=["_file_id", "_line"], how="left_anti")
    return left.select(
        "_file_id",
        "_line",
        "_raw",
        F.col("_reasons").alias("_faults"),
        F.col("_reasons")[0]["code"].alias("_reason"),
        F.lit(REJECTED).alias("_outcome"),
    )


def _is_row() -> Column:
    return F.col("_outcome").isin(LOADED, PENDING, REJECTED)


def _check(lines: DataFrame, rejected: DataFrame) -> None:
    counted = lines.groupBy("_file_id", "_line").agg(F.count(F.lit(1)).alias("times"))
    known = rejected.select("_file_id", "_line").distinct().withColumn("_known", F.lit(True))
    wrong = counted.join(known, on=["_file_id", "_line"], how="left").where("_known IS NULL OR times > 1").orderBy("_file_id", "_line")
    first = next(iter(wrong.limit(1).collect()), None)
    if first is not None:
        what = "comes twice" if first["times"] > 1 else "is none of its rejected rows"
        raise BatchFailed(f"mended rows of file {first['_file_id']}: line {first['_line']} {what}")
