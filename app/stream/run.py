"""Composition root of `run`: session, source, trigger, checkpoint, foreachBatch; supervise, stop."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from app.batch.cleanup import clear_leftovers
from app.batch.context import Job
from app.batch.process import BatchRunner
from app.batch.unrecorded_failures import hand_in_notes
from app.checks import check_all, raise_failures
from app.checks.contract import check_contract
from app.config.load import Config
from app.contract.contract import Contract, load_contract
from app.errors import SparkGone
from app.failpoints import failpoint, parse_failpoint
from app.ledger.ledger import Ledger
from app.ledger.ownership import Ownership, owners_database
from app.ledger.restore_guard import refuse_restored
from app.mysql.bucket_info import with_bucket
from app.s3.read import make_client
from app.source.dimensions import Dimensions
from app.source.inbox import INBOX_FORMAT, INBOX_SCHEMA, InboxSource
from app.spark.errors import spark_error
from app.spark.session import build_session
from app.stream import summary
from app.stream.edited_files import EditedFiles
from app.stream.housekeeping import Housekeeper
from app.stream.last_run import unfinished_work
from app.stream.supervise import StopRequest, drain, keep_going, noting_stop, supervise
from app.version import VERSION

log = logging.getLogger(__name__)

KEPT_CHECKPOINTS = 3


def run(config: Config, *, once: bool, fail_on_rejected: bool = False) -> None:
    """Run the stream until it is stopped, or until everything that is there now is done.

    Args:
        config: the configuration.
        once: end when everything that is there now is done; the log then ends with a summary.
        fail_on_rejected: with `once`: end with an error where rows or files were rejected.

    Raises:
        PipelineError: the stream cannot go on; nothing is half done.
        OperationFailed: `once`, and an operation was given up.
        DataRejected: `fail_on_rejected`, and rows or files were rejected.
    """
    log.info("starting salestream version=%s env=%s", VERSION, config.env)
    stop = StopRequest(config.stream.stop_timeout_seconds)
    stop.install()
    parse_failpoint()
    # Before the contract is read: to become the owner, and to start Spark, may take as long as somebody takes to edit it.
    edited = EditedFiles(config)
    check_before_start(config)
    config = with_bucket(config)
    contract = load_contract(config.contract_path)
    db = owners_database(config)
    with Ownership(db, f"s3://{config.s3.bucket}/{config.s3.source_prefix}", config.stream.takeover_seconds) as ownership:
        refuse_restored(db, make_client(config.s3), config, ownership.epoch)
        spark = build_session(config)
        try:
            since = summary.begin(db)
            run_owned(spark, config, contract, ownership, stop, once=once, edited=edited)
            found = summary.summarise(db, since) if once and not stop() else None
            spark.stop()
        except Py4JJavaError as exc:
            raise spark_error(str(exc)) from exc
        except (Py4JError, ConnectionError) as exc:
            raise SparkGone("Spark's JVM does not answer any more") from exc
    if found is not None:
        summary.tell(found, fail_on_rejected=fail_on_rejected)
    if stop.is_cut:
        # Python would wait for the threads of the batch.
        logging.shutdown()
        os._exit(0)


def check_before_start(config: Config) -> None:
    """Look at everything the run will need, so that what is missing is said now and not in the middle of a batch.

    Raises:
        PipelineError: something is missing.
    """
    findings = check_all(lambda: config)
    for found in findings:
        if found.ok:
            log.log(logging.WARNING if found.is_caution else logging.INFO, "check %s: %s", found.name, found.detail)
    raise_failures(findings)


def run_owned(
    spark: SparkSession,
    config: Config,
    contract: Contract,
    ownership: Ownership,
    stop: StopRequest,
    *,
    once: bool,
    edited: EditedFiles | None = None,
) -> None:
    """Run the stream on an open session as the owner of the source: recover, query, drain.

    `edited` knows the configuration files as they were read; left out, as they are now.

    Raises:
        PipelineError: the stream cannot go on; nothing is half done.
    """
    log.info("session ready spark=%s master=%s", spark.version, spark.sparkContext.master)
    ownership.when_asked_to_stop(stop.request_by)
    check_contract(contract)
    ledger = Ledger(owners_database(config), ownership.epoch)
    job = Job(spark, config, contract, ledger, Dimensions(spark, config, lambda: int(time.time() * 1000)))
    runner = BatchRunner(job, stop)
    keeper = Housekeeper(job, ownership, lambda: not stop(), edited=edited or EditedFiles(config))

    def episode() -> None:
        runner.begin()
        recover(job, runner)
        log.info("query starts trigger=%s", "availableNow" if once else config.stream.trigger_interval)
        supervise(start_query(job, runner, once=once), runner, keeper, stop)
        if once and not stop():
            runner.begin()
            drain(job, runner, keeper, stop)
            if runner.breaker.at_end():
                drain(job, runner, keeper, stop)

    with noting_stop(stop, ledger):
        keep_going(episode, config.stream.retry_seconds, stop, lambda: runner.finished)
    failpoint("during_shutdown")


def recover(job: Job, runner: BatchRunner) -> None:
    """Clear what earlier runs left and finish the batches they began; the last-run check of the seed.

    Raises:
        RestoredLedger: S3 has seen what the ledger does not know. The query may be starting again after MySQL was away.
    """
    refuse_restored(job.ledger.db, job.clients(), job.config, job.ledger.epoch + 1)
    for line in unfinished_work(job.ledger.db):
        log.warning("last run: %s", line)
    hand_in_notes(job.config, job.ledger)
    for batch_id in job.ledger.count_silent():
        log.warning("last run: the last attempt at batch %d ended without a word: it is counted from the second time on", batch_id)
    clear_leftovers(job.ledger, job.config, job.clients(), alive=None)
    runner.breaker.begin()
    for batch_id, error in job.ledger.over_limit(job.config.stream.max_attempts).items():
        runner.breaker.isolate(batch_id, error)
    job.ledger.retry_now()
    runner.finish_planned()


def start_query(job: Job, runner: BatchRunner, *, once: bool) -> StreamingQuery:
    """Start the streaming query: batch numbers from the inbox, every one of them through `process_batch`."""
    job.spark.dataSource.register(InboxSource)
    checkpoint = fresh_checkpoint(job.config.checkpoint_root, job.ledger.epoch)
    trigger: dict[str, Any] = {"availableNow": True} if once else {"processingTime": job.config.stream.trigger_interval}
    return (
        job.spark.readStream.format(INBOX_FORMAT)
        .schema(INBOX_SCHEMA)
        .options(
            env=job.config.env,
            conf_dir=str(job.config.conf_dir),
            read=str(keep_as_read(job.config, checkpoint)),
            epoch=str(job.ledger.epoch),
            after=str(job.ledger.last_batch()),
        )
        .load()
        .writeStream.queryName("salestream")
        .foreachBatch(runner)
        .option("checkpointLocation", str(checkpoint))
        .trigger(**trigger)
        .start()
    )


def keep_as_read(config: Config, folder: Path) -> Path:
    """Write the environment's file, as this run has read it, where the planner finds it; values of variables and secrets are not in it."""
    copy = folder / f"{config.env}.yml"
    copy.touch(mode=0o600)
    copy.write_text(config.text, encoding="utf-8")
    return copy


def fresh_checkpoint(root: Path, epoch: int) -> Path:
    """Return a new checkpoint folder for this epoch and remove all but the last few; the ledger is what is remembered."""
    folder = root / str(epoch)
    if folder.exists():
        # A restart of the query within one run, or an epoch that a restored ledger hands out again: neither goes on from there.
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    old = sorted((p for p in root.iterdir() if p.is_dir() and p.name.isdigit() and p != folder), key=lambda p: p.stat().st_mtime)
    for path in old[: 1 - KEPT_CHECKPOINTS]:
        shutil.rmtree(path, ignore_errors=True)
    return folder
