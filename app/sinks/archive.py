"""Archive: a finished file's object moves out of the source prefix, never over another one (docs/decisions/0012-exactly-once.md)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.config.load import Config
from app.errors import LedgerError, S3Error, TransientError
from app.failpoints import failpoint
from app.ledger.ledger import Ledger
from app.ledger.types import FileState, SourceFile
from app.s3.read import ObjectVersion, S3Client, listed
from app.s3.write import copy_version, delete_version, have_same_bytes

log = logging.getLogger(__name__)

MAX_KEY_BYTES = 1024
# Between two pages the archive looks whether it is still wanted.
QUEUE_PAGE = 200
MOST_TARGETS = 100
# As far back an archived object is looked for that the ledger does not name.
LOST_DAYS = 7


def target_key(config: Config, file: SourceFile, number: int = 1) -> str:
    """Return where a file's object goes: `<processed or error>/<date>/<file_id>/<key below the source prefix>`.

    The file id makes it unique; should a restored ledger hand out an id again, `number` above 1 makes it unique all the same. A key
    that would be too long loses its beginning.
    """
    s3 = config.s3
    # A skipped duplicate is no error: its content is in the marts.
    prefix = s3.processed_prefix if file.state in (FileState.COMMITTED, FileState.DUPLICATE) else s3.error_prefix
    folder = f"{prefix}{file.finished_at:%Y-%m-%d}/{file.id}{f'-{number}' if number > 1 else ''}/"
    name = file.key.removeprefix(s3.source_prefix).encode()
    room = MAX_KEY_BYTES - len(folder.encode())
    return folder + (name if len(name) <= room else name[-room:]).decode(errors="ignore")


def archive_file(client: S3Client, config: Config, ledger: Ledger, file: SourceFile) -> bool:
    """Move one object: copy exactly the booked version, compare, delete it if it is still that version, note it.

    Safe to repeat after a crash anywhere in between. Returns False when the booked version was gone before the copy.
    """
    target, copied = _free_target(client, config, file)
    if target == file.version.key:
        # It is where it belongs: its state changed twice before it was moved, or its original came back after it was.
        etag = copied.etag if copied else file.dropped and copy_version(client, file.dropped, target)
        if etag and file.dropped:
            delete_version(client, file.dropped)
        ledger.archived(file.id, target, etag or file.version.etag)
        return True
    etag = copied.etag if copied else copy_version(client, file.version, target)
    if etag is None:
        log.warning("archive file=%d key=%r: the booked version is gone, nothing was moved", file.id, file.key)
        ledger.archived(file.id, None, None)
        return False
    failpoint("archive_copied")
    if not delete_version(client, file.version):
        log.info("archive file=%d key=%r: a newer version stays in the source prefix", file.id, file.key)
    ledger.archived(file.id, target, etag)
    return True


def _free_target(client: S3Client, config: Config, file: SourceFile) -> tuple[str, ObjectVersion | None]:
    """Return where the object goes, and the copy that an interrupted move left there; another object is never overwritten."""
    for number in range(1, MOST_TARGETS + 1):
        target = target_key(config, file, number)
        # By a listing: a HEAD cannot tell a key that is free from a bucket that is missing for a moment.
        there = listed(client, file.version.bucket, target)
        if there is None or _is_copy(client, there, file):
            return target, there
    raise LedgerError(f"s3://{file.version.bucket}/{target_key(config, file)} is taken by another object", cure="clean up the archive")


def _is_copy(client: S3Client, there: ObjectVersion, file: SourceFile) -> bool:
    """Tell whether an object in the archive is the copy that an interrupted move of this file has left.

    A copy has another etag than its original where either was uploaded in parts, and on servers whose etags do not follow the bytes
    (SSE-KMS is one): there the bytes themselves are compared.
    """
    if there.size != file.version.size:
        return False
    if there.etag == file.version.etag:
        return True
    same = have_same_bytes(client, file.version, there)
    if same is not None:
        return same
    # The original is gone already. Our copy was made after the file was finished; what a restored ledger finds there under an id that
    # it hands out again is older.
    return file.finished_at is not None and there.last_modified >= file.finished_at.replace(microsecond=0, tzinfo=UTC)


def _has_its_etag(there: ObjectVersion, file: SourceFile) -> bool:
    if there.size != file.version.size:
        return False
    if "-" not in there.etag and "-" not in file.version.etag:
        return there.etag == file.version.etag
    # The etag of a multipart upload is not kept by a copy. Ours was made after the file was finished; what a restored ledger
    # finds there under an id that it hands out again is older.
    return file.finished_at is not None and there.last_modified >= file.finished_at.replace(microsecond=0, tzinfo=UTC)


def find_archived(client: S3Client, config: Config, file: SourceFile) -> str | None:
    """Return the key of the archive under which a file's object lies although the ledger does not say so; None where there is none.

    A ledger that has lost its last commits has lost the day and the outcome that are part of the key as well. So every outcome is looked
    for, and the last few days; what a fail-over loses is not older.
    """
    today = datetime.now(UTC).date()
    first = max(file.version.last_modified.astimezone(UTC).date(), today - timedelta(days=LOST_DAYS))
    for back in range((today - first).days + 1):
        day = datetime.combine(today - timedelta(days=back), datetime.min.time())
        for state in (FileState.COMMITTED, FileState.REJECTED):
            moved = replace(file, state=state, finished_at=day)
            for number in range(1, MOST_TARGETS + 1):
                there = listed(client, file.version.bucket, target_key(config, moved, number))
                if there is None:
                    break
                if _has_its_etag(there, moved):
                    return there.key
    return None


def finish_move(client: S3Client, config: Config, ledger: Ledger, file: SourceFile) -> bool:
    """Note an object that was moved to its place in the archive without the ledger's knowing; tells whether it was."""
    if file.finished_at is None or file.origin != file.version.key or _free_target(client, config, file)[1] is None:
        return False
    return archive_file(client, config, ledger, file)


def archive_due(client: S3Client, config: Config, ledger: Ledger, wanted: Callable[[], bool]) -> int:
    """Move what is due, several at a time, while `wanted()`. A move that fails or is refused stays due. Returns how many moved."""
    moved = 0
    with ThreadPoolExecutor(config.stream.archive_threads, thread_name_prefix="archive") as pool:
        while (due := ledger.archive_due(QUEUE_PAGE)) and wanted():
            done = sum(pool.map(lambda file: _archive_or_leave(client, config, ledger, file), due))
            moved += done
            if done == 0 or len(due) < QUEUE_PAGE:
                break
    return moved


def _archive_or_leave(client: S3Client, config: Config, ledger: Ledger, file: SourceFile) -> bool:
    try:
        archive_file(client, config, ledger, file)
    except TransientError as exc:
        log.warning("archive file=%d key=%r stays due: %s", file.id, file.version.key, exc)
        return False
    except S3Error as exc:
        # It is loaded and counts; only its move is refused, and others need not be.
        log.warning("archive file=%d key=%r stays due, its move is refused: %s", file.id, file.version.key, exc)
        ledger.archive_refused(file.id)
        return False
    return True
