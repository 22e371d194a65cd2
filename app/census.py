"""The census of a classified batch: exact figures per file, fact partition and reason, in one Spark job."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.core.arrow_map import map_in_arrow
from app.core.contract import Contract
from app.core.masking import masked, sensitive_columns
from app.core.quality import VALUE_CHARS
from app.core.tally import FILE, PARTITION, REASON, SCHEMA, counted_columns, tally
from app.ledger_types import FactPart, Reject, RuleWarning
from app.source.splits import Marker


@dataclass
class Census:
    """Counts of a classified frame: per file and outcome, per fact partition, per first reason; and accepted rows with warnings.

    `markers` are those of the scan, one for each split, where the frame was scanned.
    """

    by_file: dict[int, defaultdict[str, int]] = field(default_factory=dict)
    facts: list[FactPart] = field(default_factory=list)
    by_reason: dict[str, int] = field(default_factory=dict)
    warned: int = 0
    markers: list[Marker] = field(default_factory=list)

    @classmethod
    def take(cls, frame: DataFrame) -> Census:
        """Count in one job without a shuffle, which also fills the cache.

        What is collected is a row per file, partition and reason of each task, and one per split.
        """
        census = cls()
        facts: dict[tuple[str, int], tuple[int, Decimal]] = {}
        reasons: defaultdict[str, int] = defaultdict(int)
        for row in map_in_arrow(frame.selectExpr(*counted_columns(frame.columns)), tally, SCHEMA).collect():
            if row["kind"] == FILE:
                census.by_file.setdefault(row["file_id"], defaultdict(int))[row["name"]] += row["rows"]
                census.warned += row["warned"]
            elif row["kind"] == PARTITION:
                rows, amount = facts.get(place := (row["name"], row["store_id"]), (0, Decimal(0)))
                facts[place] = (rows + row["rows"], amount + row["amount"])
            elif row["kind"] == REASON:
                reasons[row["name"]] += row["rows"]
            else:
                census.markers.append(Marker.from_json(row["name"]))
        census.facts = [FactPart(month, store, rows, amount) for (month, store), (rows, amount) in sorted(facts.items())]
        census.by_reason = dict(reasons)
        return census


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
