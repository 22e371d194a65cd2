"""Classify rows: loaded, rejected or pending. Pure: frames in, one frame out, the same rows."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from app.core.contract import Contract
from app.core.enrich import DIMENSIONS, Frames, missing_keys, with_known_flags
from app.core.quality import with_rules, with_typed_columns

LOADED, PENDING, REJECTED, SPLIT = "loaded", "pending", "rejected", "split"


def sales_columns(contract: Contract) -> list[str]:
    """Return the columns of a typed sales row: the contract's, extra columns, warnings, lineage and month."""
    return [*contract.names, contract.settings.extra_columns, "_warnings", "_file_id", "_split", "_line", "sales_month"]


def classify_scanned(rows: DataFrame, contract: Contract, dimensions: Frames, batch_date: date) -> DataFrame:
    """Turn scanned text rows into typed, checked and classified ones.

    Needs what `scan` yields. Returns the sales columns and `_raw`, `_faults` (every reason), `_reason` (the first one), `_missing`
    (dimensions that do not know the row's key), `_outcome` and `_marker`. Same rows; the scan's marker rows have outcome `split`.
    """
    typed = rows.transform(with_typed_columns, contract).withColumns(
        {
            contract.settings.extra_columns: F.when(F.size("_extra") > 0, F.to_json("_extra")),
            "_batch_date": F.lit(batch_date),
        }
    )
    checked = typed.transform(with_known_flags, dimensions).transform(with_rules, contract)
    rejected = F.size("_faults") > 0
    outcome = F.when(F.col("_kind") == SPLIT, F.lit(SPLIT)).when(rejected, F.lit(REJECTED)).otherwise(_loaded_or_pending())
    return checked.select(
        *[F.col(name) for name in sales_columns(contract) if name != "sales_month"],
        F.date_format("sales_date", "yyyy-MM").alias("sales_month"),
        F.when(rejected, F.col("_raw")).alias("_raw"),
        F.when(rejected, F.col("_faults")).alias("_faults"),
        F.when(rejected & (F.col("_kind") != SPLIT), F.col("_faults")[0]["code"]).alias("_reason"),
        missing_keys().alias("_missing"),
        outcome.alias("_outcome"),
        F.col("_marker"),
    )


def classify_pending(rows: DataFrame, dimensions: Frames) -> DataFrame:
    """Classify rows that were waiting for a dimension row: they are sound, so each is loaded or goes on waiting. Same rows."""
    flagged = rows.drop("batch_key").transform(with_known_flags, dimensions)
    verdict = {"_missing": missing_keys(), "_outcome": _loaded_or_pending(), "_reason": F.lit(None).cast("string")}
    return flagged.withColumns(verdict).drop(*[d.known_flag for d in DIMENSIONS])


def missing_key_rows(pending: DataFrame) -> DataFrame:
    """Count what pending rows wait for. One row per (file_id, dimension, key_value), with row_count; a row may wait for several."""
    return (
        pending.select(
            F.col("_file_id").alias("file_id"), F.explode("_missing").alias("dimension"), *[d.fact_key for d in DIMENSIONS if d.required]
        )
        .withColumn("key_value", _wanted_key().cast("bigint"))
        .groupBy("file_id", "dimension", "key_value")
        .agg(F.count(F.lit(1)).alias("row_count"))
    )


def _wanted_key() -> Column:
    branches = [F.when(F.col("dimension") == d.table, F.col(d.fact_key)) for d in DIMENSIONS if d.required]
    return F.coalesce(*branches)


def _loaded_or_pending() -> Column:
    return F.when(F.size(missing_keys()) > 0, F.lit(PENDING)).otherwise(F.lit(LOADED))
