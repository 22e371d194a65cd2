"""How far requested operations are, and who is there to do them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.config.load import Config
from app.ledger.operations import marks, pages
from app.ledger.owner import read_owner
from app.mysql.database import Database, Tx

LOOK_SECONDS = 0.2


def running_stream(db: Database, config: Config) -> str | None:
    """Return who holds the source; None when no stream is running."""
    owner = db.run(lambda tx: read_owner(tx, config.stream.takeover_seconds))
    return owner.holder if owner.is_running else None


@dataclass(frozen=True)
class Progress:
    """How far an operation is: its state, what is said of it, and why nothing was done to some of its files."""

    id: int
    kind: str
    state: str
    detail: str | None
    notes: dict[int, str]

    @property
    def is_over(self) -> bool:
        """Whether it is done, given up or cancelled."""
        return self.state in ("DONE", "FAILED", "CANCELLED")


def progress_of(db: Database, operations: Sequence[int]) -> list[Progress]:
    """Return how far operations are, in the order of their numbers."""

    def look(tx: Tx) -> list[Progress]:
        noted: dict[int, dict[int, str]] = {}
        found: list[Progress] = []
        for page in pages(operations):
            for row in tx.rows(f"SELECT operation_id, file_id, note FROM operation_file WHERE operation_id IN ({marks(page)})", page):
                if row["note"]:
                    noted.setdefault(int(row["operation_id"]), {})[int(row["file_id"])] = row["note"]
            rows = tx.rows(f"SELECT id, kind, state, detail FROM file_operation WHERE id IN ({marks(page)}) ORDER BY id", page)
            found += [Progress(int(r["id"]), r["kind"], r["state"], r["detail"], noted.get(int(r["id"]), {})) for r in rows]
        return found

    return db.run(look)


def wait_for(
    db: Database,
    operations: Sequence[int],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Progress]:
    """Wait until operations are over, but not longer than `seconds`. Returns how far they are then."""
    until = clock() + seconds
    while True:
        found = progress_of(db, operations)
        if all(one.is_over for one in found) or clock() >= until:
            return found
        sleep(LOOK_SECONDS)
