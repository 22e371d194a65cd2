"""The census of a classified batch: exact figures per file, fact partition and reason, and what is wrong, in one Spark job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pyspark.sql import DataFrame

from app.contract.contract import Contract
from app.contract.masking import masked, sensitive_columns
from app.ledger.types import FactPart, Reject, RuleWarning
from app.model.findings import Finding, Place, add_finding
from app.model.marts import Mart
from app.model.tally import (
    FAULT,
    FILE,
    MARKER,
    MART,
    MISSING,
    MOST_KEYS,
    PARTITION,
    REASON,
    SCHEMA,
    TOO_MANY,
    WARNING,
    Tally,
    counted_columns,
)
from app.model.totals import NOTHING, Totals
from app.source.splits import Marker
from app.spark.map_in_arrow import map_in_arrow

# By mart, then by month and the other keys of its grain: rows and amount.
Deltas = Mapping[str, Mapping[tuple[Any, ...], Totals]]
# Rows by file, dimension and the key that it does not have.
MissingKeys = Mapping[tuple[int, str, int], int]
# What is to be added to the lines of a split, by (file, split).
LineBases = Mapping[tuple[int, int], int]


@dataclass
class Census:
    """Counts of a classified frame: per file and outcome, per fact partition, per first reason.

    `faults` and `warnings` are what is said against rejected rows and against accepted ones. `markers` are those of the scan, one for
    each split, where the frame was scanned. `deltas` are rows and amount that loaded rows add to each mart that was asked for, by its
    grain, and `missing` what pending rows wait for; None where no marts were asked for, and where both are too many to be held here.
    """

    by_file: dict[int, defaultdict[str, int]] = field(default_factory=dict)
    facts: list[FactPart] = field(default_factory=list)
    by_reason: dict[str, int] = field(default_factory=dict)
    faults: dict[Place, Finding] = field(default_factory=dict)
    warnings: dict[Place, Finding] = field(default_factory=dict)
    markers: list[Marker] = field(default_factory=list)
    deltas: Deltas | None = None
    missing: MissingKeys | None = None

    @classmethod
    def take(cls, frame: DataFrame, marts: tuple[Mart, ...] = (), most: int = MOST_KEYS) -> Census:
        """Count in one job without a shuffle, which also fills the cache.

        What is collected of each task is a row per file, partition, reason, split and its reasons, and at most `most` rows of marts and
        missing keys.
        """
        census = cls()
        facts: dict[tuple[str, int], Totals] = defaultdict(lambda: NOTHING)
        reasons: defaultdict[str, int] = defaultdict(int)
        deltas: dict[str, dict[tuple[Any, ...], Totals]] = {mart.table: defaultdict(lambda: NOTHING) for mart in marts}
        missing: defaultdict[tuple[int, str, int], int] = defaultdict(int)
        is_too_many = False
        counted = map_in_arrow(frame.selectExpr(*counted_columns(frame.columns, marts)), Tally(marts, most), SCHEMA)
        for kind, name, keys, rows, amount, *first in counted.collect():
            if kind == FILE:
                census.by_file.setdefault(keys[0], defaultdict(int))[name] += rows
            elif kind == PARTITION:
                facts[name, keys[0]] += Totals(rows, amount)
            elif kind == REASON:
                reasons[name] += rows
            elif kind in (FAULT, WARNING):
                add_finding(census.faults if kind == FAULT else census.warnings, Place(keys[0], keys[1], name), Finding(rows, *first))
            elif kind == MARKER:
                census.markers.append(Marker.from_json(name))
            elif kind == MISSING:
                missing[keys[0], name, keys[1]] += rows
            elif kind == TOO_MANY:
                is_too_many = True
            else:
                deltas[marts[kind - MART].table][name, *keys] += Totals(rows, amount)
        census.facts = [FactPart(month, store, total.rows, total.amount) for (month, store), total in sorted(facts.items())]
        census.by_reason = dict(reasons)
        if marts and not is_too_many:
            census.deltas, census.missing = deltas, missing
        return census

    def rejects(self, files: Collection[int], contract: Contract, bases: LineBases) -> list[Reject]:
        """Return the rejected rows of files per file and reason, with the first fault of each. `bases` make lines those of the file."""
        hidden = sensitive_columns(contract)
        return [
            Reject(file_id, reason, one.rows, one.line, one.column, masked(one.value, one.column, hidden))
            for (file_id, _, reason), one in _by_file(self.faults, files, bases).items()
        ]

    def warned(self, files: Collection[int], bases: LineBases) -> list[RuleWarning]:
        """Return the accepted rows of files that break a warn rule, per file and rule, with the first line of each."""
        return [RuleWarning(file_id, rule, one.rows, one.line) for (file_id, _, rule), one in _by_file(self.warnings, files, bases).items()]


def _by_file(found: Mapping[Place, Finding], files: Collection[int], bases: LineBases) -> dict[Place, Finding]:
    """Add up the splits of each file, in the order of files and reasons."""
    whole: dict[Place, Finding] = {}
    for place, one in found.items():
        if place.file_id in files:
            base = bases.get((place.file_id, place.split), 0) if place.split is not None else 0
            add_finding(whole, place._replace(split=None), replace(one, line=one.line + base))
    return dict(sorted(whole.items(), key=lambda item: (item[0].file_id, item[0].reason)))
