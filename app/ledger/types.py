"""What the ledger speaks of: files, attempts, results and parts. Plain values, no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING

from app.errors import LedgerError

if TYPE_CHECKING:
    # Every command knows these types, and few of them need S3.
    from app.s3.read import ObjectVersion


class FileState(StrEnum):
    """States of a source file. UNREADABLE is tried again; OVERWRITTEN and GONE when a listing shows the file again; the others stay."""

    DISCOVERED = "DISCOVERED"
    CLAIMED = "CLAIMED"
    COMMITTED = "COMMITTED"
    REJECTED = "REJECTED"
    DUPLICATE = "DUPLICATE"
    FAILED = "FAILED"
    OVERWRITTEN = "OVERWRITTEN"
    GONE = "GONE"
    UNREADABLE = "UNREADABLE"


# Whose object was not read stays where it is, or is not there to be moved.
MOVED_STATES = (FileState.COMMITTED, FileState.REJECTED, FileState.DUPLICATE, FileState.FAILED)


class OperationKind(StrEnum):
    """What can be done to files that were loaded.

    RELEASE loads waiting rows whose dimension row has come; RETRACT takes a file's rows out again; REPLAY does so and reads the file
    anew; MEND loads mended rows in the place of rejected ones; REPLACE is noted when a file took the place of an earlier one of the
    same name; COMPACT merges the Parquet of a partition.
    """

    RELEASE = "RELEASE"
    RETRACT = "RETRACT"
    REPLAY = "REPLAY"
    MEND = "MEND"
    REPLACE = "REPLACE"
    COMPACT = "COMPACT"


class Change(StrEnum):
    """What an operation does to a file that is in force, where it does not read it anew: beside the final states in stage_file."""

    RELEASED = "RELEASED"
    MENDED = "MENDED"


@dataclass(frozen=True)
class Ignored:
    """Objects of the source prefix that one rule passes over: how many there are, and the first key."""

    objects: int
    example: str


@dataclass(frozen=True)
class SourceFile:
    """One object version as the ledger knows it.

    Attributes:
        origin: the key it was dropped under, where the object has been moved since.
        retries: how often its object could not be read.
        dropped: the object version as it was dropped, where the object has been moved since.
    """

    id: int
    version: ObjectVersion
    state: str = FileState.CLAIMED
    finished_at: datetime | None = None
    origin: str | None = None
    retries: int = 0
    dropped: ObjectVersion | None = None

    @property
    def key(self) -> str:
        """The key under which the file was dropped."""
        return self.origin if self.origin is not None else self.version.key


@dataclass(frozen=True)
class Operation:
    """One operation as an attempt executes it.

    Attributes:
        id: the number in file_operation.
        kind: what is done.
        file_ids: the files that it is about; without those that it can do nothing to.
        partitions: the fact partitions (month, store) that a COMPACT merges.
    """

    id: int
    kind: OperationKind
    file_ids: tuple[int, ...] = ()
    partitions: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Attempt:
    """One attempt at one micro-batch: what it holds and the clock it is evaluated against.

    `files` are those whose objects are read: what was claimed, what a REPLAY reads again, or the mended rows of a MEND.
    """

    batch_id: int
    batch_key: str
    number: int
    planned_at: datetime
    files: tuple[SourceFile, ...]
    operation: Operation | None = None

    @property
    def is_mending(self) -> bool:
        """Whether the objects hold mended rows, each with the line it had."""
        return self.operation is not None and self.operation.kind == OperationKind.MEND


@dataclass(frozen=True)
class FileResult:
    """What became of one file in a batch. For a Change the figures are what it changes, not totals.

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
class LivePart:
    """One committed part of the facts, as the ledger lists it."""

    batch_key: str
    sales_month: str
    store_id: int
    rows: int
    amount: Decimal


@dataclass(frozen=True)
class Withdrawn:
    """A file whose rows a batch takes out of facts and marts, and the file that takes its place."""

    file_id: int
    superseded_by: int | None = None


@dataclass(frozen=True)
class QuarantinePart:
    """One folder of rejected rows of one batch."""

    load_date: date
    reason: str
    rows: int


@dataclass(frozen=True)
class Reject:
    """Rows of one file rejected for one reason, and where the first one stands. `first_text` never shows a sensitive value."""

    file_id: int
    reason_code: str
    rows: int
    first_line: int | None
    first_column: str | None
    first_text: str | None = None


@dataclass(frozen=True)
class RuleWarning:
    """Accepted rows of one file that break one warn rule, and the first of them."""

    file_id: int
    rule: str
    rows: int
    first_line: int | None


@dataclass(frozen=True)
class Outcome:
    """All that a batch attempt is about to make true.

    Attributes:
        files: what became of each file.
        facts: the parts that are written, rows kept of replaced parts included.
        quarantine: the folders of rejected rows.
        pending_rows: rows that wait for a dimension row.
        rejects: rejected rows by file and reason.
        warnings: accepted rows by file and broken rule.
        headers: those of files with quarantined rows, by file id.
        withdrawn: files whose rows are taken out, and that are not read anew.
        dead_parts: live parts that the new ones replace.
        consumed: waiting parts (batch keys) whose rows are loaded, dropped, or wait on in the new one.
        holders: files that have rows in the new parts without having been read by this batch.
        left_to_merge: partitions (month, store) with more small parts than a COMPACT merges at a time.
    """

    files: tuple[FileResult, ...] = ()
    facts: tuple[FactPart, ...] = ()
    quarantine: tuple[QuarantinePart, ...] = ()
    pending_rows: int = 0
    rejects: tuple[Reject, ...] = ()
    warnings: tuple[RuleWarning, ...] = ()
    headers: Mapping[int, str] = field(default_factory=dict)
    withdrawn: tuple[Withdrawn, ...] = ()
    dead_parts: tuple[LivePart, ...] = ()
    consumed: tuple[str, ...] = ()
    holders: tuple[int, ...] = ()
    left_to_merge: tuple[tuple[str, int], ...] = ()

    @property
    def rows_loaded(self) -> int:
        """Rows that go into facts and marts."""
        return sum(result.rows_loaded for result in self.files)


def identity_of(version: ObjectVersion) -> bytes:
    """Return the 32 bytes that name an object version: SHA-256 over (bucket, key, etag, size, time or version id)."""
    last = version.version_id or str(int(version.last_modified.timestamp() * 1000))
    return sha256(json.dumps([version.bucket, version.key, version.etag, version.size, last]).encode()).digest()
