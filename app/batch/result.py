"""What the evaluation of a batch found: its rows, held, and what they add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.batch.counts import Deltas, MissingKeys
from app.batch.replace_parts import NOTHING_REWRITTEN, NOTHING_UNDONE, Rewrite, Undo, total_of
from app.ledger.types import Change, FactPart, FileResult, FileState, Outcome, QuarantinePart, Reject, RuleWarning, Withdrawn
from app.model.marts import Mart
from app.model.tally import grain_of
from app.model.totals import Totals
from app.source.dimensions import DimensionSet

# Rows that a task writes in less time than a shuffle takes.
SMALL_ROWS = 20_000


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Evaluation:
    """The held rows of a batch and what they add up to; without a frame when it reads nothing new. `release` lets go of the rows.

    `deltas` are what loaded rows add to the marts, and `missing` what pending ones wait for, where both are few; whatever is taken out of
    the marts is not in it.
    """

    frame: DataFrame | None
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
    deltas: Deltas | None = None
    missing: MissingKeys | None = None
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

    def rows(self, outcome: str) -> DataFrame:
        """Return the rows of one outcome."""
        assert self.frame is not None, "nothing was read, so there are no rows of any outcome"
        rows = self.frame.where(F.col("_outcome") == outcome)
        # In one partition nothing needs a shuffle, which costs more than what a second task saves.
        return rows.coalesce(1) if self.is_small else rows

    def few_deltas(self, mart: Mart) -> pa.RecordBatch | None:
        """Return what is added to a mart: its grain, its measures and `row_count`; None where it is not held here.

        That is so when the rows are many, and when something is taken out as well.
        """
        if self.deltas is None or self.rewrite.removed.rows:
            return None
        return pa.RecordBatch.from_pylist(
            [
                grain_of(mart, month, keys) | dict.fromkeys(mart.measures, total.amount) | {"row_count": total.rows}
                for (month, *keys), total in self.deltas[mart.table].items()
            ]
        )

    @property
    def is_small(self) -> bool:
        """Whether all that is written is done soonest by one task for each output."""
        return sum(file.rows_read for file in self.files) + self.rewrite.kept_totals.rows <= SMALL_ROWS

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
