"""Parquet that the ledger names and that is over: replaced facts, released waiting rows, old rejected rows, mended rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial

from app.clean.sweep import PAGE_KEYS, Removal, Sweep, statement, total
from app.ledger.operations import marks
from app.ledger.paging import batched
from app.ledger.retention import IS_REPLACED, MendedObject, ReplacedPart, mended_deleted, mended_objects, parts_deleted
from app.s3.prefixes import fact_part_prefix, mended_prefix, pending_part_prefix, quarantine_part_prefix
from app.s3.read import NOT_NOTED, ObjectVersion, head, is_same_version, list_all
from app.s3.write import delete_version

PAGE_PARTS = 500
_MENDED_NAME = re.compile(r"(\d+)/[^/]+\.csv")

# An operation may still want to read the rejected rows of its files.
WANTED_BY_OPERATION = (
    "EXISTS (SELECT 1 FROM batch_attempt a JOIN source_file f ON f.batch_id = a.batch_id JOIN operation_file o ON o.file_id = f.id"
    " JOIN file_operation p ON p.id = o.operation_id WHERE a.batch_key = t.batch_key AND p.state IN ('REQUESTED', 'CLAIMED'))"
)


def replaced_facts(sweep: Sweep) -> Iterator[Removal]:
    """Remove fact parts that an operation replaced, once readers of the plain folder have had their time."""
    due = f"{IS_REPLACED} AND dead_at <= %s"
    before = sweep.before(timedelta(seconds=sweep.config.retention.replaced_facts_seconds))
    for keys in sweep.key_pages(f"SELECT t.batch_key FROM fact_part t WHERE {due}", (before,)):
        sql = f"SELECT batch_key, sales_month, store_id FROM fact_part WHERE {due} AND batch_key IN ({marks(keys)}) ORDER BY 1, 2, 3"
        rows = sweep.rows(sql, (before, *keys))
        # A batch may have thousands of parts.
        for page in batched(rows, PAGE_PARTS):
            parts = [ReplacedPart(row["batch_key"], row["sales_month"], int(row["store_id"])) for row in page]
            prefixes = [fact_part_prefix(sweep.config.s3, part.sales_month, part.store_id, part.batch_key) for part in parts]
            gone = [_remove_folder(sweep, prefix) for prefix in prefixes]
            sweep.note(partial(parts_deleted, parts=parts))
            yield from gone


def consumed_pending(sweep: Sweep) -> Iterator[Removal]:
    """Remove the Parquet of waiting rows that have been released, or dropped."""
    for keys in sweep.key_pages("SELECT t.batch_key FROM pending_part t WHERE t.state = 'CONSUMED' AND t.deleted_at IS NULL"):
        gone = [_remove_folder(sweep, pending_part_prefix(sweep.config.s3, key)) for key in keys]
        sql = f"UPDATE pending_part SET deleted_at = UTC_TIMESTAMP(6) WHERE state = 'CONSUMED' AND batch_key IN ({marks(keys)})"
        sweep.note(statement(sql, keys))
        yield from gone


def old_quarantine(sweep: Sweep) -> Iterator[Removal]:
    """Remove rejected rows that are older than `retention.quarantine_days`; their counts stay."""
    days = sweep.config.retention.quarantine_days
    if not days:
        return
    due = "t.state = 'LIVE' AND t.planned_at <= %s"
    before = sweep.before(timedelta(days=days))
    for keys in sweep.key_pages(f"SELECT t.batch_key FROM quarantine_part t WHERE {due} AND NOT {WANTED_BY_OPERATION}", (before,)):
        # All parts of a batch together: its files have all of their rejected rows, or none.
        sql = f"SELECT batch_key, load_date, reason FROM quarantine_part t WHERE {due} AND batch_key IN ({marks(keys)}) ORDER BY 1, 2, 3"
        rows = sweep.rows(sql, (before, *keys))
        prefixes = [quarantine_part_prefix(sweep.config.s3, row["load_date"], row["reason"], row["batch_key"]) for row in rows]
        gone = [_remove_folder(sweep, prefix) for prefix in prefixes]
        sql = f"UPDATE quarantine_part SET state = 'DELETED' WHERE state = 'LIVE' AND batch_key IN ({marks(keys)})"
        sweep.note(statement(sql, keys))
        yield from gone


def mended_rows(sweep: Sweep) -> Iterator[Removal]:
    """Remove the objects of mended rows whose operation is over, and those that no operation was ever asked for."""
    for objects in batched(list_all(sweep.client, sweep.bucket, mended_prefix(sweep.config.s3)), PAGE_PARTS):
        unnamed = _unnamed(sweep, [one for one in objects if one.last_modified <= sweep.safe_before])
        sweep.delete(unnamed)
        yield from (Removal(sweep.name_of(one.key), objects=1, size=one.size) for one in unnamed)
    after = (0, 0)
    while found := sweep.db.run(partial(mended_objects, limit=PAGE_KEYS, after=after)):
        gone = [removal for one in found if (removal := _remove_mended(sweep, one)) is not None]
        sweep.note(partial(mended_deleted, objects=found))
        yield from gone
        after = (found[-1].operation_id, found[-1].file_id)


def _unnamed(sweep: Sweep, objects: Sequence[ObjectVersion]) -> list[ObjectVersion]:
    """Return the objects that no operation names: a command that was cut off before its request, or a dry run, left them."""
    prefix = mended_prefix(sweep.config.s3)
    ours = {one: int(found[1]) for one in objects if (found := _MENDED_NAME.fullmatch(one.key.removeprefix(prefix)))}
    ids = sorted(set(ours.values()))
    sql = f"SELECT mended_key FROM operation_file WHERE mended_key IS NOT NULL AND file_id IN ({marks(ids)})"
    named = {bytes(row["mended_key"]).decode() for row in sweep.rows(sql, ids)} if ids else set()
    return [one for one in ours if one.key not in named]


def _remove_folder(sweep: Sweep, prefix: str) -> Removal:
    found = list(list_all(sweep.client, sweep.bucket, prefix))
    sweep.delete(found)
    return Removal(sweep.name_of(prefix), objects=len(found), size=total(found))


def _remove_mended(sweep: Sweep, one: MendedObject) -> Removal | None:
    wanted = ObjectVersion(sweep.bucket, one.key, one.etag, one.size, NOT_NOTED)
    there = head(sweep.client, sweep.bucket, one.key)
    if there is None or not is_same_version(there, wanted):
        return None
    if not sweep.dry_run:
        delete_version(sweep.client, wanted)
    return Removal(sweep.name_of(one.key), objects=1, size=one.size)
