"""The story of one micro-batch, top to bottom. The numbers are those of the picture in docs/architecture.md.

Spark calls `process_batch` at least once for every batch number; the ledger makes it exactly once: nothing counts before the one
transaction of step 7, and everything written before it carries the attempt's own key (docs/decisions/0012-exactly-once.md).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from app.batch.check_inputs import InputChanged, check_inputs, leave_superseded, lose_files
from app.batch.cleanup import clear_leftovers, withdraw
from app.batch.context import Job
from app.batch.evaluate import evaluate
from app.batch.outcome_log import log_outcomes
from app.batch.result import Evaluation
from app.batch.rewrite import total_of
from app.batch.step_log import step
from app.batch.write import write_outputs
from app.contract.masking import sensitive_columns
from app.errors import BatchFailed, LedgerError, OwnershipError, PipelineError, SparkGone, TransientError
from app.failpoints import failpoint
from app.ledger.commit import book_files, close_batch, is_open, publish_parts
from app.ledger.commit_operation import book_operation, book_superseded
from app.ledger.duplicates import Limits, contents_at_stake, request_heirs
from app.ledger.records import Attempt, Outcome
from app.ledger.restore_guard import Marker, write_marker
from app.model.marts import MARTS
from app.model.totals import Totals
from app.mysql.database import Tx
from app.sinks.marts import check_stage, merge
from app.spark.errors import failure_of, without_values

log = logging.getLogger(__name__)


def process_batch(job: Job, batch_id: int) -> None:
    """Bring one planned batch to its end, whatever happened to earlier attempts; a finished one is left alone.

    Raises:
        PipelineError: the batch cannot be finished; nothing of it is committed.
    """
    for attempt in _attempts(job.config.stream.max_attempts):
        with attempt:
            try:
                while not _attempt_batch(job, batch_id):
                    log.info("batch=%d starts over without the files that changed", batch_id)
            except BatchFailed as exc:
                verdict = job.ledger.isolate(batch_id, str(exc), job.config.stream.max_attempts, replaces=job.contract.replaces)
                if verdict is None:
                    raise
                log.error("batch=%d %s: %s", batch_id, verdict, exc)


def _attempt_batch(job: Job, batch_id: int) -> bool:
    """Make one attempt. Returns False when its input changed and it must start over at once."""
    started = time.monotonic()
    attempt = job.ledger.begin(batch_id, job.contract.hash)  # 1
    if attempt is None:
        return True
    failpoint("after_begin")
    evaluation = None
    try:
        with step(attempt.batch_key, "begin", files=len(attempt.files)):
            clear_leftovers(job.ledger, job.config, job.clients(), alive=attempt.batch_key)
            leave_superseded(job, attempt)
        with step(attempt.batch_key, "evaluate") as figures:
            evaluation = evaluate(job, attempt)  # 2, 3, 4
            figures |= {"rows_loaded": evaluation.rows_loaded, "parts": len(evaluation.facts)}
        failpoint("after_scan")
        if evaluation.lost:
            lose_files(job, attempt, evaluation.lost)
        outcome = evaluation.outcome()
        with step(attempt.batch_key, "plan", files=len(outcome.files), parts=len(outcome.facts)):
            job.ledger.plan_outcome(attempt, outcome)
        written = write_outputs(job, attempt, evaluation)  # 5, 6
        with step(attempt.batch_key, "check_inputs", files=len(outcome.files)):
            check_inputs(job, attempt, outcome)
        with step(attempt.batch_key, "commit", files=len(outcome.files), rows_loaded=outcome.rows_loaded):
            commit(job, attempt, evaluation, written)  # 7
    except InputChanged as exc:
        log.info("batch=%s %s", attempt.batch_key, exc)
        return False
    except Exception as exc:
        has_secrets = bool(sensitive_columns(job.contract))
        error = without_values(_as_own(exc)) if has_secrets else _as_own(exc)
        _note_failure(job, attempt, error)
        if has_secrets:
            raise error from None  # a trace would show what the line hides
        raise error from exc
    finally:
        if evaluation is not None:
            evaluation.release()
    failpoint("after_commit")
    _log_committed(attempt, outcome, time.monotonic() - started)
    log_outcomes(attempt, outcome)
    _mark_committed(job, attempt)
    return True


def commit(job: Job, attempt: Attempt, evaluation: Evaluation, written: Totals) -> None:
    """Make the batch count: marts, files, parts and batch in one transaction, or nothing at all.

    Raises:
        LedgerError: rows loaded, facts written and deltas staged do not agree.
        OwnershipError: another instance has taken over.
    """
    outcome = evaluation.outcome()
    planned = total_of(outcome.facts)
    if written != planned or written.rows != outcome.rows_loaded + evaluation.rewrite.kept_totals.rows:
        raise LedgerError(f"batch {attempt.batch_key}: facts hold {written}, planned were {planned}, loaded {outcome.rows_loaded}")

    def final(tx: Tx) -> list[int]:
        return change_everything(tx, job, attempt, evaluation, outcome) if is_open(tx, attempt) else []

    heirs = job.ledger.write(final)
    if heirs:
        log.info("batch=%s replay requested for skipped files=%s: their originals do not count any more", attempt.batch_key, heirs)


def change_everything(tx: Tx, job: Job, attempt: Attempt, evaluation: Evaluation, outcome: Outcome) -> list[int]:
    """Change marts, files, parts and batch: all that a batch makes true, in the caller's transaction.

    Returns the skipped duplicates whose replay it requests, because nobody holds their content after this batch.

    Raises:
        LedgerError: the deltas staged are not what the facts change by, or a file is not as the attempt found it.
    """
    contents = contents_at_stake(tx, attempt, outcome)
    removes = evaluation.rewrite.removed.rows > 0
    for mart in MARTS if outcome.rows_loaded or removes else ():
        check_stage(tx, mart, attempt.batch_key, evaluation.delta)
        merge(tx, mart, attempt.batch_key, job.config.marts, removes=removes)
    if attempt.operation is None:
        book_files(tx, attempt, outcome)
        book_superseded(tx, attempt, outcome)
    else:
        book_operation(tx, attempt, outcome)
    publish_parts(tx, attempt, outcome)
    failpoint("in_commit")
    close_batch(tx, attempt, outcome, evaluation.dimensions.version)
    stream = job.config.stream
    limits = Limits(stream.max_files_per_trigger, stream.max_bytes_per_trigger)
    return request_heirs(tx, contents, limits, replaces=job.contract.replaces)


def _mark_committed(job: Job, attempt: Attempt) -> None:
    """Tell S3 as well that the batch counts: a ledger restored from a backup of the moment before knows its attempt, but not this."""
    try:
        write_marker(job.clients(), job.config.s3, Marker(job.ledger.epoch, attempt.batch_key, committed=True))
    except TransientError as exc:
        log.warning("batch=%s is committed; S3 could not be told: %s", attempt.batch_key, exc)


def _as_own(exc: Exception) -> PipelineError:
    """Return the error of ours that an exception stands for. What nobody foresaw may be a file's doing: the batch failed."""
    if isinstance(exc, PipelineError):
        return exc
    if isinstance(exc, Py4JJavaError | PySparkException):
        return failure_of(exc)
    if isinstance(exc, Py4JError | ConnectionError):
        return SparkGone("Spark's JVM does not answer any more")
    return BatchFailed(f"{type(exc).__name__}: {exc}".splitlines()[0])


def _note_failure(job: Job, attempt: Attempt, error: PipelineError) -> None:
    """Note the failure in the ledger, unless the ledger itself is what cannot be reached, or is another instance's by now."""
    try:
        if isinstance(error, OwnershipError):
            withdraw(job.ledger, job.config, job.clients(), attempt.batch_key)
            return
        failures = job.ledger.fail(attempt, str(error), is_counted=isinstance(error, BatchFailed))
        log.warning("batch=%s failed (%d of its own): %s", attempt.batch_key, failures, error)
    except PipelineError as note:
        log.warning("batch=%s failed: %s (and could not be noted: %s)", attempt.batch_key, error, note)


def _attempts(limit: int) -> Retrying:
    """Return the retry policy of a batch: only what may pass by itself is tried again, everything else stops the run."""
    return Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(limit),
        wait=wait_exponential_jitter(multiplier=0.5, max=10),
        reraise=True,
    )


def _log_committed(attempt: Attempt, outcome: Outcome, seconds: float) -> None:
    log.info(
        "batch=%s committed files=%d rows_read=%d rows_loaded=%d rows_rejected=%d rows_pending=%d parts=%d seconds=%.2f",
        attempt.batch_key,
        len(outcome.files),
        sum(f.rows_read for f in outcome.files),
        outcome.rows_loaded,
        sum(f.rows_rejected for f in outcome.files),
        outcome.pending_rows,
        len(outcome.facts),
        seconds,
    )


@dataclass
class BatchRunner:
    """The foreachBatch function of the stream: runs every planned batch, in order, unless the stream is stopping."""

    job: Job
    stopping: Callable[[], bool]
    failure: Exception | None = None
    finished: int = 0
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, _batch_df: object, _spark_batch_id: int) -> None:
        """Finish what is planned. Spark's own batch number means nothing here: it restarts at 0 with every checkpoint."""
        with self._busy:
            self.finish_planned()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no batch is running, but not for ever. Returns whether that was reached."""
        idle = self._busy.acquire(timeout=seconds)
        if idle:
            self._busy.release()
        return idle

    def finish_planned(self) -> None:
        """Run all unfinished batches of the ledger, those of a split one as well; a failure is kept for the supervisor and raised."""
        self.failure = None
        while not self.stopping() and (waiting := self.job.ledger.unfinished()):
            for batch_id in waiting:
                if self.stopping():
                    return
                try:
                    process_batch(self.job, batch_id)
                except Exception as exc:
                    self.failure = exc
                    raise
                self.finished += 1
