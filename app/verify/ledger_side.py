"""MySQL's side: live parts, files and marts of one moment, copied into the scratch database; and second looks at the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.model.marts import MARTS, Mart
from app.mysql.database import Database, Tx
from app.mysql.snapshot import Snapshot, snapshot
from app.verify.scratch import Scratch

LOOK_KEYS = 500


@dataclass(frozen=True)
class Kind:
    """One kind of Parquet: the ledger table that lists its parts, and how a part's folder is called below its prefix."""

    name: str
    table: str
    place: str
    live: str
    columns: str = "NULL, NULL, row_count, NULL"
    # What may lie on S3 without being live: what was released or replaced, until its Parquet is deleted.
    also_there: str = "1 = 0"


FACTS = Kind(
    "facts",
    "fact_part",
    "CONCAT('sales_month=', sales_month, '/store_id=', store_id, '/batch_key=', batch_key)",
    "state = 'LIVE'",
    "sales_month, store_id, row_count, amount",
    # What an operation has replaced stays for a while, for readers of the plain folder.
    "(state = 'DEAD' AND live_at IS NOT NULL)",
)
QUARANTINE = Kind(
    "quarantine", "quarantine_part", "CONCAT('load_date=', load_date, '/reason=', reason, '/batch_key=', batch_key)", "state = 'LIVE'"
)
PENDING = Kind(
    "pending",
    "pending_part",
    "CONCAT('batch_key=', batch_key)",
    "state = 'WAITING'",
    also_there="(state = 'CONSUMED' AND deleted_at IS NULL)",
)
KINDS = (FACTS, QUARANTINE, PENDING)

_FILE_COLUMNS = (
    "id, CONVERT(object_key USING utf8mb4), state, in_force, rows_read, rows_loaded, rows_rejected, rows_pending,"
    " CONVERT(archived_key USING utf8mb4), archive_due, batch_id,"
    " EXISTS (SELECT 1 FROM operation_file o JOIN file_operation p ON p.id = o.operation_id"
    " WHERE o.file_id = source_file.id AND o.mended_key IS NOT NULL AND o.note IS NULL AND p.state = 'DONE'),"
    # What `clean` has deleted of the quarantine is known by its parts, which stay as long as a file needs them.
    " rows_rejected > 0 AND EXISTS (SELECT 1 FROM micro_batch b JOIN quarantine_part q ON q.batch_key = b.batch_key"
    " WHERE b.id = source_file.batch_id AND q.state = 'DELETED')"
)


def load_ledger(db: Database, scratch: Scratch) -> None:
    """Copy what MySQL says at one moment. The transaction ends here, however long the reading of S3 takes afterwards."""
    scratch.run(
        "CREATE TABLE part (kind VARCHAR, place VARCHAR, batch_key VARCHAR, sales_month VARCHAR, store_id BIGINT, row_count BIGINT,"
        " amount DECIMAL(38, 4))"
    )
    scratch.run(
        "CREATE TABLE file (id BIGINT, object_key VARCHAR, state VARCHAR, in_force INTEGER, rows_read BIGINT, rows_loaded BIGINT,"
        " rows_rejected BIGINT, rows_pending BIGINT, archived_key VARCHAR, archive_due INTEGER, batch_id BIGINT, is_mended INTEGER,"
        " is_cleaned INTEGER)"
    )
    with snapshot(db) as seen:
        for kind in KINDS:
            sql = f"SELECT '{kind.name}', {kind.place}, batch_key, {kind.columns} FROM {kind.table} WHERE {kind.live}"
            scratch.fill("part", seen.pages(sql))
        scratch.fill("file", seen.pages(f"SELECT {_FILE_COLUMNS} FROM source_file"))
        for mart in MARTS:
            _load_mart(seen, scratch, mart)


def _load_mart(seen: Snapshot, scratch: Scratch, mart: Mart) -> None:
    measures = (*mart.measures, *(["incentive"] if mart.ranked_within else []))
    columns = [f"{name} VARCHAR" for name in mart.grain] + [f"{name} DECIMAL(38, 4)" for name in measures]
    scratch.run(f"CREATE TABLE mysql_{mart.table} ({', '.join(columns)}, row_count BIGINT)")
    # Keys are compared as text: a mart's grain may be of any type.
    grain = [f"CAST({name} AS CHAR)" for name in mart.grain]
    scratch.fill(f"mysql_{mart.table}", seen.pages(f"SELECT {', '.join((*grain, *measures))}, row_count FROM {mart.table}"))


def known_now(db: Database, kind: Kind, places: Sequence[str], *, is_running: bool = True) -> set[str]:
    """Return which of these parts the ledger knows by now: live, about to be deleted, or (if a stream may run) of an open attempt."""
    keys = sorted({key_of(place) for place in places})

    def look(tx: Tx) -> set[str]:
        found: set[str] = set()
        for page in _pages(keys):
            marks = ", ".join(["%s"] * len(page))
            open_keys = {
                row["batch_key"]
                for row in tx.rows(f"SELECT batch_key FROM batch_attempt WHERE state = 'OPEN' AND batch_key IN ({marks})", page)
            }
            found |= {place for place in places if is_running and key_of(place) in open_keys}
            states = f"({kind.live} OR {kind.also_there})"
            sql = f"SELECT {kind.place} AS place FROM {kind.table} WHERE {states} AND batch_key IN ({marks})"
            found |= {row["place"] for row in tx.rows(sql, page)}
        return found

    return db.run(look)


def live_now(db: Database, kind: Kind, places: Sequence[str]) -> set[str]:
    """Return which of these parts are still live: what an operation replaced meanwhile may be gone."""
    keys = sorted({key_of(place) for place in places})

    def look(tx: Tx) -> set[str]:
        found: set[str] = set()
        for page in _pages(keys):
            marks = ", ".join(["%s"] * len(page))
            sql = f"SELECT {kind.place} AS place FROM {kind.table} WHERE {kind.live} AND batch_key IN ({marks})"
            found |= {row["place"] for row in tx.rows(sql, page)}
        return found

    return db.run(look)


def key_of(place: str) -> str:
    """Return the batch key of a part's folder."""
    return place.rsplit("batch_key=", 1)[-1]


def _pages(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    return (keys[start : start + LOOK_KEYS] for start in range(0, len(keys), LOOK_KEYS))
