"""Ledger rows of batches, attempts, parts and operations that are older than `retention.ledger_days` and that nothing refers to.

They go from the outside in: what only a removed file, part or operation referred to goes with the next cleaning. So one cleaning never
depends on what it has just done, and a dry run names exactly what goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.clean.sweep import Removal, Sweep
from app.ledger.operations import marks
from app.ledger.restore_guard import read_marker
from app.mysql.database import Tx

PAGE = 100
# By batch key; a batch that has one of these rows says when and how it came about.
HOLDERS = ("fact_part", "quarantine_part", "pending_part", "batch_file", "file_reject", "file_warning", "file_header")


@dataclass(frozen=True)
class Record:
    """One kind of rows.

    Attributes:
        table: its table, called `t` in the condition.
        key: the column that pages go by, and that names what goes.
        condition: which rows go; every %s in it is the moment before which they must lie.
        belongings: (table, column) of rows that go with them.
    """

    table: str
    key: str
    condition: str
    belongings: tuple[tuple[str, str], ...] = ()


BATCHES = Record(
    "micro_batch",
    "id",
    "t.state IN ('COMMITTED', 'SPLIT') AND t.committed_at <= %s"
    " AND NOT EXISTS (SELECT 1 FROM batch_attempt a WHERE a.batch_id = t.id AND a.state <> 'COMMITTED')"
    " AND NOT EXISTS (SELECT 1 FROM source_file f WHERE f.batch_id = t.id)"
    " AND NOT EXISTS (SELECT 1 FROM file_withdrawal w WHERE w.batch_id = t.id)"
    " AND NOT EXISTS (SELECT 1 FROM file_operation o WHERE o.id = t.operation_id)"
    + "".join(
        f" AND NOT EXISTS (SELECT 1 FROM batch_attempt a JOIN {table} h ON h.batch_key = a.batch_key WHERE a.batch_id = t.id)"
        for table in HOLDERS
    ),
    (("batch_attempt", "batch_id"),),
)
OPERATIONS = Record(
    "file_operation",
    "id",
    "t.state IN ('DONE', 'FAILED', 'CANCELLED') AND t.finished_at <= %s"
    # Of a file that is still known its operations are part of its story; `verify` asks for some of them.
    " AND NOT EXISTS (SELECT 1 FROM operation_file o WHERE o.operation_id = t.id AND (o.mended_etag IS NOT NULL"
    " OR EXISTS (SELECT 1 FROM source_file f WHERE f.id = o.file_id)))"
    " AND NOT EXISTS (SELECT 1 FROM pending_part p WHERE p.operation_id = t.id)",
    (("operation_file", "operation_id"), ("operation_partition", "operation_id")),
)
ATTEMPTS = Record("batch_attempt", "batch_key", "t.state = 'DEAD' AND t.ended_at <= %s")
FACTS = Record("fact_part", "batch_key", "t.state = 'DELETED' AND t.dead_at <= %s")
PENDING = Record(
    "pending_part", "batch_key", "((t.state = 'CONSUMED' AND t.deleted_at <= %s) OR (t.state = 'DEAD' AND t.created_at <= %s))"
)
QUARANTINE = Record(
    "quarantine_part",
    "batch_key",
    # `verify` and `quarantine show` must know of a file's rejected rows that they were deleted.
    "t.planned_at <= %s AND (t.state = 'DEAD' OR (t.state = 'DELETED' AND NOT EXISTS (SELECT 1 FROM batch_attempt a"
    " JOIN source_file f ON f.batch_id = a.batch_id WHERE a.batch_key = t.batch_key)))",
)


def old_records(sweep: Sweep) -> Iterator[Removal]:
    """Remove old rows of batches, operations, attempts and parts, those first that refer to others."""
    days = sweep.config.retention.ledger_days
    if not days:
        return
    last, named = _kept(sweep)
    # The numbers of batches go on from the newest; a restored ledger is known by the batch that the marker names.
    yield from _remove(sweep, BATCHES, days, "t.id < %s AND t.id <> %s", (last, named))
    yield from _remove(sweep, OPERATIONS, days)
    yield from _remove(sweep, ATTEMPTS, days, "t.batch_id < %s AND t.batch_id <> %s", (last, named))
    for parts in (FACTS, PENDING, QUARANTINE):
        yield from _remove(sweep, parts, days)


def _kept(sweep: Sweep) -> tuple[int, int]:
    """Return the numbers of the newest batch and of the one that the marker on S3 names."""
    marker = read_marker(sweep.client, sweep.config.s3)
    newest = sweep.rows("SELECT COALESCE(MAX(id), 0) AS id FROM micro_batch")[0]["id"]
    return int(newest), int(marker.batch_key.split("-")[0]) if marker and marker.batch_key else 0


def _remove(sweep: Sweep, record: Record, days: int, also: str = "1 = 1", args: Sequence[object] = ()) -> Iterator[Removal]:
    before = sweep.before(timedelta(days=days))
    condition = f"{record.condition} AND {also}"
    values = (*[before] * record.condition.count("%s"), *args)
    key = f"t.{record.key}"
    found = f"SELECT {key} AS k, COUNT(*) AS n FROM {record.table} t WHERE {condition}"
    sql = f"{found} AND {key} > %s GROUP BY {key} ORDER BY {key} LIMIT {PAGE}"
    after: object = 0 if record.key == "id" else ""
    while page := sweep.rows(sql, (*values, after)):
        after = page[-1]["k"]
        counts = {row["k"]: int(row["n"]) for row in page}
        for key_value, rows in sorted(_forget(sweep, record, condition, values, counts).items()):
            yield Removal(f"{record.table} {record.key}={key_value}", rows=rows)


def _forget(sweep: Sweep, record: Record, condition: str, values: Sequence[object], counts: dict[object, int]) -> dict[object, int]:
    """Delete a page of rows with what belongs to them, in one transaction. Returns how many rows went by key."""

    def forget(tx: Tx) -> dict[object, int]:
        keys = list(counts)
        found = dict(counts)
        for table, column in record.belongings:
            counted = f"SELECT {column} AS k, COUNT(*) AS n FROM {table} WHERE {column} IN ({marks(keys)}) GROUP BY {column}"
            for row in tx.rows(counted, keys):
                found[row["k"]] += int(row["n"])
        if not sweep.dry_run:
            tx.execute(f"DELETE t FROM {record.table} t WHERE {condition} AND t.{record.key} IN ({marks(keys)})", (*values, *keys))
            for table, column in record.belongings:
                tx.execute(f"DELETE FROM {table} WHERE {column} IN ({marks(keys)})", keys)
        return found

    return sweep.db.run(forget)
