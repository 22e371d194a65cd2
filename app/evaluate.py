"""Evaluate a batch: which rows are loaded, rejected or pending, and the exact figures of each, before anything is written.

Everything is computed from one persisted frame, so facts, deltas, quarantine and counts cannot disagree.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from app.census import Census, count_rejects
from app.config import Config
from app.core.classify import LOADED, PENDING, REJECTED, classify_pending, classify_scanned, missing_key_rows
from app.core.contract import Contract
from app.dimensions import LOOKUP_KEYS, Dimensions, DimensionSet, any_key_known
from app.errors import LedgerError
from app.ledger import Ledger
from app.ledger_types import Attempt, FactPart, FileResult, FileState, QuarantinePart, Reject
from app.s3 import ClientFactory
from app.sinks.facts import s3a
from app.source.scan import markers_of, raw_text, scan
from app.source.splits import OK, Marker, ScanFile, broken_borders, line_bases, plan_splits

log = logging.getLogger(__name__)

LOST = {"OVERWRITTEN": FileState.OVERWRITTEN, "GONE": FileState.GONE}


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
    pending_rows: int = 0

    @property
    def rows_loaded(self) -> int:
        """Rows that go into facts and marts."""
        return sum(result.rows_loaded for result in self.files)

    def rows(self, outcome: str) -> DataFrame:
        """Return the rows of one outcome."""
        return self.frame.where(F.col("_outcome") == outcome)


@dataclass
class _Plan:
    """What an evaluation already learnt and must respect when it starts over."""

    whole: set[int] = field(default_factory=set)
    results: dict[int, FileResult] = field(default_factory=dict)
    lost: dict[int, FileState] = field(default_factory=dict)
    refreshed: bool = False


def evaluate(job: Job, attempt: Attempt) -> Evaluation:
    """Read, type, check and classify all rows of an attempt.

    Starts over when a quoted record crosses a split border, when a file turns out to be unreadable half way, and when a missing
    dimension key is in its table by now.

    Raises:
        LedgerError: a file reported nothing, or its rows do not add up.
    """
    plan = _Plan()
    while True:
        dimensions = job.dimensions.current()
        frame = _classified(job, attempt, dimensions, plan).persist(StorageLevel.MEMORY_AND_DISK)
        found = _take(job, attempt, frame, dimensions, plan)
        if found is not None:
            return found
        frame.unpersist()


def _classified(job: Job, attempt: Attempt, dimensions: DimensionSet, plan: _Plan) -> DataFrame:
    if attempt.operation is not None:
        rows = job.spark.read.parquet(*_pending_paths(job, attempt))
        return classify_pending(rows, dimensions.frames)
    files = [
        ScanFile(f.id, f.version.bucket, f.version.key, f.version.etag, f.version.size)
        for f in attempt.files
        if f.id not in plan.results and f.id not in plan.lost
    ]
    stream = job.config.stream
    splits = plan_splits(files, stream.split_bytes, whole=frozenset(plan.whole))
    rows = scan(job.spark, splits, job.contract, stream, job.clients).withColumn("_raw", raw_text(job.contract))
    return classify_scanned(rows, job.contract, dimensions.frames, attempt.planned_at.date())


def _take(job: Job, attempt: Attempt, frame: DataFrame, dimensions: DimensionSet, plan: _Plan) -> Evaluation | None:
    """Take the figures of a classified frame; None when the plan changed and the evaluation must start over."""
    census = Census.take(frame)
    if attempt.operation is None:
        markers = markers_of(frame)
        crossed = broken_borders(markers)
        if crossed:
            log.info("batch=%s files=%s have quoted line breaks across splits: scanned whole", attempt.batch_key, sorted(crossed))
            plan.whole |= crossed
            return None
        unusable = _unusable(attempt, markers, plan) | _duplicates(job, attempt, markers, plan)
        if any(file_id in census.by_file for file_id in unusable):
            return None
        results = _file_results(attempt, census, markers, plan)
        frame = with_absolute_lines(frame, line_bases(markers))
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
        rejects=tuple(count_rejects(rejected)) if census.by_reason else (),
        pending_rows=pending_rows,
    )


def with_absolute_lines(frame: DataFrame, bases: dict[tuple[int, int], int]) -> DataFrame:
    """Turn line numbers relative to a split into those of the file. Needs `_file_id`, `_split`, `_line`. Same rows."""
    if not bases:
        return frame
    key = F.concat_ws("/", F.col("_file_id"), F.col("_split"))
    entries = [F.lit(item) for (file_id, split), base in bases.items() for item in (f"{file_id}/{split}", base)]
    return frame.withColumn("_line", F.col("_line") + F.coalesce(F.create_map(*entries)[key], F.lit(0)))


def _unusable(attempt: Attempt, markers: list[Marker], plan: _Plan) -> set[int]:
    """Note the files that cannot be loaded as a whole: rejected ones with their reason, lost ones with their state."""
    found = set()
    for marker in markers:
        if marker.outcome == OK or marker.file_id in plan.results or marker.file_id in plan.lost:
            continue
        found.add(marker.file_id)
        if marker.outcome in LOST:
            plan.lost[marker.file_id] = LOST[marker.outcome]
        else:
            plan.results[marker.file_id] = FileResult(
                marker.file_id, FileState.REJECTED, reason_code=marker.outcome, reason_detail=marker.detail, content_digest=marker.digest
            )
    return found


def _duplicates(job: Job, attempt: Attempt, markers: list[Marker], plan: _Plan) -> set[int]:
    """Note the files whose content already counts, in the ledger or earlier in this batch; a file without rows is no duplicate."""
    policy = job.contract.settings.duplicates
    if policy == "process":
        return set()
    known = plan.results.keys() | plan.lost.keys()
    contents = {m.file_id: m.digest for m in markers if m.digest and m.rows and m.outcome == OK and m.file_id not in known}
    originals = job.ledger.files_in_force(set(contents.values()))
    found = set()
    for file_id, digest in sorted(contents.items()):
        original = originals.setdefault(digest, file_id)
        if original != file_id:
            state = FileState.DUPLICATE if policy == "skip" else FileState.REJECTED
            detail = f"same content as file {original}"
            plan.results[file_id] = FileResult(file_id, state, reason_code="DUPLICATE", reason_detail=detail, content_digest=digest)
            found.add(file_id)
    return found


def _file_results(attempt: Attempt, census: Census, markers: list[Marker], plan: _Plan) -> list[FileResult]:
    """Put together each file's counts: rows read as the scan counted them, the rest from the census.

    Raises:
        LedgerError: a file of the batch was not scanned, or its rows do not add up.
    """
    read: dict[int, int] = defaultdict(int)
    digests: dict[int, bytes | None] = {}
    for marker in markers:
        read[marker.file_id] += marker.rows
        digests[marker.file_id] = marker.digest
    results = []
    for file in attempt.files:
        if file.id in plan.lost:
            continue
        if file.id in plan.results:
            results.append(plan.results[file.id])
            continue
        if file.id not in read:
            raise LedgerError(f"batch {attempt.batch_key}: file {file.id} {file.version.key!r} was claimed but not scanned")
        counts = census.by_file.get(file.id, defaultdict(int))
        results.append(
            FileResult(
                file.id,
                rows_read=read[file.id],
                rows_loaded=counts[LOADED],
                rows_rejected=counts[REJECTED],
                rows_pending=counts[PENDING],
                content_digest=digests[file.id],
            )
        )
    return results


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
