"""Who may write: the epoch in `stream_owner` is the guarantee (docs/decisions/0012-exactly-once.md).

GET_LOCK only tells whether the owner's connection lives.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from app.config.load import Config
from app.errors import MySqlError, MySqlUnavailable, OwnershipError, PipelineError, RestoredLedger
from app.ledger.succession import BEATS_PER_TAKEOVER, Sight, Step, decide
from app.lifeline import Life, life_of, this_process
from app.mysql.database import Connection, Database, Tx
from app.mysql.errors import translated

log = logging.getLogger(__name__)

# A start that waits looks so often.
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Held:
    """One epoch, the connection that holds the lock or tries to, and what names this owner among all that ever were."""

    epoch: int
    connection: Any
    process: str


@dataclass(frozen=True)
class StopAsked:
    """Somebody has asked this run to stop, through the ledger."""

    by: str


def owners_database(config: Config) -> Database:
    """Return the database for everything that an owner writes.

    The server itself rolls back what an owner has left open without a word for as long as makes others take over: the locks of a
    frozen process, or of a host that is gone, do not outlive its heartbeat.
    """
    return Database(config.mysql, silence=config.stream.takeover_seconds)


def check_epoch(tx: Tx, epoch: int) -> None:
    """Lock the owner row for reading and stop if another instance has taken over.

    Raises:
        OwnershipError: the ledger's epoch is beyond ours; the caller's transaction rolls back.
        RestoredLedger: the ledger does not know our epoch: it has lost what was committed.
    """
    # LOCK IN SHARE MODE is the one spelling that MySQL 8/9 and MariaDB both know.
    row = tx.row("SELECT epoch, holder FROM stream_owner WHERE id = 1 LOCK IN SHARE MODE")
    if row is None or row["epoch"] != epoch:
        now = f"epoch {row['epoch']} held by {row['holder']}" if row else "no owner row"
        is_older = row is None or row["epoch"] < epoch
        raise (RestoredLedger if is_older else OwnershipError)(f"epoch {epoch} is over: the ledger has {now}")


class Candidate:
    """One start that wants the source. It looks until it may take it, or must leave it to a living owner."""

    def __init__(
        self,
        db: Database,
        source: str,
        takeover_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        life: Callable[[str], Life] = life_of,
    ) -> None:
        self._db = db
        self._source = source
        self._takeover_seconds = takeover_seconds
        self._clock = clock
        self._life = life
        self._holder = f"{socket.gethostname()} pid {os.getpid()}"
        # The second word makes this start different from every other one of the same process.
        self._process = f"{this_process()} {secrets.token_hex(8)}".strip()
        self._connection = db.connect()
        self._is_locked = False
        self._first: tuple[object, ...] | None = None
        self._looked_at: float | None = None
        self._watched = 0.0
        self.epoch = 0
        self.owner = ""

    def lock(self) -> None:
        """Take the lock if nobody has it."""
        self._is_locked = _try_lock(self._connection, self._db.config.database)

    def look(self) -> Step:
        """Look at the owner's row, and become the owner where that is allowed; all in one transaction that locks the row."""
        now = self._clock()
        step = self._db.run(lambda tx: self._look(tx, now))
        self._looked_at = now
        return step

    def _look(self, tx: Tx, now: float) -> Step:
        row = tx.row(
            "SELECT epoch, holder, process, heartbeat_at, started_at, stopped_at,"
            " TIMESTAMPDIFF(MICROSECOND, heartbeat_at, UTC_TIMESTAMP(6)) / 1000000 AS silent FROM stream_owner WHERE id = 1 FOR UPDATE"
        )
        assert row is not None, "init-db inserts the owner row"
        if row["process"] == self._process:
            # The answer to the COMMIT that made us the owner was lost, and the transaction is run again.
            return Step.TAKE
        seen = (row["epoch"], row["process"], row["heartbeat_at"], row["started_at"])
        gap = now - self._looked_at if self._looked_at is not None else 0.0
        # Over a longer gap we were frozen, or MySQL was away: the owner may have been unable to beat as well.
        self._watched = self._watched + gap if gap <= self._takeover_seconds / BEATS_PER_TAKEOVER else 0.0
        self._first = self._first or seen
        sight = Sight(
            is_free=row["heartbeat_at"] is None or row["stopped_at"] is not None,
            silent=float(row["silent"] or 0),
            has_moved=seen != self._first,
            life=self._life(row["process"].rpartition(" ")[0]),
            is_locked=self._is_locked,
            watched=self._watched,
        )
        self.owner = f"{row['holder']} (epoch {row['epoch']}, heartbeat {sight.silent:.1f} s ago)"
        step = decide(sight, self._takeover_seconds)
        if step == Step.TAKE:
            tx.execute(
                "UPDATE stream_owner SET epoch = epoch + 1, source = %s, holder = %s, process = %s, started_at = UTC_TIMESTAMP(6),"
                " heartbeat_at = UTC_TIMESTAMP(6), stopped_at = NULL WHERE id = 1",
                (self._source, self._holder, self._process),
            )
            self.epoch = int(row["epoch"]) + 1
        return step

    def held(self) -> Held:
        """Return what was taken."""
        log.info("owner epoch=%d holder=%s", self.epoch, self._holder)
        return Held(self.epoch, self._connection, self._process)

    def close(self) -> None:
        """Give up: close the lock's connection, and the lock goes with it."""
        if self._connection.open:
            self._connection.close()


def acquire(db: Database, source: str, takeover_seconds: float) -> Held:
    """Become the one writer: raise the epoch after the last owner has stopped, died or fallen silent.

    Waits while it is not certain whether the last owner lives, for at most about `takeover_seconds`.

    Raises:
        OwnershipError: another instance is alive; its holder is named.
    """
    candidate = Candidate(db, source, takeover_seconds)
    try:
        is_told = False
        while True:
            candidate.lock()
            step = candidate.look()
            if step == Step.TAKE:
                return candidate.held()
            if step == Step.REFUSE:
                raise OwnershipError(f"the source is held by {candidate.owner}")
            if not is_told:
                log.info("waiting for %.0f s at most, to see whether %s is alive", takeover_seconds, candidate.owner)
                is_told = True
            time.sleep(min(LOOK_SECONDS, takeover_seconds / BEATS_PER_TAKEOVER / 2))
    except BaseException:
        candidate.close()
        raise


def beat(db: Database, held: Held) -> StopAsked | None:
    """Renew the heartbeat and keep the lock, or take it where the start did not get it. Returns who has asked this run to stop.

    Raises:
        OwnershipError: a newer epoch has taken over.
        RestoredLedger: the ledger does not know our epoch, or has given it out again.
    """

    def renew(tx: Tx) -> StopAsked | None:
        sql = "UPDATE stream_owner SET heartbeat_at = UTC_TIMESTAMP(6) WHERE id = 1 AND epoch = %s AND process = %s"
        if tx.execute(sql, (held.epoch, held.process)) != 1:
            check_epoch(tx, held.epoch)
            raise RestoredLedger(f"epoch {held.epoch} is not ours any more: the ledger in MySQL has given it out again")
        row = tx.row("SELECT stop_by FROM stream_owner WHERE id = 1 AND stop_epoch = %s", (held.epoch,))
        return StopAsked(row["stop_by"]) if row else None

    asked = db.run(renew)
    try:
        _try_lock(held.connection, db.config.database)
    except (MySqlUnavailable, MySqlError) as exc:
        # The epoch still fences; the lock is taken again, as other starts judge by it whether we live.
        log.warning("lock lost, taking it again: %s", exc)
        with translated("the lock's connection"):
            held.connection.connect()
        _try_lock(held.connection, db.config.database)
    return asked


def release(db: Database, held: Held) -> None:
    """Give the source back: note the stop and close the lock's connection."""
    sql = "UPDATE stream_owner SET stopped_at = UTC_TIMESTAMP(6) WHERE id = 1 AND epoch = %s AND process = %s"
    try:
        db.run(lambda tx: tx.execute(sql, (held.epoch, held.process)))
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
        self._asked: StopAsked | None = None
        self._on_ask: Callable[[str], None] | None = None
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

    def when_asked_to_stop(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called, with the name of who asks, once somebody asks this run to stop."""
        self._on_ask = tell
        if self._asked is not None:
            tell(self._asked.by)

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
                asked = beat(self._db, self._held)
                if asked is not None and self._asked is None:
                    self._asked = asked
                    if self._on_ask is not None:
                        self._on_ask(asked.by)
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
