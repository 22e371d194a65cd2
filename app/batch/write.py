"""Steps 5 and 6 of a micro-batch: stage the deltas and write facts, quarantine and pending rows, side by side.

Everything carries the attempt's key and counts for nothing before the final transaction (docs/decisions/0012-exactly-once.md).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from decimal import Decimal
from uuid import uuid4

from pyspark import inheritable_thread_target

from app.batch.classify import sales_columns
from app.batch.context import Job
from app.batch.mart_deltas import mart_deltas, missing_keys
from app.batch.replace_parts import total_of
from app.batch.result import Evaluation
from app.batch.step_log import step
from app.errors import LedgerError
from app.failpoints import failpoint
from app.ledger.restore_guard import Marker, note_operation, write_marker
from app.ledger.types import Attempt
from app.model.dimensions import FactRows, fact_columns
from app.model.marts import MARTS, Mart
from app.model.pieces import FACTS, KEPT, REJECTS, WAITERS
from app.model.totals import NOTHING, Totals
from app.sinks.marts import stage_rows
from app.sinks.part_writer import Part, PartWriter
from app.sinks.parts import (
    FACTS_WRITTEN,
    REJECTS_WRITTEN,
    WAITERS_WRITTEN,
    CompleteFacts,
    ConformedFacts,
    FileLines,
    fact_part,
    quarantine_part,
    waiting_part,
)

PENDING_KEY = "pending_key"
PENDING_KEY_COLUMNS = ("file_id", "dimension", "key_value", "row_count")


def write_outputs(job: Job, attempt: Attempt, evaluation: Evaluation) -> Totals:
    """Stage the deltas and write facts, quarantine and pending rows, side by side. Returns what went into the facts."""
    written: list[Totals] = []
    tasks: list[Callable[[], None]] = [lambda: _write_marker(job, attempt)]
    if evaluation.facts or evaluation.quarantine or evaluation.pending_rows:
        tasks.append(lambda: written.append(_write_parts(job, attempt, evaluation)))
    if evaluation.rows_loaded or evaluation.rewrite.removed.rows:
        tasks += [_stage_task(job, attempt, evaluation, mart) for mart in MARTS]
    if evaluation.pending_rows:
        tasks.append(lambda: _stage_missing(job, attempt, evaluation))
    _side_by_side(job, attempt, tasks)
    failpoint("after_facts")
    return written[0] if written else NOTHING


def _write_marker(job: Job, attempt: Attempt) -> None:
    """Tell S3 which attempt may commit next, so that a ledger that does not know it is found out to be older."""
    write_marker(job.clients(), job.config.s3, Marker(job.ledger.epoch, attempt.batch_key))
    if attempt.operation is not None:
        noted = job.ledger.asked_by_people(attempt)
        if noted is not None:
            note_operation(job.clients(), job.config.s3, noted)


def _write_parts(job: Job, attempt: Attempt, evaluation: Evaluation) -> Totals:
    """Write all Parquet of the batch, each part by whoever holds its pieces, and compare what was written with what was planned.

    Returns what went into the facts, as those who wrote it have counted it.

    Raises:
        LedgerError: other rows were written than planned.
    """
    failpoint("during_facts")
    writer = PartWriter(job.clients, job.config.s3.bucket, _parts(job, attempt, evaluation))
    planned = {
        FACTS_WRITTEN: total_of(evaluation.facts).rows,
        REJECTS_WRITTEN: sum(part.rows for part in evaluation.quarantine),
        WAITERS_WRITTEN: evaluation.pending_rows,
    }
    with step(attempt.batch_key, "parquet", **{what.replace(" ", "_"): rows for what, rows in planned.items()}):
        files = evaluation.pieces.write(writer)
    counted = dict.fromkeys(planned, NOTHING)
    for file in files:
        counted[file["what"]] += Totals(file["rows"], Decimal(file["amount"]))
    for what, rows in planned.items():
        check_rows(what, attempt, counted[what].rows, rows)
    if evaluation.quarantine:
        failpoint("after_quarantine")
    return counted[FACTS_WRITTEN]


def _parts(job: Job, attempt: Attempt, evaluation: Evaluation) -> dict[int, Part]:
    config, contract, key = job.config.s3, job.contract, attempt.batch_key
    lines = FileLines(evaluation.bases)
    target = evaluation.rewrite.schema
    # Month and store are in the path alone.
    made = FactRows(evaluation.dimensions.lookups, [name for name in fact_columns(contract) if name not in ("sales_month", "store_id")])
    parts = {
        FACTS: fact_part(config, key, CompleteFacts(made, lines, target)),
        REJECTS: quarantine_part(config, key, attempt.planned_at.date(), {file.id: file.key for file in attempt.files}, lines),
        WAITERS: waiting_part(config, key, sales_columns(contract), lines),
    }
    if target is not None:
        parts[KEPT] = fact_part(config, key, ConformedFacts(target, contract.settings.extra_columns))
    return parts


def _stage_task(job: Job, attempt: Attempt, evaluation: Evaluation, mart: Mart) -> Callable[[], None]:
    def stage() -> None:
        with step(attempt.batch_key, "stage", mart=mart.table, rows=evaluation.rows_loaded, removed=evaluation.rewrite.removed.rows):
            rows = mart_deltas(evaluation.pieces, mart, evaluation.dimensions.lookups.value)
            stage_rows(job.ledger.db, mart.stage_table, mart.columns, attempt.batch_key, rows)
        failpoint("after_stage")

    return stage


def _stage_missing(job: Job, attempt: Attempt, evaluation: Evaluation) -> None:
    with step(attempt.batch_key, "missing", rows=evaluation.pending_rows):
        stage_rows(job.ledger.db, PENDING_KEY, PENDING_KEY_COLUMNS, attempt.batch_key, missing_keys(evaluation.pieces))


def check_rows(what: str, attempt: Attempt, written: int, planned: int) -> None:
    """Compare what was written with what was planned.

    Raises:
        LedgerError: it is not the same.
    """
    if written != planned:
        raise LedgerError(f"batch {attempt.batch_key}: {written} rows were written as {what}, planned were {planned}")


def _side_by_side(job: Job, attempt: Attempt, tasks: list[Callable[[], None]]) -> None:
    """Run independent work, Spark jobs among it, in parallel; when one fails, cancel the others and wait for them before raising."""
    context = job.spark.sparkContext
    # Of this call alone: Spark remembers a group that was cancelled.
    group = f"{attempt.batch_key}-{uuid4().hex}"

    def run(task: Callable[[], None]) -> None:
        context.setJobGroup(group, f"salestream batch {attempt.batch_key}", interruptOnCancel=True)
        task()

    with ThreadPoolExecutor(len(tasks), thread_name_prefix="sink") as pool:
        futures = [pool.submit(inheritable_thread_target(job.spark)(run), task) for task in tasks]
        done, _ = wait(futures, return_when="FIRST_EXCEPTION")
        first = next((failure for future in done if (failure := future.exception()) is not None), None)
        if first is not None:
            # Also what is still being planned and would only then become a job.
            context._jsc.sc().cancelJobGroupAndFutureJobs(group)
    if first is not None:
        # The others fail by the cancellation, which says nothing of the cause.
        raise first
