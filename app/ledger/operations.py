"""Operations in the ledger: what one is about when an attempt begins, what is taken out for it, and requests for new ones.

Every function runs inside a transaction. A request needs no epoch: it only asks, and the owner of the source does it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC

from app.ledger.restore_guard import NotedOperation
from app.ledger.types import Attempt, FileState, LivePart, Operation, OperationKind, SourceFile
from app.mysql.database import Row, Tx
from app.s3.read import NOT_NOTED, ObjectVersion

PAGE = 500
# A part with more rows is large enough for any reader, and is not written again to be merged with others.
SMALL_PART_ROWS = 1_000_000
# What one COMPACT reads and writes again: it bounds the batch. Of a partition that has more, the rest is left to further ones.
MOST_MERGED_PARTS = 1000
MOST_MERGED_ROWS = 5_000_000
MOST_MERGED_BYTES = 1 << 30
# Parts that an operation on several files reads.
MOST_READ_PARTS = 2000
PLACE = (
    "f.id, f.bucket, f.object_key, f.etag, f.version_id, f.size_bytes, f.last_modified, f.state, f.finished_at,"
    " f.archived_key, f.archived_etag"
)
# What stands in the archive, still waits for its move, or could not be read where it was dropped, can be tried again.
HAS_OBJECT = "(f.archived_key IS NOT NULL OR f.archive_due = 1 OR f.state IN ('GONE', 'OVERWRITTEN', 'UNREADABLE'))"
FINAL = f"f.state NOT IN ('{FileState.DISCOVERED}', '{FileState.CLAIMED}')"
# It was not loaded because its content counted by another file, and nobody has retracted it since.
IS_SKIPPED = (
    f"(f.state = '{FileState.DUPLICATE}' OR (f.state = '{FileState.REJECTED}' AND f.reason_code = '{FileState.DUPLICATE}'))"
    " AND NOT EXISTS (SELECT 1 FROM file_withdrawal w WHERE w.file_id = f.id AND w.withdrawn_at >= f.finished_at)"
)
# Who asks for what the stream does by itself; people are named with their machine.
STREAM = "stream"

# What a file must be for an operation to be done to it, and what is said of one that is not: something came first.
CONDITIONS = {
    OperationKind.RETRACT: (f"(f.in_force = 1 OR ({IS_SKIPPED}))", "it does not count in the marts any more"),
    OperationKind.REPLAY: (f"{FINAL} AND {HAS_OBJECT}", "it has no object any more that could be read again"),
    OperationKind.MEND: ("f.in_force = 1 AND f.batch_id = o.read_batch", "its rejected rows are not those any more that were mended"),
}
# Meanwhile somebody may have retracted or replayed the file.
REPLAY_BY_STREAM = (f"{HAS_OBJECT} AND {IS_SKIPPED}", "it is no skipped duplicate with an object any more")


def load(tx: Tx, operation_id: int) -> tuple[Operation, tuple[SourceFile, ...]]:
    """Return an operation as it stands now, and the objects that it reads.

    A file that was retracted or moved by an earlier operation is seen as that one left it.
    """
    row = tx.row("SELECT id, kind, requested_by FROM file_operation WHERE id = %s", (operation_id,))
    assert row is not None, f"operation {operation_id} was claimed"
    kind = OperationKind(row["kind"])
    if kind == OperationKind.COMPACT:
        found = tx.rows("SELECT sales_month, store_id FROM operation_partition WHERE operation_id = %s", (operation_id,))
        return Operation(operation_id, kind, partitions=tuple((r["sales_month"], int(r["store_id"])) for r in found)), ()
    if kind not in CONDITIONS:
        return Operation(operation_id, kind), ()
    is_by_stream = kind == OperationKind.REPLAY and row["requested_by"] == STREAM
    condition, why_not = REPLAY_BY_STREAM if is_by_stream else CONDITIONS[kind]
    rows = _files(tx, operation_id, condition)
    ids = tuple(int(row["id"]) for row in rows)
    _note_others(tx, operation_id, ids, why_not)
    if kind == OperationKind.RETRACT:
        return Operation(operation_id, kind, ids), ()
    read = _mended_object if kind == OperationKind.MEND else current_object
    return Operation(operation_id, kind, ids), tuple(read(row) for row in rows)


def asked_by_people(tx: Tx, attempt: Attempt) -> NotedOperation | None:
    """Return what S3 must remember of an operation; None where the stream does it by itself, and would again."""
    operation = attempt.operation
    if operation is None or operation.kind not in CONDITIONS:
        return None
    by = tx.scalar("SELECT requested_by FROM file_operation WHERE id = %s", (operation.id,))
    sql = "SELECT id, object_key FROM source_file WHERE id IN ({})"
    rows = [row for page in pages(operation.file_ids) for row in tx.rows(sql.format(marks(page)), page)]
    files = {int(row["id"]): bytes(row["object_key"]).decode() for row in rows}
    return NotedOperation(attempt.batch_key, operation.kind, str(by), files) if by != STREAM and files else None


def _note_others(tx: Tx, operation_id: int, ids: tuple[int, ...], why: str) -> None:
    """Note of the other files of an operation that nothing is done to them."""
    found = tx.rows("SELECT file_id FROM operation_file WHERE operation_id = %s AND note IS NULL", (operation_id,))
    skip_files(tx, operation_id, dict.fromkeys({int(row["file_id"]) for row in found} - set(ids), why))


def _files(tx: Tx, operation_id: int, condition: str) -> list[Row]:
    sql = (
        f"SELECT {PLACE}, o.mended_key, o.mended_etag, o.mended_bytes FROM operation_file o JOIN source_file f ON f.id = o.file_id"
        f" WHERE o.operation_id = %s AND o.note IS NULL AND {condition} ORDER BY f.id"
    )
    return tx.rows(sql, (operation_id,))


def current_object(row: Row) -> SourceFile:
    """Return a file with its object where it lies by now: in the archive, or still in the source prefix."""
    dropped = ObjectVersion(
        bucket=row["bucket"],
        key=bytes(row["object_key"]).decode(),
        etag=row["etag"],
        size=int(row["size_bytes"]),
        last_modified=row["last_modified"].replace(tzinfo=UTC),
        version_id=row["version_id"],
    )
    if row["archived_key"] is None:
        return SourceFile(int(row["id"]), dropped, row["state"], row["finished_at"], origin=dropped.key)
    archived = replace(
        dropped, key=bytes(row["archived_key"]).decode(), etag=row["archived_etag"], last_modified=NOT_NOTED, version_id=None
    )
    return SourceFile(int(row["id"]), archived, row["state"], row["finished_at"], origin=dropped.key, dropped=dropped)


def _mended_object(row: Row) -> SourceFile:
    version = ObjectVersion(
        bucket=row["bucket"],
        key=bytes(row["mended_key"]).decode(),
        etag=row["mended_etag"],
        size=int(row["mended_bytes"]),
        last_modified=NOT_NOTED,
    )
    return SourceFile(int(row["id"]), version, row["state"], row["finished_at"], origin=bytes(row["object_key"]).decode())


def skip_files(tx: Tx, operation_id: int, notes: Mapping[int, str]) -> None:
    """Note why an operation does nothing to some of its files."""
    for file_id, note in notes.items():
        tx.execute("UPDATE operation_file SET note = %s WHERE operation_id = %s AND file_id = %s", (note[:2000], operation_id, file_id))


def moved_since(tx: Tx, files: Iterable[SourceFile]) -> set[int]:
    """Return the files whose object the ledger knows at another place than these say."""
    by_id = {file.id: file for file in files}
    rows = [
        row for page in pages(sorted(by_id)) for row in tx.rows(f"SELECT {PLACE} FROM source_file f WHERE f.id IN ({marks(page)})", page)
    ]
    return {int(row["id"]) for row in rows if current_object(row).version.key != by_id[int(row["id"])].version.key}


def in_force(tx: Tx, file_ids: Collection[int]) -> dict[int, int]:
    """Return which of these files count in the marts, with their loaded rows."""
    sql = "SELECT id, rows_loaded FROM source_file WHERE in_force = 1 AND id IN ({})"
    return {int(row["id"]): int(row["rows_loaded"]) for page in pages(file_ids) for row in tx.rows(sql.format(marks(page)), page)}


def predecessors(tx: Tx, file_ids: Collection[int]) -> dict[int, int]:
    """Return the earlier versions, of the same key, that are in force: old file -> the newest of these files that has its key."""
    sql = (
        "SELECT o.id AS old, MAX(n.id) AS new FROM source_file n JOIN source_file o ON o.object_key = n.object_key AND o.bucket = n.bucket"
        " WHERE n.id IN ({}) AND o.in_force = 1 AND o.id < n.id GROUP BY o.id"
    )
    return {int(row["old"]): int(row["new"]) for page in pages(file_ids) for row in tx.rows(sql.format(marks(page)), page)}


def successors(tx: Tx, file_ids: Collection[int]) -> dict[int, int]:
    """Return the later versions, of the same key, that are in force: file -> the newest later one."""
    sql = (
        "SELECT o.id AS old, MAX(n.id) AS new FROM source_file o JOIN source_file n ON n.object_key = o.object_key AND n.bucket = o.bucket"
        " WHERE o.id IN ({}) AND n.in_force = 1 AND n.id > o.id GROUP BY o.id"
    )
    return {int(row["old"]): int(row["new"]) for page in pages(file_ids) for row in tx.rows(sql.format(marks(page)), page)}


def earlier_versions(tx: Tx, file_ids: Collection[int]) -> dict[int, list[tuple[int, bytes | None]]]:
    """Return for each file the earlier versions of its key that are in force, each with its content; None where it has no rows."""
    sql = (
        "SELECT o.id AS old, MAX(n.id) AS new, o.content_digest, o.rows_read FROM source_file n"
        " JOIN source_file o ON o.object_key = n.object_key AND o.bucket = n.bucket"
        " WHERE n.id IN ({}) AND o.in_force = 1 AND o.id < n.id GROUP BY o.id, o.content_digest, o.rows_read ORDER BY o.id"
    )
    found: dict[int, list[tuple[int, bytes | None]]] = {}
    for page in pages(file_ids):
        for row in tx.rows(sql.format(marks(page)), page):
            content = bytes(row["content_digest"]) if row["content_digest"] and row["rows_read"] else None
            found.setdefault(int(row["new"]), []).append((int(row["old"]), content))
    return found


def known_good(tx: Tx) -> list[SourceFile]:
    """Return some of the last files that were loaded and can be read again, the smallest first."""
    sql = (
        f"SELECT {PLACE} FROM (SELECT * FROM source_file WHERE state = 'COMMITTED' ORDER BY id DESC LIMIT 1000) f"
        f" WHERE f.in_force = 1 AND f.rows_loaded > 0 AND {HAS_OBJECT} ORDER BY f.size_bytes, f.id DESC LIMIT 3"
    )
    return [current_object(row) for row in tx.rows(sql)]


def holding_parts(tx: Tx, file_ids: Collection[int]) -> list[LivePart]:
    """Return the live parts that may hold rows of these files: those of the batches that read them or moved their rows."""
    keys: set[str] = set()
    for page in pages(file_ids):
        sql = (
            f"SELECT b.batch_key FROM source_file f JOIN micro_batch b ON b.id = f.batch_id WHERE f.id IN ({marks(page)})"
            f" UNION SELECT batch_key FROM batch_file WHERE file_id IN ({marks(page)})"
        )
        keys |= {row["batch_key"] for row in tx.rows(sql, [*page, *page]) if row["batch_key"]}
    return [part for page in pages(sorted(keys)) for part in _live(tx, f"batch_key IN ({marks(page)})", page)]


def small_parts(tx: Tx, partitions: Iterable[tuple[str, int]]) -> list[LivePart]:
    """Return the live parts of some partitions that are worth merging, the smallest of each first: not many more than one COMPACT takes."""
    condition = "sales_month = %s AND store_id = %s AND row_count < %s ORDER BY row_count, batch_key LIMIT %s"
    limit = MOST_MERGED_PARTS + 1
    return [part for month, store in partitions for part in _live(tx, condition, (month, store, SMALL_PART_ROWS, limit))]


def parts_by_batch(tx: Tx, file_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """Return how many live parts the batches have that may hold rows of each of these files: file -> batch key -> parts."""
    holders: dict[int, set[str]] = {}
    for page in pages(file_ids):
        sql = (
            "SELECT f.id AS file_id, b.batch_key FROM source_file f FORCE INDEX (PRIMARY)"
            " STRAIGHT_JOIN micro_batch b FORCE INDEX (PRIMARY) ON b.id = f.batch_id"
            f" WHERE b.batch_key IS NOT NULL AND f.id IN ({marks(page)})"
            f" UNION SELECT file_id, batch_key FROM batch_file WHERE file_id IN ({marks(page)})"
        )
        for row in tx.rows(sql, [*page, *page]):
            holders.setdefault(int(row["file_id"]), set()).add(row["batch_key"])
    counts: dict[str, int] = {}
    for page in pages(sorted(set().union(*holders.values()))):
        sql = (
            "SELECT batch_key, COUNT(*) AS n FROM fact_part FORCE INDEX (PRIMARY)"
            f" WHERE state = 'LIVE' AND batch_key IN ({marks(page)}) GROUP BY batch_key"
        )
        counts |= {row["batch_key"]: int(row["n"]) for row in tx.rows(sql, page)}
    return {file_id: {key: counts.get(key, 0) for key in keys} for file_id, keys in holders.items()}


def _live(tx: Tx, condition: str, args: Sequence[object]) -> list[LivePart]:
    sql = f"SELECT batch_key, sales_month, store_id, row_count, amount FROM fact_part WHERE state = 'LIVE' AND {condition}"
    return [LivePart(r["batch_key"], r["sales_month"], int(r["store_id"]), int(r["row_count"]), r["amount"]) for r in tx.rows(sql, args)]


def waiting_parts(tx: Tx, file_ids: Collection[int]) -> tuple[str, ...]:
    """Return the batch keys of the waiting parts that hold rows of these files."""
    sql = (
        "SELECT DISTINCT p.batch_key FROM pending_part p JOIN pending_key k ON k.batch_key = p.batch_key"
        " WHERE p.state = 'WAITING' AND k.file_id IN ({})"
    )
    return tuple(sorted({row["batch_key"] for page in pages(file_ids) for row in tx.rows(sql.format(marks(page)), page)}))


def rejected_parts(tx: Tx, file_ids: Collection[int]) -> list[Row]:
    """Return the quarantine's parts that may hold rejected rows of these files: batch_key, load_date, reason."""
    sql = (
        "SELECT DISTINCT q.batch_key, q.load_date, q.reason FROM source_file f JOIN micro_batch b ON b.id = f.batch_id"
        " JOIN quarantine_part q ON q.batch_key = b.batch_key WHERE q.state = 'LIVE' AND f.id IN ({})"
    )
    return [row for page in pages(file_ids) for row in tx.rows(sql.format(marks(page)), page)]


def request(tx: Tx, kind: OperationKind, requested_by: str, detail: str) -> int:
    """Insert a requested operation; returns its number."""
    return tx.insert(
        "INSERT INTO file_operation (kind, requested_by, requested_at, detail) VALUES (%s, %s, UTC_TIMESTAMP(6), %s)",
        (kind, requested_by[:255], detail[:2000]),
    )


def request_for_files(tx: Tx, kind: OperationKind, file_ids: Sequence[int], requested_by: str) -> int:
    """Request an operation on some files; returns its number."""
    operation = request(tx, kind, requested_by, f"{len(file_ids)} files")
    tx.executemany("INSERT INTO operation_file (operation_id, file_id) VALUES (%s, %s)", [(operation, file_id) for file_id in file_ids])
    return operation


def name_partitions(tx: Tx, operation_id: int, partitions: Iterable[tuple[str, int]]) -> None:
    """Say which partitions a COMPACT is about."""
    for month, store in partitions:
        sql = "INSERT INTO operation_partition (operation_id, sales_month, store_id) VALUES (%s, %s, %s)"
        tx.execute(sql, (operation_id, month, store))


def request_rest(tx: Tx, operation_id: int, partitions: Iterable[tuple[str, int]]) -> int | None:
    """Request another COMPACT for partitions that have more small parts than one merges, unless one that waits is about them."""
    waiting = (
        "SELECT 1 FROM operation_partition p JOIN file_operation o ON o.id = p.operation_id"
        " WHERE o.state = 'REQUESTED' AND p.sales_month = %s AND p.store_id = %s LIMIT 1"
    )
    left = [place for place in partitions if not tx.scalar(waiting, place)]
    if not left:
        return None
    requested_by = tx.scalar("SELECT requested_by FROM file_operation WHERE id = %s", (operation_id,))
    operation = request(tx, OperationKind.COMPACT, requested_by, f"the rest of operation {operation_id}")
    name_partitions(tx, operation, left)
    return operation


def pages(ids: Collection[object]) -> list[list[object]]:
    """Cut a collection into lists that fit into one statement."""
    whole = list(ids)
    return [whole[at : at + PAGE] for at in range(0, len(whole), PAGE)]


def marks(page: Sequence[object]) -> str:
    """Return the place holders of a list of values."""
    return ", ".join(["%s"] * len(page))
