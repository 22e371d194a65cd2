"""The ledger's share of the final transaction: every statement here runs in the one transaction that also changes the marts."""

from __future__ import annotations

from app.errors import LedgerError
from app.ledger_types import MOVED_STATES, Attempt, Outcome
from app.mysql import Tx


def is_open(tx: Tx, attempt: Attempt) -> bool:
    """Lock the batch and tell whether this attempt may commit; False when it has committed already.

    A connection lost during COMMIT leaves its fate unknown: the transaction is tried again, and this question answers it.

    Raises:
        LedgerError: another attempt has taken the batch.
    """
    batch = tx.row("SELECT state, batch_key FROM micro_batch WHERE id = %s FOR UPDATE", (attempt.batch_id,))
    if batch is None or batch["batch_key"] != attempt.batch_key:
        raise LedgerError(f"batch {attempt.batch_id}: attempt {attempt.batch_key} was superseded by {batch and batch['batch_key']}")
    return bool(batch["state"] == "STARTED")


def book_files(tx: Tx, attempt: Attempt, outcome: Outcome) -> None:
    """Give every claimed file of the batch its final state and counts, and add its warnings to the totals.

    Raises:
        LedgerError: a file is not claimed by this batch, or its rows do not add up.
    """
    moved = ", ".join(f"'{state}'" for state in MOVED_STATES)
    hit = tx.execute(
        "UPDATE source_file f JOIN stage_file s ON s.file_id = f.id"
        " SET f.state = s.state, f.in_force = IF(s.state = 'COMMITTED', 1, 0), f.reason_code = s.reason_code,"
        " f.reason_detail = s.reason_detail,"
        " f.rows_read = s.rows_read, f.rows_loaded = s.rows_loaded, f.rows_rejected = s.rows_rejected, f.rows_pending = s.rows_pending,"
        f" f.content_digest = s.content_digest, f.finished_at = UTC_TIMESTAMP(6), f.archive_due = IF(s.state IN ({moved}), 1, 0)"
        " WHERE s.batch_key = %s AND f.batch_id = %s AND f.state = 'CLAIMED'"
        " AND s.rows_read = s.rows_loaded + s.rows_rejected + s.rows_pending",
        (attempt.batch_key, attempt.batch_id),
    )
    left = tx.scalar("SELECT COUNT(*) FROM source_file WHERE batch_id = %s AND state = 'CLAIMED'", (attempt.batch_id,))
    if hit != len(outcome.files) or left:
        raise LedgerError(f"batch {attempt.batch_key}: booked {hit} of {len(outcome.files)} files, {left} left over")
    if outcome.warnings:
        tx.execute(
            "INSERT INTO warning_total (rule_name, row_count, updated_at) SELECT s.rule_name, s.n, UTC_TIMESTAMP(6)"
            " FROM (SELECT rule_name, SUM(row_count) AS n FROM file_warning WHERE batch_key = %s GROUP BY rule_name) s"
            " ON DUPLICATE KEY UPDATE row_count = warning_total.row_count + s.n, updated_at = UTC_TIMESTAMP(6)",
            (attempt.batch_key,),
        )


def book_released(tx: Tx, attempt: Attempt, outcome: Outcome) -> None:
    """Move released rows from rows_pending to rows_loaded of their files and mark the consumed parts and the operation.

    Raises:
        LedgerError: a file would get a negative count, or a part is not waiting for this operation.
    """
    assert attempt.operation is not None, "only operations release"
    hit = tx.execute(
        "UPDATE source_file f JOIN stage_file s ON s.file_id = f.id"
        " SET f.rows_loaded = f.rows_loaded + s.rows_loaded, f.rows_pending = f.rows_pending - s.rows_loaded"
        " WHERE s.batch_key = %s AND f.state = 'COMMITTED' AND f.rows_pending >= s.rows_loaded + s.rows_pending",
        (attempt.batch_key,),
    )
    if hit != len(outcome.files):
        raise LedgerError(f"batch {attempt.batch_key}: released rows of {hit} of {len(outcome.files)} files")
    tx.execute(
        "UPDATE pending_part SET state = 'CONSUMED', consumed_at = UTC_TIMESTAMP(6) WHERE operation_id = %s AND state = 'WAITING'",
        (attempt.operation.id,),
    )
    tx.execute(
        "DELETE k FROM pending_key k JOIN pending_part p ON p.batch_key = k.batch_key WHERE p.operation_id = %s AND p.state = 'CONSUMED'",
        (attempt.operation.id,),
    )
    tx.execute("UPDATE file_operation SET state = 'DONE', finished_at = UTC_TIMESTAMP(6) WHERE id = %s", (attempt.operation.id,))


def publish_parts(tx: Tx, attempt: Attempt, outcome: Outcome) -> None:
    """Make the attempt's Parquet parts count: facts and quarantine LIVE, pending WAITING.

    Raises:
        LedgerError: the parts planned before the write are not the parts of the outcome.
    """
    key = attempt.batch_key
    wanted = {
        "fact_part": ("UPDATE fact_part SET state = 'LIVE', live_at = UTC_TIMESTAMP(6)", len(outcome.facts)),
        "quarantine_part": ("UPDATE quarantine_part SET state = 'LIVE'", len(outcome.quarantine)),
        "pending_part": ("UPDATE pending_part SET state = 'WAITING'", int(outcome.pending_rows > 0)),
    }
    for table, (update, expected) in wanted.items():
        hit = tx.execute(f"{update} WHERE batch_key = %s AND state = 'PLANNED'", (key,))
        if hit != expected:
            raise LedgerError(f"batch {key}: {table} has {hit} planned parts, {expected} expected")


def close_batch(tx: Tx, attempt: Attempt, outcome: Outcome, dimension_version: int) -> None:
    """Mark batch and attempt COMMITTED with their totals."""
    totals = [sum(getattr(f, name) for f in outcome.files) for name in ("rows_read", "rows_loaded", "rows_rejected", "rows_pending")]
    tx.execute(
        "UPDATE micro_batch SET state = 'COMMITTED', committed_at = UTC_TIMESTAMP(6), error = NULL, dimension_version = %s,"
        " rows_read = %s, rows_loaded = %s, rows_rejected = %s, rows_pending = %s WHERE id = %s",
        (dimension_version, *totals, attempt.batch_id),
    )
    tx.execute("UPDATE batch_attempt SET state = 'COMMITTED', ended_at = UTC_TIMESTAMP(6) WHERE batch_key = %s", (attempt.batch_key,))
