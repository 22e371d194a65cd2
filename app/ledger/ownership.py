"""Who may write: the epoch in `stream_owner` is the guarantee, GET_LOCK only good manners (docs/decisions/0012-exactly-once.md)."""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from app.config.load import Config
from app.errors import MySqlError, MySqlUnavailable, OwnershipError, PipelineError
from app.mysql.database import Connection, Database, Tx
from app.mysql.errors import translated

log = logging.getLogger(__name__)


# So many heartbeats may be missed before another instance takes over.
BEATS_PER_TAKEOVER = 5


@dataclass(frozen=True)
class Held:
    """One epoch, and the connection that holds the lock or tries to."""

    epoch: int
    connection: Any


def owners_database(config: Config) -> Database:
    """Return the database for everything that an owner writes.

    The server itself rolls back what an owner has left open without a word for as long as makes others take over: the locks of a
    frozen process, or of a host that is gone, do not outlive its heartbeat.
    """
    return Database(config.mysql, silence=config.stream.takeover_seconds)


def check_epoch(tx: Tx, epoch: int) -> None:
    """Lock the owner row for reading and stop if another instance has taken over.

    Raises:
        OwnershipError: the ledger's epoch is not ours; the caller's transaction rolls back.
    """
    # LOCK IN SHARE MODE is the one spelling that MySQL 8/9 and MariaDB both know.
    row = tx.row("SELECT epoch, holder FROM stream_owner WHERE id = 1 LOCK IN SHARE MODE")
    if row is None or row["epoch"] != epoch:
        now = f"epoch {row['epoch']} held by {row['holder']}" if row else "no owner row"
        raise OwnershipError(f"epoch {epoch} is over: the ledger has {now}")


def acquire(db: Database, source: str, takeover_seconds: float) -> Held:
    """Become the one writer: take the lock, or take over from a holder that has stopped or whose heartbeat has; raise the epoch.

    A holder that has just stopped may leave its lock for some milliseconds more: the server frees it once it sees the connection closed.

    Raises:
        OwnershipError: another instance is alive; its holder is named.
    """
    connection = db.connect()
    locked = _try_lock(connection, db.config.database)
    holder = f"{socket.gethostname()} pid {os.getpid()}"
    try:
        epoch = db.run(lambda tx: _raise_epoch(tx, source, holder, locked, takeover_seconds))
    except BaseException:
        connection.close()
        raise
    log.info("owner epoch=%d holder=%s", epoch, holder)
    return Held(epoch, connection)


def _raise_epoch(tx: Tx, source: str, holder: str, locked: bool, takeover_seconds: float) -> int:
    row = tx.row(
        "SELECT epoch, holder, stopped_at, TIMESTAMPDIFF(MICROSECOND, heartbeat_at, UTC_TIMESTAMP(6)) / 1000000 AS silent"
        " FROM stream_owner WHERE id = 1 FOR UPDATE"
    )
    assert row is not None, "init-db inserts the owner row"
    alive = row["stopped_at"] is None and row["silent"] is not None and row["silent"] < takeover_seconds
    if not locked and alive:
        raise OwnershipError(f"the source is held by {row['holder']} (epoch {row['epoch']}, heartbeat {row['silent']:.1f} s ago)")
    tx.execute(
        "UPDATE stream_owner SET epoch = epoch + 1, source = %s, holder = %s, started_at = UTC_TIMESTAMP(6),"
        " heartbeat_at = UTC_TIMESTAMP(6), stopped_at = NULL WHERE id = 1",
        (source, holder),
    )
    return int(row["epoch"]) + 1


def beat(db: Database, held: Held) -> None:
    """Renew the heartbeat and keep the lock, or take it where the start did not get it.

    Raises:
        OwnershipError: a newer epoch has taken over.
    """

    def renew(tx: Tx) -> None:
        if tx.execute("UPDATE stream_owner SET heartbeat_at = UTC_TIMESTAMP(6) WHERE id = 1 AND epoch = %s", (held.epoch,)) != 1:
            check_epoch(tx, held.epoch)

    db.run(renew)
    try:
        _try_lock(held.connection, db.config.database)
    except (MySqlUnavailable, MySqlError) as exc:
        # The epoch still fences; the lock is taken again so that a second instance is turned away politely.
        log.warning("lock lost, taking it again: %s", exc)
        with translated("the lock's connection"):
            held.connection.connect()
        _try_lock(held.connection, db.config.database)


def release(db: Database, held: Held) -> None:
    """Give the source back: note the stop and close the lock's connection."""
    try:
        db.run(lambda tx: tx.execute("UPDATE stream_owner SET stopped_at = UTC_TIMESTAMP(6) WHERE id = 1 AND epoch = %s", (held.epoch,)))
    finally:
        if held.connection.open:
            held.connection.close()


class Ownership(AbstractContextManager["Ownership"]):
    """The right to write, from the start of a run to its end: a heartbeat in a thread of its own keeps it, the exit gives it back."""

    def __init__(self, db: Database, source: str, takeover_seconds: float) -> None:
        """Become the owner.

        Raises:
            OwnershipError: another instance is alive; its holder is named.
        """
        self._db = db
        self._held = acquire(db, source, takeover_seconds)
        self._pause = takeover_seconds / BEATS_PER_TAKEOVER
        self._stop = threading.Event()
        self._lost: OwnershipError | None = None
        self._thread = threading.Thread(target=self._keep, name="heartbeat", daemon=True)
        self._thread.start()

    @property
    def epoch(self) -> int:
        """The epoch under which we write."""
        return self._held.epoch

    def check(self) -> None:
        """Stop if the heartbeat has found that another instance took over.

        Raises:
            OwnershipError: it has.
        """
        if self._lost is not None:
            raise self._lost

    def __exit__(self, *_: object) -> None:
        """Stop the heartbeat and give the source back."""
        self._stop.set()
        self._thread.join()
        try:
            release(self._db, self._held)
        except PipelineError as exc:
            # What ended the run is what the user must read; the lock goes with its connection.
            log.warning("the source could not be given back: %s", exc)

    def _keep(self) -> None:
        while not self._stop.wait(self._pause):
            try:
                beat(self._db, self._held)
            except OwnershipError as exc:
                self._lost = exc
                return
            except PipelineError as exc:
                log.warning("heartbeat missed: %s", exc)
        self._db.close()


def _try_lock(connection: Connection, database: str) -> bool:
    """Return whether this connection has the lock: it is taken if nobody has it, and never waited for."""
    name = "salestream." + sha256(database.encode()).hexdigest()[:32]
    with translated("the lock's connection"), connection.cursor() as cursor:
        cursor.execute("SELECT IF(IS_USED_LOCK(%s) = CONNECTION_ID(), 1, GET_LOCK(%s, 0)) AS taken", (name, name))
        row = cursor.fetchone()
    return bool(row and row["taken"] == 1)
