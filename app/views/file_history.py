"""The story of one file, from the ledger: batches and attempts, counts and reasons, where it is, what was done to it since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.contract.masking import masked
from app.ledger.operations import holding_parts, marks
from app.ledger.types import FileState, LivePart
from app.mysql.database import Row, Tx
from app.views.files import ListedFile, find_row, listed

# Attempts of all batches of a story together; a batch that cannot be finished has one for each start.
MOST_ATTEMPTS = 200
Fields = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where the object of a file is, in words, and its key while it has one."""

    text: str
    key: str | None


@dataclass(frozen=True)
class FileStory:
    """Everything that the ledger knows of one file. Lists are bounded, newest first; their entries are rows as JSON shows them.

    Attributes:
        batches: every batch that read it, took it out, or wrote its rows anew, each with its attempts.
        reasons: its rejected rows by reason, with the first of each.
        warnings: its accepted rows by broken rule.
        returns: each time it was listed again after it had seemed to be missing or overwritten.
        withdrawals: each time its rows were taken out, by which batch, for which file.
        operations: what was asked to be done to it.
        earlier, later: the other versions of its key, by id.
        waits_for: the dimension keys that its pending rows wait for.
        parts: the live parts of the facts that may hold rows of it.
    """

    file: ListedFile
    bucket: str
    etag: str
    last_modified: datetime
    claimed: datetime | None
    archived: datetime | None
    place: Place
    batches: list[Fields]
    reasons: list[Fields]
    warnings: list[Fields]
    withdrawals: list[Fields]
    operations: list[Fields]
    earlier: list[Fields]
    later: list[Fields]
    waits_for: list[Fields]
    parts: tuple[LivePart, ...]
    returns: list[Fields] = field(default_factory=list)


def read_story(tx: Tx, source_prefix: str, name: str, hidden: frozenset[str], limit: int) -> FileStory:
    """Return the story of a file, named by id or key; values of the columns `hidden` are masked, lists hold at most `limit` entries.

    Raises:
        UsageError: there is no such file, or the key has several versions.
    """
    row = find_row(tx, source_prefix, name)
    number = int(row["id"])
    [file] = listed(tx, [row])
    return FileStory(
        file=file,
        bucket=row["bucket"],
        etag=row["etag"],
        last_modified=row["last_modified"],
        claimed=row["claimed_at"],
        archived=row["archived_at"],
        place=place_of(row),
        batches=_batches(tx, number, limit),
        reasons=_reasons(tx, number, hidden, limit),
        warnings=_warnings(tx, number, limit),
        returns=_returns(tx, number, limit),
        withdrawals=_withdrawals(tx, number, limit),
        operations=_operations(tx, number, limit),
        earlier=_versions(tx, row, "<", limit),
        later=_versions(tx, row, ">", limit),
        waits_for=_waits_for(tx, number, limit) if row["in_force"] and row["rows_pending"] else [],
        parts=tuple(holding_parts(tx, [number])) if row["in_force"] else (),
    )


def place_of(row: Row) -> Place:
    """Say where a file's object is, by what the ledger knows."""
    key = bytes(row["object_key"]).decode()
    archived = bytes(row["archived_key"]).decode() if row["archived_key"] else None
    if row["state"] in (FileState.DISCOVERED, FileState.CLAIMED):
        return Place("in the source prefix, not loaded yet", key)
    if archived is not None:
        return Place("archived, and about to be moved" if row["archive_due"] else "archived", archived)
    if row["archive_due"]:
        return Place("in the source prefix, about to be archived", key)
    if row["state"] == FileState.UNREADABLE:
        return Place("in the source prefix, and S3 refuses to give it: it is tried again", key)
    if row["state"] == FileState.GONE:
        return Place("gone: it was deleted before it was loaded", None)
    if row["state"] == FileState.OVERWRITTEN:
        return Place("gone: it was overwritten before it was loaded", None)
    return Place("gone: deleted from the archive by clean, or from the source prefix before it was archived", None)


def _batches(tx: Tx, file_id: int, limit: int) -> list[Fields]:
    sql = (
        "SELECT id FROM (SELECT batch_id AS id FROM source_file WHERE id = %s AND batch_id IS NOT NULL"
        " UNION SELECT a.batch_id FROM batch_file h JOIN batch_attempt a ON a.batch_key = h.batch_key WHERE h.file_id = %s"
        " UNION SELECT batch_id FROM file_withdrawal WHERE file_id = %s"
        " UNION SELECT batch_id FROM file_return WHERE file_id = %s AND batch_id IS NOT NULL"
        " UNION SELECT b.id FROM operation_file o JOIN micro_batch b ON b.operation_id = o.operation_id WHERE o.file_id = %s) u"
        " ORDER BY id DESC LIMIT %s"
    )
    ids = [int(row["id"]) for row in tx.rows(sql, (file_id, file_id, file_id, file_id, file_id, limit))]
    if not ids:
        return []
    sql = (
        "SELECT b.id, b.state, COALESCE(o.kind, 'LOAD') AS kind, b.operation_id AS operation, b.failures, b.planned_at AS planned,"
        " b.committed_at AS committed, b.error FROM micro_batch b LEFT JOIN file_operation o ON o.id = b.operation_id"
        f" WHERE b.id IN ({marks(ids)}) ORDER BY b.id DESC"
    )
    attempts = _attempts(tx, ids)
    return [{**row, "attempts": [one for one in attempts if one["batch"] == row["id"]]} for row in tx.rows(sql, ids)]


def _attempts(tx: Tx, batch_ids: Sequence[int]) -> list[Fields]:
    sql = (
        "SELECT batch_key AS `key`, batch_id AS batch, state, started_at AS started, ended_at AS ended, error FROM batch_attempt"
        f" WHERE batch_id IN ({marks(batch_ids)}) ORDER BY started_at DESC LIMIT {MOST_ATTEMPTS}"
    )
    return tx.rows(sql, batch_ids)


def _reasons(tx: Tx, file_id: int, hidden: frozenset[str], limit: int) -> list[Fields]:
    # What an attempt noted that never committed says nothing.
    sql = (
        "SELECT r.reason_code AS reason, r.row_count AS `rows`, r.first_line, r.first_column, r.first_text FROM file_reject r"
        " JOIN batch_attempt a ON a.batch_key = r.batch_key WHERE r.file_id = %s AND a.state = 'COMMITTED'"
        " ORDER BY r.row_count DESC, r.reason_code LIMIT %s"
    )
    return [{**row, "first_text": masked(row["first_text"], row["first_column"], hidden)} for row in tx.rows(sql, (file_id, limit))]


def _warnings(tx: Tx, file_id: int, limit: int) -> list[Fields]:
    sql = (
        "SELECT w.rule_name AS rule, w.row_count AS `rows`, w.first_line FROM file_warning w"
        " JOIN batch_attempt a ON a.batch_key = w.batch_key WHERE w.file_id = %s AND a.state = 'COMMITTED'"
        " ORDER BY w.row_count DESC, w.rule_name LIMIT %s"
    )
    return tx.rows(sql, (file_id, limit))


def _returns(tx: Tx, file_id: int, limit: int) -> list[Fields]:
    sql = (
        "SELECT returned_at AS at, state, batch_id AS batch, finished_at AS since FROM file_return WHERE file_id = %s"
        " ORDER BY id DESC LIMIT %s"
    )
    return tx.rows(sql, (file_id, limit))


def _withdrawals(tx: Tx, file_id: int, limit: int) -> list[Fields]:
    sql = (
        "SELECT w.withdrawn_at AS at, w.batch_id AS batch, b.operation_id AS operation, w.superseded_by, w.rows_loaded, w.rows_pending"
        " FROM file_withdrawal w LEFT JOIN micro_batch b ON b.id = w.batch_id WHERE w.file_id = %s ORDER BY w.batch_id DESC LIMIT %s"
    )
    return tx.rows(sql, (file_id, limit))


def _operations(tx: Tx, file_id: int, limit: int) -> list[Fields]:
    sql = (
        "SELECT p.id, p.kind, p.state, p.requested_by AS `by`, p.requested_at AS requested, p.finished_at AS finished, p.detail, o.note"
        " FROM operation_file o JOIN file_operation p ON p.id = o.operation_id WHERE o.file_id = %s ORDER BY p.id DESC LIMIT %s"
    )
    return tx.rows(sql, (file_id, limit))


def _versions(tx: Tx, row: Row, side: str, limit: int) -> list[Fields]:
    sql = (
        f"SELECT id, state, in_force FROM source_file WHERE object_key = %s AND bucket = %s AND id {side} %s"
        f" ORDER BY id {'DESC' if side == '<' else 'ASC'} LIMIT %s"
    )
    found = tx.rows(sql, (bytes(row["object_key"]), row["bucket"], row["id"], limit))
    return [{**one, "in_force": bool(one["in_force"])} for one in found]


def _waits_for(tx: Tx, file_id: int, limit: int) -> list[Fields]:
    sql = (
        "SELECT k.dimension, k.key_value AS `key`, SUM(k.row_count) AS `rows` FROM pending_part p"
        " JOIN pending_key k ON k.batch_key = p.batch_key AND k.file_id = %s WHERE p.state = 'WAITING'"
        " GROUP BY k.dimension, k.key_value ORDER BY `rows` DESC, k.dimension, k.key_value LIMIT %s"
    )
    return [{**row, "rows": int(row["rows"])} for row in tx.rows(sql, (file_id, limit))]
