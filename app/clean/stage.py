"""Stage rows of attempts that are over."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from app.batch.cleanup import STAGE_TABLES, delete_page
from app.clean.sweep import Removal, Sweep, open_attempts


def stage_rows(sweep: Sweep) -> Iterator[Removal]:
    """Remove the stage rows of every attempt that is over, in bounded steps."""
    for table in STAGE_TABLES:
        found = {row["batch_key"]: int(row["n"]) for row in sweep.rows(f"SELECT batch_key, COUNT(*) AS n FROM {table} GROUP BY batch_key")}
        # Asked second: an attempt is in the ledger before it stages anything.
        alive = sweep.db.run(partial(open_attempts, keys=sorted(found)))
        for key in sorted(found.keys() - alive):
            removed = found[key] if sweep.dry_run else _delete(sweep, table, key)
            if removed:
                yield Removal(f"{table} batch_key={key}", rows=removed)


def _delete(sweep: Sweep, table: str, batch_key: str) -> int:
    """Delete the rows that no other session has locked. Returns how many went."""
    removed, page = 0, 1
    while page:
        page = sweep.db.run(partial(delete_page, table=table, batch_key=batch_key)) or 0
        removed += page
    return removed
