"""The census of a batch: exact figures per file, fact partition and reason, and what is wrong, as its pieces say them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from app.contract.contract import Contract
from app.contract.masking import masked, sensitive_columns
from app.ledger.types import FactPart, Reject, RuleWarning
from app.model.findings import Finding, Place, add_finding
from app.model.pieces import FACTS, FAULT, FILE, MARKER, REJECTS, WARNING, Piece
from app.model.totals import NOTHING, Totals
from app.source.splits import Marker

# What is to be added to the lines of a split, by (file, split).
LineBases = Mapping[tuple[int, int], int]


@dataclass
class Census:
    """Counts per file and outcome, per fact partition, per first reason.

    `faults` and `warnings` are what is said against rejected rows and against accepted ones. `markers` are those of the scan, one for
    each split.
    """

    by_file: dict[int, defaultdict[str, int]] = field(default_factory=dict)
    facts: list[FactPart] = field(default_factory=list)
    by_reason: dict[str, int] = field(default_factory=dict)
    faults: dict[Place, Finding] = field(default_factory=dict)
    warnings: dict[Place, Finding] = field(default_factory=dict)
    markers: list[Marker] = field(default_factory=list)

    @classmethod
    def take(cls, pieces: Iterable[Piece]) -> Census:
        """Add up pieces; their blobs are not needed."""
        census = cls()
        facts: dict[tuple[str, int], Totals] = defaultdict(lambda: NOTHING)
        reasons: defaultdict[str, int] = defaultdict(int)
        for piece in pieces:
            name, keys = piece.name or "", piece.keys or ()
            if piece.kind == FILE:
                census.by_file.setdefault(keys[0], defaultdict(int))[name] += piece.rows
            elif piece.kind == FACTS:
                assert piece.amount is not None, "amounts are never NULL in facts"
                facts[name, keys[0]] += Totals(piece.rows, piece.amount)
            elif piece.kind == REJECTS:
                reasons[name] += piece.rows
            elif piece.kind in (FAULT, WARNING):
                assert piece.line is not None, "every row has a line"
                place = Place(keys[0], keys[1] if len(keys) > 1 else None, name)
                found = Finding(piece.rows, piece.line, piece.column, piece.value)
                add_finding(census.faults if piece.kind == FAULT else census.warnings, place, found)
            elif piece.kind == MARKER:
                census.markers.append(Marker.from_json(name))
        census.facts = [FactPart(month, store, total.rows, total.amount) for (month, store), total in sorted(facts.items())]
        census.by_reason = dict(reasons)
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
