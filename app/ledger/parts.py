"""The three kinds of Parquet parts: the ledger table of each, and which of their folders the ledger knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.mysql.database import Database, Tx

LOOK_KEYS = 500


@dataclass(frozen=True)
class Kind:
    """One kind of Parquet: the ledger table that lists its parts, and how a part's folder is called below its prefix."""

    name: str
    table: str
    place: str
    live: str
    columns: str = "NULL, NULL, row_count, NULL"
    # What may lie on S3 without being live: what was released or replaced, until its Parquet is deleted; and what a repair has kept.
    also_there: str = "1 = 0"


FACTS = Kind(
    "facts",
    "fact_part",
    "CONCAT('sales_month=', sales_month, '/store_id=', store_id, '/batch_key=', batch_key)",
    "state = 'LIVE'",
    "sales_month, store_id, row_count, amount",
    # What an operation has replaced stays for a while, for readers of the plain folder.
    "((state = 'DEAD' AND live_at IS NOT NULL) OR state = 'KEPT')",
)


QUARANTINE = Kind(
    "quarantine",
    "quarantine_part",
    "CONCAT('load_date=', load_date, '/reason=', reason, '/batch_key=', batch_key)",
    "state = 'LIVE'",
    also_there="state = 'KEPT'",
)


PENDING = Kind(
    "pending",
    "pending_part",
    "CONCAT('batch_key=', batch_key)",
    "state = 'WAITING'",
    also_there="((state = 'CONSUMED' AND deleted_at IS NULL) OR state = 'KEPT')",
)


KINDS = (FACTS, QUARANTINE, PENDING)


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
