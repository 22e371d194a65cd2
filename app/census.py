"""The census of a classified batch: exact figures per file, fact partition and reason, in one Spark job."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.core.classify import LOADED, REJECTED, SPLIT
from app.core.contract import Contract
from app.core.masking import masked, sensitive_columns
from app.core.quality import VALUE_CHARS
from app.ledger_types import FactPart, Reject, RuleWarning


@dataclass
class Census:
    """Counts of a classified frame: per file and outcome, per fact partition, per first reason; and accepted rows with warnings."""

    by_file: dict[int, defaultdict[str, int]] = field(default_factory=dict)
    facts: list[FactPart] = field(default_factory=list)
    by_reason: dict[str, int] = field(default_factory=dict)
    warned: int = 0

    @classmethod
    def take(cls, frame: DataFrame) -> Census:
        """Count in one job, which also fills the cache. The result has a row per file, partition and reason of the batch."""
        file, month, store, reason, outcome = (F.col(c) for c in ("_file_id", "sales_month", "store_id", "_reason", "_outcome"))
        is_row = frame.where(outcome != SPLIT)
        grouped = is_row.select(
            outcome,
            reason,
            file,
            F.when(outcome == LOADED, month).alias("sales_month"),
            F.when(outcome == LOADED, store).alias("store_id"),
            F.when(outcome == LOADED, F.col("total_cost")).alias("total_cost"),
            F.when((outcome != REJECTED) & F.col("_warnings").isNotNull(), F.lit(1)).alias("warned"),
        ).groupingSets([[file, outcome], [month, store, outcome], [reason, outcome]], file, month, store, reason, outcome)
        census = cls()
        for row in grouped.agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum("total_cost").alias("amount"),
            F.count("warned").alias("warned"),
            F.grouping_id().alias("set"),
        ).collect():
            census._add(row.asDict())
        census.facts.sort(key=lambda part: (part.sales_month, part.store_id))
        return census

    def _add(self, row: dict[str, object]) -> None:
        # grouping_id has a bit for each column that is not part of the set: file 16, month 8, store 4, reason 2, outcome 1.
        rows, outcome, grouping = int(str(row["rows"])), str(row["_outcome"]), int(str(row["set"]))
        if not grouping & 16:
            self.by_file.setdefault(int(str(row["_file_id"])), defaultdict(int))[outcome] += rows
            self.warned += int(str(row["warned"]))
        elif not grouping & 8 and outcome == LOADED:
            self.facts.append(FactPart(str(row["sales_month"]), int(str(row["store_id"])), rows, Decimal(str(row["amount"]))))
        elif not grouping & 2 and outcome == REJECTED:
            self.by_reason[str(row["_reason"])] = rows


def count_rejects(rejected: DataFrame, contract: Contract) -> list[Reject]:
    """Count rejected rows per file and reason, with the first fault of each. One row per (file, reason)."""
    exploded = rejected.select("_file_id", "_line", F.posexplode("_faults").alias("_at", "fault"))
    value = F.substring("fault.value", 1, VALUE_CHARS)
    first = F.min(F.struct("_line", "_at", F.col("fault.column").alias("column"), value.alias("value")))
    grouped = exploded.groupBy("_file_id", F.col("fault.code").alias("code")).agg(F.count(F.lit(1)).alias("rows"), first.alias("first"))
    hidden = sensitive_columns(contract)
    return [
        Reject(r["_file_id"], r["code"], r["rows"], f["_line"], f["column"], masked(f["value"], f["column"], hidden))
        for r in grouped.collect()
        for f in (r["first"],)
    ]


def count_warnings(accepted: DataFrame) -> list[RuleWarning]:
    """Count accepted rows per file and broken warn rule, with the first line of each. One row per (file, rule)."""
    exploded = accepted.where("_warnings IS NOT NULL").select("_file_id", "_line", F.explode("_warnings").alias("rule"))
    grouped = exploded.groupBy("_file_id", "rule").agg(F.count(F.lit(1)).alias("rows"), F.min("_line").alias("line"))
    return [RuleWarning(r["_file_id"], r["rule"], r["rows"], r["line"]) for r in grouped.collect()]
