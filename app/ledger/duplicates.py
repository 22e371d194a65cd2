"""Files that were skipped because another file held the same content: who holds a content, and who takes over when nobody does any more.

A file is skipped only because its original counts. When the original stops counting, the oldest skipped file of that content is replayed,
requested in the same transaction. A skipped file that was retracted, or whose name has a later version, never comes back by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from app.ledger.operations import HAS_OBJECT, IS_SKIPPED, STREAM, marks, pages, request_for_files
from app.ledger.types import Attempt, OperationKind, Outcome
from app.mysql.database import Row, Tx

# Looks for one content each that go into one statement.
LOOKS = 100
# Skipped files that the stream has asked to be replayed: nobody counts by them yet.
PROMISED = (
    "SELECT f.content_digest, f.id, 0 FROM file_operation p STRAIGHT_JOIN operation_file o ON o.operation_id = p.id"
    f" STRAIGHT_JOIN source_file f ON f.id = o.file_id WHERE p.state IN ('REQUESTED', 'CLAIMED') AND p.kind = '{OperationKind.REPLAY}'"
    f" AND p.requested_by = '{STREAM}' AND o.note IS NULL AND f.content_digest IS NOT NULL AND {IS_SKIPPED}"
)
# A replay has been tried since the file was skipped, alone, and nothing came of it: trying again is for people.
IS_TRIED = (
    "EXISTS (SELECT 1 FROM operation_file o JOIN file_operation p ON p.id = o.operation_id WHERE o.file_id = f.id"
    f" AND p.kind = '{OperationKind.REPLAY}' AND COALESCE(p.finished_at, UTC_TIMESTAMP(6)) > f.finished_at AND (o.note IS NOT NULL"
    " OR (p.state = 'FAILED' AND NOT EXISTS (SELECT 1 FROM operation_file x WHERE x.operation_id = p.id AND x.file_id <> f.id))))"
)
CAN_RETURN = f"{HAS_OBJECT} AND NOT {IS_TRIED}"
# Under `redelivery: replace`: another content has taken its place under its name, whether that counts still or not.
IS_SUPERSEDED = (
    "EXISTS (SELECT 1 FROM source_file n WHERE n.object_key = f.object_key AND n.bucket = f.bucket AND n.id > f.id"
    " AND n.state = 'COMMITTED')"
)


@dataclass(frozen=True)
class Heir:
    """The file that takes over the content of a file that stops counting; `has_object` tells whether it can still be read."""

    file_id: int
    key: str
    has_object: bool


@dataclass(frozen=True)
class Limits:
    """How large one operation may be: files and bytes."""

    files: int
    size: int


def holders(tx: Tx, digests: Collection[bytes], but: Collection[int]) -> dict[bytes, int]:
    """Return who holds these contents: the first file, other than `but`, that counts or that the stream is about to replay for it."""
    other = f" AND id NOT IN ({marks(list(but))})" if but else ""
    found: dict[bytes, int] = {}
    promised: dict[bytes, int] = {}
    for number, page in enumerate(pages(digests)):
        # Left to itself the optimizer may scan the history, while its statistics are older than the table.
        sql = (
            "SELECT content_digest, MIN(id) AS id, 1 AS counts FROM source_file FORCE INDEX (by_content)"
            f" WHERE content_digest IN ({marks(page)}) AND in_force = 1 AND rows_read > 0{other} GROUP BY content_digest"
        )
        for row in tx.rows(sql if number else f"{sql} UNION ALL {PROMISED}", [*page, *but]):
            (found if row["counts"] else promised).setdefault(bytes(row["content_digest"]), int(row["id"]))
    return {digest: file_id for digest, file_id in promised.items() if digest in digests and file_id not in but} | found


def oldest_skipped(tx: Tx, contents: Mapping[bytes, Collection[int]], *, replaces: bool) -> dict[bytes, int]:
    """Return for each content the oldest skipped file that can be replayed.

    `contents` gives for each the files that hold it until now: another version under the name of one of them is not meant.
    """
    found = _skipped(tx, {digest: _Look(olds) for digest, olds in contents.items()}, CAN_RETURN, replaces=replaces)
    return {bytes(row["content_digest"]): int(row["id"]) for row in found}


@dataclass(frozen=True)
class _Look:
    """Where to look for the skipped files of one content: not under the names of some files, and only behind one."""

    olds: Collection[int] = ()
    after: int = 0


def _skipped(tx: Tx, looks: Mapping[bytes, _Look], condition: str, *, replaces: bool) -> list[Row]:
    superseded = f" AND NOT {IS_SUPERSEDED}" if replaces else ""
    statements: list[tuple[str, list[object]]] = []
    for digest, look in sorted(looks.items()):
        olds = list(look.olds)
        named = f" AND f.object_key NOT IN (SELECT k.object_key FROM source_file k WHERE k.id IN ({marks(olds)}))" if olds else ""
        # In the order of the index, so that a content with many duplicates costs no more than the first that fits.
        sql = (
            f"(SELECT f.id, f.content_digest, f.object_key, {HAS_OBJECT} AS has_object FROM source_file f FORCE INDEX (by_content)"
            f" WHERE f.content_digest = %s AND f.id > %s AND {IS_SKIPPED} AND {condition}{superseded}{named} ORDER BY f.id LIMIT 1)"
        )
        statements.append((sql, [digest, look.after, *olds]))
    found: list[Row] = []
    for page in (statements[at : at + LOOKS] for at in range(0, len(statements), LOOKS)):
        found += tx.rows(" UNION ALL ".join(sql for sql, _ in page), [value for _, values in page for value in values])
    return found


def contents_at_stake(tx: Tx, attempt: Attempt, outcome: Outcome) -> set[bytes]:
    """Return the contents that may count nowhere after this batch. Call it before the batch changes its files."""
    found = {file.content_digest for file in outcome.files if file.reason_code == "DUPLICATE" and file.content_digest}
    ids = {one.file_id for one in outcome.withdrawn}
    if attempt.operation is not None:
        ids |= _files_of(tx, attempt.operation.id)
    return found | contents_of(tx, ids)


def contents_of(tx: Tx, file_ids: Iterable[int]) -> set[bytes]:
    """Return the contents of files."""
    sql = "SELECT DISTINCT content_digest FROM source_file WHERE content_digest IS NOT NULL AND id IN ({})"
    rows = [row for page in pages(sorted(file_ids)) for row in tx.rows(sql.format(marks(page)), page)]
    return {bytes(row["content_digest"]) for row in rows}


def _files_of(tx: Tx, operation_id: int) -> set[int]:
    return {int(row["file_id"]) for row in tx.rows("SELECT file_id FROM operation_file WHERE operation_id = %s", (operation_id,))}


def request_heirs(tx: Tx, contents: Collection[bytes], limits: Limits, *, replaces: bool) -> list[int]:
    """Request the replay of the oldest skipped file of each of these contents that nobody holds. Returns the files."""
    lost = set(contents) - holders(tx, contents, ()).keys()
    heirs = sorted(oldest_skipped(tx, dict.fromkeys(lost, ()), replaces=replaces).values())
    for group in _groups(tx, heirs, limits):
        request_for_files(tx, OperationKind.REPLAY, group, STREAM)
    return heirs


def request_heirs_of_failed(tx: Tx, operation_id: int, *, replaces: bool) -> list[int]:
    """Do the same after an operation was given up, one file at a time: one of them may be what made it fail."""
    return request_heirs(tx, contents_of(tx, _files_of(tx, operation_id)), Limits(1, 0), replaces=replaces)


def _groups(tx: Tx, file_ids: list[int], limits: Limits) -> list[list[int]]:
    sql = "SELECT id, size_bytes FROM source_file WHERE id IN ({})"
    sizes = {int(row["id"]): int(row["size_bytes"]) for page in pages(file_ids) for row in tx.rows(sql.format(marks(page)), page)}
    groups: list[list[int]] = []
    size = 0
    for file_id in file_ids:
        if not groups or len(groups[-1]) >= limits.files or size + sizes[file_id] > limits.size:
            groups.append([])
            size = 0
        groups[-1].append(file_id)
        size += sizes[file_id]
    return groups


def heirs_of(tx: Tx, file_ids: Collection[int], *, replaces: bool) -> list[Heir]:
    """Return who would take over if these files stopped counting; a content of which only unreadable files are left names one of them."""
    lost = _held_by_these_alone(tx, file_ids)
    readable = _first_of_others(tx, lost, file_ids, CAN_RETURN, replaces=replaces)
    unreadable = _first_of_others(tx, lost - readable.keys(), file_ids, f"NOT ({CAN_RETURN})", replaces=replaces)
    found = [(row, True) for row in readable.values()] + [(row, False) for row in unreadable.values()]
    return sorted((Heir(int(row["id"]), bytes(row["object_key"]).decode(), can) for row, can in found), key=lambda heir: heir.file_id)


def _held_by_these_alone(tx: Tx, file_ids: Collection[int]) -> set[bytes]:
    counts = "SELECT content_digest, COUNT(*) AS n FROM source_file{} WHERE in_force = 1 AND rows_read > 0 AND {} IN ({}) GROUP BY 1"
    mine: Counter[bytes] = Counter()
    for page in pages(file_ids):
        for row in tx.rows(counts.format("", "id", marks(page)), page):
            mine[bytes(row["content_digest"])] += int(row["n"])
    found: set[bytes] = set()
    for page in pages(mine):
        rows = tx.rows(counts.format(" FORCE INDEX (by_content)", "content_digest", marks(page)), page)
        found |= {digest for row in rows if mine[digest := bytes(row["content_digest"])] == row["n"]}
    return found - {bytes(row["content_digest"]) for row in tx.rows(PROMISED)}


def _first_of_others(tx: Tx, contents: set[bytes], but: Collection[int], condition: str, *, replaces: bool) -> dict[bytes, Row]:
    """Return for each content the oldest skipped file that is none of `but`."""
    others: dict[bytes, Row] = {}
    looks = dict.fromkeys(contents, _Look())
    while looks:
        rows = {bytes(row["content_digest"]): row for row in _skipped(tx, looks, condition, replaces=replaces)}
        others |= {digest: row for digest, row in rows.items() if row["id"] not in but}
        looks = {digest: _Look(after=int(row["id"])) for digest, row in rows.items() if row["id"] in but}
    return others
