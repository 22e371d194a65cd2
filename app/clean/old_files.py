"""What the ledger says of old files that do not count, and whose object is gone. Of a file in force nothing is ever removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from app.clean.sweep import Removal, Sweep
from app.ledger.operations import marks
from app.mysql.database import Row, Tx
from app.s3.read import ObjectVersion, Seen, look
from app.views.text import printable

PAGE = 200
# What is known of a file, beside its own row.
TABLES = ("file_reject", "file_warning", "file_header", "file_withdrawal", "operation_file", "batch_file", "file_return")
# No operation is about it, or was lately; its mended rows are deleted; and the quarantine holds no row that only names its id.
FORGOTTEN = (
    "f.in_force = 0 AND f.state NOT IN ('DISCOVERED', 'CLAIMED') AND f.archive_due = 0 AND f.archived_key IS NULL AND f.bucket = %s"
    " AND f.finished_at <= %s"
    " AND NOT EXISTS (SELECT 1 FROM file_withdrawal w WHERE w.file_id = f.id AND w.withdrawn_at > %s)"
    " AND NOT EXISTS (SELECT 1 FROM operation_file o JOIN file_operation p ON p.id = o.operation_id WHERE o.file_id = f.id"
    " AND (p.finished_at IS NULL OR p.finished_at > %s OR o.mended_etag IS NOT NULL))"
    " AND NOT EXISTS (SELECT 1 FROM file_reject r JOIN quarantine_part q ON q.batch_key = r.batch_key WHERE r.file_id = f.id"
    " AND q.state = 'LIVE')"
    " AND NOT EXISTS (SELECT 1 FROM batch_file b JOIN quarantine_part q ON q.batch_key = b.batch_key WHERE b.file_id = f.id"
    " AND q.state = 'LIVE')"
)


def old_files(sweep: Sweep) -> Iterator[Removal]:
    """Remove the rows of files that are older than `retention.ledger_days`, that do not count, and whose object is nowhere any more."""
    days = sweep.config.retention.ledger_days
    if not days:
        return
    before = sweep.before(timedelta(days=days))
    args = (sweep.bucket, before, before, before)
    columns = "f.id, f.object_key, f.etag, f.size_bytes, f.last_modified"
    sql = f"SELECT {columns} FROM source_file f WHERE {FORGOTTEN} AND f.id > %s ORDER BY f.id LIMIT {PAGE}"
    last = 0
    with ThreadPoolExecutor(sweep.config.stream.archive_threads, thread_name_prefix="clean") as pool:
        while page := sweep.rows(sql, (*args, last)):
            last = page[-1]["id"]
            # Still in the source prefix, it would be taken for a new file.
            there = pool.map(lambda row: _is_in_source(sweep, row), page)
            names = {int(row["id"]): bytes(row["object_key"]).decode() for row, is_there in zip(page, there, strict=True) if not is_there}
            counts = _forget(sweep, args, list(names))
            for file_id, rows in sorted(counts.items()):
                yield Removal(f"source_file id={file_id} '{printable(names[file_id])}'", rows=rows)


def _is_in_source(sweep: Sweep, row: Row) -> bool:
    key = bytes(row["object_key"]).decode()
    modified: datetime = row["last_modified"]
    booked = ObjectVersion(sweep.bucket, key, row["etag"], int(row["size_bytes"]), modified.replace(tzinfo=UTC))
    return look(sweep.client, booked) is Seen.SAME


def _forget(sweep: Sweep, args: Sequence[object], ids: Sequence[int]) -> Counter[int]:
    """Delete files with all that is known of them, in one transaction. Returns how many rows each of them had."""
    if not ids:
        return Counter()

    def forget(tx: Tx) -> Counter[int]:
        # Once more, and locked: an operation may have been asked for meanwhile.
        sql = f"SELECT f.id FROM source_file f WHERE {FORGOTTEN} AND f.id IN ({marks(ids)})"
        still = [int(row["id"]) for row in tx.rows(sql if sweep.dry_run else f"{sql} FOR UPDATE", (*args, *ids))]
        found = Counter(still)
        for table in TABLES if still else ():
            listed = f"{table} WHERE file_id IN ({marks(still)})"
            for row in tx.rows(f"SELECT file_id, COUNT(*) AS n FROM {listed} GROUP BY file_id", still):
                found[int(row["file_id"])] += int(row["n"])
            if not sweep.dry_run:
                tx.execute(f"DELETE FROM {listed}", still)
        if still and not sweep.dry_run:
            tx.execute(f"DELETE FROM source_file WHERE id IN ({marks(still)})", still)
        return found

    return sweep.db.run(forget)
