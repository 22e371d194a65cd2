"""Archived objects that are older than `retention.archive_days`. Without its object a file cannot be read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from app.clean.sweep import Removal, Sweep
from app.mysql.database import Row, Tx
from app.s3.read import NOT_NOTED, ObjectVersion, head, is_same_version
from app.s3.write import delete_version

PAGE = 200
IS_WANTED = (
    "EXISTS (SELECT 1 FROM operation_file o JOIN file_operation p ON p.id = o.operation_id"
    " WHERE o.file_id = f.id AND p.state IN ('REQUESTED', 'CLAIMED'))"
)


def old_archive(sweep: Sweep) -> Iterator[Removal]:
    """Remove old archived objects that are still as we put them there; then note that they are gone, so that a replay can say so."""
    days = sweep.config.retention.archive_days
    if not days:
        return
    sql = (
        "SELECT f.id, f.archived_key, f.archived_etag, f.size_bytes FROM source_file f WHERE f.id > %s AND f.archived_key IS NOT NULL"
        f" AND f.archive_due = 0 AND f.bucket = %s AND f.archived_at <= %s AND NOT {IS_WANTED} ORDER BY f.id LIMIT {PAGE}"
    )
    before, last = sweep.before(timedelta(days=days)), 0
    with ThreadPoolExecutor(sweep.config.stream.archive_threads, thread_name_prefix="clean") as pool:
        while page := sweep.rows(sql, (last, sweep.bucket, before)):
            last = page[-1]["id"]
            gone = [(row, removal) for row, removal in zip(page, pool.map(lambda row: _remove(sweep, row), page), strict=True) if removal]
            rows = [row for row, _ in gone]
            if rows:
                sweep.note(partial(_forget, rows=rows))
            yield from (removal for _, removal in gone)


def _remove(sweep: Sweep, row: Row) -> Removal | None:
    """Delete one object; None when it is not the one that we archived, which then stays."""
    key = bytes(row["archived_key"]).decode()
    archived = ObjectVersion(sweep.bucket, key, row["archived_etag"], int(row["size_bytes"]), NOT_NOTED)
    # Under other prefixes than before, what lies there is not for us to delete.
    if not key.startswith((sweep.config.s3.processed_prefix, sweep.config.s3.error_prefix)):
        return None
    there = head(sweep.client, sweep.bucket, key)
    if there is not None and not is_same_version(there, archived):
        return None
    if there is not None and not sweep.dry_run and not delete_version(sweep.client, archived):
        return None
    return Removal(sweep.name_of(key), objects=int(there is not None), size=there.size if there else 0)


def _forget(tx: Tx, rows: Sequence[Row]) -> None:
    for row in rows:
        tx.execute(
            "UPDATE source_file SET archived_key = NULL, archived_etag = NULL WHERE id = %s AND archived_key = %s AND archive_due = 0",
            (row["id"], row["archived_key"]),
        )
