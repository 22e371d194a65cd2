"""Files that S3 does not give: is it the file, which is then left alone for a while, or all of the prefix, which stops the run?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice
from uuid import uuid4

from app.batch.context import Job
from app.batch.file_outcomes import LOST, REFUSALS, Plan
from app.errors import PipelineError, S3Error, S3Unavailable
from app.ledger.types import Attempt, FileState, SourceFile
from app.s3.read import Answer, ask_for, is_readable_prefix, list_all
from app.source.ranges import FAULT, OBJECT_REFUSED
from app.source.splits import Marker

log = logging.getLogger(__name__)

# Other objects of the prefix that are asked for, until one answers.
MOST_OTHERS = 20


def note_refused(job: Job, attempt: Attempt, markers: Sequence[Marker], plan: Plan) -> set[int]:
    """Note the files that S3 does not give as UNREADABLE, where it gives others of the same prefix. Returns their ids.

    Raises:
        S3Error: S3 refuses everything there is in the prefix.
        S3Unavailable: S3 gives nothing of it, or the batch has attempts left.
    """
    refused = {marker.file_id: marker for marker in markers if marker.outcome in REFUSALS and plan.is_open(marker.file_id)}
    doubtful = [marker for marker in refused.values() if marker.outcome != OBJECT_REFUSED]
    files = {file.id: file for file in attempt.files}
    for marker in doubtful:
        if marker.outcome == FAULT and attempt.number < job.config.stream.max_attempts and not files[marker.file_id].retries:
            raise S3Unavailable(marker.detail or "")
    has_answered = any(marker.outcome not in REFUSALS and marker.outcome not in LOST for marker in markers if marker.file_id not in refused)
    is_fault = any(marker.outcome == FAULT for marker in doubtful)
    if doubtful and not has_answered and not _others_answer(job, [files[marker.file_id] for marker in doubtful], is_fault=is_fault):
        first = doubtful[0]
        raise (S3Unavailable if first.outcome == FAULT else S3Error)(first.detail or "")
    plan.lost |= dict.fromkeys(refused, FileState.UNREADABLE)
    plan.why |= {file_id: marker.detail or "" for file_id, marker in refused.items()}
    return set(refused)


def _others_answer(job: Job, files: Sequence[SourceFile], *, is_fault: bool) -> bool:
    """Ask for other objects beside those that are refused. Where there are none, ask whether the prefix may be read at all."""
    client, refused = job.clients(), {file.version.key for file in files}
    key = files[0].version.key
    s3 = job.config.s3
    # An archive that was written under another configuration lies elsewhere.
    own = (s3.processed_prefix, s3.error_prefix, s3.source_prefix)
    prefix = next((one for one in own if key.startswith(one)), key.rpartition("/")[0] + "/")
    try:
        objects = (version for version in list_all(client, s3.bucket, prefix) if not version.key.endswith("/"))
        asked = list(islice((version for version in objects if version.key not in refused), MOST_OTHERS))
        if asked:
            wanted = {Answer.GIVEN} if is_fault else {Answer.GIVEN, Answer.NOT_THERE}
            return any(ask_for(client, version) in wanted for version in asked)
        # Before anything was ever loaded, a refusal rather tells of a right that was forgotten than of the one file.
        return not is_fault and job.ledger.has_loaded() and is_readable_prefix(client, s3.bucket, f"{prefix}{uuid4().hex}")
    except PipelineError as exc:
        log.info("no other object of s3://%s/%s could be asked for: %s", s3.bucket, prefix, exc)
        return False
