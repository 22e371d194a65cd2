"""The owner's row as others see it: whether a stream runs, where, since when; and how to ask it to stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.lifeline import Life, life_of
from app.mysql.database import Tx

COLUMNS = (
    "epoch, source, holder, process, started_at, heartbeat_at, stopped_at, stop_epoch, stop_by,"
    " TIMESTAMPDIFF(MICROSECOND, heartbeat_at, UTC_TIMESTAMP(6)) / 1000000 AS silent"
)


class StreamState(StrEnum):
    """What can be said of the stream from the ledger alone."""

    NEVER = "never started"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SILENT = "silent"
    DEAD = "dead"


@dataclass(frozen=True)
class Owner:
    """The last owner of the source.

    `silent` are the seconds since its last heartbeat, by MySQL's clock.
    """

    state: StreamState
    epoch: int
    source: str
    holder: str
    started_at: datetime | None
    heartbeat_at: datetime | None
    stopped_at: datetime | None
    silent: float
    stop_by: str

    @property
    def is_running(self) -> bool:
        """Tell whether the owner lives, as far as its heartbeat shows it."""
        return self.state in (StreamState.RUNNING, StreamState.STOPPING)


def read_owner(tx: Tx, takeover_seconds: float, *, lock: bool = False) -> Owner:
    """Read the owner's row.

    Args:
        tx: a transaction.
        takeover_seconds: the silence after which another instance may take over.
        lock: lock the row, so that no other owner comes before the end of the transaction.
    """
    row = tx.row(f"SELECT {COLUMNS} FROM stream_owner WHERE id = 1{' FOR UPDATE' if lock else ''}")
    assert row is not None, "init-db inserts the owner row"
    is_asked = row["stop_epoch"] == row["epoch"]
    if row["heartbeat_at"] is None:
        state = StreamState.NEVER
    elif row["stopped_at"] is not None:
        state = StreamState.STOPPED
    elif life_of(row["process"].rpartition(" ")[0]) == Life.DEAD:
        state = StreamState.DEAD
    elif float(row["silent"]) >= takeover_seconds:
        state = StreamState.SILENT
    else:
        state = StreamState.STOPPING if is_asked else StreamState.RUNNING
    return Owner(
        state,
        int(row["epoch"]),
        row["source"],
        row["holder"],
        row["started_at"],
        row["heartbeat_at"],
        row["stopped_at"],
        float(row["silent"] or 0),
        row["stop_by"] if is_asked else "",
    )


def ask_to_stop(tx: Tx, takeover_seconds: float, by: str) -> Owner:
    """Ask the owner to stop, if there is one that has not given the source back. Returns the owner that was asked, or the last one."""
    owner = read_owner(tx, takeover_seconds, lock=True)
    if owner.state not in (StreamState.NEVER, StreamState.STOPPED, StreamState.DEAD):
        tx.execute("UPDATE stream_owner SET stop_epoch = epoch, stop_by = %s WHERE id = 1", (by[:255],))
    return owner
