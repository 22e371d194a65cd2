"""Steps 5 and 6 of a micro-batch: stage the deltas and write facts, quarantine and pending rows, side by side.

Everything carries the attempt's key and counts for nothing before the final transaction (docs/decisions/0012-exactly-once.md).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from uuid import uuid4

from pyspark import inheritable_thread_target
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema

from app.batch.classify import missing_key_rows, sales_columns
from app.batch.context import Job
from app.batch.mart_deltas import delta_rows, to_delta, to_net_delta, with_mart_attributes
from app.batch.replace_parts import kept_rows, removed_rows
from app.batch.result import Evaluation
from app.batch.step_log import step
from app.batch.stored_rows import conformed
from app.errors import LedgerError
from app.failpoints import failpoint
from app.ledger.restore_guard import Marker, note_operation, write_marker
from app.ledger.types import Attempt
from app.model.dimensions import FactRows, fact_columns, fact_schema
from app.model.marts import MARTS, Mart
from app.model.tally import LOADED, PENDING, REJECTED
from app.model.totals import NOTHING, Totals
from app.sinks.facts import write_facts
from app.sinks.marts import stage_rows
from app.sinks.part_writer import as_they_are
from app.sinks.quarantine import write_pending, write_quarantine
from app.sinks.stage import append_rows
from app.spark.map_in_arrow import map_in_arrow

PENDING_KEY = "pending_key"
PENDING_KEY_COLUMNS = ("file_id", "dimension", "key_value", "row_count")


def write_outputs(job: Job, attempt: Attempt, evaluation: Evaluation) -> Totals:
    """Stage the deltas and write facts, quarantine and pending rows, side by side. Returns what went into the facts."""
    tasks: list[Callable[[], Totals | None]] = [lambda: _write_marker(job, attempt)]
    if evaluation.facts:
        tasks.append(lambda: _write_facts(job, attempt, evaluation))
    if evaluation.rows_loaded or evaluation.rewrite.removed.rows:
        tasks += [_stage_task(job, attempt, evaluation, mart) for mart in MARTS]
    if evaluation.quarantine:
        tasks.append(lambda: _write_quarantine(job, attempt, evaluation))
    if evaluation.pending_rows:
        tasks.append(lambda: _write_pending(job, attempt, evaluation))
    results = _side_by_side(job, attempt, tasks)
    failpoint("after_facts")
    return next((result for result in results if result is not None), NOTHING)


def _write_marker(job: Job, attempt: Attempt) -> None:
    """Tell S3 which attempt may commit next, so that a ledger that does not know it is found out to be older."""
    write_marker(job.clients(), job.config.s3, Marker(job.ledger.epoch, attempt.batch_key))
    if attempt.operation is not None:
        noted = job.ledger.asked_by_people(attempt)
        if noted is not None:
            note_operation(job.clients(), job.config.s3, noted)


def _write_facts(job: Job, attempt: Attempt, evaluation: Evaluation) -> Totals:
    failpoint("during_facts")

    rows = evaluation.rows(LOADED).select(*sales_columns(job.contract)) if evaluation.rows_loaded else None
    made = FactRows(evaluation.dimensions.lookups, fact_columns(job.contract))
    complete = made.of
    if evaluation.rewrite.kept:
        # These are fact rows already, with the attributes of their day.
        kept = kept_rows(job, evaluation.rewrite, evaluation.undo)
        if rows is not None:
            schema = fact_schema(to_arrow_schema(rows.schema), evaluation.dimensions.schemas, made.columns)
            kept = kept.union(conformed(map_in_arrow(rows, made, schema), kept.schema))
        rows, complete = kept, as_they_are
    assert rows is not None, "there are facts, so rows of them"
    with step(attempt.batch_key, "facts", rows=sum(part.rows for part in evaluation.facts)):
        return write_facts(rows, complete, attempt.batch_key, job.config.s3, job.clients, is_small=evaluation.is_small)


def _stage_task(job: Job, attempt: Attempt, evaluation: Evaluation, mart: Mart) -> Callable[[], None]:
    def stage() -> None:
        few = evaluation.few_deltas(mart)
        with step(attempt.batch_key, "stage", mart=mart.table, rows=evaluation.rows_loaded, removed=evaluation.rewrite.removed.rows):
            if few is not None:
                rows = list(delta_rows(few, mart, evaluation.dimensions.lookups))
                job.ledger.db.run(lambda tx: stage_rows(tx, mart.stage_table, mart.columns, attempt.batch_key, rows))
            else:
                append_rows(mart_deltas(job, evaluation, mart), mart.stage_table, attempt.batch_key, job.config.mysql)
        failpoint("after_stage")

    return stage


def mart_deltas(job: Job, evaluation: Evaluation, mart: Mart) -> DataFrame:
    """Return what is added to a mart, less what is taken out of it: the mart's columns, one row per grain key that is touched."""
    if evaluation.rewrite.removed.rows:
        removed = removed_rows(job, evaluation.rewrite, evaluation.undo)
        deltas = to_net_delta(evaluation.rows(LOADED) if evaluation.rows_loaded else None, removed, mart)
    else:
        deltas = to_delta(evaluation.rows(LOADED), mart)
    return with_mart_attributes(deltas, mart, evaluation.dimensions.lookups)


def _write_quarantine(job: Job, attempt: Attempt, evaluation: Evaluation) -> None:
    names = {file.id: file.key for file in attempt.files}
    planned = sum(part.rows for part in evaluation.quarantine)
    with step(attempt.batch_key, "quarantine", rows=planned):
        written = write_quarantine(
            evaluation.rows(REJECTED),
            names,
            attempt.batch_key,
            attempt.planned_at.date(),
            job.config.s3,
            job.clients,
            is_small=evaluation.is_small,
        )
    _check_rows("quarantine", attempt, written.rows, planned)
    failpoint("after_quarantine")


def _write_pending(job: Job, attempt: Attempt, evaluation: Evaluation) -> None:
    pending = evaluation.rows(PENDING)
    rows = pending.select(*sales_columns(job.contract))
    with step(attempt.batch_key, "pending", rows=evaluation.pending_rows):
        written = write_pending(rows, attempt.batch_key, job.config.s3, job.clients, is_small=evaluation.is_small)
        if evaluation.missing is None:
            append_rows(missing_key_rows(pending), PENDING_KEY, attempt.batch_key, job.config.mysql)
        else:
            keys = [(*key, count) for key, count in evaluation.missing.items()]
            job.ledger.db.run(lambda tx: stage_rows(tx, PENDING_KEY, PENDING_KEY_COLUMNS, attempt.batch_key, keys))
    _check_rows("pending rows", attempt, written.rows, evaluation.pending_rows)


def _check_rows(what: str, attempt: Attempt, written: int, planned: int) -> None:
    if written != planned:
        raise LedgerError(f"batch {attempt.batch_key}: {written} rows were written as {what}, planned were {planned}")


def _side_by_side(job: Job, attempt: Attempt, tasks: list[Callable[[], Totals | None]]) -> list[Totals | None]:
    """Run independent Spark jobs in parallel; when one fails, cancel the others and wait for them before raising."""
    context = job.spark.sparkContext
    # Of this call alone: Spark remembers a group that was cancelled.
    group = f"{attempt.batch_key}-{uuid4().hex}"

    def run(task: Callable[[], Totals | None]) -> Totals | None:
        context.setJobGroup(group, f"salestream batch {attempt.batch_key}", interruptOnCancel=True)
        return task()

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
    return [future.result() for future in futures]
