"""What people ask for: which files an operation is about, whether it can be done to them, and the request in the ledger.

A request is carried out by the running stream, or by the next `run`. It is cut into operations that are no larger than a micro-batch
may be; each of them is done exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.config.load import Config
from app.errors import UsageError
from app.ledger.duplicates import Heir, heirs_of
from app.ledger.file_search import Choice, matching
from app.ledger.operations import IS_SKIPPED, MOST_READ_PARTS, parts_by_batch, request_for_files, successors
from app.ledger.types import FileState, OperationKind
from app.mysql.database import Database, Row
from app.views.text import printable

_FILE = (
    "SELECT f.id, f.object_key, f.state, f.in_force, f.size_bytes, f.rows_loaded, f.rows_pending, f.archived_key, f.archived_at,"
    f" f.archive_due, f.batch_id, {IS_SKIPPED} AS is_skipped FROM source_file f"
)
NOT_READ = (FileState.GONE, FileState.OVERWRITTEN, FileState.UNREADABLE)
# Names in one refusal.
SHOWN = 10


@dataclass(frozen=True)
class Chosen:
    """One file that an operation can be done to. `parts` are those that are read for it: batch key -> how many."""

    id: int
    key: str
    size: int
    rows_loaded: int
    rows_pending: int
    parts: Mapping[str, int] = field(default_factory=dict)


def choose(db: Database, config: Config, kind: OperationKind, choice: Choice, *, replaces: bool) -> list[Chosen]:
    """Return the files of a choice that the operation can be done to, by id.

    `replaces` tells whether the contract lets a file take the place of an earlier one of its name. Of files that are named one by one
    all must be possible; of all others those are taken that are.

    Raises:
        UsageError: no such file, or nothing can be done to one that was named.
    """
    rows = [row for name in choice.names for row in _named(db, config, kind, name)] if choice.names else _matching(db, config, kind, choice)
    later = db.run(lambda tx: successors(tx, [row["id"] for row in rows])) if replaces else {}
    refused = {row["id"]: why for row in rows if (why := _obstacle(kind, row, later.get(row["id"])))}
    if refused and choice.names:
        listed = "; ".join(f"file {file_id} {why}" for file_id, why in list(refused.items())[:SHOWN])
        raise UsageError(listed, cure="see ./spark-submit.sh file ID")
    taken = [int(row["id"]) for row in rows if row["id"] not in refused]
    parts = db.run(lambda tx: parts_by_batch(tx, taken))
    found = {
        int(row["id"]): Chosen(
            int(row["id"]),
            bytes(row["object_key"]).decode(),
            int(row["size_bytes"]),
            int(row["rows_loaded"]) * int(row["in_force"]),
            int(row["rows_pending"]) * int(row["in_force"]),
            parts.get(int(row["id"]), {}),
        )
        for row in rows
        if row["id"] not in refused
    }
    return [found[file_id] for file_id in sorted(found)]


def _named(db: Database, config: Config, kind: OperationKind, name: str) -> list[Row]:
    """Return the file of an id or a key; of several versions of a key the only one that the operation can be done to.

    To retract a key is to retract the version that counts and those that were skipped: one of them would come back in its place.
    """
    if name.isascii() and name.isdigit():
        rows = db.run(lambda tx: tx.rows(f"{_FILE} WHERE f.id = %s", (int(name),)))
    else:
        keys = (name.encode(errors="surrogateescape"), (config.s3.source_prefix + name).encode(errors="surrogateescape"))
        rows = db.run(lambda tx: tx.rows(f"{_FILE} WHERE f.object_key IN (%s, %s) ORDER BY f.id DESC", keys))
    if not rows:
        raise UsageError(f"no file has the id or key '{printable(name)}'", cure="see ./spark-submit.sh files")
    possible = [row for row in rows if not _obstacle(kind, row, None)]
    skipped = [row for row in possible if kind == OperationKind.RETRACT and row["is_skipped"]]
    possible = [row for row in possible if row not in skipped]
    if len(possible) > 1:
        listed = ", ".join(f"{row['id']} ({row['state']})" for row in possible[:SHOWN])
        raise UsageError(f"'{printable(name)}' was dropped several times, as files {listed}", cure="give the id")
    return [*possible, *skipped] or rows[:1]


def _matching(db: Database, config: Config, kind: OperationKind, choice: Choice) -> list[Row]:
    # What somebody took out or replaced comes back only when it is asked for by name.
    counting = f"(f.in_force = 1 OR ({IS_SKIPPED}))" if kind == OperationKind.RETRACT else "(f.in_force = 1 OR f.state <> 'COMMITTED')"
    condition, values = matching(choice, config.s3.source_prefix)
    # Of what was deleted or overwritten before it was loaded there is nothing to read, unless somebody knows better.
    never = "('DISCOVERED', 'CLAIMED', 'GONE', 'OVERWRITTEN')"
    sql = f"{_FILE} WHERE {counting} AND f.state NOT IN {never} AND {condition} ORDER BY f.id"
    return db.run(lambda tx: tx.rows(sql, values))


def _obstacle(kind: OperationKind, row: Row, later: int | None) -> str | None:
    """Say why an operation can do nothing to a file; None where it can."""
    if row["state"] in (FileState.DISCOVERED, FileState.CLAIMED):
        return f"is {row['state']}: it is not loaded yet"
    if kind == OperationKind.RETRACT:
        return None if row["in_force"] or row["is_skipped"] else f"does not count in the marts ({row['state']})"
    if row["state"] in NOT_READ:
        # It lies, or lay, where it was dropped: the replay finds out.
        return None
    if row["archived_key"] is None and not row["archive_due"]:
        if row["archived_at"] is not None:
            return "has no object any more: clean has deleted it from the archive"
        return f"has no object that could be read again ({row['state']})"
    return f"was superseded by file {later}: retract that one first" if later is not None else None


def heirs(db: Database, files: Sequence[Chosen], *, replaces: bool) -> list[Heir]:
    """Return the skipped duplicates that come back by themselves when these files are retracted."""
    return db.run(lambda tx: heirs_of(tx, {file.id for file in files}, replaces=replaces))


def request_files(db: Database, config: Config, kind: OperationKind, files: Sequence[Chosen], requested_by: str) -> list[int]:
    """Request an operation on files, cut as micro-batches are, and by the parts that hold their rows; all or nothing.

    Returns the numbers of the operations.
    """
    groups: list[list[int]] = []
    size = 0
    parts: dict[str, int] = {}
    limits = config.stream
    for file in files:
        is_full = bool(groups) and (
            len(groups[-1]) >= limits.max_files_per_trigger
            or size + file.size > limits.max_bytes_per_trigger
            or sum({**parts, **file.parts}.values()) > MOST_READ_PARTS
        )
        if not groups or is_full:
            groups.append([])
            size, parts = 0, {}
        groups[-1].append(file.id)
        size += file.size
        parts |= file.parts
    return db.run(lambda tx: [request_for_files(tx, kind, group, requested_by) for group in groups])
