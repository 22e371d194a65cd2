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
from datetime import UTC, datetime

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException
from tenacity import Retrying, retry_if_exception, sleep_using_event, stop_after_attempt, wait_exponential_jitter

from app.batch.breaker import Breaker
from app.batch.check_inputs import InputChanged, check_inputs, leave_superseded, lose_files
from app.batch.cleanup import clear_leftovers, withdraw
from app.batch.context import Job
from app.batch.evaluate import evaluate
from app.batch.mart_deltas import mart_deltas
from app.batch.outcome_log import log_outcomes
from app.batch.replace_parts import total_of
from app.batch.result import Evaluation
from app.batch.step_log import step
from app.batch.unrecorded_failures import keep_note
from app.batch.write import write_outputs
from app.contract.masking import sensitive_columns
from app.errors import (
    BatchFailed,
    EnvironmentFault,
    JobCancelled,
    LedgerError,
    OwnershipError,
    PipelineError,
    RestoredLedger,
    SparkGone,
    TaskRepeated,
    TransientError,
)
from app.failpoints import failpoint
from app.ledger.commit import book_files, close_batch, is_open, publish_parts
from app.ledger.commit_operation import book_operation, book_superseded
from app.ledger.duplicates import Limits, contents_at_stake, request_heirs
from app.ledger.operations import known_good
from app.ledger.restore_guard import Marker, write_marker
from app.ledger.types import Attempt, Operation, OperationKind, Outcome, SourceFile
from app.model.marts import MARTS
from app.model.totals import Totals
from app.mysql.database import Tx
from app.sinks.marts import check_stage, merge
from app.spark.errors import failure_of, without_values

log = logging.getLogger(__name__)

# Ends that may be the batch's doing or the machine's: memory, disk, executors that are lost. They count from the second time on.
UNEXPLAINED = (SparkGone, EnvironmentFault, TaskRepeated)
# Between two tries to cancel what an attempt that must end still does.
CANCEL_PAUSE_SECONDS = 0.25


def process_batch(job: Job, batch_id: int, breaker: Breaker, cancel: threading.Event) -> None:
    """Bring one planned batch to its end, whatever happened to earlier attempts; a finished one is left alone.

    Once `cancel` is set the attempt ends at its next step, and no other begins.

    Raises:
        PipelineError: the batch cannot be finished; nothing of it is committed.
    """
    for attempt in _attempts(job.config.stream.max_attempts, cancel):
        with attempt:
            try:
                while (rows_loaded := _attempt_batch(job, batch_id, cancel)) is None:
                    log.info("batch=%d starts over without the files that changed", batch_id)
            except (BatchFailed, *UNEXPLAINED) as exc:
                if not isinstance(exc, TransientError) or not breaker.isolate(batch_id, str(exc)):
                    raise
            else:
                breaker.committed(rows_loaded)


def probe(job: Job) -> bool | None:
    """Tell whether a file that was loaded before can still be read and evaluated; nothing is written. None: there is no such file.

    Raises:
        PipelineError: something else is wrong, which says nothing of the files.
    """
    for file in job.ledger.db.run(known_good):
        try:
            is_read = _goes_through(job, file)
        except BatchFailed as exc:
            log.error("file %d was loaded before and fails now: %s", file.id, without_values(exc))
            return False
        if is_read:
            log.info("file %d was loaded before and goes through now", file.id)
            return True
    return None


def _goes_through(job: Job, file: SourceFile) -> bool:
    """Read and evaluate a file. Returns False when nothing of it was read: it is not there any more, or of another form.

    Raises:
        BatchFailed: it fails.
    """
    # Not compared with itself, and nothing is taken out for it.
    attempt = Attempt(0, "probe", 0, datetime.now(UTC), (file,), Operation(0, OperationKind.REPLACE, (file.id,)))
    try:
        evaluation = evaluate(job, attempt)
        try:
            for mart in MARTS if evaluation.rows_loaded else ():
                for _ in mart_deltas(evaluation.pieces, mart, evaluation.dimensions.lookups.value):
                    pass
        finally:
            evaluation.release()
    except Exception as exc:
        raise _as_own(job, exc) from exc
    return sum(result.rows_read for result in evaluation.files) > 0


def _attempt_batch(job: Job, batch_id: int, cancel: threading.Event) -> int | None:
    """Make one attempt. Returns the rows it loaded of new files, and None when its input changed and it must start over at once."""
    started = time.monotonic()
    _go_on(cancel)
    attempt = job.ledger.begin(batch_id, job.contract.hash)  # 1
    if attempt is None:
        return 0
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
        _go_on(cancel)
        if evaluation.lost:
            lose_files(job, attempt, evaluation.lost, evaluation.why)
        outcome = evaluation.outcome()
        with step(attempt.batch_key, "plan", files=len(outcome.files), parts=len(outcome.facts)):
            job.ledger.plan_outcome(attempt, outcome)
        _go_on(cancel)
        written = write_outputs(job, attempt, evaluation)  # 5, 6
        with step(attempt.batch_key, "check_inputs", files=len(outcome.files)):
            check_inputs(job, attempt, outcome)
        _go_on(cancel)
        with step(attempt.batch_key, "commit", files=len(outcome.files), rows_loaded=outcome.rows_loaded):
            commit(job, attempt, evaluation, written)  # 7
    except InputChanged as exc:
        log.info("batch=%s %s", attempt.batch_key, exc)
        return None
    except Exception as exc:
        has_secrets = bool(sensitive_columns(job.contract))
        error = _cancelled(attempt.batch_key) if cancel.is_set() and _is_by_cancelling(exc) else _as_own(job, exc)
        error = without_values(error) if has_secrets else error
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
    return outcome.rows_loaded if attempt.operation is None else 0


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
    job.ledger.memory.committed(attempt.batch_key)
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


def _as_own(job: Job, exc: Exception) -> PipelineError:
    """Return the error of ours that an exception stands for. What nobody foresaw may be a file's doing: the batch failed."""
    if isinstance(exc, PipelineError):
        return exc
    if isinstance(exc, Py4JJavaError | PySparkException):
        error = failure_of(exc)
        # While Spark ends, its parts fail in any way, for whatever file.
        return SparkGone(f"Spark has ended: {error.what}") if isinstance(error, BatchFailed) and _has_ended(job) else error
    if isinstance(exc, Py4JError | ConnectionError):
        return SparkGone("Spark's JVM does not answer any more")
    return BatchFailed(f"{type(exc).__name__}: {exc}".splitlines()[0])


def _go_on(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise JobCancelled("the attempt is to end")


def _is_by_cancelling(exc: Exception) -> bool:
    """Tell whether a failure may come of the cancelling itself: then it says nothing of the batch."""
    return not isinstance(exc, PipelineError) or isinstance(exc, JobCancelled)


def _cancelled(batch_key: str) -> JobCancelled:
    return JobCancelled(f"batch {batch_key}: the attempt was cancelled, as its run is ending or begins again")


def _has_ended(job: Job) -> bool:
    try:
        return bool(job.spark.sparkContext._jsc.sc().isStopped())
    except (Py4JError, ConnectionError):
        return True


def _note_failure(job: Job, attempt: Attempt, error: PipelineError) -> None:
    """Note the failure in the ledger, unless the ledger itself is what cannot be reached, or is another instance's by now."""
    try:
        try:
            if isinstance(error, OwnershipError):
                raise error
            counts = isinstance(error, BatchFailed)
            failures = job.ledger.fail(attempt, str(error), is_counted=counts, is_unexplained=isinstance(error, UNEXPLAINED))
            log.warning("batch=%s failed (%d of its own): %s", attempt.batch_key, failures, error)
        except RestoredLedger as restored:
            # What such a ledger says of parts may be wrong: nothing is removed by it.
            log.error("batch=%s is left as it is: %s", attempt.batch_key, restored)
        except OwnershipError:
            withdraw(job.ledger, job.config, job.clients(), attempt.batch_key)
    except PipelineError as note:
        log.warning("batch=%s failed: %s (and could not be noted: %s)", attempt.batch_key, error, note)
        keep_note(job.config, attempt.batch_key, str(error))


def _attempts(limit: int, cancel: threading.Event) -> Retrying:
    """Return the retry policy of a batch: only what may pass by itself is tried again, everything else stops the run."""
    return Retrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, TransientError) and not cancel.is_set()),
        stop=stop_after_attempt(limit),
        wait=wait_exponential_jitter(multiplier=0.5, max=10),
        sleep=sleep_using_event(cancel),
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
    breaker: Breaker = field(init=False)
    _busy: threading.Lock = field(default_factory=threading.Lock)
    _cancel: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.job, probe)

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

    def begin(self) -> None:
        """Let attempts begin again, after `end` has ended all of them."""
        self._cancel.clear()

    def end(self, seconds: float) -> bool:
        """Cancel the running attempt, its Spark jobs included, and wait for its threads, but not for ever. Returns whether it is over."""
        self._cancel.set()
        deadline = time.monotonic() + seconds
        while not self.wait_idle(CANCEL_PAUSE_SECONDS):
            if time.monotonic() >= deadline:
                return False
            try:
                self.job.spark.sparkContext.cancelAllJobs()
            except (Py4JError, ConnectionError) as exc:
                log.debug("nothing to cancel, Spark is gone: %s", exc)
        return True

    def finish_planned(self) -> None:
        """Run all unfinished batches of the ledger, those of a split one as well; a failure is kept for the supervisor and raised."""
        self.failure = None
        while not self.stopping() and not self._cancel.is_set() and (waiting := self.job.ledger.unfinished()):
            for batch_id in waiting:
                if self.stopping() or self._cancel.is_set():
                    return
                try:
                    process_batch(self.job, batch_id, self.breaker, self._cancel)
                except Exception as exc:
                    self.failure = exc
                    raise
                self.finished += 1
        self.breaker.at_rest()
