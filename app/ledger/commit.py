"""The ledger's share of the final transaction: every statement here runs in the one transaction that also changes the marts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from app.errors import LedgerError
from app.ledger.types import MOVED_STATES, Attempt, Change, LivePart, Outcome
from app.mysql.database import Tx

T = TypeVar("T")
PAGE = 500


def is_open(tx: Tx, attempt: Attempt) -> bool:
    """Lock the batch and tell whether this attempt may commit; False when it has committed already.

    A connection lost during COMMIT leaves its fate unknown: the transaction is tried again, and this question answers it.

    Raises:
        LedgerError: another attempt has taken the batch, or it was split or held back meanwhile.
    """
    batch = tx.row("SELECT state, batch_key FROM micro_batch WHERE id = %s FOR UPDATE", (attempt.batch_id,))
    if batch is None or batch["batch_key"] != attempt.batch_key:
        raise LedgerError(f"batch {attempt.batch_id}: attempt {attempt.batch_key} was superseded by {batch and batch['batch_key']}")
    if batch["state"] not in ("STARTED", "COMMITTED"):
        raise LedgerError(f"batch {attempt.batch_id}: it is {batch['state']} and no longer to be committed")
    return bool(batch["state"] == "STARTED")


def book_files(tx: Tx, attempt: Attempt, outcome: Outcome) -> None:
    """Give every claimed file of the batch its final state and counts, and add its warnings to the totals.

    Raises:
        LedgerError: a file is not claimed by this batch, or its rows do not add up.
    """
    moved = ", ".join(f"'{state}'" for state in MOVED_STATES)
    hit = tx.execute(
        "UPDATE stage_file s STRAIGHT_JOIN source_file f ON f.id = s.file_id"
        " SET f.state = s.state, f.in_force = IF(s.state = 'COMMITTED', 1, 0), f.reason_code = s.reason_code,"
        " f.reason_detail = s.reason_detail,"
        " f.rows_read = s.rows_read, f.rows_loaded = s.rows_loaded, f.rows_rejected = s.rows_rejected, f.rows_pending = s.rows_pending,"
        f" f.content_digest = s.content_digest, f.finished_at = UTC_TIMESTAMP(6), f.retry_at = NULL,"
        f" f.archive_due = IF(s.state IN ({moved}), 1, 0)"
        " WHERE s.batch_key = %s AND f.batch_id = %s AND f.state = 'CLAIMED'"
        " AND s.rows_read = s.rows_loaded + s.rows_rejected + s.rows_pending",
        (attempt.batch_key, attempt.batch_id),
    )
    left = tx.scalar("SELECT COUNT(*) FROM source_file WHERE batch_id = %s AND state = 'CLAIMED'", (attempt.batch_id,))
    claimed = sum(file.state not in tuple(Change) for file in outcome.files)
    if hit != claimed or left:
        raise LedgerError(f"batch {attempt.batch_key}: booked {hit} of {claimed} files, {left} left over")
    if outcome.warnings:
        add_warnings(tx, attempt)


def add_warnings(tx: Tx, attempt: Attempt) -> None:
    """Add the batch's warnings to the totals of their rules."""
    tx.execute(
        "INSERT INTO warning_total (rule_name, row_count, updated_at) SELECT s.rule_name, s.n, UTC_TIMESTAMP(6)"
        " FROM (SELECT rule_name, SUM(row_count) AS n FROM file_warning WHERE batch_key = %s GROUP BY rule_name) s"
        " ON DUPLICATE KEY UPDATE row_count = warning_total.row_count + s.n, updated_at = UTC_TIMESTAMP(6)",
        (attempt.batch_key,),
    )


def publish_parts(tx: Tx, attempt: Attempt, outcome: Outcome) -> None:
    """Make the attempt's Parquet parts count: facts and quarantine LIVE, pending WAITING; and those that they replace no longer.

    Raises:
        LedgerError: the parts planned before the write are not the parts of the outcome, or a replaced one does not count any more.
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
    dead = sum(_retire(tx, page) for page in _pages(outcome.dead_parts))
    used = sum(_consume(tx, page) for page in _pages(outcome.consumed))
    if dead != len(outcome.dead_parts) or used != len(outcome.consumed):
        raise LedgerError(
            f"batch {key}: replaced {dead} of {len(outcome.dead_parts)} fact parts and {used} of {len(outcome.consumed)} waiting parts"
        )


def _pages(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[at : at + PAGE] for at in range(0, len(items), PAGE)]


def _retire(tx: Tx, parts: Sequence[LivePart]) -> int:
    places = ", ".join(["(%s, %s, %s)"] * len(parts))
    sql = (
        "UPDATE fact_part SET state = 'DEAD', dead_at = UTC_TIMESTAMP(6)"
        f" WHERE (batch_key, sales_month, store_id) IN ({places}) AND state = 'LIVE'"
    )
    return tx.execute(sql, [value for part in parts for value in (part.batch_key, part.sales_month, part.store_id)])


def _consume(tx: Tx, keys: Sequence[str]) -> int:
    marks = ", ".join(["%s"] * len(keys))
    tx.execute(f"DELETE FROM pending_key WHERE batch_key IN ({marks})", keys)
    sql = f"UPDATE pending_part SET state = 'CONSUMED', consumed_at = UTC_TIMESTAMP(6) WHERE batch_key IN ({marks}) AND state = 'WAITING'"
    return tx.execute(sql, keys)


def close_batch(tx: Tx, attempt: Attempt, outcome: Outcome, dimension_version: int) -> None:
    """Mark batch and attempt COMMITTED with their totals."""
    totals = [sum(getattr(f, name) for f in outcome.files) for name in ("rows_read", "rows_loaded", "rows_rejected", "rows_pending")]
    tx.execute(
        "UPDATE micro_batch SET state = 'COMMITTED', committed_at = UTC_TIMESTAMP(6), error = NULL, dimension_version = %s,"
        " rows_read = %s, rows_loaded = %s, rows_rejected = %s, rows_pending = %s WHERE id = %s",
        (dimension_version, *totals, attempt.batch_id),
    )
    sql = "UPDATE batch_attempt SET state = 'COMMITTED', ended_at = UTC_TIMESTAMP(6), error = NULL WHERE batch_key = %s"
    tx.execute(sql, (attempt.batch_key,))
