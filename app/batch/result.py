"""What the evaluation of a batch found: its pieces, held, and what they add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from app.batch.counts import LineBases
from app.batch.held_pieces import HeldPieces
from app.batch.replace_parts import NOTHING_REWRITTEN, NOTHING_UNDONE, Rewrite, Undo, total_of
from app.ledger.types import Change, FactPart, FileResult, FileState, Outcome, QuarantinePart, Reject, RuleWarning, Withdrawn
from app.model.totals import Totals
from app.source.dimensions import DimensionSet


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Evaluation:
    """The pieces of a batch and what they add up to. `release` lets go of the pieces. `bases` turn lines of splits into those of files."""

    pieces: HeldPieces
    dimensions: DimensionSet
    files: tuple[FileResult, ...]
    undo: Undo = NOTHING_UNDONE
    rewrite: Rewrite = NOTHING_REWRITTEN
    lost: dict[int, FileState] = field(default_factory=dict)
    why: dict[int, str] = field(default_factory=dict)
    loaded: tuple[FactPart, ...] = ()
    quarantine: tuple[QuarantinePart, ...] = ()
    rejects: tuple[Reject, ...] = ()
    warnings: tuple[RuleWarning, ...] = ()
    headers: Mapping[int, str] = field(default_factory=dict)
    pending_rows: int = 0
    bases: LineBases = field(default_factory=dict)
    release: Callable[[], None] = _nothing

    @property
    def facts(self) -> tuple[FactPart, ...]:
        """The parts that are written: loaded rows, and those kept of replaced parts."""
        return merged((*self.loaded, *self.rewrite.kept))

    @property
    def rows_loaded(self) -> int:
        """Rows that go into facts and marts."""
        return sum(result.rows_loaded for result in self.files)

    @property
    def delta(self) -> Totals:
        """Rows and amount that facts and marts change by: what is loaded less what is taken out."""
        loaded, removed = total_of(self.loaded), self.rewrite.removed
        return Totals(loaded.rows - removed.rows, loaded.amount - removed.amount)

    def outcome(self) -> Outcome:
        """Return what the batch is about to make true."""
        read = {result.file_id for result in self.files if result.state not in tuple(Change)}
        gone = (file_id for file_id in self.undo.files if file_id not in read)
        released = {result.file_id for result in self.files if result.state == Change.RELEASED and result.rows_loaded}
        return Outcome(
            files=self.files,
            facts=self.facts,
            quarantine=self.quarantine,
            pending_rows=self.pending_rows,
            rejects=self.rejects,
            warnings=self.warnings,
            headers=self.headers,
            withdrawn=tuple(Withdrawn(file_id, self.undo.superseded.get(file_id)) for file_id in gone),
            dead_parts=self.rewrite.parts,
            consumed=self.undo.waiting,
            holders=tuple(sorted(released | set(self.rewrite.holders))),
            left_to_merge=self.rewrite.left,
        )


def merged(parts: Iterable[FactPart]) -> tuple[FactPart, ...]:
    """Return one part for each partition."""
    by_place: dict[tuple[str, int], list[FactPart]] = defaultdict(list)
    for part in parts:
        by_place[part.sales_month, part.store_id].append(part)
    return tuple(
        FactPart(month, store, sum(one.rows for one in found), sum((one.amount for one in found), Decimal(0)))
        for (month, store), found in sorted(by_place.items())
    )
