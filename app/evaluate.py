"""Evaluate a batch: which rows are loaded, rejected or pending, and the exact figures of each, before anything is written.

Everything is computed from one persisted frame, so facts, deltas, quarantine and counts cannot disagree.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.census import Census, count_rejects, count_warnings
from app.core.classify import LOADED, PENDING, REJECTED, classify_pending, classify_scanned, missing_key_rows
from app.dimensions import LOOKUP_KEYS, DimensionSet, any_key_known
from app.job import Job
from app.ledger_types import Attempt, Change, FactPart, FileResult, FileState, Outcome, QuarantinePart, Reject, RuleWarning, Withdrawn
from app.mend import still_rejected, with_mended_lines
from app.prefixes import pending_part_prefix
from app.sinks.facts import s3a
from app.sinks.marts import Totals
from app.source.scan import markers_of, scan
from app.source.splits import ScanFile, broken_borders, line_bases, plan_splits
from app.undo import NOTHING_REWRITTEN, NOTHING_UNDONE, Rewrite, Undo, plan_rewrite, plan_undo, total_of
from app.verdicts import (
    Plan,
    Scanned,
    file_results,
    headers_to_keep,
    mended_results,
    note_duplicates,
    note_spoilt,
    note_unusable,
    released_results,
)

log = logging.getLogger(__name__)

# Rows that a task writes in less time than a shuffle takes.
SMALL_ROWS = 20_000


@dataclass(frozen=True)
class Evaluation:
    """The persisted rows of a batch and what they add up to; without a frame when it reads nothing new."""

    frame: DataFrame | None
    dimensions: DimensionSet
    files: tuple[FileResult, ...]
    undo: Undo = NOTHING_UNDONE
    rewrite: Rewrite = NOTHING_REWRITTEN
    lost: dict[int, FileState] = field(default_factory=dict)
    loaded: tuple[FactPart, ...] = ()
    quarantine: tuple[QuarantinePart, ...] = ()
    rejects: tuple[Reject, ...] = ()
    warnings: tuple[RuleWarning, ...] = ()
    headers: Mapping[int, str] = field(default_factory=dict)
    pending_rows: int = 0

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


def evaluate(job: Job, attempt: Attempt) -> Evaluation:
    """Read, type, check and classify all rows of an attempt, and find what it takes out of what was loaded before.

    Starts over when a quoted record crosses a split border, when a file turns out to be unreadable half way, when a missing dimension
    key is in its table by now, and when a file that was to replace an earlier one is not loaded.

    Raises:
        LedgerError: a file reported nothing, or its rows do not add up.
        BatchFailed: the facts do not hold what the ledger says of a file that is taken out.
        S3Unavailable: not all bytes of a file were read.
    """
    plan = Plan()
    while True:
        dimensions = job.dimensions.current()
        undo = plan_undo(job.ledger, job.contract, attempt, frozenset(plan.replaces_nothing))
        frame = _classified(job, attempt, dimensions, plan, undo)
        if frame is not None:
            frame = frame.persist(StorageLevel.MEMORY_AND_DISK)
        found = _take(job, attempt, frame, dimensions, plan, undo)
        if found is not None:
            return found
        if frame is not None:
            frame.unpersist()


def _classified(job: Job, attempt: Attempt, dimensions: DimensionSet, plan: Plan, undo: Undo) -> DataFrame | None:
    """Return the rows of everything that is read, each with its outcome; None where nothing is."""
    frames = []
    if attempt.files:
        frames.append(_scanned(job, attempt, dimensions, plan))
        if attempt.is_mending:
            frames.append(still_rejected(job, attempt, frames[0]))
    if undo.waiting:
        rows = job.spark.read.parquet(*(s3a(job.config.s3, pending_part_prefix(job.config.s3, key)) for key in undo.waiting))
        waiting = rows.where(~F.col("_file_id").isin(sorted(undo.files))) if undo.files else rows
        frames.append(classify_pending(waiting, dimensions.lookups))
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames) if frames else None


def _scanned(job: Job, attempt: Attempt, dimensions: DimensionSet, plan: Plan) -> DataFrame:
    files = [ScanFile(f.id, f.version.bucket, f.version.key, f.version.etag, f.version.size) for f in attempt.files if plan.is_open(f.id)]
    stream = job.config.stream
    splits = plan_splits(files, stream.split_bytes, whole=frozenset(plan.whole))
    rows = scan(job.spark, splits, job.contract, stream, dimensions.lookups, job.clients)
    if attempt.is_mending:
        rows = rows.transform(with_mended_lines)
    return classify_scanned(rows, job.contract, attempt.planned_at.date())


def _take(job: Job, attempt: Attempt, frame: DataFrame | None, dimensions: DimensionSet, plan: Plan, undo: Undo) -> Evaluation | None:
    """Take the figures of a classified frame; None when the plan changed and the evaluation must start over."""
    census = Census.take(frame) if frame is not None else Census()
    headers: dict[int, str] = {}
    results: list[FileResult] = []
    if attempt.files:
        assert frame is not None, "files are read into a frame"
        markers = markers_of(frame)
        crossed = broken_borders(markers)
        if crossed:
            log.info("batch=%s files=%s have quoted line breaks across splits: scanned whole", attempt.batch_key, sorted(crossed))
            plan.whole |= crossed
            return None
        scanned = Scanned.of(attempt, markers, census)
        if attempt.is_mending:
            results = mended_results(attempt, scanned)
        else:
            frame = with_absolute_lines(frame, line_bases(markers))
            if not _judge(job, attempt, scanned, frame, plan):
                return None
            results = file_results(attempt, scanned, plan)
            headers = headers_to_keep(scanned)
    loses = {result.file_id for result in results if result.state != FileState.COMMITTED} & set(undo.superseded.values())
    if loses:
        plan.replaces_nothing |= loses
        return None
    results += released_results(census, {file.id for file in attempt.files})
    pending_rows = sum(result.rows_pending for result in results)
    if frame is not None and pending_rows and not plan.refreshed and _now_known(job, frame):
        job.dimensions.refresh()
        plan.refreshed = True
        return None
    return Evaluation(
        frame=frame,
        dimensions=dimensions,
        files=tuple(results),
        undo=undo,
        rewrite=plan_rewrite(job.spark, job.config.s3, job.ledger, attempt, undo),
        lost=dict(plan.lost),
        loaded=tuple(census.facts),
        quarantine=tuple(QuarantinePart(attempt.planned_at.date(), reason, rows) for reason, rows in sorted(census.by_reason.items())),
        rejects=(*plan.rejects, *_rejects(job, frame, census)),
        warnings=_warnings(attempt, frame, census),
        headers=headers,
        pending_rows=pending_rows,
    )


def _rejects(job: Job, frame: DataFrame | None, census: Census) -> list[Reject]:
    return count_rejects(frame.where(F.col("_outcome") == REJECTED), job.contract) if frame is not None and census.by_reason else []


def _warnings(attempt: Attempt, frame: DataFrame | None, census: Census) -> tuple[RuleWarning, ...]:
    """Count the warnings of the files that were read; waiting rows were counted when they were read."""
    if frame is None or not attempt.files or not census.warned:
        return ()
    read = F.col("_file_id").isin([file.id for file in attempt.files])
    return tuple(count_warnings(frame.where(F.col("_outcome").isin(LOADED, PENDING) & read)))


def _judge(job: Job, attempt: Attempt, scanned: Scanned, frame: DataFrame, plan: Plan) -> bool:
    """Find the files that are not loaded. Returns False when the frame holds rows of one, and the evaluation must start over."""
    own = [file.id for file in attempt.files] if attempt.operation is not None else []
    out = note_unusable(scanned.markers, plan) | note_duplicates(job.ledger, job.contract, scanned, plan, own)
    spoilt = note_spoilt(job.contract, scanned, plan)
    if spoilt:
        # Their reasons stay in the ledger, or nobody could tell why the file was rejected.
        plan.rejects += count_rejects(frame.where((F.col("_outcome") == REJECTED) & F.col("_file_id").isin(sorted(spoilt))), job.contract)
    return not any(file_id in scanned.census.by_file for file_id in out | spoilt)


def with_absolute_lines(frame: DataFrame, bases: dict[tuple[int, int], int]) -> DataFrame:
    """Turn line numbers relative to a split into those of the file. Needs `_file_id`, `_split`, `_line`. Same rows."""
    if not bases:
        return frame
    key = F.concat_ws("/", F.col("_file_id"), F.col("_split"))
    entries = [F.lit(item) for (file_id, split), base in bases.items() for item in (f"{file_id}/{split}", base)]
    return frame.withColumn("_line", F.col("_line") + F.coalesce(F.create_map(*entries)[key], F.lit(0)))


def _now_known(job: Job, frame: DataFrame) -> bool:
    wanted = missing_key_rows(frame.where(F.col("_outcome") == PENDING)).select("dimension", "key_value").distinct()
    missing: dict[str, set[int]] = defaultdict(set)
    for row in wanted.limit(LOOKUP_KEYS).collect():
        missing[row["dimension"]].add(row["key_value"])
    return any_key_known(job.ledger.db, missing)
