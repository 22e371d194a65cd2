"""Evaluate a batch: which rows are loaded, rejected or pending, and the exact figures of each, before anything is written.

Everything is made of the same held pieces, so facts, deltas, quarantine and counts cannot disagree.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace

from pyspark.sql import DataFrame

from app.batch.context import Job
from app.batch.corrected_rows import still_rejected
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
from app.batch.held_pieces import HeldPieces, InDriver, InSpark, made_by
from app.batch.mart_deltas import missing_keys
from app.batch.read_files import read_files
from app.batch.refused import note_refused
from app.batch.replace_parts import Undo, plan_rewrite, plan_undo
from app.batch.result import Evaluation
from app.batch.stored_rows import ReadWaiting, shared_parts, stored_parts, waiting_schema
from app.ledger.types import Attempt, FileResult, FileState, QuarantinePart
from app.s3.prefixes import pending_part_prefix
from app.source.dimensions import LOOKUP_KEYS, DimensionSet, any_key_known
from app.source.splits import ScanFile, broken_borders, is_gzip_name, line_bases, plan_splits

log = logging.getLogger(__name__)

# The pieces of files of this size together come to the driver with the job that makes them, where they may be written at once.
SMALL_BYTES = 4 << 20
# What a byte of a compressed file may be by then: pieces are compressed as well.
GZIP_RATIO = 20


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
        with ExitStack() as held:
            pieces = _read(job, attempt, dimensions, plan, undo, held)
            found = _take(job, attempt, pieces, dimensions, plan, undo, held)
            if found is not None:
                return replace(found, release=held.pop_all().close)


def _read(job: Job, attempt: Attempt, dimensions: DimensionSet, plan: Plan, undo: Undo, held: ExitStack) -> HeldPieces:
    """Read everything that is read, and hold its pieces until `held` is closed."""
    is_small = is_small_batch(attempt) and not undo.waiting

    def hold(frame: DataFrame) -> HeldPieces:
        return _until(held, InDriver.collected(frame) if is_small else InSpark.held(frame))

    pieces: HeldPieces = InDriver(())
    if attempt.files:
        files = [
            ScanFile(f.id, f.version.bucket, f.version.key, f.version.etag, f.version.size) for f in attempt.files if plan.is_open(f.id)
        ]
        splits = plan_splits(files, job.config.stream.split_bytes, whole=frozenset(plan.whole))
        pieces = hold(read_files(job, attempt, splits, dimensions.lookups))
        if attempt.is_mending:
            pieces = pieces.plus(_until(held, still_rejected(job, attempt, pieces)))
    if undo.waiting:
        pieces = pieces.plus(hold(_waiting(job, dimensions, undo)))
    return pieces


def _until(held: ExitStack, pieces: HeldPieces) -> HeldPieces:
    held.callback(pieces.release)
    return pieces


def is_small_batch(attempt: Attempt) -> bool:
    """Tell whether the pieces of an attempt's files are few."""
    return sum(file.version.size * (GZIP_RATIO if is_gzip_name(file.version.key) else 1) for file in attempt.files) <= SMALL_BYTES


def _waiting(job: Job, dimensions: DimensionSet, undo: Undo) -> DataFrame:
    config, contract = job.config.s3, job.contract
    parts = stored_parts(job.clients, config, [pending_part_prefix(config, key) for key in undo.waiting])
    target = waiting_schema(config, contract, parts)
    tasks = shared_parts(parts, job.config.stream.split_bytes, job.spark.sparkContext.defaultParallelism)
    work = ReadWaiting(job.clients, contract, dimensions.lookups, parts, tasks, target, frozenset(undo.files))
    return made_by(job.spark, work, len(tasks))


def _take(
    job: Job,
    attempt: Attempt,
    pieces: HeldPieces,
    dimensions: DimensionSet,
    plan: Plan,
    undo: Undo,
    held: ExitStack,
) -> Evaluation | None:
    """Take the figures of what was read; None when the plan changed and the evaluation must start over."""
    census = Census.take(pieces.counts)
    read = {file.id for file in attempt.files}
    # Mended rows have the lines of their file.
    bases: dict[tuple[int, int], int] = {} if attempt.is_mending else line_bases(census.markers)
    headers: dict[int, str] = {}
    results: list[FileResult] = []
    if attempt.files:
        crossed = broken_borders(census.markers)
        if crossed:
            log.info("batch=%s files=%s have quoted line breaks across splits: scanned whole", attempt.batch_key, sorted(crossed))
            plan.whole |= crossed
            return None
        scanned = Scanned.of(attempt, census.markers, census)
        if attempt.is_mending:
            results = mended_results(attempt, scanned)
        else:
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
    if pending_rows and not plan.refreshed and any_key_known(job.ledger.db, _missing(pieces)):
        job.dimensions.refresh()
        plan.refreshed = True
        return None
    rewrite, replaced = plan_rewrite(job, attempt, undo, dimensions)
    return Evaluation(
        pieces=pieces.plus(_until(held, replaced)),
        dimensions=dimensions,
        files=tuple(results),
        undo=undo,
        rewrite=rewrite,
        lost=dict(plan.lost),
        why=dict(plan.why),
        loaded=tuple(census.facts),
        quarantine=tuple(QuarantinePart(attempt.planned_at.date(), reason, rows) for reason, rows in sorted(census.by_reason.items())),
        rejects=(*plan.rejects, *census.rejects(read, job.contract, bases)),
        # Waiting rows were warned of when they were read.
        warnings=tuple(census.warned(read, bases)),
        headers=headers,
        pending_rows=pending_rows,
        bases=bases,
    )


def _judge(job: Job, attempt: Attempt, scanned: Scanned, bases: LineBases, plan: Plan) -> bool:
    """Find the files that are not loaded. Returns False when the pieces hold rows of one, and the evaluation must start over.

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


def _missing(pieces: HeldPieces) -> dict[str, set[int]]:
    """Return the keys that waiting rows wait for, by dimension; where these are many, some of them."""
    missing: dict[str, set[int]] = defaultdict(set)
    for _, dimension, key, _ in missing_keys(pieces):
        if len(missing[dimension]) < LOOKUP_KEYS:
            missing[dimension].add(key)
    return missing
