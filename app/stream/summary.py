"""What one `run --once` did, from the ledger: files by state, rows by outcome, and operations that were given up."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from app.errors import DataRejected, OperationFailed
from app.mysql.database import Database, Tx

log = logging.getLogger(__name__)

# Operations that an error names.
MOST_NAMES = 10


@dataclass(frozen=True)
class Begin:
    """Where a run begins in the ledger: the first batch that it may work on, and MySQL's time."""

    batch: int
    moment: datetime


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        files: files of its batches by state.
        rows: their rows: read, loaded, rejected, pending.
        failed: operations that were given up, with the last error.
    """

    files: dict[str, int]
    rows: dict[str, int]
    failed: list[tuple[int, str, str]]

    @property
    def is_clean(self) -> bool:
        """Tell whether every file was loaded with all its rows, or skipped as a duplicate."""
        return self.rows["rejected"] == 0 and not set(self.files) - {"COMMITTED", "DUPLICATE"}

    def line(self) -> str:
        """Return the line for the log."""
        files = " ".join(f"{state.lower()}={count}" for state, count in sorted(self.files.items()))
        rows = " ".join(f"rows_{name}={count}" for name, count in self.rows.items())
        return f"summary files={sum(self.files.values())}{' ' if files else ''}{files} {rows} failed_operations={len(self.failed)}"


def begin(db: Database) -> Begin:
    """Note where the ledger stands before a run does anything."""
    sql = (
        "SELECT UTC_TIMESTAMP(6) AS moment, (SELECT COALESCE(MAX(id), 0) + 1 FROM micro_batch) AS next_id,"
        " (SELECT MIN(id) FROM micro_batch FORCE INDEX (by_state) WHERE state IN ('PLANNED', 'STARTED', 'HELD')) AS open_id"
    )
    row = db.single(lambda tx: tx.row(sql))
    assert row is not None, "a SELECT without FROM has one row"
    return Begin(int(row["next_id"] if row["open_id"] is None else row["open_id"]), row["moment"])


def summarise(db: Database, since: Begin) -> Summary:
    """Add up what became of the files of all batches since then. The cost follows these batches, not the history."""

    def read(tx: Tx) -> Summary:
        rows = tx.rows(
            "SELECT state, COUNT(*) AS files, SUM(rows_read) AS n_read, SUM(rows_loaded) AS n_loaded, SUM(rows_rejected) AS n_rejected,"
            " SUM(rows_pending) AS n_pending FROM source_file WHERE batch_id >= %s GROUP BY state",
            (since.batch,),
        )
        names = ("read", "loaded", "rejected", "pending")
        failed = tx.rows(
            "SELECT id, kind, detail FROM file_operation WHERE state = 'FAILED' AND finished_at >= %s ORDER BY id", (since.moment,)
        )
        return Summary(
            {row["state"]: int(row["files"]) for row in rows},
            {name: sum(int(row[f"n_{name}"]) for row in rows) for name in names},
            [(int(row["id"]), row["kind"], row["detail"] or "") for row in failed],
        )

    return db.run(read)


def tell(found: Summary, *, fail_on_rejected: bool) -> None:
    """Log the summary; stop with an error where something was given up, or rejected and that is not to pass.

    Raises:
        OperationFailed: operations were given up.
        DataRejected: `fail_on_rejected`, and files or rows were not loaded.
    """
    log.info("%s", found.line())
    for number, kind, detail in found.failed:
        log.error("operation=%d %s was given up: %s", number, kind, detail)
    if found.failed:
        names = ", ".join(f"{number} ({kind})" for number, kind, _ in found.failed[:MOST_NAMES])
        raise OperationFailed(f"{len(found.failed)} operations were given up: {names}")
    if fail_on_rejected and not found.is_clean:
        states = ", ".join(f"{count} {state}" for state, count in sorted(found.files.items()) if state not in ("COMMITTED", "DUPLICATE"))
        raise DataRejected(f"{found.rows['rejected']} rows were rejected; files that were not loaded: {states or 'none'}")
