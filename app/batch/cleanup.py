"""Leftovers of attempts that never committed: known by the attempt's key, removed before anything new is written.

docs/decisions/0012-exactly-once.md says why.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from app.config.load import Config
from app.ledger.isolate import was_alive
from app.ledger.ledger import Ledger
from app.ledger.restore_guard import note_key
from app.ledger.retention import ReplacedPart, mended_deleted, mended_objects, parts_deleted, replaced_parts
from app.model.marts import MARTS
from app.mysql.database import Tx
from app.s3.prefixes import fact_part_prefix, pending_part_prefix, quarantine_part_prefix
from app.s3.read import NOT_NOTED, ObjectVersion, S3Client, list_all
from app.s3.write import delete_below, delete_keys, delete_version

log = logging.getLogger(__name__)


def clear_leftovers(ledger: Ledger, config: Config, client: S3Client, alive: str | None) -> int:
    """Remove what every open attempt but `alive` left on S3 and in MySQL. Returns how many attempts were buried."""
    dead = ledger.dead_attempts(alive)
    for batch_key in dead:
        for prefix in _planned_prefixes(ledger, config, batch_key):
            delete_below(client, config.s3.bucket, prefix)
        delete_keys(client, config.s3.bucket, [note_key(config.s3, batch_key)])
        clear_rows(ledger, batch_key, DEAD_TABLES)
        ledger.bury(batch_key)
        log.info("leftovers of attempt=%s removed", batch_key)
    return len(dead)


def withdraw(ledger: Ledger, config: Config, client: S3Client, batch_key: str) -> None:
    """Remove what our own attempt wrote after another instance has taken over and cleaned up: nobody else would look again.

    It needs no epoch, as nobody but us ever writes under this key.
    """
    for prefix in _planned_prefixes(ledger, config, batch_key):
        delete_below(client, config.s3.bucket, prefix)
    for table in STAGE_TABLES:
        while ledger.db.run(lambda tx, table=table: delete_page(tx, table, batch_key)) == DELETE_ROWS:  # type: ignore[misc]
            pass
    # Our successor may have taken the attempt for one that died.
    ledger.db.run(lambda tx: was_alive(tx, batch_key))
    log.info("withdrawn attempt=%s", batch_key)


def clear_rows(ledger: Ledger, batch_key: str, tables: Sequence[str] | None = None, *, level: int = logging.WARNING) -> int:
    """Delete the stage rows of a batch key that is committed or dead, in bounded steps. Returns how many rows went.

    A frozen executor may hold locks on them for as long as its session lives: what is locked stays, and is removed by a later look.
    """
    removed = 0
    for table in tables or STAGE_TABLES:
        page: int | None = DELETE_ROWS
        while page == DELETE_ROWS:
            page = ledger.write(lambda tx, table=table: delete_page(tx, table, batch_key))  # type: ignore[misc]
            removed += page or 0
        if page is None:
            log.log(level, "rows of %s batch_key=%s are locked by another session: they are removed later", table, batch_key)
    return removed


def clear_stage(ledger: Ledger) -> int:
    """Delete the stage rows of every attempt that is over. Returns how many attempts had some that could be deleted."""
    staged = ledger.staged_keys(STAGE_TABLES)
    over = sorted(staged - set(ledger.dead_attempts(None))) if staged else []
    # This is the later look, and one comes every second.
    cleared = sum(clear_rows(ledger, batch_key, level=logging.DEBUG) > 0 for batch_key in over)
    dead = ledger.dead_pending_keys()
    return cleared + sum(clear_rows(ledger, batch_key, DEAD_TABLES, level=logging.DEBUG) > 0 for batch_key in dead)


def clear_consumed(ledger: Ledger, config: Config, client: S3Client) -> int:
    """Delete the Parquet of pending parts whose rows have been released. Returns how many parts went."""
    consumed = ledger.consumed_parts(CONSUMED_PAGE)
    for batch_key in consumed:
        delete_below(client, config.s3.bucket, pending_part_prefix(config.s3, batch_key))
        ledger.pending_part_deleted(batch_key)
    return len(consumed)


def clear_replaced(ledger: Ledger, config: Config, client: S3Client) -> int:
    """Delete the Parquet of replaced parts whose grace time is over, a page of them. Returns how many parts went."""
    parts = ledger.db.single(lambda tx: replaced_parts(tx, config.retention.replaced_facts_seconds, REPLACED_PAGE))
    if parts:
        ledger.prove()
        delete_keys(client, config.s3.bucket, [one.key for one in replaced_objects(client, config, parts)])
        ledger.write(lambda tx: parts_deleted(tx, parts))
        log.info("replaced parts=%d deleted", len(parts))
    return len(parts)


def replaced_objects(client: S3Client, config: Config, parts: Sequence[ReplacedPart]) -> list[ObjectVersion]:
    """Return the objects of replaced parts."""
    prefixes = [fact_part_prefix(config.s3, part.sales_month, part.store_id, part.batch_key) for part in parts]
    return [found for prefix in prefixes for found in list_all(client, config.s3.bucket, prefix)]


def clear_mended(ledger: Ledger, config: Config, client: S3Client) -> int:
    """Delete the objects of mended rows whose operation is over, a page of them. Returns how many went."""
    found = ledger.db.single(lambda tx: mended_objects(tx, REPLACED_PAGE))
    if found:
        ledger.prove()
        for one in found:
            delete_version(client, ObjectVersion(config.s3.bucket, one.key, one.etag, one.size, NOT_NOTED))
        ledger.write(lambda tx: mended_deleted(tx, found))
    return len(found)


STAGE_TABLES = ("stage_file", *(mart.stage_table for mart in MARTS))
# What else an attempt fills beside its transactions, and what nobody needs of it once it is dead.
DEAD_TABLES = (*STAGE_TABLES, "pending_key")
DELETE_ROWS = 10_000
CONSUMED_PAGE = 100
REPLACED_PAGE = 100


def delete_page(tx: Tx, table: str, batch_key: str) -> int | None:
    """Delete some rows of a batch key, and wait for nobody. Returns how many, or None where another session has locked one of them."""
    where = f"FROM {table} WHERE batch_key = %s LIMIT {DELETE_ROWS}"
    found = tx.rows_unless_locked(f"SELECT 1 {where} FOR UPDATE NOWAIT", (batch_key,))
    if not found:
        return None if found is None else 0
    return tx.execute(f"DELETE {where}", (batch_key,))


def _planned_prefixes(ledger: Ledger, config: Config, batch_key: str) -> list[str]:
    parts = ledger.planned_parts(batch_key)
    facts = [fact_part_prefix(config.s3, row["sales_month"], row["store_id"], batch_key) for row in parts["fact_part"]]
    rejected = [quarantine_part_prefix(config.s3, row["load_date"], row["reason"], batch_key) for row in parts["quarantine_part"]]
    pending = [pending_part_prefix(config.s3, batch_key) for _ in parts["pending_part"]]
    return facts + rejected + pending
