"""What the ledger still names although it is over: replaced facts past their grace time, and mended rows that have been loaded.

Objects are deleted first and noted here afterwards; after a crash in between it is done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import UsageError
from app.mysql.database import Tx

# A part that was replaced: once live, and dead now. Its objects stay for readers of the plain folder.
IS_REPLACED = "state = 'DEAD' AND live_at IS NOT NULL"
# Nobody reads the mended rows of an operation again that is done, or was given up.
MENDED_OVER = (
    "FROM operation_file o JOIN file_operation p ON p.id = o.operation_id"
    " WHERE o.mended_etag IS NOT NULL AND p.state IN ('DONE', 'FAILED', 'CANCELLED')"
)


@dataclass(frozen=True)
class ReplacedPart:
    """One part of the facts whose objects are to be deleted."""

    batch_key: str
    sales_month: str
    store_id: int


@dataclass(frozen=True)
class MendedObject:
    """The object of one file's mended rows."""

    operation_id: int
    file_id: int
    key: str
    etag: str
    size: int


def replaced_parts(tx: Tx, seconds: float, limit: int) -> list[ReplacedPart]:
    """Return replaced parts that have been dead for so long, oldest first. The cost follows what is found, not the history."""
    sql = (
        f"SELECT batch_key, sales_month, store_id FROM fact_part WHERE {IS_REPLACED}"
        " AND dead_at <= UTC_TIMESTAMP(6) - INTERVAL %s SECOND ORDER BY dead_at LIMIT %s"
    )
    return [ReplacedPart(row["batch_key"], row["sales_month"], int(row["store_id"])) for row in tx.rows(sql, (seconds, limit))]


def parts_deleted(tx: Tx, parts: Sequence[ReplacedPart]) -> None:
    """Note that the objects of replaced parts are gone.

    Which files had rows in a merged part is forgotten with the last part of its batch: a table that is merged every day would otherwise
    grow by a row for each file and day.
    """
    if parts:
        places = ", ".join(["(%s, %s, %s)"] * len(parts))
        tx.execute(
            f"UPDATE fact_part SET state = 'DELETED' WHERE {IS_REPLACED} AND (batch_key, sales_month, store_id) IN ({places})",
            [value for part in parts for value in (part.batch_key, part.sales_month, part.store_id)],
        )
        keys = sorted({part.batch_key for part in parts})
        tx.execute(
            "DELETE h FROM batch_file h JOIN batch_attempt a ON a.batch_key = h.batch_key JOIN micro_batch b ON b.id = a.batch_id"
            " JOIN file_operation o ON o.id = b.operation_id"
            f" WHERE h.batch_key IN ({', '.join(['%s'] * len(keys))}) AND o.kind = 'COMPACT'"
            " AND NOT EXISTS (SELECT 1 FROM fact_part p WHERE p.batch_key = h.batch_key AND p.state <> 'DELETED')",
            keys,
        )


def mended_objects(tx: Tx, limit: int, after: tuple[int, int] = (0, 0)) -> list[MendedObject]:
    """Return objects of mended rows whose operation is over, behind an operation and file."""
    sql = (
        f"SELECT o.operation_id, o.file_id, o.mended_key, o.mended_etag, o.mended_bytes {MENDED_OVER}"
        " AND (o.operation_id > %s OR (o.operation_id = %s AND o.file_id > %s)) ORDER BY o.operation_id, o.file_id LIMIT %s"
    )
    return [
        MendedObject(
            int(row["operation_id"]), int(row["file_id"]), bytes(row["mended_key"]).decode(), row["mended_etag"], int(row["mended_bytes"])
        )
        for row in tx.rows(sql, (after[0], after[0], after[1], limit))
    ]


def mended_deleted(tx: Tx, objects: Sequence[MendedObject]) -> None:
    """Note that objects of mended rows are gone; which file was mended stays on record."""
    for one in objects:
        tx.execute("UPDATE operation_file SET mended_etag = NULL WHERE operation_id = %s AND file_id = %s", (one.operation_id, one.file_id))


def refuse_deleted(tx: Tx, file_id: int, place: str | None) -> None:
    """Say of a file's rejected rows that `clean` has deleted them; `place` is the file's own object, where it is still there.

    Raises:
        UsageError: it has.
    """
    sql = (
        "SELECT 1 FROM file_reject r JOIN quarantine_part q ON q.batch_key = r.batch_key AND q.reason = r.reason_code"
        " WHERE r.file_id = %s AND q.state = 'DELETED' LIMIT 1"
    )
    if tx.scalar(sql, (file_id,)):
        what = f"clean has deleted the rejected rows of file {file_id}, which were older than retention.quarantine_days"
        raise UsageError(what, cure=f"the file itself is {place}" if place else "the file's own object has been deleted as well")
