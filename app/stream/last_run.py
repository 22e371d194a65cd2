"""The last-run check: what an earlier run began and did not finish, named before it is picked up."""

from __future__ import annotations

from app.mysql.database import Database, Row, Tx

MOST_BATCHES = 20
MOST_NAMES = 5


def unfinished_work(db: Database) -> list[str]:
    """Say in one line each what is left of earlier runs: open batches with their files, discovered files, files to be archived.

    Empty when the last run finished everything. The cost follows what is open, not the history.
    """
    return db.run(_read)


def _read(tx: Tx) -> list[str]:
    sql = (
        "SELECT b.id, b.state, b.attempt, b.operation_id, o.kind FROM micro_batch b FORCE INDEX (by_state)"
        " LEFT JOIN file_operation o ON o.id = b.operation_id"
        f" WHERE b.state IN ('PLANNED', 'STARTED') ORDER BY b.id LIMIT {MOST_BATCHES}"
    )
    lines = [_batch(tx, batch) for batch in tx.rows(sql)]
    for condition, what in (
        ("state = 'DISCOVERED'", "discovered and not yet planned: they are loaded now"),
        ("archive_due = 1", "loaded and not yet archived: they are moved now"),
    ):
        count = int(tx.scalar(f"SELECT COUNT(*) FROM source_file WHERE {condition}"))
        if count:
            lines.append(f"{count} files{_names(tx, condition, ())} were {what}")
    return lines


def _batch(tx: Tx, batch: Row) -> str:
    content = f"operation {batch['operation_id']} ({batch['kind']})"
    if batch["operation_id"] is None:
        count = int(tx.scalar("SELECT COUNT(*) FROM source_file WHERE batch_id = %s AND state = 'CLAIMED'", (batch["id"],)))
        content = f"{count} files{_names(tx, 'batch_id = %s AND state = ' + repr('CLAIMED'), (batch['id'],))}"
    return f"batch {batch['id']} ({batch['state']}, {batch['attempt']} attempts) with {content} was not finished: it is finished now"


def _names(tx: Tx, condition: str, args: tuple[int, ...]) -> str:
    found = tx.rows(f"SELECT object_key FROM source_file WHERE {condition} ORDER BY id LIMIT {MOST_NAMES + 1}", args)
    names = [repr(bytes(row["object_key"]).decode()) for row in found]
    return f" ({', '.join(names[:MOST_NAMES])}{', ...' if len(names) > MOST_NAMES else ''})"
