"""The ledger: states of files, batches, attempts and parts, and every transition between them.

Each method is one transaction that first proves our epoch (design: D5). Work is found by state, never by position.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import TypeVar

from app.errors import LedgerError
from app.mysql import Database, Row, Tx
from app.owner import check_epoch
from app.s3 import ObjectVersion

T = TypeVar("T")


class FileState(StrEnum):
    """States of a source file; the last six are final."""

    DISCOVERED = "DISCOVERED"
    CLAIMED = "CLAIMED"
    COMMITTED = "COMMITTED"
    REJECTED = "REJECTED"
    DUPLICATE = "DUPLICATE"
    FAILED = "FAILED"
    OVERWRITTEN = "OVERWRITTEN"
    GONE = "GONE"


# What no longer is in the source prefix as booked has nothing to be moved.
MOVED_STATES = (FileState.COMMITTED, FileState.REJECTED, FileState.DUPLICATE, FileState.FAILED)


@dataclass(frozen=True)
class SourceFile:
    """One object version as the ledger knows it."""

    id: int
    version: ObjectVersion
    state: str = FileState.CLAIMED
    finished_at: datetime | None = None


@dataclass(frozen=True)
class Operation:
    """One row of file_operation."""

    id: int
    kind: str
    file_id: int | None = None


@dataclass(frozen=True)
class Attempt:
    """One attempt at one micro-batch: what it holds and the clock it is evaluated against."""

    batch_id: int
    batch_key: str
    number: int
    planned_at: datetime
    files: tuple[SourceFile, ...]
    operation: Operation | None = None


@dataclass(frozen=True)
class FileResult:
    """What became of one file in a batch. For a RELEASE the figures are changes, not totals.

    Raises:
        LedgerError: rows_read is not rows_loaded + rows_rejected + rows_pending.
    """

    file_id: int
    state: str = FileState.COMMITTED
    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_pending: int = 0
    reason_code: str | None = None
    reason_detail: str | None = None
    content_digest: bytes | None = None

    def __post_init__(self) -> None:
        if self.rows_read != self.rows_loaded + self.rows_rejected + self.rows_pending:
            raise LedgerError(
                f"file {self.file_id}: read {self.rows_read} is not loaded {self.rows_loaded}"
                f" + rejected {self.rows_rejected} + pending {self.rows_pending}"
            )


@dataclass(frozen=True)
class FactPart:
    """One partition of one batch: rows and amount that its Parquet must hold."""

    sales_month: str
    store_id: int
    rows: int
    amount: Decimal


@dataclass(frozen=True)
class QuarantinePart:
    """One folder of rejected rows of one batch."""

    load_date: date
    reason: str
    rows: int


@dataclass(frozen=True)
class Reject:
    """Rows of one file rejected for one reason, and where the first one stands."""

    file_id: int
    reason_code: str
    rows: int
    first_line: int | None
    first_column: str | None


@dataclass(frozen=True)
class Outcome:
    """All that a batch attempt is about to make true."""

    files: tuple[FileResult, ...] = ()
    facts: tuple[FactPart, ...] = ()
    quarantine: tuple[QuarantinePart, ...] = ()
    pending_rows: int = 0
    rejects: tuple[Reject, ...] = ()

    @property
    def rows_loaded(self) -> int:
        """Rows that go into facts and marts."""
        return sum(result.rows_loaded for result in self.files)


def identity_of(version: ObjectVersion) -> bytes:
    """Return the 32 bytes that name an object version: SHA-256 over (bucket, key, etag, size, time or version id)."""
    last = version.version_id or str(int(version.last_modified.timestamp() * 1000))
    return sha256(json.dumps([version.bucket, version.key, version.etag, version.size, last]).encode()).digest()


class Ledger:
    """The ledger under one epoch."""

    def __init__(self, db: Database, epoch: int) -> None:
        self.db = db
        self.epoch = epoch

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in one transaction that begins with the proof of our epoch; Transient errors are retried.

        Raises:
            OwnershipError: a newer instance has taken over; nothing was written.
        """

        def fenced(tx: Tx) -> T:
            check_epoch(tx, self.epoch)
            return work(tx)

        return self.db.run(fenced)

    # -- discovery and planning (the planner process) ---------------------------------------------------------------

    def discover(self, versions: Sequence[ObjectVersion]) -> int:
        """Insert the object versions that the ledger does not know yet. Returns how many are new."""
        by_identity = {identity_of(version): version for version in versions}
        return self.write(lambda tx: _insert_new(tx, by_identity)) if by_identity else 0

    def claimable(self, max_files: int) -> tuple[int, int]:
        """Count the discovered files (up to `max_files`) and their bytes."""
        sql = "SELECT size_bytes FROM source_file WHERE state = 'DISCOVERED' ORDER BY id LIMIT %s"
        rows = self.db.run(lambda tx: tx.rows(sql, (max_files,)))
        return len(rows), sum(int(row["size_bytes"]) for row in rows)

    def next_batch(self, after: int) -> int | None:
        """Return the first uncommitted batch behind `after` that was planned earlier but never handed out."""
        sql = "SELECT MIN(id) FROM micro_batch WHERE id > %s AND state IN ('PLANNED', 'STARTED')"
        found = self.db.run(lambda tx: tx.scalar(sql, (after,)))
        return int(found) if found is not None else None

    def last_batch(self) -> int:
        """Return the newest batch number, 0 when there is none."""
        return int(self.db.run(lambda tx: tx.scalar("SELECT COALESCE(MAX(id), 0) FROM micro_batch")))

    def claim_files(self, max_files: int, max_bytes: int) -> int | None:
        """Plan a batch: claim discovered files of distinct keys, oldest first, bounded by files and bytes (at least one)."""
        return self.write(lambda tx: _claim_files(tx, max_files, max_bytes))

    def claim_operation(self) -> int | None:
        """Plan a batch that executes the oldest requested operation."""
        return self.write(_claim_operation)

    # -- one batch --------------------------------------------------------------------------------------------------

    def unfinished(self) -> list[int]:
        """Return the numbers of all planned, uncommitted batches in order."""
        sql = "SELECT id FROM micro_batch WHERE state IN ('PLANNED', 'STARTED') ORDER BY id"
        return [int(row["id"]) for row in self.db.run(lambda tx: tx.rows(sql))]

    def begin(self, batch_id: int, contract_hash: str) -> Attempt | None:
        """Start a new attempt at a batch. Returns None when the batch is already finished."""
        return self.write(lambda tx: _begin(tx, batch_id, self.epoch, contract_hash))

    def dead_attempts(self, alive: str | None) -> list[str]:
        """Return the keys of open attempts other than `alive`: their leftovers must go."""
        sql = "SELECT batch_key FROM batch_attempt WHERE state = 'OPEN' AND batch_key <> %s"
        return [row["batch_key"] for row in self.db.run(lambda tx: tx.rows(sql, (alive or "",)))]

    def files_in_force(self, digests: set[bytes]) -> dict[bytes, int]:
        """Return which of these contents already count in the marts: digest -> the first file that holds it."""
        if not digests:
            return {}
        marks = ", ".join(["%s"] * len(digests))
        sql = f"SELECT content_digest, MIN(id) AS id FROM source_file WHERE content_digest IN ({marks}) AND in_force = 1 AND rows_read > 0 GROUP BY content_digest"
        return {bytes(row["content_digest"]): int(row["id"]) for row in self.db.run(lambda tx: tx.rows(sql, list(digests)))}

    def drop_files(self, batch_id: int, states: dict[int, FileState]) -> None:
        """Take files whose booked version is no longer there (OVERWRITTEN, GONE) out of a batch; nothing of them is loaded."""
        self.write(lambda tx: [_drop_file(tx, batch_id, file_id, state) for file_id, state in states.items()])

    def plan_outcome(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write down what the attempt is about to create on S3 and in the final transaction, so that leftovers are known by name."""
        self.write(lambda tx: _plan_outcome(tx, attempt, outcome))

    def fail(self, attempt: Attempt, error: str) -> int:
        """Count a failed attempt. Returns how often the batch has failed."""

        def count(tx: Tx) -> int:
            tx.execute("UPDATE micro_batch SET failures = failures + 1, error = %s WHERE id = %s", (error[:2000], attempt.batch_id))
            tx.execute("UPDATE batch_attempt SET error = %s WHERE batch_key = %s", (error[:2000], attempt.batch_key))
            return int(tx.scalar("SELECT failures FROM micro_batch WHERE id = %s", (attempt.batch_id,)))

        return self.write(count)

    def bury(self, batch_key: str) -> None:
        """Mark a dead attempt whose leftovers on S3 and in the stage tables are gone."""

        def mark(tx: Tx) -> None:
            for table in ("fact_part", "quarantine_part", "pending_part"):
                tx.execute(f"UPDATE {table} SET state = 'DEAD' WHERE batch_key = %s AND state = 'PLANNED'", (batch_key,))
            for table in ("pending_key", "file_reject"):
                tx.execute(f"DELETE FROM {table} WHERE batch_key = %s", (batch_key,))
            tx.execute("UPDATE batch_attempt SET state = 'DEAD', ended_at = UTC_TIMESTAMP(6) WHERE batch_key = %s AND state = 'OPEN'", (batch_key,))

        self.write(mark)

    def planned_parts(self, batch_key: str) -> dict[str, list[Row]]:
        """Return the parts that an attempt planned to write and that never became live, by table."""

        def read(tx: Tx) -> dict[str, list[Row]]:
            tables = ("fact_part", "quarantine_part", "pending_part")
            return {t: tx.rows(f"SELECT * FROM {t} WHERE batch_key = %s AND state = 'PLANNED'", (batch_key,)) for t in tables}

        return self.db.run(read)

    def staged_keys(self, table: str) -> set[str]:
        """Return the batch keys that have rows in a stage table."""
        return {row["batch_key"] for row in self.db.run(lambda tx: tx.rows(f"SELECT DISTINCT batch_key FROM {table}"))}

    # -- pending rows -----------------------------------------------------------------------------------------------

    def pending_parts(self, operation_id: int) -> list[str]:
        """Return the batch keys of the waiting parts that a RELEASE consumes."""
        sql = "SELECT batch_key FROM pending_part WHERE operation_id = %s AND state = 'WAITING' ORDER BY batch_key"
        return [row["batch_key"] for row in self.db.run(lambda tx: tx.rows(sql, (operation_id,)))]

    def request_release(self, joins: Mapping[str, tuple[str, str]], max_parts: int) -> int | None:
        """Request a RELEASE of waiting parts of which a wanted key is in its dimension table by now; one at a time.

        Args:
            joins: dimension name -> (table, key column).
            max_parts: most parts that one RELEASE takes.
        """
        return self.write(lambda tx: _request_release(tx, joins, max_parts))

    # -- archive ----------------------------------------------------------------------------------------------------

    def archive_due(self, limit: int) -> list[SourceFile]:
        """Return finished files whose object still waits to be moved, oldest first."""
        sql = f"SELECT {_FILE_COLUMNS} FROM source_file WHERE archive_due = 1 ORDER BY id LIMIT %s"
        return [_to_file(row) for row in self.db.run(lambda tx: tx.rows(sql, (limit,)))]

    def archived(self, file_id: int, key: str | None, etag: str | None) -> None:
        """Note that an object has been moved to `key`; None when its version was no longer there to be moved."""
        sql = (
            "UPDATE source_file SET archive_due = 0, archived_at = IF(%s IS NULL, NULL, UTC_TIMESTAMP(6)), archived_key = %s, archived_etag = %s"
            " WHERE id = %s"
        )
        encoded = key.encode() if key else None
        self.write(lambda tx: tx.execute(sql, (encoded, encoded, etag, file_id)))


_FILE_COLUMNS = "id, bucket, object_key, etag, version_id, size_bytes, last_modified, state, finished_at"


def _to_file(row: Row) -> SourceFile:
    version = ObjectVersion(
        bucket=row["bucket"],
        key=bytes(row["object_key"]).decode(),
        etag=row["etag"],
        size=int(row["size_bytes"]),
        last_modified=row["last_modified"].replace(tzinfo=UTC),
        version_id=row["version_id"],
    )
    return SourceFile(int(row["id"]), version, row["state"], row["finished_at"])


def _insert_new(tx: Tx, by_identity: dict[bytes, ObjectVersion]) -> int:
    marks = ", ".join(["%s"] * len(by_identity))
    known = {bytes(row["identity"]) for row in tx.rows(f"SELECT identity FROM source_file WHERE identity IN ({marks})", list(by_identity))}
    new = {identity: version for identity, version in by_identity.items() if identity not in known}
    tx.executemany(
        "INSERT INTO source_file (identity, bucket, object_key, etag, version_id, size_bytes, last_modified, discovered_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE id = id",
        [(i, v.bucket, v.key.encode(), v.etag, v.version_id, v.size, v.last_modified.astimezone(UTC).replace(tzinfo=None)) for i, v in new.items()],
    )
    return len(new)


def _claim_files(tx: Tx, max_files: int, max_bytes: int) -> int | None:
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
    batch_id = tx.insert(
        "INSERT INTO micro_batch (files, bytes, planned_at) VALUES (%s, %s, UTC_TIMESTAMP(6))", (len(claimed), total)
    )
    marks = ", ".join(["%s"] * len(claimed))
    hit = tx.execute(
        "UPDATE source_file SET state = 'CLAIMED', batch_id = %s, claimed_at = UTC_TIMESTAMP(6)"
        f" WHERE id IN ({marks}) AND state = 'DISCOVERED' AND batch_id IS NULL",
        [batch_id, *claimed],
    )
    if hit != len(claimed):
        raise LedgerError(f"batch {batch_id}: claimed {hit} of {len(claimed)} files")
    return batch_id


def _claim_operation(tx: Tx) -> int | None:
    operation = tx.row("SELECT id FROM file_operation WHERE state = 'REQUESTED' ORDER BY id LIMIT 1 FOR UPDATE")
    if operation is None:
        return None
    tx.execute("UPDATE file_operation SET state = 'CLAIMED', claimed_at = UTC_TIMESTAMP(6) WHERE id = %s", (operation["id"],))
    return tx.insert("INSERT INTO micro_batch (operation_id, planned_at) VALUES (%s, UTC_TIMESTAMP(6))", (operation["id"],))


def _begin(tx: Tx, batch_id: int, epoch: int, contract_hash: str) -> Attempt | None:
    batch = tx.row("SELECT state, attempt, operation_id, planned_at FROM micro_batch WHERE id = %s FOR UPDATE", (batch_id,))
    if batch is None or batch["state"] not in ("PLANNED", "STARTED"):
        return None
    number = batch["attempt"] + 1
    key = f"{batch_id}-{epoch}-{number}"
    tx.execute(
        "UPDATE micro_batch SET state = 'STARTED', attempt = %s, batch_key = %s, contract_hash = %s, started_at = UTC_TIMESTAMP(6) WHERE id = %s",
        (number, key, contract_hash, batch_id),
    )
    tx.execute("INSERT INTO batch_attempt (batch_key, batch_id, started_at) VALUES (%s, %s, UTC_TIMESTAMP(6))", (key, batch_id))
    files = tx.rows(f"SELECT {_FILE_COLUMNS} FROM source_file WHERE batch_id = %s AND state = 'CLAIMED' ORDER BY id", (batch_id,))
    operation = tx.row("SELECT id, kind, file_id FROM file_operation WHERE id = %s", (batch["operation_id"],)) if batch["operation_id"] else None
    return Attempt(
        batch_id=batch_id,
        batch_key=key,
        number=number,
        planned_at=batch["planned_at"].replace(tzinfo=UTC),
        files=tuple(_to_file(row) for row in files),
        operation=Operation(operation["id"], operation["kind"], operation["file_id"]) if operation else None,
    )


def _drop_file(tx: Tx, batch_id: int, file_id: int, state: FileState) -> None:
    hit = tx.execute(
        "UPDATE source_file SET state = %s, finished_at = UTC_TIMESTAMP(6) WHERE id = %s AND batch_id = %s AND state = 'CLAIMED'",
        (state, file_id, batch_id),
    )
    if hit != 1:
        raise LedgerError(f"batch {batch_id}: file {file_id} is not claimed by it")


def _plan_outcome(tx: Tx, attempt: Attempt, outcome: Outcome) -> None:
    key, now = attempt.batch_key, datetime.now(UTC).replace(tzinfo=None)
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
        "INSERT INTO stage_file (batch_key, file_id, state, reason_code, reason_detail, rows_read, rows_loaded, rows_rejected, rows_pending,"
        " content_digest) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (key, f.file_id, f.state, f.reason_code, (f.reason_detail or "")[:2000] or None, f.rows_read, f.rows_loaded, f.rows_rejected, f.rows_pending, f.content_digest)
            for f in outcome.files
        ],
    )
    tx.executemany(
        "INSERT INTO file_reject (file_id, batch_key, reason_code, row_count, first_line, first_column) VALUES (%s, %s, %s, %s, %s, %s)",
        [(r.file_id, key, r.reason_code, r.rows, r.first_line, r.first_column) for r in outcome.rejects],
    )


def _request_release(tx: Tx, joins: Mapping[str, tuple[str, str]], max_parts: int) -> int | None:
    if tx.scalar("SELECT 1 FROM file_operation WHERE kind = 'RELEASE' AND state IN ('REQUESTED', 'CLAIMED') LIMIT 1"):
        return None
    found: set[str] = set()
    for dimension, (table, key) in joins.items():
        sql = (
            f"SELECT DISTINCT p.batch_key FROM pending_part p JOIN pending_key k ON k.batch_key = p.batch_key JOIN `{table}` d ON d.`{key}` = k.key_value"
            " WHERE p.state = 'WAITING' AND p.operation_id IS NULL AND k.dimension = %s ORDER BY p.batch_key LIMIT %s"
        )
        found |= {row["batch_key"] for row in tx.rows(sql, (dimension, max_parts))}
    parts = sorted(found)[:max_parts]
    if not parts:
        return None
    operation = tx.insert(
        "INSERT INTO file_operation (kind, requested_by, requested_at, detail) VALUES ('RELEASE', 'stream', UTC_TIMESTAMP(6), %s)",
        (f"{len(parts)} pending parts",),
    )
    marks = ", ".join(["%s"] * len(parts))
    tx.execute(f"UPDATE pending_part SET operation_id = %s WHERE batch_key IN ({marks}) AND state = 'WAITING'", [operation, *parts])
    return operation
