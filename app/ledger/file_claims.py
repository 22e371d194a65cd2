"""The ledger's transitions as statements. Every function runs inside a transaction that has already proven our epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import NamedTuple

from app.errors import LedgerError
from app.ledger.operations import load, marks, moved_since, skip_files
from app.ledger.types import MOVED_STATES, Attempt, FileState, SourceFile
from app.mysql.database import Row, Tx
from app.s3.read import ObjectVersion

FILE_COLUMNS = "id, bucket, object_key, etag, version_id, size_bytes, last_modified, state, finished_at, retries"
# A file of an open operation is read by that: it must not be claimed beside.
IS_FREE = (
    "NOT EXISTS (SELECT 1 FROM operation_file o JOIN file_operation p ON p.id = o.operation_id"
    " WHERE o.file_id = f.id AND o.note IS NULL AND p.state IN ('REQUESTED', 'CLAIMED'))"
)
# A finished file that is listed for so long after its move was not moved: its object had seemed to be missing then.
STRAY_SECONDS = 60
# What was refused is tried again after so many seconds, then after twice as many, and so on up to an hour.
PAUSE = "LEAST(3600, 10 * POW(2, LEAST(retries, 10)))"


class Discovered(NamedTuple):
    """What a page of a listing shows: how many new files, files that came back, and finished files that are not moved away."""

    new: int = 0
    back: Sequence[int] = ()
    strays: Sequence[int] = ()


def to_file(row: Row) -> SourceFile:
    """Read one row of source_file."""
    version = ObjectVersion(
        bucket=row["bucket"],
        key=bytes(row["object_key"]).decode(),
        etag=row["etag"],
        size=int(row["size_bytes"]),
        last_modified=row["last_modified"].replace(tzinfo=UTC),
        version_id=row["version_id"],
    )
    return SourceFile(int(row["id"]), version, row["state"], row["finished_at"], retries=int(row["retries"]))


def insert_new(tx: Tx, by_identity: dict[bytes, ObjectVersion]) -> Discovered:
    """Insert the versions whose identity is unknown. Take up again what the listing shows and the ledger took for gone: files that are
    GONE or OVERWRITTEN are discovered again, and finished ones that still lie in the source prefix are moved again.
    """
    moved = ", ".join(f"'{state}'" for state in MOVED_STATES)
    sql = (
        "SELECT identity, id, state, COALESCE(retry_at <= UTC_TIMESTAMP(6), 1) AS is_due, archive_due = 0 AND"
        f" state IN ({moved}) AND COALESCE(archived_at, finished_at) < UTC_TIMESTAMP(6) - INTERVAL {STRAY_SECONDS} SECOND AS is_stray"
        f" FROM source_file WHERE identity IN ({marks(list(by_identity))})"
    )
    rows = tx.rows(sql, list(by_identity))
    known = {bytes(row["identity"]) for row in rows}
    new = {identity: version for identity, version in by_identity.items() if identity not in known}
    tx.executemany(
        "INSERT INTO source_file (identity, bucket, object_key, etag, version_id, size_bytes, last_modified, discovered_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE id = id",
        [
            (i, v.bucket, v.key.encode(), v.etag, v.version_id, v.size, v.last_modified.astimezone(UTC).replace(tzinfo=None))
            for i, v in new.items()
        ],
    )
    lost = [int(row["id"]) for row in rows if row["state"] in (FileState.GONE, FileState.OVERWRITTEN) and row["is_due"]]
    back = discover_again(tx, lost, "f.state IN ('GONE', 'OVERWRITTEN')") if lost else []
    strays = [int(row["id"]) for row in rows if row["is_stray"]]
    if strays:
        tx.execute(f"UPDATE source_file SET archive_due = 1, retry_at = NULL WHERE id IN ({marks(strays)}) AND archive_due = 0", strays)
    return Discovered(len(new), back, strays)


def discover_again(tx: Tx, file_ids: Sequence[int], condition: str) -> list[int]:
    """Set files back to DISCOVERED that fulfil a condition and that no operation is about. Returns which; what they were is kept."""
    sql = f"SELECT f.id FROM source_file f WHERE f.id IN ({marks(file_ids)}) AND {condition} AND {IS_FREE} ORDER BY f.id FOR UPDATE"
    found = [int(row["id"]) for row in tx.rows(sql, list(file_ids))]
    if not found:
        return []
    # A file that is refused again and again is no history; its row counts how often.
    tx.execute(
        "INSERT INTO file_return (file_id, state, batch_id, finished_at, returned_at)"
        " SELECT id, state, batch_id, finished_at, UTC_TIMESTAMP(6) FROM source_file"
        f" WHERE id IN ({marks(found)}) AND state <> 'UNREADABLE'",
        found,
    )
    tx.execute(
        f"UPDATE source_file SET state = 'DISCOVERED', batch_id = NULL, claimed_at = NULL, finished_at = NULL WHERE id IN ({marks(found)})",
        found,
    )
    return found


def retry_unreadable(tx: Tx, limit: int) -> list[int]:
    """Discover UNREADABLE files again whose pause is over, the longest waiting first, at most `limit`. Returns which."""
    sql = "SELECT id FROM source_file WHERE state = 'UNREADABLE' AND retry_at <= UTC_TIMESTAMP(6) ORDER BY retry_at LIMIT %s"
    due = [int(row["id"]) for row in tx.rows(sql, (limit,))]
    return discover_again(tx, due, "f.state = 'UNREADABLE'") if due else []


def retry_now(tx: Tx) -> None:
    """End the pause of everything that was refused: who starts a run may have mended the cause."""
    tx.execute(
        "UPDATE source_file SET retry_at = UTC_TIMESTAMP(6) WHERE state IN ('UNREADABLE', 'GONE', 'OVERWRITTEN')"
        " AND retry_at > UTC_TIMESTAMP(6)"
    )
    tx.execute("UPDATE source_file SET retry_at = NULL WHERE archive_due = 1 AND retry_at > UTC_TIMESTAMP(6)")


def claim_files(tx: Tx, max_files: int, max_bytes: int) -> int | None:
    """Create a batch and claim discovered files of distinct keys for it. Returns its number, None when there is nothing to claim.

    Raises:
        LedgerError: another writer claimed one of them.
    """
    sql = "SELECT id, object_key, size_bytes FROM source_file WHERE state = 'DISCOVERED' ORDER BY id LIMIT %s FOR UPDATE"
    claimed: list[int] = []
    keys: set[bytes] = set()
    total = 0
    for row in tx.rows(sql, (max_files,)):
        if claimed and total + row["size_bytes"] > max_bytes:
            break
        if bytes(row["object_key"]) in keys:
            continue
        claimed.append(row["id"])
        keys.add(bytes(row["object_key"]))
        total += row["size_bytes"]
    if not claimed:
        return None
    batch_id = tx.insert("INSERT INTO micro_batch (files, bytes, planned_at) VALUES (%s, %s, UTC_TIMESTAMP(6))", (len(claimed), total))
    marks = ", ".join(["%s"] * len(claimed))
    hit = tx.execute(
        "UPDATE source_file SET state = 'CLAIMED', batch_id = %s, claimed_at = UTC_TIMESTAMP(6)"
        f" WHERE id IN ({marks}) AND state = 'DISCOVERED' AND batch_id IS NULL",
        [batch_id, *claimed],
    )
    if hit != len(claimed):
        raise LedgerError(f"batch {batch_id}: claimed {hit} of {len(claimed)} files")
    return batch_id


def claim_operation(tx: Tx) -> int | None:
    """Create a batch for the oldest requested operation. Returns its number, None when none is requested."""
    # A request that is just being made, cancelled or rehearsed is not waited for: it is there at the next look, or it is not.
    operation = tx.row("SELECT id FROM file_operation WHERE state = 'REQUESTED' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
    if operation is None:
        return None
    return plan_operation(tx, int(operation["id"]))


def plan_operation(tx: Tx, operation_id: int) -> int:
    """Create a batch for one requested operation. Returns its number."""
    tx.execute("UPDATE file_operation SET state = 'CLAIMED', claimed_at = UTC_TIMESTAMP(6) WHERE id = %s", (operation_id,))
    return tx.insert("INSERT INTO micro_batch (operation_id, planned_at) VALUES (%s, UTC_TIMESTAMP(6))", (operation_id,))


def begin(tx: Tx, batch_id: int, epoch: int, contract_hash: str) -> Attempt | None:
    """Open a new attempt at a batch. Returns None when the batch needs none."""
    batch = tx.row("SELECT state, attempt, operation_id, planned_at FROM micro_batch WHERE id = %s FOR UPDATE", (batch_id,))
    if batch is None or batch["state"] not in ("PLANNED", "STARTED"):
        return None
    number = batch["attempt"] + 1
    key = f"{batch_id}-{epoch}-{number}"
    tx.execute(
        "UPDATE micro_batch SET state = 'STARTED', attempt = %s, batch_key = %s, contract_hash = %s, started_at = UTC_TIMESTAMP(6)"
        " WHERE id = %s",
        (number, key, contract_hash, batch_id),
    )
    tx.execute("INSERT INTO batch_attempt (batch_key, batch_id, started_at) VALUES (%s, %s, UTC_TIMESTAMP(6))", (key, batch_id))
    if batch["operation_id"] is not None:
        operation, files = load(tx, int(batch["operation_id"]))
        return Attempt(batch_id, key, number, batch["planned_at"].replace(tzinfo=UTC), files, operation)
    rows = tx.rows(f"SELECT {FILE_COLUMNS} FROM source_file WHERE batch_id = %s AND state = 'CLAIMED' ORDER BY id", (batch_id,))
    return Attempt(batch_id, key, number, batch["planned_at"].replace(tzinfo=UTC), tuple(to_file(row) for row in rows))


def drop_files(tx: Tx, attempt: Attempt, states: Mapping[int, FileState], why: Mapping[int, str]) -> None:
    """Take files out of a batch that cannot be read as booked. Nothing of them is loaded, and what an operation wanted to read
    again stays as it is; unless the job itself has moved the object meanwhile, and finds it at its new place when it starts over.
    """
    if attempt.operation is None:
        for file_id, state in states.items():
            drop_file(tx, attempt.batch_id, file_id, state, why.get(file_id, ""))
        return
    moved = moved_since(tx, (file for file in attempt.files if file.id in states))
    places = {file.id: f"its object s3://{file.version.bucket}/{file.version.key} is not there any more" for file in attempt.files}
    refused = {file_id: f"its object cannot be read: {why[file_id]}" for file_id, state in states.items() if state == FileState.UNREADABLE}
    skip_files(tx, attempt.operation.id, {file_id: (places | refused)[file_id] for file_id in states if file_id not in moved})


def drop_file(tx: Tx, batch_id: int, file_id: int, state: FileState, why: str) -> None:
    """Give a claimed file its state outside the batch's commit, and the time before which it is not tried again.

    A file that seemed lost may come back with the next listing, but not again and again without a pause.

    Raises:
        LedgerError: the batch has not claimed it.
    """
    is_refused = state == FileState.UNREADABLE
    reason = (FileState.UNREADABLE, why[:2000]) if is_refused else (None, None)
    hit = tx.execute(
        "UPDATE source_file SET state = %s, finished_at = IF(%s, NULL, UTC_TIMESTAMP(6)), reason_code = %s, reason_detail = %s,"
        f" retry_at = UTC_TIMESTAMP(6) + INTERVAL IF(%s OR retries > 0, {PAUSE}, 0) SECOND, retries = retries + 1"
        " WHERE id = %s AND batch_id = %s AND state = 'CLAIMED'",
        (state, is_refused, *reason, is_refused, file_id, batch_id),
    )
    if hit != 1 and tx.scalar("SELECT state FROM source_file WHERE id = %s AND batch_id = %s", (file_id, batch_id)) != state:
        raise LedgerError(f"batch {batch_id}: file {file_id} is not claimed by it")


# Waiting rows that one RELEASE reads, at least one part's.
MOST_RELEASED_ROWS = 5_000_000


def _bounded(tx: Tx, parts: list[str]) -> list[str]:
    """Return the first of some waiting parts that one batch may read together."""
    if not parts:
        return parts
    sql = f"SELECT batch_key, row_count FROM pending_part WHERE batch_key IN ({', '.join(['%s'] * len(parts))})"
    rows = {row["batch_key"]: int(row["row_count"]) for row in tx.rows(sql, parts)}
    total = 0
    taken: list[str] = []
    for part in parts:
        total += rows[part]
        if taken and total > MOST_RELEASED_ROWS:
            break
        taken.append(part)
    return taken


def request_release(tx: Tx, joins: Mapping[str, tuple[str, str]], max_parts: int, contract_hash: str) -> int | None:
    """Insert a RELEASE for waiting parts of which a key is known by now, unless one is already under way.

    A part whose release has failed goes alone, behind all others, and under the same contract only when its pause is over.
    """
    if tx.scalar("SELECT 1 FROM file_operation WHERE kind = 'RELEASE' AND state IN ('REQUESTED', 'CLAIMED') LIMIT 1"):
        return None
    parts = _bounded(tx, _releasable(tx, joins, "p.failures = 0", (), max_parts))
    if not parts:
        is_due = "(p.not_before IS NULL OR p.not_before <= UTC_TIMESTAMP(6) OR p.failed_contract <> %s)"
        parts = _releasable(tx, joins, f"p.failures > 0 AND {is_due}", (contract_hash,), 1)
    if not parts:
        return None
    operation = tx.insert(
        "INSERT INTO file_operation (kind, requested_by, requested_at, detail) VALUES ('RELEASE', 'stream', UTC_TIMESTAMP(6), %s)",
        (f"{len(parts)} pending parts",),
    )
    marks = ", ".join(["%s"] * len(parts))
    tx.execute(f"UPDATE pending_part SET operation_id = %s WHERE batch_key IN ({marks}) AND state = 'WAITING'", [operation, *parts])
    return operation


def _releasable(tx: Tx, joins: Mapping[str, tuple[str, str]], condition: str, args: tuple[object, ...], limit: int) -> list[str]:
    found: dict[str, tuple[object, str]] = {}
    for dimension, (table, key) in joins.items():
        sql = (
            "SELECT DISTINCT p.not_before, p.batch_key FROM pending_part p JOIN pending_key k ON k.batch_key = p.batch_key"
            f" JOIN `{table}` d ON d.`{key}` = k.key_value"
            f" WHERE p.state = 'WAITING' AND p.operation_id IS NULL AND k.dimension = %s AND {condition}"
            " ORDER BY p.not_before, p.batch_key LIMIT %s"
        )
        for row in tx.rows(sql, (dimension, *args, limit)):
            found[row["batch_key"]] = (str(row["not_before"] or ""), row["batch_key"])
    return sorted(found, key=lambda part: found[part])[:limit]
