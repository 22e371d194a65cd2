"""Who may write: the epoch in `stream_owner` is the guarantee, GET_LOCK only good manners (design: D5)."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pymysql

from app.errors import MySqlUnavailable, OwnershipError
from app.mysql import Database, Tx, translated

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ownership:
    """The right to write under one epoch, and the connection that holds the lock (None after a take-over)."""

    epoch: int
    connection: Any


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


def acquire(db: Database, source: str, takeover_seconds: float) -> Ownership:
    """Become the one writer: take the lock, or take over from a holder whose heartbeat has stopped; raise the epoch.

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
    return Ownership(epoch, connection)


def _raise_epoch(tx: Tx, source: str, holder: str, locked: bool, takeover_seconds: float) -> int:
    row = tx.row(
        "SELECT epoch, holder, heartbeat_at, TIMESTAMPDIFF(MICROSECOND, heartbeat_at, UTC_TIMESTAMP(6)) / 1000000 AS silent"
        " FROM stream_owner WHERE id = 1 FOR UPDATE"
    )
    assert row is not None, "init-db inserts the owner row"
    if not locked and row["silent"] is not None and row["silent"] < takeover_seconds:
        raise OwnershipError(f"the source is held by {row['holder']} (epoch {row['epoch']}, heartbeat {row['silent']:.1f} s ago)")
    tx.execute(
        "UPDATE stream_owner SET epoch = epoch + 1, source = %s, holder = %s, started_at = UTC_TIMESTAMP(6),"
        " heartbeat_at = UTC_TIMESTAMP(6), stopped_at = NULL WHERE id = 1",
        (source, holder),
    )
    return int(row["epoch"]) + 1


def beat(db: Database, ownership: Ownership) -> None:
    """Renew the heartbeat and keep the lock's connection alive.

    Raises:
        OwnershipError: a newer epoch has taken over.
    """

    def renew(tx: Tx) -> None:
        if tx.execute("UPDATE stream_owner SET heartbeat_at = UTC_TIMESTAMP(6) WHERE id = 1 AND epoch = %s", (ownership.epoch,)) != 1:
            check_epoch(tx, ownership.epoch)

    db.run(renew)
    try:
        with translated("the lock's connection"):
            if ownership.connection.open:
                ownership.connection.ping(reconnect=False)
    except MySqlUnavailable as exc:
        # The epoch still fences; the lock is taken again so that a second instance is turned away politely.
        log.warning("lock lost, taking it again: %s", exc)
        ownership.connection.connect()
        _try_lock(ownership.connection, db.config.database)


def release(db: Database, ownership: Ownership) -> None:
    """Give the source back: note the stop and close the lock's connection."""
    try:
        db.run(
            lambda tx: tx.execute("UPDATE stream_owner SET stopped_at = UTC_TIMESTAMP(6) WHERE id = 1 AND epoch = %s", (ownership.epoch,))
        )
    finally:
        if ownership.connection.open:
            ownership.connection.close()


def _try_lock(connection: pymysql.Connection[Any], database: str) -> bool:
    name = "salestream." + sha256(database.encode()).hexdigest()[:32]
    with translated("GET_LOCK"), connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0) AS taken", (name,))
        row = cursor.fetchone()
    return bool(row and row["taken"] == 1)
