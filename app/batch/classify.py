"""Classify rows: loaded, rejected or pending. Pure: frames in, one frame out, the same rows."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from app.batch.value_rules import named, with_rules
from app.contract.contract import Contract
from app.model.dimensions import DIMENSIONS, KnownKeys, all_known, known_field, missing_keys, product_known
from app.model.lookup import LookupSource
from app.model.tally import LOADED, PENDING, REJECTED, SPLIT
from app.spark.map_in_arrow import map_in_arrow

LOADED_OR_PENDING = f"if({all_known()}, '{LOADED}', '{PENDING}')"


def sales_columns(contract: Contract) -> list[str]:
    """Return the columns of a typed sales row: the contract's, extra columns, warnings, lineage and month."""
    return [*contract.names, contract.settings.extra_columns, "_warnings", "_file_id", "_split", "_line", "sales_month"]


def classify_scanned(rows: DataFrame, contract: Contract, batch_date: date) -> DataFrame:
    """Turn scanned rows into checked and classified ones.

    Needs what `scan` yields. Returns the sales columns and `_raw`, `_faults` (every reason), `_reason` (the first one), `_known`
    (see `app.model.dimensions`), `_outcome` and `_marker`. Same rows; the scan's marker rows have outcome `split`.
    """
    extra = contract.settings.extra_columns
    complete = rows.withColumns(
        {
            extra: F.expr("if(size(_extra) > 0, to_json(_extra), NULL)"),
            "_batch_date": F.lit(batch_date),
            "_product_known": F.expr(product_known()),
        }
    )
    checked = complete.transform(with_rules, contract)
    # As text: see app/batch/value_rules.py.
    return checked.selectExpr(
        *[named(name) for name in sales_columns(contract) if name != "sales_month"],
        "date_format(sales_date, 'yyyy-MM') AS sales_month",
        "if(size(_faults) > 0, _raw, NULL) AS _raw",
        "if(size(_faults) > 0, _faults, NULL) AS _faults",
        f"if(size(_faults) > 0 AND _kind <> '{SPLIT}', _faults[0].code, NULL) AS _reason",
        "_known",
        f"CASE WHEN _kind = '{SPLIT}' THEN '{SPLIT}' WHEN size(_faults) > 0 THEN '{REJECTED}' ELSE {LOADED_OR_PENDING} END AS _outcome",
        "_marker",
    )


def classify_pending(rows: DataFrame, lookups: LookupSource) -> DataFrame:
    """Classify rows that were waiting for a dimension row: they are sound, so each is loaded or goes on waiting. Same rows."""
    waiting = rows.drop("batch_key")
    known = map_in_arrow(waiting, KnownKeys(lookups), to_arrow_schema(waiting.schema).append(known_field()))
    return known.selectExpr("*", f"{LOADED_OR_PENDING} AS _outcome", "cast(NULL AS string) AS _reason")


def missing_key_rows(pending: DataFrame) -> DataFrame:
    """Count what pending rows wait for. One row per (file_id, dimension, key_value), with row_count; a row may wait for several."""
    return (
        pending.select(
            F.col("_file_id").alias("file_id"),
            F.explode(F.expr(missing_keys())).alias("dimension"),
            *[d.fact_key for d in DIMENSIONS if d.required],
        )
        .withColumn("key_value", _wanted_key().cast("bigint"))
        .groupBy("file_id", "dimension", "key_value")
        .agg(F.count(F.lit(1)).alias("row_count"))
    )


def _wanted_key() -> Column:
    branches = [F.when(F.col("dimension") == d.table, F.col(d.fact_key)) for d in DIMENSIONS if d.required]
    return F.coalesce(*branches)
