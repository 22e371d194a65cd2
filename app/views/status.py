"""What `status` shows: counts of the ledger, in a few indexed queries."""

from __future__ import annotations

from typing import Any

from app.config.sections import StreamConfig
from app.ledger.owner import Owner, StreamState, read_owner
from app.mysql.database import Database, Row, Tx
from app.views.text import moment, printable

# Where a caller has no configuration.
TAKEOVER_SECONDS = StreamConfig().takeover_seconds

# Parts of stranded rows that are named.
NAMED = 5


def read_status(db: Database, takeover_seconds: float = TAKEOVER_SECONDS) -> dict[str, Any]:
    """Return whether a stream runs, files by state, rows by outcome, the last batch, the backlog, warnings and what failed; JSON-ready.

    `rows` are those of the files that count, and of those on record that were rejected as a whole. The backlog is what the ledger knows
    and has not finished.
    """
    return db.run(lambda tx: {"stream": _stream(read_owner(tx, takeover_seconds)), **_read(tx)})


def _stream(owner: Owner) -> dict[str, Any]:
    has_run = owner.state != StreamState.NEVER
    return {
        "running": owner.is_running,
        "state": owner.state.value,
        "holder": owner.holder if has_run else None,
        "epoch": owner.epoch,
        "source": owner.source if has_run else None,
        "since": moment(owner.started_at),
        "heartbeat_at": moment(owner.heartbeat_at),
        "heartbeat_seconds_ago": round(owner.silent, 1) if has_run else None,
        "stopped_at": moment(owner.stopped_at),
        "stop_asked_by": owner.stop_by or None,
    }


def stream_line(stream: dict[str, Any]) -> str:
    """Say in one line whether a stream runs, where and since when."""
    if stream["state"] == StreamState.NEVER:
        return "No stream has run yet"
    who = f"{printable(stream['holder'])} (epoch {stream['epoch']})"
    began = f"since {_shown(stream['since'])}"
    beat = f"last heartbeat {stream['heartbeat_seconds_ago']:.1f} s ago"
    return {
        StreamState.RUNNING: f"Stream runs on {who} {began}, {beat}",
        StreamState.STOPPING: f"Stream runs on {who} {began}, {beat}; {printable(stream['stop_asked_by'] or '')} has asked it to stop",
        StreamState.STOPPED: f"No stream is running: the last one, on {who}, stopped at {_shown(stream['stopped_at'])}",
        StreamState.DEAD: f"No stream is running: the last one, on {who}, was killed, {beat}",
        StreamState.SILENT: f"No stream is heard of: {who} was killed, is frozen or has lost MySQL, {beat}",
    }[StreamState(stream["state"])]


def _shown(written: str | None) -> str:
    return f"{(written or '')[:19].replace('T', ' ')} UTC"


def _read(tx: Tx) -> dict[str, Any]:
    files = {row["state"]: int(row["n"]) for row in tx.rows("SELECT state, COUNT(*) AS n FROM source_file GROUP BY state ORDER BY state")}
    backlog = tx.row("SELECT COUNT(*) AS n, COALESCE(SUM(size_bytes), 0) AS size FROM source_file WHERE state IN ('DISCOVERED', 'CLAIMED')")
    assert backlog is not None, "an aggregate without GROUP BY has one row"
    last = tx.row(
        "SELECT id, batch_key, state, files, rows_read, rows_loaded, rows_rejected, rows_pending, planned_at, committed_at, error"
        " FROM micro_batch ORDER BY id DESC LIMIT 1"
    )
    pending = tx.rows(
        "SELECT k.dimension, k.key_value, SUM(k.row_count) AS row_total FROM pending_key k JOIN pending_part p ON p.batch_key = k.batch_key"
        " WHERE p.state = 'WAITING' GROUP BY k.dimension, k.key_value ORDER BY row_total DESC, k.dimension, k.key_value LIMIT 20"
    )
    return {
        "files": files,
        "rows": _rows(tx),
        "last_batch": _plain(last) if last else None,
        "backlog_files": int(backlog["n"]),
        "backlog_bytes": int(backlog["size"]),
        "failed_files": files.get("FAILED", 0),
        "held_files": int(tx.scalar("SELECT COUNT(*) FROM micro_batch WHERE state = 'HELD'")),
        "failed_operations": [
            {"id": int(r["id"]), "kind": r["kind"], "detail": r["detail"]}
            for r in tx.rows("SELECT id, kind, detail FROM file_operation WHERE state = 'FAILED' ORDER BY id DESC LIMIT 20")
        ],
        "unreadable_files": files.get("UNREADABLE", 0),
        "pending_keys": [{"dimension": r["dimension"], "key": int(r["key_value"]), "rows": int(r["row_total"])} for r in pending],
        "warnings": {
            row["rule_name"]: int(row["row_count"]) for row in tx.rows("SELECT rule_name, row_count FROM warning_total ORDER BY rule_name")
        },
        "ignored_objects": [
            {"rule": r["rule_name"], "objects": int(r["objects"]), "example": bytes(r["example"]).decode(errors="replace")}
            for r in tx.rows("SELECT rule_name, objects, example FROM ignored_object ORDER BY rule_name")
        ],
        "stranded": _stranded(tx),
        "archive_due": int(tx.scalar("SELECT COUNT(*) FROM source_file WHERE archive_due = 1")),
        "archive_refused": int(tx.scalar("SELECT COUNT(*) FROM source_file WHERE archive_due = 1 AND retry_at IS NOT NULL")),
    }


def _rows(tx: Tx) -> dict[str, int]:
    # What was retracted or superseded counts nowhere; rows of files that were rejected as a whole are rejected rows.
    row = tx.row(
        "SELECT COALESCE(SUM(rows_read), 0) AS row_read, COALESCE(SUM(rows_loaded), 0) AS row_loaded,"
        " COALESCE(SUM(rows_rejected), 0) AS row_rejected, COALESCE(SUM(rows_pending), 0) AS row_pending"
        " FROM source_file WHERE in_force = 1 OR state <> 'COMMITTED'"
    )
    assert row is not None, "an aggregate without GROUP BY has one row"
    return {name.removeprefix("row_"): int(value) for name, value in row.items()}


def _stranded(tx: Tx) -> dict[str, Any]:
    """Return the waiting rows whose release has failed, and of the newest parts when they are tried again."""
    failed = "FROM pending_part WHERE state = 'WAITING' AND failures > 0"
    total = tx.row(f"SELECT COUNT(*) AS parts, COALESCE(SUM(row_count), 0) AS row_total {failed}")
    assert total is not None, "an aggregate without GROUP BY has one row"
    columns = "batch_key, row_count AS `rows`, failures, not_before AS next_try"
    parts = tx.rows(f"SELECT {columns} {failed} ORDER BY not_before DESC, batch_key LIMIT {NAMED}")
    return {"parts": int(total["parts"]), "rows": int(total["row_total"]), "newest": [_plain(part) for part in parts]}


def _plain(row: Row) -> dict[str, Any]:
    return {name: value.isoformat() + "Z" if hasattr(value, "isoformat") else value for name, value in row.items()}
