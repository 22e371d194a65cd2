"""What people do to batches and operations that stand in the way: look, cut a batch in halves, cancel an operation.

Needs no epoch: each change locks the batch, as the stream does before it begins an attempt and before it commits. What the stream is at
right now is left alone.
"""

from __future__ import annotations

from typing import Any

from app.errors import UsageError
from app.ledger.isolate import claimed_files, split
from app.ledger.types import OperationKind
from app.mysql.database import Row, Tx

OPEN_BATCHES = "'PLANNED', 'STARTED', 'HELD'"
OPEN_OPERATIONS = "'REQUESTED', 'CLAIMED'"
SEE_BATCHES = "see ./spark-submit.sh batch list --all"
SEE_OPERATIONS = "see ./spark-submit.sh operation list --all"


def list_batches(tx: Tx, limit: int, *, everything: bool) -> list[dict[str, Any]]:
    """Return batches, newest first: those that are not finished, or all."""
    rows = tx.rows(
        "SELECT b.id, b.state, COALESCE(o.kind, 'FILES') AS kind, b.operation_id AS operation, b.files, b.bytes, b.attempt AS attempts,"
        " b.failures, b.unexplained, b.planned_at AS planned, b.error"
        " FROM micro_batch b LEFT JOIN file_operation o ON o.id = b.operation_id"
        + ("" if everything else f" WHERE b.state IN ({OPEN_BATCHES})")
        + " ORDER BY b.id DESC LIMIT %s",
        (limit,),
    )
    return [dict(row) for row in rows]


def list_operations(tx: Tx, limit: int, *, everything: bool) -> list[dict[str, Any]]:
    """Return operations, newest first: those that are not over, or all."""
    # One has several batches where it was planned again after a cancelled one; the last tells how it fares.
    rows = tx.rows(
        "SELECT o.id, o.kind, o.state, o.requested_by AS requested_by, o.requested_at AS requested, o.finished_at AS finished,"
        " b.id AS batch, b.attempt AS attempts, b.failures, o.detail, b.error FROM file_operation o"
        " LEFT JOIN micro_batch b ON b.id = (SELECT MAX(m.id) FROM micro_batch m WHERE m.operation_id = o.id)"
        + ("" if everything else f" WHERE o.state IN ({OPEN_OPERATIONS})")
        + " ORDER BY o.id DESC LIMIT %s",
        (limit,),
    )
    return [dict(row) for row in rows]


def split_batch(tx: Tx, batch_id: int, takeover_seconds: float, who: str) -> tuple[int, int]:
    """Put two batches of half of its files in the place of a batch. Returns their numbers.

    Raises:
        UsageError: there is no such batch, it cannot be cut, or the stream is at it right now.
    """
    batch = _lock(tx, batch_id)
    if batch is None:
        raise UsageError(f"there is no batch {batch_id}", cure=SEE_BATCHES)
    if batch["state"] not in ("PLANNED", "STARTED"):
        raise UsageError(f"batch {batch_id} is {batch['state']}: there is nothing to split", cure=SEE_BATCHES)
    if batch["operation_id"] is not None:
        cure = f"./spark-submit.sh operation cancel {batch['operation_id']}"
        raise UsageError(f"batch {batch_id} is operation {batch['operation_id']}, which is done as a whole", cure=cure)
    _refuse_running(tx, batch, f"batch {batch_id}", takeover_seconds)
    files = claimed_files(tx, batch_id)
    if len(files) < 2:
        raise UsageError(f"batch {batch_id} has {len(files)} files: it cannot be split", cure=SEE_BATCHES)
    return split(tx, batch_id, files, f"split by {who}", failures=int(batch["failures"]), unexplained=int(batch["unexplained"]))


def cancel_operation(tx: Tx, operation_id: int, takeover_seconds: float, who: str) -> None:
    """Cancel an operation that is not over: nothing of it is done.

    Raises:
        UsageError: there is no such operation, it is over, the stream asks for it by itself, or is at it right now.
    """
    open_batch = "SELECT id FROM micro_batch WHERE operation_id = %s AND state IN ('PLANNED', 'STARTED') ORDER BY id DESC LIMIT 1"
    found = tx.scalar(open_batch, (operation_id,))
    # The batch first, in the order of every commit.
    batch = _lock(tx, int(found)) if found is not None else None
    operation = tx.row("SELECT kind, state FROM file_operation WHERE id = %s FOR UPDATE", (operation_id,))
    if operation is None:
        raise UsageError(f"there is no operation {operation_id}", cure=SEE_OPERATIONS)
    name = f"operation {operation_id} ({operation['kind']})"
    if operation["state"] not in ("REQUESTED", "CLAIMED"):
        raise UsageError(f"{name} is {operation['state']}: there is nothing to cancel", cure=SEE_OPERATIONS)
    if operation["kind"] == OperationKind.RELEASE:
        raise UsageError(f"{name} is asked for by the stream itself, which would ask again", cure=SEE_OPERATIONS)
    if operation["state"] == "CLAIMED" and batch is None:
        raise UsageError(f"{name} is being planned right now", cure="ask again")
    words = f"cancelled by {who}"[:2000]
    if batch is not None:
        _refuse_running(tx, batch, name, takeover_seconds)
        sql = "UPDATE micro_batch SET state = 'COMMITTED', committed_at = UTC_TIMESTAMP(6), error = %s WHERE id = %s"
        tx.execute(sql, (words, batch["id"]))
    sql = "UPDATE file_operation SET state = 'CANCELLED', finished_at = UTC_TIMESTAMP(6), detail = %s WHERE id = %s"
    tx.execute(sql, (words, operation_id))


def _lock(tx: Tx, batch_id: int) -> Row | None:
    sql = "SELECT id, state, batch_key, operation_id, failures, unexplained FROM micro_batch WHERE id = %s FOR UPDATE"
    return tx.row(sql, (batch_id,))


def _refuse_running(tx: Tx, batch: Row, what: str, takeover_seconds: float) -> None:
    """Refuse to touch what a living stream is at.

    Raises:
        UsageError: an attempt of the living owner is open, and has not failed.
    """
    if batch["batch_key"] is None:
        return
    owner = tx.row(
        "SELECT epoch, holder FROM stream_owner WHERE id = 1 AND stopped_at IS NULL"
        " AND heartbeat_at >= UTC_TIMESTAMP(6) - INTERVAL %s SECOND",
        (takeover_seconds,),
    )
    attempt = tx.row("SELECT state, error FROM batch_attempt WHERE batch_key = %s", (batch["batch_key"],))
    is_open = attempt is not None and attempt["state"] == "OPEN" and attempt["error"] is None
    if owner is not None and is_open and int(batch["batch_key"].split("-")[1]) == owner["epoch"]:
        cure = "wait for its end, or stop the stream first and ask again"
        raise UsageError(f"{what} is carried out right now by the stream of {owner['holder']}", cure=cure)
