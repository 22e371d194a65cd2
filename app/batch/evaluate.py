"""Evaluate a batch: which rows are loaded, rejected or pending, and the exact figures of each, before anything is written.

Everything is computed from one persisted frame, so facts, deltas, quarantine and counts cannot disagree.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.batch.classify import classify_pending, classify_scanned, missing_key_rows
from app.batch.context import Job
from app.batch.corrected_rows import still_rejected, with_mended_lines
from app.batch.counts import Census, LineBases
from app.batch.file_outcomes import (
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
from app.batch.held_rows import hold
from app.batch.refused import note_refused
from app.batch.replace_parts import Undo, plan_rewrite, plan_undo
from app.batch.result import Evaluation
from app.batch.stored_rows import read_waiting, stored_parts
from app.ledger.types import Attempt, FileResult, FileState, QuarantinePart
from app.model.marts import MARTS, Mart
from app.model.tally import PENDING
from app.s3.prefixes import pending_part_prefix
from app.source.dimensions import LOOKUP_KEYS, DimensionSet, any_key_known
from app.source.scan import scan
from app.source.splits import ScanFile, broken_borders, line_bases, plan_splits

log = logging.getLogger(__name__)

# Files of this size together are read by a few tasks, and their rows held without what makes many rows small.
SMALL_BYTES = 4 << 20


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
        is_small = sum(file.version.size for file in attempt.files) <= SMALL_BYTES and not undo.waiting
        with ExitStack() as on_the_way_out:
            if frame is not None:
                frame, release = hold(frame, is_small=is_small)
                on_the_way_out.callback(release)
            found = _take(job, attempt, frame, dimensions, plan, undo, marts=MARTS if is_small else ())
            if found is not None:
                return replace(found, release=on_the_way_out.pop_all().close)


def _classified(job: Job, attempt: Attempt, dimensions: DimensionSet, plan: Plan, undo: Undo) -> DataFrame | None:
    """Return the rows of everything that is read, each with its outcome; None where nothing is."""
    frames = []
    if attempt.files:
        frames.append(_scanned(job, attempt, dimensions, plan))
        if attempt.is_mending:
            frames.append(still_rejected(job, attempt, frames[0]))
    if undo.waiting:
        prefixes = [pending_part_prefix(job.config.s3, key) for key in undo.waiting]
        rows = read_waiting(job.spark, job.config.s3, job.contract, stored_parts(job.clients, job.config.s3, prefixes))
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


def _take(
    job: Job,
    attempt: Attempt,
    frame: DataFrame | None,
    dimensions: DimensionSet,
    plan: Plan,
    undo: Undo,
    *,
    marts: tuple[Mart, ...],
) -> Evaluation | None:
    """Take the figures of a classified frame; None when the plan changed and the evaluation must start over."""
    census = Census.take(frame, marts) if frame is not None else Census()
    read = {file.id for file in attempt.files}
    # Mended rows have the lines of their file.
    bases: dict[tuple[int, int], int] = {} if attempt.is_mending else line_bases(census.markers)
    headers: dict[int, str] = {}
    results: list[FileResult] = []
    if attempt.files:
        assert frame is not None, "files are read into a frame"
        crossed = broken_borders(census.markers)
        if crossed:
            log.info("batch=%s files=%s have quoted line breaks across splits: scanned whole", attempt.batch_key, sorted(crossed))
            plan.whole |= crossed
            return None
        scanned = Scanned.of(attempt, census.markers, census)
        if attempt.is_mending:
            results = mended_results(attempt, scanned)
        else:
            frame = with_absolute_lines(frame, bases)
            if not _judge(job, attempt, scanned, bases, plan):
                return None
            results = file_results(attempt, scanned, plan)
            headers = headers_to_keep(scanned)
    loses = {result.file_id for result in results if result.state != FileState.COMMITTED} & set(undo.superseded.values())
    if loses:
        plan.replaces_nothing |= loses
        return None
    results += released_results(census, read)
    pending_rows = sum(result.rows_pending for result in results)
    if frame is not None and pending_rows and not plan.refreshed and any_key_known(job.ledger.db, _missing(census, frame)):
        job.dimensions.refresh()
        plan.refreshed = True
        return None
    return Evaluation(
        frame=frame,
        dimensions=dimensions,
        files=tuple(results),
        undo=undo,
        rewrite=plan_rewrite(job, attempt, undo, dimensions),
        lost=dict(plan.lost),
        why=dict(plan.why),
        loaded=tuple(census.facts),
        quarantine=tuple(QuarantinePart(attempt.planned_at.date(), reason, rows) for reason, rows in sorted(census.by_reason.items())),
        rejects=(*plan.rejects, *census.rejects(read, job.contract, bases)),
        # Waiting rows were warned of when they were read.
        warnings=tuple(census.warned(read, bases)),
        headers=headers,
        pending_rows=pending_rows,
        deltas=census.deltas,
        missing=census.missing,
    )


def _judge(job: Job, attempt: Attempt, scanned: Scanned, bases: LineBases, plan: Plan) -> bool:
    """Find the files that are not loaded. Returns False when the frame holds rows of one, and the evaluation must start over.

    Raises:
        S3Error: S3 refuses all files, and not these alone.
        S3Unavailable: S3 gives no file, or did not give one of them this time.
    """
    own = [file.id for file in attempt.files] if attempt.operation is not None else []
    unusable = note_refused(job, attempt, scanned.markers, plan) | note_unusable(scanned.markers, plan)
    if unusable and plan.forget_duplicates():
        return False
    out = unusable | note_duplicates(job.ledger, job.contract, scanned, plan, own)
    spoilt = note_spoilt(job.contract, scanned, plan)
    # Their reasons stay in the ledger, or nobody could tell why the file was rejected.
    plan.rejects += scanned.census.rejects(spoilt, job.contract, bases)
    return not any(file_id in scanned.census.by_file for file_id in out | spoilt)


def with_absolute_lines(frame: DataFrame, bases: dict[tuple[int, int], int]) -> DataFrame:
    """Turn line numbers relative to a split into those of the file. Needs `_file_id`, `_split`, `_line`. Same rows."""
    if not bases:
        return frame
    key = F.concat_ws("/", F.col("_file_id"), F.col("_split"))
    entries = [F.lit(item) for (file_id, split), base in bases.items() for item in (f"{file_id}/{split}", base)]
    return frame.withColumn("_line", F.col("_line") + F.coalesce(F.create_map(*entries)[key], F.lit(0)))


def _missing(census: Census, frame: DataFrame) -> dict[str, set[int]]:
    """Return the keys that pending rows wait for, by dimension; where these are many, some of them."""
    missing: dict[str, set[int]] = defaultdict(set)
    if census.missing is not None:
        for _, dimension, key in census.missing:
            missing[dimension].add(key)
        return missing
    wanted = missing_key_rows(frame.where(F.col("_outcome") == PENDING)).select("dimension", "key_value").distinct()
    for row in wanted.limit(LOOKUP_KEYS).collect():
        missing[row["dimension"]].add(row["key_value"])
    return missing
