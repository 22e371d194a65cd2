"""What an attempt writes down before it writes anything else, so that leftovers are known by name; all of it by batch key."""

from __future__ import annotations

from datetime import UTC, datetime

from app.ledger.types import Attempt, FileResult, Outcome
from app.mysql.database import Tx

PARTS = ("fact_part", "quarantine_part", "pending_part")
# What describes the files of an attempt; of a dead attempt nothing of it is true.
FINDINGS = ("file_reject", "file_warning", "file_header")
# The widths of file_reject's columns: a name in a header may be as long as the header.
MOST_COLUMN_CHARS = 255
MOST_VALUE_CHARS = 200


def plan_outcome(tx: Tx, attempt: Attempt, outcome: Outcome) -> None:
    """Insert everything that names what an attempt is about to write: parts, staged file results, findings."""
    key, now = attempt.batch_key, datetime.now(UTC).replace(tzinfo=None)
    # A connection lost during COMMIT makes this run again on top of itself.
    for table in (*PARTS, "stage_file", "batch_file", *FINDINGS):
        tx.execute(f"DELETE FROM {table} WHERE batch_key = %s", (key,))
    tx.executemany(
        "INSERT INTO fact_part (batch_key, sales_month, store_id, row_count, amount, planned_at) VALUES (%s, %s, %s, %s, %s, %s)",
        [(key, p.sales_month, p.store_id, p.rows, p.amount, now) for p in outcome.facts],
    )
    tx.executemany(
        "INSERT INTO quarantine_part (batch_key, load_date, reason, row_count, planned_at) VALUES (%s, %s, %s, %s, %s)",
        [(key, p.load_date, p.reason, p.rows, now) for p in outcome.quarantine],
    )
    if outcome.pending_rows:
        tx.execute("INSERT INTO pending_part (batch_key, row_count, created_at) VALUES (%s, %s, %s)", (key, outcome.pending_rows, now))
    tx.executemany(
        "INSERT INTO stage_file (batch_key, file_id, state, reason_code, reason_detail, rows_read, rows_loaded, rows_rejected,"
        " rows_pending, content_digest) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [_staged(key, file) for file in outcome.files],
    )
    # Written now and not with the commit, as there may be many; of an attempt that dies they say nothing wrong.
    tx.executemany("INSERT INTO batch_file (file_id, batch_key) VALUES (%s, %s)", [(file_id, key) for file_id in outcome.holders])
    _insert_findings(tx, key, outcome)


def _staged(key: str, f: FileResult) -> tuple[object, ...]:
    counts = (f.rows_read, f.rows_loaded, f.rows_rejected, f.rows_pending)
    return (key, f.file_id, f.state, f.reason_code, (f.reason_detail or "")[:2000] or None, *counts, f.content_digest)


def _insert_findings(tx: Tx, key: str, outcome: Outcome) -> None:
    tx.executemany(
        "INSERT INTO file_reject (file_id, batch_key, reason_code, row_count, first_line, first_column, first_text)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [
            (
                r.file_id,
                key,
                r.reason_code,
                r.rows,
                r.first_line,
                _cut(r.first_column, MOST_COLUMN_CHARS),
                _cut(r.first_text, MOST_VALUE_CHARS),
            )
            for r in outcome.rejects
        ],
    )
    tx.executemany(
        "INSERT INTO file_warning (file_id, batch_key, rule_name, row_count, first_line) VALUES (%s, %s, %s, %s, %s)",
        [(w.file_id, key, w.rule, w.rows, w.first_line) for w in outcome.warnings],
    )
    tx.executemany(
        "INSERT INTO file_header (file_id, batch_key, header) VALUES (%s, %s, %s)",
        [(file_id, key, header) for file_id, header in sorted(outcome.headers.items())],
    )


def _cut(text: str | None, most: int) -> str | None:
    return text[:most] if text is not None else None
