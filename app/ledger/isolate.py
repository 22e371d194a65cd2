"""A batch that fails again and again: cut it in halves until the file that makes it fail is alone, and give that one up.

docs/decisions/0005-poison-files.md says why.
"""

from __future__ import annotations

from app.ledger.duplicates import request_heirs_of_failed
from app.mysql.database import Row, Tx

FAILED_REASON = "FAILED"


def isolate(tx: Tx, batch_id: int, error: str, limit: int, *, replaces: bool = False) -> str | None:
    """Close a batch that has failed `limit` times and say what became of its files; None when it has not failed that often.

    Several files: they are claimed again by two batches of half of them each. A half is tried once, then cut again; a single file has
    all its attempts before it is given up as FAILED, and then its object moves to the error prefix. An operation is given up at once: the
    waiting parts of a RELEASE are given back, and a skipped file that a REPLAY could not load leaves its content to the next one.
    `replaces` tells whether the contract lets a file take the place of an earlier one of its name.
    """
    batch = tx.row("SELECT state, failures, operation_id FROM micro_batch WHERE id = %s FOR UPDATE", (batch_id,))
    if batch is None or batch["state"] != "STARTED" or batch["failures"] < limit:
        return None
    if batch["operation_id"] is not None:
        _close(tx, batch_id, "COMMITTED", error)
        sql = "UPDATE file_operation SET state = 'FAILED', finished_at = UTC_TIMESTAMP(6), detail = %s WHERE id = %s"
        tx.execute(sql, (error, batch["operation_id"]))
        request_heirs_of_failed(tx, int(batch["operation_id"]), replaces=replaces)
        return f"gave up operation {batch['operation_id']}"
    files = tx.rows("SELECT id, size_bytes FROM source_file WHERE batch_id = %s AND state = 'CLAIMED' ORDER BY id FOR UPDATE", (batch_id,))
    if len(files) <= 1:
        return _give_up(tx, batch_id, files, error)
    middle = len(files) // 2
    halves = [_claim_again(tx, batch_id, part, limit) for part in (files[:middle], files[middle:])]
    _close(tx, batch_id, "SPLIT", error)
    return f"was split into batches {halves[0]} and {halves[1]}"


def _give_up(tx: Tx, batch_id: int, files: list[Row], error: str) -> str:
    for file in files:
        tx.execute(
            "UPDATE source_file SET state = 'FAILED', reason_code = %s, reason_detail = %s, finished_at = UTC_TIMESTAMP(6), archive_due = 1"
            " WHERE id = %s AND batch_id = %s AND state = 'CLAIMED'",
            (FAILED_REASON, error, file["id"], batch_id),
        )
    _close(tx, batch_id, "COMMITTED", error)
    return f"gave up file {', '.join(str(file['id']) for file in files)}"


def _claim_again(tx: Tx, batch_id: int, files: list[Row], limit: int) -> int:
    """Plan a batch of some files of another one. Alone, a file has all its attempts; in company it is known that one of them is bad."""
    failures = 0 if len(files) == 1 else limit - 1
    new = tx.insert(
        "INSERT INTO micro_batch (files, bytes, failures, planned_at) VALUES (%s, %s, %s, UTC_TIMESTAMP(6))",
        (len(files), sum(int(file["size_bytes"]) for file in files), failures),
    )
    marks = ", ".join(["%s"] * len(files))
    sql = f"UPDATE source_file SET batch_id = %s WHERE id IN ({marks}) AND batch_id = %s AND state = 'CLAIMED'"
    tx.execute(sql, [new, *[file["id"] for file in files], batch_id])
    return new


def _close(tx: Tx, batch_id: int, state: str, error: str) -> None:
    tx.execute("UPDATE micro_batch SET state = %s, committed_at = UTC_TIMESTAMP(6), error = %s WHERE id = %s", (state, error, batch_id))
