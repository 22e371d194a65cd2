"""The ledger's transitions as statements. Every function runs inside a transaction that has already proven our epoch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC

from app.errors import LedgerError
from app.ledger.operations import load, moved_since, skip_files
from app.ledger.records import Attempt, FileState, SourceFile
from app.mysql.database import Row, Tx
from app.s3.read import ObjectVersion

FILE_COLUMNS = "id, bucket, object_key, etag, version_id, size_bytes, last_modified, state, finished_at"


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
    return SourceFile(int(row["id"]), version, row["state"], row["finished_at"])


def insert_new(tx: Tx, by_identity: dict[bytes, ObjectVersion]) -> int:
    """Insert the versions whose identity is unknown. Returns how many they are."""
    marks = ", ".join(["%s"] * len(by_identity))
    known = {bytes(row["identity"]) for row in tx.rows(f"SELECT identity FROM source_file WHERE identity IN ({marks})", list(by_identity))}
    new = {identity: version for identity, version in by_identity.items() if identity not in known}
    tx.executemany(
        "INSERT INTO source_file (identity, bucket, object_key, etag, version_id, size_bytes, last_modified, discovered_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE id = id",
        [
            (i, v.bucket, v.key.encode(), v.etag, v.version_id, v.size, v.last_modified.astimezone(UTC).replace(tzinfo=None))
            for i, v in new.items()
        ],
    )
    return len(new)


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


def drop_files(tx: Tx, attempt: Attempt, states: Mapping[int, FileState]) -> None:
    """Take files out of a batch whose booked version is no longer there. Nothing of them is loaded, and what an operation wanted to read
    again stays as it is; unless the job itself has moved the object meanwhile, and finds it at its new place when it starts over.
    """
    if attempt.operation is None:
        for file_id, state in states.items():
            drop_file(tx, attempt.batch_id, file_id, state)
        return
    moved = moved_since(tx, (file for file in attempt.files if file.id in states))
    places = {file.id: f"its object s3://{file.version.bucket}/{file.version.key} is not there any more" for file in attempt.files}
    skip_files(tx, attempt.operation.id, {file_id: places[file_id] for file_id in states if file_id not in moved})


def drop_file(tx: Tx, batch_id: int, file_id: int, state: FileState) -> None:
    """Give a claimed file its final state outside the batch's commit.

    Raises:
        LedgerError: the batch has not claimed it.
    """
    hit = tx.execute(
        "UPDATE source_file SET state = %s, finished_at = UTC_TIMESTAMP(6) WHERE id = %s AND batch_id = %s AND state = 'CLAIMED'",
        (state, file_id, batch_id),
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
