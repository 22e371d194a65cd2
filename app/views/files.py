"""Files for people: a bounded list, newest first, with what became of each and whether it counts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from app.errors import UsageError
from app.ledger.file_search import Choice, matching
from app.ledger.operations import marks, pages
from app.mysql.database import Database, Row, Tx
from app.views.text import printable

IN_FORCE, WITHDRAWN, SUPERSEDED = "in force", "withdrawn", "superseded"
# Versions of one key that an error names.
NAMED = 20
COLUMNS = (
    "f.id, f.bucket, f.object_key, f.etag, f.size_bytes, f.last_modified, f.state, f.in_force, f.batch_id, f.rows_read, f.rows_loaded,"
    " f.rows_rejected, f.rows_pending, f.reason_code, f.reason_detail, f.discovered_at, f.claimed_at, f.finished_at, f.archived_at,"
    " f.archived_key, f.archive_due"
)


@dataclass(frozen=True)
class ListedFile:
    """One object version and its outcome.

    Attributes:
        standing: whether its rows count: `in force`, `withdrawn`, `superseded`; None where they never did, or no longer for the reason
            in `state`.
        superseded_by: the file that took its place.
    """

    id: int
    key: str
    state: str
    standing: str | None
    superseded_by: int | None
    size: int
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_pending: int
    reason: str | None
    reason_detail: str | None
    discovered: datetime
    finished: datetime | None

    @property
    def outcome(self) -> str:
        """Give state and standing in one."""
        behind = f" by {self.superseded_by}" if self.superseded_by is not None else ""
        return f"{self.state}, {self.standing}{behind}" if self.standing else self.state


def list_files(db: Database, source_prefix: str, choice: Choice, limit: int) -> list[ListedFile]:
    """Return the newest files that fulfil the conditions of a choice, at most `limit`."""
    condition, values = matching(choice, source_prefix)

    def read(tx: Tx) -> list[ListedFile]:
        rows = tx.rows(f"SELECT {COLUMNS} FROM source_file f WHERE {condition} ORDER BY f.id DESC LIMIT %s", [*values, limit])
        return listed(tx, rows)

    return db.run(read)


def listed(tx: Tx, rows: list[Row]) -> list[ListedFile]:
    """Return rows of source_file as files, with what took the place of those that count no more."""
    gone = [int(row["id"]) for row in rows if row["state"] == "COMMITTED" and not row["in_force"]]
    taken = _superseded(tx, gone)
    retracted = _retracted(tx, [int(row["id"]) for row in rows if row["reason_code"] == "DUPLICATE"])
    return [_listed(row, taken, is_retracted=int(row["id"]) in retracted) for row in rows]


def _retracted(tx: Tx, file_ids: Collection[int]) -> set[int]:
    """Return the duplicates that were retracted since they were skipped: none of them comes back by itself."""
    sql = "SELECT f.id FROM source_file f JOIN file_withdrawal w ON w.file_id = f.id AND w.withdrawn_at >= f.finished_at WHERE f.id IN ({})"
    return {int(row["id"]) for page in pages(file_ids) for row in tx.rows(sql.format(marks(page)), page)}


def _superseded(tx: Tx, file_ids: Collection[int]) -> dict[int, int | None]:
    """Return for each file what took its place when it was withdrawn last."""
    sql = "SELECT file_id, superseded_by FROM file_withdrawal WHERE file_id IN ({}) ORDER BY file_id, batch_id"
    return {int(row["file_id"]): row["superseded_by"] for page in pages(file_ids) for row in tx.rows(sql.format(marks(page)), page)}


def _listed(row: Row, taken: dict[int, int | None], *, is_retracted: bool) -> ListedFile:
    by = taken.get(int(row["id"]))
    standing = None
    if row["in_force"]:
        standing = IN_FORCE
    elif row["state"] == "COMMITTED":
        standing = SUPERSEDED if by is not None else WITHDRAWN
    elif is_retracted:
        standing = WITHDRAWN
    return ListedFile(
        id=int(row["id"]),
        key=bytes(row["object_key"]).decode(),
        state=row["state"],
        standing=standing,
        superseded_by=by,
        size=int(row["size_bytes"]),
        rows_read=int(row["rows_read"]),
        rows_loaded=int(row["rows_loaded"]),
        rows_rejected=int(row["rows_rejected"]),
        rows_pending=int(row["rows_pending"]),
        reason=row["reason_code"],
        reason_detail=row["reason_detail"],
        discovered=row["discovered_at"],
        finished=row["finished_at"],
    )


def find_row(tx: Tx, source_prefix: str, name: str) -> Row:
    """Return the row of the one file of an id, a key, or a key below the source prefix.

    Raises:
        UsageError: there is none, or the key has several versions; the error lists them.
    """
    sql = f"SELECT {COLUMNS} FROM source_file f WHERE"
    rows = tx.rows(f"{sql} f.id = %s", (int(name),)) if name.isascii() and name.isdigit() else []
    if not rows:
        keys = (name.encode(errors="surrogateescape"), (source_prefix + name).encode(errors="surrogateescape"))
        rows = tx.rows(f"{sql} f.object_key IN (%s, %s) ORDER BY f.id DESC LIMIT {NAMED + 1}", keys)
    if not rows:
        raise UsageError(f"no file has the id or key '{printable(name)}'", cure="see ./spark-submit.sh files")
    if len(rows) > 1:
        named = ", ".join(f"{row['id']} ({row['state']})" for row in rows[:NAMED])
        more = " and more" if len(rows) > NAMED else ""
        raise UsageError(f"'{printable(name)}' was dropped several times, as files {named}{more}", cure="give the id")
    return rows[0]
