"""Composition root of `run`: session, source, trigger, checkpoint, foreachBatch; supervise, stop."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from app.batch import BatchRunner
from app.bucket import with_bucket
from app.checks import check_all, raise_failures
from app.config import Config
from app.core.contract import Contract, load_contract
from app.core.contract_check import check_contract
from app.dimensions import Dimensions
from app.errors import PipelineError
from app.evaluate import Job
from app.failpoints import failpoint
from app.housekeeping import Housekeeper
from app.last_run import unfinished_work
from app.ledger import Ledger
from app.leftovers import clear_leftovers, clear_magic_trees
from app.marker import refuse_restored
from app.mysql import Database
from app.owner import Ownership
from app.s3 import make_client
from app.session import build_session
from app.source.inbox import INBOX_FORMAT, INBOX_SCHEMA, InboxSource
from app.spark_errors import spark_error

log = logging.getLogger(__name__)

KEPT_CHECKPOINTS = 3
TICK_SECONDS = 0.25
# How often, and after which pause, `--once` tries archive moves again that S3 refused for the moment.
DRAIN_PATIENCE = 5
DRAIN_PAUSE_SECONDS = 2.0


class StopRequest:
    """Remembers that SIGINT or SIGTERM asked for a stop; the running micro-batch is finished first."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def install(self) -> None:
        """Catch both signals, and tell spark-submit.sh which process to send them to."""
        pid_file = os.environ.get("SALESTREAM_DRIVER_PID_FILE")
        if pid_file:
            Path(pid_file).write_text(str(os.getpid()))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("stop requested by %s: finishing the running micro-batch", signal.Signals(number).name)
        self.request()

    def request(self) -> None:
        """Ask for a stop."""
        self._event.set()

    def __call__(self) -> bool:
        """Tell whether a stop was asked for."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than until a stop is asked for."""
        self._event.wait(seconds)


def run(config: Config, *, once: bool) -> None:
    """Run the stream until it is stopped, or until everything that is there now is done.

    Raises:
        PipelineError: the stream cannot go on; nothing is half done.
    """
    stop = StopRequest()
    stop.install()
    check_before_start(config)
    config = with_bucket(config)
    contract = load_contract(config.contract_path)
    db = Database(config.mysql)
    with Ownership(db, f"s3://{config.s3.bucket}/{config.s3.source_prefix}", config.stream.takeover_seconds) as ownership:
        refuse_restored(db, make_client(config.s3), config, ownership.epoch)
        spark = build_session(config)
        run_owned(spark, config, contract, ownership, stop, once=once)
        spark.stop()


def check_before_start(config: Config) -> None:
    """Look at everything the run will need, so that what is missing is said now and not in the middle of a batch.

    Raises:
        PipelineError: something is missing.
    """
    findings = check_all(lambda: config)
    for found in findings:
        if found.ok:
            log.info("check %s: %s", found.name, found.detail)
    raise_failures(findings)


def run_owned(spark: SparkSession, config: Config, contract: Contract, ownership: Ownership, stop: StopRequest, *, once: bool) -> None:
    """Run the stream on an open session as the owner of the source: recover, query, drain.

    Raises:
        PipelineError: the stream cannot go on; nothing is half done.
    """
    log.info("session ready spark=%s master=%s", spark.version, spark.sparkContext.master)
    check_contract(spark, contract)
    ledger = Ledger(Database(config.mysql), ownership.epoch)
    job = Job(spark, config, contract, ledger, Dimensions(spark, config, lambda: int(time.time() * 1000)))
    runner = BatchRunner(job, stop)
    keeper = Housekeeper(job, ownership, lambda: not stop())
    recover(job, runner)
    log.info("query starts trigger=%s", "availableNow" if once else config.stream.trigger_interval)
    supervise(start_query(job, runner, once=once), runner, keeper, stop)
    if once and not stop():
        drain(job, runner, keeper, stop)
    failpoint("during_shutdown")


def recover(job: Job, runner: BatchRunner) -> None:
    """Clear what earlier runs left and finish the batches they began; the last-run check of the seed."""
    for line in unfinished_work(job.ledger.db):
        log.warning("last run: %s", line)
    clear_leftovers(job.ledger, job.config, job.clients(), alive=None)
    clear_magic_trees(job.clients(), job.config)
    runner.finish_planned()


def start_query(job: Job, runner: BatchRunner, *, once: bool) -> StreamingQuery:
    """Start the streaming query: batch numbers from the inbox, every one of them through `process_batch`."""
    job.spark.dataSource.register(InboxSource)
    trigger: dict[str, Any] = {"availableNow": True} if once else {"processingTime": job.config.stream.trigger_interval}
    return (
        job.spark.readStream.format(INBOX_FORMAT)
        .schema(INBOX_SCHEMA)
        .options(env=job.config.env, conf_dir=str(job.config.conf_dir), epoch=str(job.ledger.epoch), after=str(job.ledger.last_batch()))
        .load()
        .writeStream.queryName("salestream")
        .foreachBatch(runner)
        .option("checkpointLocation", str(fresh_checkpoint(job.config.checkpoint_root, job.ledger.epoch)))
        .trigger(**trigger)
        .start()
    )


def fresh_checkpoint(root: Path, epoch: int) -> Path:
    """Return a new checkpoint folder for this epoch and remove all but the last few; the ledger is what is remembered."""
    folder = root / str(epoch)
    if folder.exists():
        # Only a foreign or restored ledger hands out an epoch twice; its checkpoint says nothing about this run.
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    old = sorted((p for p in root.iterdir() if p.is_dir() and p.name.isdigit() and p != folder), key=lambda p: p.stat().st_mtime)
    for path in old[: 1 - KEPT_CHECKPOINTS]:
        shutil.rmtree(path, ignore_errors=True)
    return folder


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
        runner.wait_idle(keeper.job.config.stream.stop_timeout_seconds)
        query.stop()
    raise_failure(query, runner)


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
    if job.ledger.archive_due(1):
        log.warning("some loaded files still lie in the source prefix: the next run moves them to the archive")
