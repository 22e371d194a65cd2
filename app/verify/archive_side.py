"""The archive against the ledger, both ways: archived files whose object is gone, and archived objects that no file names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.config.load import Config, S3Config
from app.ledger.paging import batched
from app.mysql.database import Database, Row, Tx
from app.verify.difference import Difference
from app.verify.objects import ARCHIVE, PAGE
from app.verify.scratch_database import Scratch

_KEY = re.compile(r"(\d{4}-\d\d-\d\d)/(\d+)(?:-\d+)?/(.+)", re.DOTALL)
LOOK_IDS = 500


@dataclass(frozen=True)
class Archived:
    """What a key of the archive says: the file's id, and the key below the source prefix."""

    file_id: int
    name: str


def read_key(config: S3Config, key: str) -> Archived | None:
    """Read a key of the archive; None when it is not of the form that the job gives."""
    prefix = next((one for one in (config.processed_prefix, config.error_prefix) if key.startswith(one)), "")
    found = _KEY.fullmatch(key.removeprefix(prefix))
    return Archived(int(found[2]), found[3]) if prefix and found else None


def archive(db: Database, config: Config, scratch: Scratch) -> Iterator[Difference]:
    """Yield what one of archive and ledger has and the other has not."""
    sql = (
        "SELECT id, object_key, archived_key FROM file f WHERE archived_key IS NOT NULL AND NOT EXISTS"
        f" (SELECT 1 FROM object o WHERE o.kind = '{ARCHIVE}' AND o.key = f.archived_key) ORDER BY id"
    )
    for page in batched(scratch.rows(sql), PAGE):
        now = files_now(db, [file_id for file_id, _, _ in page])
        for file_id, key, archived_key in page:
            # Moved elsewhere since, or deleted by `clean`: the ledger says so by now.
            if file_id in now and _archived_key(now[file_id]) == archived_key:
                text = f"its archived object s3://{config.s3.bucket}/{archived_key} is gone"
                yield Difference("archive", f"source_file id={file_id} {key!r}", text)
    for key in unknown_objects(db, config, scratch):
        yield Difference("archive", f"s3://{config.s3.bucket}/{key}", "an archived object that no row of source_file names")


def unknown_objects(db: Database, config: Config, scratch: Scratch) -> Iterator[str]:
    """Yield the archived objects that no file names, not even by now: what is just being moved is none."""
    sql = (
        f"SELECT key FROM object o WHERE kind = '{ARCHIVE}' AND NOT EXISTS (SELECT 1 FROM file f WHERE f.archived_key = o.key) ORDER BY key"
    )
    for page in batched(scratch.rows(sql), PAGE):
        read = {key: read_key(config.s3, key) for (key,) in page}
        rows = files_now(db, sorted({found.file_id for found in read.values() if found}))
        for key, found in read.items():
            if found is None or not _is_named(config, key, found, rows.get(found.file_id)):
                yield key


def archived_ids(config: Config, scratch: Scratch) -> set[int]:
    """Return the files of which an object lies in the archive, known to the ledger or not."""
    keys = scratch.rows(f"SELECT key FROM object WHERE kind = '{ARCHIVE}'")
    return {found.file_id for (key,) in keys if (found := read_key(config.s3, key)) is not None}


def _is_named(config: Config, key: str, found: Archived, row: Row | None) -> bool:
    if row is None:
        return False
    if _archived_key(row) == key:
        return True
    # Copied, and not noted yet. A key that was too long has lost its beginning.
    return bool(row["archive_due"]) and bytes(row["object_key"]).decode().endswith(found.name)


def _archived_key(row: Row) -> str | None:
    return bytes(row["archived_key"]).decode() if row["archived_key"] is not None else None


def files_now(db: Database, ids: Sequence[int]) -> dict[int, Row]:
    """Return `object_key`, `archived_key` and `archive_due` of files by id, as they are by now."""

    def look(tx: Tx) -> dict[int, Row]:
        found: dict[int, Row] = {}
        for page in batched(ids, LOOK_IDS):
            marks = ", ".join(["%s"] * len(page))
            sql = f"SELECT id, object_key, archived_key, archive_due FROM source_file WHERE id IN ({marks})"
            found |= {row["id"]: row for row in tx.rows(sql, page)}
        return found

    return db.run(look)
