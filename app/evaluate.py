"""Evaluate a batch: which rows are loaded, rejected or pending, and the exact figures of each, before anything is written.

Everything is computed from one persisted frame, so facts, deltas, quarantine and counts cannot disagree.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from app.census import Census, count_rejects, count_warnings
from app.config import Config
from app.core.classify import LOADED, PENDING, REJECTED, classify_pending, classify_scanned, missing_key_rows
from app.core.contract import Contract
from app.dimensions import LOOKUP_KEYS, Dimensions, DimensionSet, any_key_known
from app.ledger import Ledger
from app.ledger_types import Attempt, FactPart, FileResult, FileState, QuarantinePart, Reject, RuleWarning
from app.s3 import ClientFactory
from app.sinks.facts import s3a
from app.source.scan import markers_of, raw_text, scan
from app.source.splits import ScanFile, broken_borders, line_bases, plan_splits
from app.verdicts import Plan, Scanned, file_results, headers_to_keep, note_duplicates, note_spoilt, note_unusable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What every micro-batch of a run shares."""

    spark: SparkSession
    config: Config
    contract: Contract
    ledger: Ledger
    dimensions: Dimensions

    @property
    def clients(self) -> ClientFactory:
        """The maker of S3 clients, for the driver and for Python workers."""
        return ClientFactory(self.config.s3)


@dataclass(frozen=True)
class Evaluation:
    """The persisted rows of a batch and what they add up to."""

    frame: DataFrame
    dimensions: DimensionSet
    files: tuple[FileResult, ...]
    lost: dict[int, FileState] = field(default_factory=dict)
    facts: tuple[FactPart, ...] = ()
    quarantine: tuple[QuarantinePart, ...] = ()
    rejects: tuple[Reject, ...] = ()
    warnings: tuple[RuleWarning, ...] = ()
    headers: Mapping[int, str] = field(default_factory=dict)
    pending_rows: int = 0

    @property
    def rows_loaded(self) -> int:
        """Rows that go into facts and marts."""
        return sum(result.rows_loaded for result in self.files)

    def rows(self, outcome: str) -> DataFrame:
        """Return the rows of one outcome."""
        return self.frame.where(F.col("_outcome") == outcome)


def evaluate(job: Job, attempt: Attempt) -> Evaluation:
    """Read, type, check and classify all rows of an attempt.

    Starts over when a quoted record crosses a split border, when a file turns out to be unreadable half way, and when a missing
    dimension key is in its table by now.

    Raises:
        LedgerError: a file reported nothing, or its rows do not add up.
        S3Unavailable: not all bytes of a file were read.
    """
    plan = Plan()
    while True:
        dimensions = job.dimensions.current()
        frame = _classified(job, attempt, dimensions, plan).persist(StorageLevel.MEMORY_AND_DISK)
        found = _take(job, attempt, frame, dimensions, plan)
        if found is not None:
            return found
        frame.unpersist()


def _classified(job: Job, attempt: Attempt, dimensions: DimensionSet, plan: Plan) -> DataFrame:
    if attempt.operation is not None:
        rows = job.spark.read.parquet(*_pending_paths(job, attempt))
        return classify_pending(rows, dimensions.frames)
    files = [ScanFile(f.id, f.version.bucket, f.version.key, f.version.etag, f.version.size) for f in attempt.files if plan.is_open(f.id)]
    stream = job.config.stream
    splits = plan_splits(files, stream.split_bytes, whole=frozenset(plan.whole))
    rows = scan(job.spark, splits, job.contract, stream, job.clients).withColumn("_raw", raw_text(job.contract))
    return classify_scanned(rows, job.contract, dimensions.frames, attempt.planned_at.date())


def _take(job: Job, attempt: Attempt, frame: DataFrame, dimensions: DimensionSet, plan: Plan) -> Evaluation | None:
    """Take the figures of a classified frame; None when the plan changed and the evaluation must start over."""
    census = Census.take(frame)
    headers: dict[int, str] = {}
    warnings: list[RuleWarning] = []
    if attempt.operation is None:
        markers = markers_of(frame)
        crossed = broken_borders(markers)
        if crossed:
            log.info("batch=%s files=%s have quoted line breaks across splits: scanned whole", attempt.batch_key, sorted(crossed))
            plan.whole |= crossed
            return None
        scanned = Scanned.of(attempt, markers, census)
        frame = with_absolute_lines(frame, line_bases(markers))
        if not _judge(job, scanned, frame, plan):
            return None
        results = file_results(attempt, scanned, plan)
        headers = headers_to_keep(scanned)
        # Released rows were counted when they were read.
        warnings = count_warnings(frame.where(F.col("_outcome").isin(LOADED, PENDING))) if census.warned else []
    else:
        results = [
            FileResult(file_id, rows_read=sum(counts.values()), rows_loaded=counts[LOADED], rows_pending=counts[PENDING])
            for file_id, counts in sorted(census.by_file.items())
        ]
    pending_rows = sum(result.rows_pending for result in results)
    if pending_rows and not plan.refreshed and _now_known(job, frame):
        job.dimensions.refresh()
        plan.refreshed = True
        return None
    rejected = frame.where(F.col("_outcome") == REJECTED)
    return Evaluation(
        frame=frame,
        dimensions=dimensions,
        files=tuple(results),
        lost=dict(plan.lost),
        facts=tuple(census.facts),
        quarantine=tuple(QuarantinePart(attempt.planned_at.date(), reason, rows) for reason, rows in sorted(census.by_reason.items())),
        rejects=(*plan.rejects, *(count_rejects(rejected, job.contract) if census.by_reason else ())),
        warnings=tuple(warnings),
        headers=headers,
        pending_rows=pending_rows,
    )


def _judge(job: Job, scanned: Scanned, frame: DataFrame, plan: Plan) -> bool:
    """Find the files that are not loaded. Returns False when the frame holds rows of one, and the evaluation must start over."""
    out = note_unusable(scanned.markers, plan) | note_duplicates(job.ledger, job.contract, scanned, plan)
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


def _pending_paths(job: Job, attempt: Attempt) -> list[str]:
    assert attempt.operation is not None, "only operations read pending rows"
    config = job.config.s3
    keys = job.ledger.pending_parts(attempt.operation.id)
    return [s3a(config, f"{config.pending_prefix}batch_key={key}/") for key in keys]
