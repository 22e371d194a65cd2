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
            if not sweep.dry_run:
                _delete(sweep, table, key)
            yield Removal(f"{table} batch_key={key}", rows=found[key])


def _delete(sweep: Sweep, table: str, batch_key: str) -> None:
    while sweep.db.run(partial(delete_page, table=table, batch_key=batch_key)):
        pass
