"""Parquet that a restored ledger does not know and that holds rows of which there is no other copy: kept, and named.

A row has another copy where its file's CSV lies in the archive, where the file still waits in the source prefix, or where the ledger counts
the file, so that a live part holds the row. Corrected rows are in no CSV.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import duckdb

from app.config.load import Config
from app.ledger.operations import PLACE, current_object, marks, pages
from app.ledger.parts import FACTS, PENDING, QUARANTINE, Kind, key_of
from app.ledger.types import FileState
from app.mysql.database import Database, Row, Tx
from app.s3.read import S3Client, download, head, is_same_version
from app.verify.archive_side import archived_ids
from app.verify.scratch_database import Scratch


@dataclass(frozen=True)
class Unknown:
    """What one folder of Parquet holds: rows by file, and their amount where they are facts; None where it cannot be read."""

    rows: Mapping[int, int] | None
    amount: Decimal = Decimal(0)


def look_into(client: S3Client, config: Config, scratch: Scratch, kind: Kind, place: str) -> Unknown:
    """Count the rows of a folder by file, one object on the local disk at a time."""
    path = scratch.folder / "unknown.parquet"
    sql = "SELECT key FROM object WHERE kind = ? AND place = ? AND key LIKE '%.parquet' ORDER BY key"
    rows: dict[int, int] = defaultdict(int)
    total = Decimal(0)
    amount = "sum(total_cost)" if kind == FACTS else "0"
    for (key,) in scratch.rows(sql, (kind.name, place)):
        if not download(client, config.s3.bucket, key, path):
            continue
        try:
            found = list(scratch.rows(f"SELECT _file_id, count(*), {amount} FROM read_parquet('{path}') GROUP BY _file_id"))
        except duckdb.Error:
            return Unknown(None)
        finally:
            path.unlink()
        for file_id, count, part in found:
            rows[int(file_id)] += int(count)
            total += Decimal(part or 0)
    return Unknown(dict(rows), total)


def without_copy(
    db: Database, client: S3Client, config: Config, scratch: Scratch, file_ids: Collection[int], corrected: Collection[int]
) -> set[int]:
    """Return which of these files have rows of which there may be no other copy. `corrected` had corrected rows since the backup."""
    archived = archived_ids(config, scratch)
    unsure = sorted(file_id for file_id in file_ids if file_id in corrected or file_id not in archived)
    rows = {int(row["id"]): row for page in pages(unsure) for row in db.run(lambda tx, page=page: _rows(tx, page))}  # type: ignore[misc]
    found = set()
    for file_id in unsure:
        row = rows.get(file_id)
        is_counted = row is not None and bool(row["in_force"])
        if file_id in corrected or not (is_counted or (row is not None and _waits_in_source(client, config, row))):
            found.add(file_id)
    return found


def _rows(tx: Tx, page: Sequence[object]) -> list[Row]:
    return tx.rows(f"SELECT {PLACE}, f.in_force FROM source_file f WHERE f.id IN ({marks(page)})", page)


def _waits_in_source(client: S3Client, config: Config, row: Row) -> bool:
    if row["state"] not in (FileState.DISCOVERED, FileState.CLAIMED):
        return False
    booked = current_object(row).version
    there = head(client, config.s3.bucket, booked.key)
    return there is not None and is_same_version(there, booked)


def keep(tx: Tx, kind: Kind, place: str, found: Unknown) -> None:
    """Note in the ledger that a folder stays: no leftover, and not counted."""
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = sum((found.rows or {}).values())
    parts = dict(part.split("=", 1) for part in place.split("/"))
    key = key_of(place)
    if kind == FACTS:
        sql = (
            "INSERT INTO fact_part (batch_key, sales_month, store_id, state, row_count, amount, planned_at)"
            " VALUES (%s, %s, %s, 'KEPT', %s, %s, %s)"
            " ON DUPLICATE KEY UPDATE state = 'KEPT', row_count = VALUES(row_count), amount = VALUES(amount)"
        )
        tx.execute(sql, (key, parts["sales_month"], parts["store_id"], rows, found.amount, now))
    elif kind == QUARANTINE:
        sql = (
            "INSERT INTO quarantine_part (batch_key, load_date, reason, state, row_count, planned_at) VALUES (%s, %s, %s, 'KEPT', %s, %s)"
            " ON DUPLICATE KEY UPDATE state = 'KEPT', row_count = VALUES(row_count)"
        )
        tx.execute(sql, (key, parts["load_date"], parts["reason"], rows, now))
    else:
        assert kind == PENDING, "there are three kinds of parts"
        sql = (
            "INSERT INTO pending_part (batch_key, state, row_count, created_at) VALUES (%s, 'KEPT', %s, %s)"
            " ON DUPLICATE KEY UPDATE state = 'KEPT', row_count = VALUES(row_count)"
        )
        tx.execute(sql, (key, rows, now))
