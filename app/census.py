"""The census of a classified batch: exact figures per file, fact partition and reason, in one Spark job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.core.arrow_map import map_in_arrow
from app.core.contract import Contract
from app.core.marts import Mart
from app.core.masking import masked, sensitive_columns
from app.core.quality import VALUE_CHARS
from app.core.tally import FILE, MARKER, MART, MOST_MART_ROWS, PARTITION, REASON, SCHEMA, TOO_MANY, Tally, counted_columns
from app.ledger_types import FactPart, Reject, RuleWarning
from app.sinks.marts import NOTHING, Totals
from app.source.splits import Marker

# By mart, then by month and the other keys of its grain: rows and amount.
Deltas = Mapping[str, Mapping[tuple[Any, ...], Totals]]


@dataclass
class Census:
    """Counts of a classified frame: per file and outcome, per fact partition, per first reason; and accepted rows with warnings.

    `markers` are those of the scan, one for each split, where the frame was scanned. `deltas` are rows and amount that loaded rows add to
    each mart that was asked for, by its grain; None where these are too many to be held here.
    """

    by_file: dict[int, defaultdict[str, int]] = field(default_factory=dict)
    facts: list[FactPart] = field(default_factory=list)
    by_reason: dict[str, int] = field(default_factory=dict)
    warned: int = 0
    markers: list[Marker] = field(default_factory=list)
    deltas: Deltas | None = None

    @classmethod
    def take(cls, frame: DataFrame, marts: tuple[Mart, ...] = (), most: int = MOST_MART_ROWS) -> Census:
        """Count in one job without a shuffle, which also fills the cache.

        What is collected of each task is a row per file, partition, reason and split, and at most `most` rows of marts.
        """
        census = cls()
        facts: dict[tuple[str, int], Totals] = defaultdict(lambda: NOTHING)
        reasons: defaultdict[str, int] = defaultdict(int)
        deltas: dict[str, dict[tuple[Any, ...], Totals]] = {mart.table: defaultdict(lambda: NOTHING) for mart in marts}
        is_too_many = False
        counted = map_in_arrow(frame.selectExpr(*counted_columns(frame.columns, marts)), Tally(marts, most), SCHEMA)
        for kind, name, keys, rows, amount, warned in counted.collect():
            if kind == FILE:
                census.by_file.setdefault(keys[0], defaultdict(int))[name] += rows
                census.warned += warned
            elif kind == PARTITION:
                facts[name, keys[0]] += Totals(rows, amount)
            elif kind == REASON:
                reasons[name] += rows
            elif kind == MARKER:
                census.markers.append(Marker.from_json(name))
            elif kind == TOO_MANY:
                is_too_many = True
            else:
                deltas[marts[kind - MART].table][name, *keys] += Totals(rows, amount)
        census.facts = [FactPart(month, store, total.rows, total.amount) for (month, store), total in sorted(facts.items())]
        census.by_reason = dict(reasons)
        census.deltas = deltas if marts and not is_too_many else None
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
