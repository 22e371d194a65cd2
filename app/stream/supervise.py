"""Supervision of `run`: signals, the query's end, and its restarts while what went wrong may pass by itself."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from py4j.protocol import Py4JJavaError
from pyspark.sql.streaming.query import StreamingQuery

from app.batch.context import Job
from app.batch.process import BatchRunner
from app.errors import AttemptStuck, PipelineError, TransientError
from app.ledger.ledger import Ledger
from app.spark.errors import spark_error
from app.stream.housekeeping import Housekeeper
from app.views.text import printable

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
# How often, and after which pause, `--once` tries archive moves again that S3 refused for the moment.
DRAIN_PATIENCE = 5
DRAIN_PAUSE_SECONDS = 2.0
# The pause before a restart doubles from the first to the last of these.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# What a stop keeps of its time for the end of query, ownership and session, once it has waited for the running batch; and of that, what
# the end of the JVM takes, once the driver is gone.
MOST_SECONDS_TO_END, MOST_SECONDS_OF_JVM = 30.0, 10.0
# How long a cancelled attempt has to end: its Spark jobs at once, and its last request to MySQL or S3. Part of the first of these.
CANCEL_SECONDS = 10.0


class StopRequest:
    """Remembers that SIGINT or SIGTERM asked for a stop; the running micro-batch is finished first. A second signal does not wait.

    Args:
        seconds: how long a stop may take in all. Whatever hangs then, the process ends; what it was doing is done again by the next start.
    """

    def __init__(self, seconds: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._event = threading.Event()
        self._seconds = seconds
        self._clock = clock
        self._ends: float | None = None
        self._is_signalled = False
        # A batch could not be ended: only the end of the process ends it.
        self.is_cut = False

    def install(self) -> None:
        """Catch both signals, and tell spark-submit.sh which process to send them to."""
        pid_file = os.environ.get("SALESTREAM_DRIVER_PID_FILE")
        if pid_file:
            Path(pid_file).write_text(str(os.getpid()))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # A stop that was asked for through the ledger is no signal: who sends one signal wants the batch to be finished.
        if self._is_signalled:
            # Whatever is cut now carries the key of an attempt that never commits: the next start removes it.
            log.warning("second %s: stopping at once", signal.Signals(number).name)
            logging.shutdown()
            os._exit(128 + number)
        self._is_signalled = True
        log.info("stop requested by %s: finishing the running micro-batch", signal.Signals(number).name)
        self.request()
        self._bound()

    def _bound(self) -> None:
        """Have the process end when the stop takes too long."""
        if self._seconds is not None:
            last = threading.Timer(self._seconds - min(MOST_SECONDS_OF_JVM, self._seconds / 2), self._end)
            last.daemon = True
            last.start()

    def _end(self) -> None:
        log.error("the stop was not done within stream.stop_timeout_seconds: ending at once, the next start does the rest")
        logging.shutdown()
        os._exit(1)

    def request(self) -> None:
        """Ask for a stop."""
        if self._ends is None and self._seconds is not None:
            self._ends = self._clock() + self._seconds
        self._event.set()

    def request_by(self, who: str) -> None:
        """Ask for a stop because somebody has asked through the ledger."""
        log.info("stop requested by %s: finishing the running micro-batch", printable(who))
        self.request()
        self._bound()

    def seconds_for_batch(self, most: float) -> float:
        """Return how long a running batch may still go on: what is left of the stop, but for what the end of everything else takes."""
        if self._ends is None:
            return most
        to_end = min(MOST_SECONDS_TO_END, (self._seconds or 0) * 3 / 4)
        return max(0.0, min(most, self._ends - to_end - self._clock()))

    def __call__(self) -> bool:
        """Tell whether a stop was asked for."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than until a stop is asked for."""
        self._event.wait(seconds)


@contextmanager
def noting_stop(stop: StopRequest, ledger: Ledger) -> Iterator[None]:
    """Say in the ledger that a stop was asked for, as soon as it is: who kills a run that takes too long to end suspects no batch of it."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(TICK_SECONDS):
            if stop():
                try:
                    ledger.note_open("a stop was asked for while it ran")
                except PipelineError as exc:
                    log.warning("the stop could not be noted: %s", exc)
                break
        ledger.db.close()

    thread = threading.Thread(target=watch, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()


def keep_going(
    episode: Callable[[], None],
    patience: float,
    stop: StopRequest,
    progress: Callable[[], int],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run `episode` to its end; begin again after a pause when it fails for a reason that may pass by itself.

    Args:
        episode: one life of the query, from recovery to its end.
        patience: seconds of failing without any progress after which it is given up.
        stop: ends the waiting.
        progress: a count that grows with every finished batch.
        clock: seconds.

    Raises:
        PipelineError: the failure cannot pass, or has not passed.
    """
    pause, failing_since, done = FIRST_PAUSE_SECONDS, clock(), progress()
    while not stop():
        began = clock()
        try:
            episode()
            return
        except TransientError as exc:
            if progress() != done:
                pause, failing_since, done = FIRST_PAUSE_SECONDS, began, progress()
            left = failing_since + patience - clock()
            if left <= 0:
                raise
            log.warning("starting again in %.0f s, for %.0f s more: %s", min(pause, left), left, exc)
            stop.wait(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def supervise(query: StreamingQuery, runner: BatchRunner, keeper: Housekeeper, stop: StopRequest) -> None:
    """Do the housekeeping while the query runs; end when it ends or when a stop is asked for.

    Raises:
        PipelineError: the query or the housekeeping failed.
    """
    try:
        while query.isActive and not stop():
            keeper.tick()
            stop.wait(TICK_SECONDS)
    finally:
        seconds = stop.seconds_for_batch(keeper.job.config.stream.stop_timeout_seconds)
        is_idle = runner.wait_idle(seconds)
        # Also where it is idle: no batch may begin between here and the end of the query.
        is_over = runner.end(CANCEL_SECONDS)
        has_stopped = _stop(query)
        stop.is_cut |= not is_over
        if not (is_over and has_stopped) and not stop():
            # Whatever ended the query may pass; but a new attempt beside this one would take it for a dead one.
            raise AttemptStuck(f"a batch is still running {seconds + CANCEL_SECONDS:.0f} s after its query was to end")
    if stop() and not is_idle:
        log.warning("the running micro-batch was cut after %.0f s; the next start does it again", seconds)
        return
    raise_failure(query, runner)


def _stop(query: StreamingQuery) -> bool:
    """Stop the query. Spark waits for a batch that hangs outside of it, in MySQL or S3, only so long: False, the process ends it then."""
    try:
        query.stop()
    except Py4JJavaError as exc:
        if "TimeoutException" not in str(exc.java_exception.toString()):
            raise
        log.warning("the query did not stop in time and ends with the process")
        return False
    return True


def raise_failure(query: StreamingQuery, runner: BatchRunner) -> None:
    """Raise what ended the query, as our own error where it was one."""
    if isinstance(runner.failure, PipelineError):
        raise runner.failure
    failure = query.exception()
    if failure is not None and not runner.stopping():
        raise spark_error(str(failure)) from runner.failure


def drain(job: Job, runner: BatchRunner, keeper: Housekeeper, stop: StopRequest) -> None:
    """Before `--once` exits: archive everything, release what can be released, until nothing is left to do."""
    patience = DRAIN_PATIENCE
    while not stop():
        done = keeper.tick() + keeper.look()
        while job.ledger.claim_operation() is not None:
            runner.finish_planned()
            done += 1
        if done:
            continue
        left = len(job.ledger.archive_due(1))
        if not left or not patience:
            break
        patience -= 1
        stop.wait(DRAIN_PAUSE_SECONDS)
    if job.ledger.has_unarchived():
        log.warning("some loaded files still lie in the source prefix: the next run moves them to the archive")
