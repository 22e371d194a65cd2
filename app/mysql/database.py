"""MySQL: connections, transactions, bounded retries."""

from __future__ import annotations

import logging
import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import pymysql
import pymysql.cursors
from pymysql.constants import CLIENT

from app.config.load import MySqlConfig
from app.errors import ConfigError
from app.mysql.connection import BoundedConnection, Limits, is_from_server, works_on
from app.mysql.errors import retrying, translated

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = dict[str, Any]
Connection: TypeAlias = "pymysql.Connection[Any]"

# What MySQL, and what MariaDB says where NOWAIT finds a lock.
ER_LOCK_NOWAIT, ER_LOCK_WAIT_TIMEOUT = 3572, 1205
# Tries of one transaction, where its caller does not say otherwise.
ATTEMPTS = 5
# What every session of ours sets, because a server may have other defaults: quotes or an empty text that mean something else, statements
# that are refused for having no key, and results that end, without a word, after so many rows.
OWN_SETTINGS = (
    "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO'"
    ", sql_safe_updates = 0, sql_select_limit = 18446744073709551615, sql_big_selects = 1"
)


class Tx:
    """One open transaction: runs bound statements and hides the driver's cursor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run one statement and return the number of rows it matched."""
        with self._connection.cursor() as cursor:
            return int(cursor.execute(sql, tuple(args) or None))

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run one INSERT for many rows, sent as multi-row statements."""
        if not rows:
            return 0
        with self._connection.cursor() as cursor:
            return int(cursor.executemany(sql, rows) or 0)

    def insert(self, sql: str, args: Sequence[Any]) -> int:
        """Run one INSERT and return the AUTO_INCREMENT value it made."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, tuple(args))
            return int(cursor.lastrowid or 0)

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Row]:
        """Run one SELECT and return all its rows; only for results that the batch bounds."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, tuple(args) or None)
            return list(cursor.fetchall())

    def rows_unless_locked(self, sql: str, args: Sequence[Any] = ()) -> list[Row] | None:
        """Run one SELECT ... FOR UPDATE NOWAIT and return its rows, or None where another session has locked one of them."""
        try:
            return self.rows(sql, args)
        except pymysql.MySQLError as exc:
            if exc.args and exc.args[0] in (ER_LOCK_NOWAIT, ER_LOCK_WAIT_TIMEOUT):
                return None
            raise

    def row(self, sql: str, args: Sequence[Any] = ()) -> Row | None:
        """Run one SELECT and return its first row, or None."""
        found = self.rows(sql, args)
        return found[0] if found else None

    def scalar(self, sql: str, args: Sequence[Any] = ()) -> Any:
        """Run one SELECT and return the first column of its first row, or None."""
        found = self.row(sql, args)
        return next(iter(found.values())) if found else None


class Database:
    """Connections to one MySQL database, one for each thread that asks, opened when first needed.

    Args:
        config: where to and who.
        attempts: tries of one transaction.
        silence: seconds without a statement after which the server ends a connection and rolls back what is open on it; the server's
            own limit, which is hours, where left out.
    """

    def __init__(self, config: MySqlConfig, *, attempts: int = ATTEMPTS, silence: float | None = None) -> None:
        self.config = config
        self._attempts = attempts
        self._silence = max(1, math.ceil(silence)) if silence is not None else None
        self._local = threading.local()

    def connect(self) -> Connection:
        """Open a new connection: UTC, strict mode, READ COMMITTED, matched-row counts.

        Raises:
            MySqlUnavailable: the server does not answer.
            MySqlError: the server refuses the login or the database.
        """
        c = self.config
        with translated(f"mysql.host={c.host}:{c.port} database={c.database} user={c.user}"):
            connection = _open(
                c,
                charset="utf8mb4",
                cursorclass=pymysql.cursors.DictCursor,
                client_flag=CLIENT.FOUND_ROWS,
                # A connection without autocommit would keep a read view open between two looks at the ledger.
                autocommit=True,
                init_command=(
                    f"SET time_zone = '+00:00', {OWN_SETTINGS}, {lock_limits(c)}"
                    + (f", wait_timeout = {self._silence}" if self._silence else "")
                ),
            )
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            return connection

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Open a transaction on this thread's connection; commit at the end, roll back on any exception."""
        with self._statements() as connection:
            connection.begin()
            yield Tx(connection)
            connection.commit()

    @contextmanager
    def _statements(self) -> Iterator[Connection]:
        """Lend this thread's connection; after any exception its state is unknown, and it is closed."""
        connection = self._thread_connection()
        with translated(f"mysql.host={self.config.host}:{self.config.port}"):
            try:
                yield connection
                self._local.used = time.monotonic()
            except BaseException:
                self._abandon(connection)
                raise

    def single(self, work: Callable[[Tx], T]) -> T:
        """Run `work`, which is one statement and so needs no transaction around it: one round trip. Again after a Transient error."""
        for attempt in retrying(self._attempts):
            with attempt, self._statements() as connection:
                return work(Tx(connection))
        raise AssertionError("unreachable: tenacity re-raises")

    def run(self, work: Callable[[Tx], T], *, attempts: int | None = None) -> T:
        """Run `work` in a transaction of its own, again after a Transient error, up to `attempts` times."""
        for attempt in retrying(attempts or self._attempts):
            with attempt, self.transaction() as tx:
                return work(tx)
        raise AssertionError("unreachable: tenacity re-raises")

    def rehearse(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a transaction that is rolled back whatever happens, and return what it saw; again after a Transient error."""
        for attempt in retrying(self._attempts):
            with attempt, self.transaction() as tx:
                seen = work(tx)
                tx.execute("ROLLBACK")
                return seen
        raise AssertionError("unreachable: tenacity re-raises")

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None and connection.open:
            connection.close()

    def _thread_connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None or not connection.open or not self._is_kept(connection):
            connection = self.connect()
            self._local.connection = connection
        return connection

    def _is_kept(self, connection: Connection) -> bool:
        """Tell whether the server still has a connection that was silent for a while."""
        if self._silence is None or time.monotonic() - self._local.used < self._silence / 2:
            return True
        try:
            connection.ping(reconnect=False)
        except pymysql.MySQLError as exc:
            log.debug("opening a new connection: %s", exc)
            return False
        return True

    def _abandon(self, connection: Connection) -> None:
        # Closing rolls back on the server and never blocks on a connection whose state is unknown.
        self._local.connection = None
        if connection.open:
            try:
                connection.rollback()
            except pymysql.MySQLError as exc:
                log.debug("rollback failed, the server rolls back by itself: %s", exc)
            connection.close()


def connect_plainly(config: MySqlConfig) -> Connection:
    """Open a connection with the driver's own defaults, as the migrations' library expects it; it may change large tables for a day."""
    settings = f"SET {OWN_SETTINGS}, default_storage_engine = InnoDB, {lock_limits(config)}"
    return _open(config.model_copy(update={"statement_timeout_seconds": 86_400}), init_command=settings)


def lock_limits(config: MySqlConfig) -> str:
    """Return the session variables that bound the wait for a row lock and for a table that somebody changes."""
    seconds = config.lock_wait_seconds
    return f"innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}"


def _open(config: MySqlConfig, **settings: Any) -> Connection:
    limits = Limits(config.connect_timeout_seconds, config.read_timeout_seconds, config.statement_timeout_seconds)

    def still_runs(thread: int) -> bool:
        try:
            seconds = config.connect_timeout_seconds
            with pymysql.connect(**_login(config), connect_timeout=seconds, read_timeout=seconds, write_timeout=seconds) as other:
                return works_on(other, thread)
        except pymysql.MySQLError as exc:
            log.warning("mysql.host=%s:%d was silent and does not say what it does: %s", config.host, config.port, exc)
            return is_from_server(exc)

    return BoundedConnection(limits, still_runs, **_login(config), **settings)


def _login(config: MySqlConfig) -> dict[str, Any]:
    """Return what every connection has in common: where to, who, and how it is protected."""
    return {
        "host": config.host,
        "port": config.port,
        "user": config.user,
        "password": config.password.get_secret_value(),
        "database": config.database,
        "ssl": tls_context(config),
        # Left to itself the driver encrypts when it can, and then without a check.
        "ssl_disabled": config.tls == "off",
    }


def tls_context(config: MySqlConfig) -> ssl.SSLContext | None:
    """Return the TLS context that `mysql.tls` asks for, or None for a plain connection.

    Raises:
        ConfigError: the CA file cannot be read.
    """
    if config.tls == "off":
        return None
    try:
        context = ssl.create_default_context(cafile=str(config.tls_ca) if config.tls_ca else None)
    except OSError as exc:
        raise ConfigError(f"mysql.tls_ca: {config.tls_ca}: {exc.strerror or exc}") from exc
    if config.tls == "required":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def can_log_in(host: str, port: int, user: str, password: str, database: str, *, seconds: float) -> bool:
    """Tell whether a user can log in to a database within so many seconds."""
    try:
        pymysql.connect(
            host=host, port=port, user=user, password=password, database=database, connect_timeout=seconds, read_timeout=seconds
        ).close()
    except pymysql.err.MySQLError:
        return False
    return True
