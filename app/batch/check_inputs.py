"""The last look at a batch's inputs: what was read must still be what is there when the batch is committed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from app.batch.context import Job
from app.errors import RestoredLedger, TransientError
from app.ledger.operations import skip_files, successors
from app.ledger.types import Attempt, FileState, OperationKind, Outcome
from app.sinks.archive import find_archived, finish_move
from app.source.current_versions import changed_files

log = logging.getLogger(__name__)


class InputChanged(TransientError):
    """A file of the batch was overwritten or deleted while it was being read; the batch is done again without it."""

    code = "INPUT_CHANGED"
    cause = "A producer overwrote or deleted an object between its discovery and the commit."
    cure = "nothing to do: the new version is loaded as a file of its own"


def lose_files(job: Job, attempt: Attempt, lost: Mapping[int, FileState], why: Mapping[int, str]) -> None:
    """Take files out of the batch that could not be read as booked, and say so.

    Raises:
        InputChanged: it is an operation, which starts over: the object may only have been moved by ourselves.
        RestoredLedger: an object has been archived, and the ledger does not know it.
    """
    _look_into_the_archive(job, attempt, lost)
    job.ledger.drop_files(attempt, lost, why)
    for file in attempt.files:
        if file.id in lost:
            log.warning("file=%d key=%r is not loaded: %s, %s", file.id, file.key, lost[file.id], why[file.id])
    if attempt.operation is not None:
        raise InputChanged(f"objects of files {sorted(lost)} could not be read as they were booked")


def _look_into_the_archive(job: Job, attempt: Attempt, lost: Mapping[int, FileState]) -> None:
    """Look whether objects that are not where they were lie in the archive, before they are called missing.

    An operation's may have been moved there by a run that died before it noted that: the note is made now.

    Raises:
        OwnershipError: another instance has taken over.
        RestoredLedger: a file that was never finished, as the ledger has it, has been archived: the ledger has lost its commit.
    """
    client = job.clients()
    for file in attempt.files:
        if file.id not in lost:
            continue
        if attempt.operation is not None:
            finish_move(client, job.config, job.ledger, file)
        elif (key := find_archived(client, job.config, file)) is not None:
            # Another instance may have taken over, finished the batch and moved the object: then we must end as displaced, and clean up.
            job.ledger.prove()
            raise RestoredLedger(
                f"the ledger in MySQL is older than S3: it has not finished file {file.id} {file.key!r}, which lies archived"
                f" at s3://{file.version.bucket}/{key}"
            )


def leave_superseded(job: Job, attempt: Attempt) -> None:
    """Leave the files of a REPLAY alone whose place a later drop of the same name has taken, where the contract says so.

    Raises:
        InputChanged: there was one; the operation starts over without it.
    """
    operation = attempt.operation
    if operation is None or operation.kind != OperationKind.REPLAY or job.contract.settings.redelivery != "replace":
        return
    later = job.ledger.db.run(lambda tx: successors(tx, operation.file_ids))
    newest = {file.key: file.id for file in sorted(attempt.files, key=lambda file: file.id)}
    later |= {file.id: newest[file.key] for file in attempt.files if newest[file.key] != file.id}
    if later:
        notes = {file_id: f"file {new} has taken its place" for file_id, new in later.items()}
        job.ledger.write(lambda tx: skip_files(tx, operation.id, notes))
        raise InputChanged(f"files {sorted(later)} were superseded")


def check_inputs(job: Job, attempt: Attempt, outcome: Outcome) -> None:
    """Look at every file once more before the commit: what was read must still be what is there.

    Raises:
        InputChanged: it is not; the files concerned are OVERWRITTEN or GONE in the ledger, and nothing of them is loaded.
    """
    if not attempt.files:
        return
    booked = {result.file_id for result in outcome.files}
    versions = [(file.id, file.version) for file in attempt.files if file.id in booked]
    # The archive of earlier batches goes on at the same time, with connections of its own from the same pool.
    threads = max(1, job.config.s3.max_connections - job.config.stream.archive_threads)
    changed = changed_files(job.spark, versions, job.clients, threads)
    if changed:
        lose_files(job, attempt, changed, dict.fromkeys(changed, "since it was read for this batch"))
        raise InputChanged(f"files {sorted(changed)} changed before the commit")
