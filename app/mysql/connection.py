"""A connection whose every wait has a bound, and which still lets a long statement finish as long as the server works on it."""

from __future__ import annotations

import logging
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import COMMAND, CR, ER

if TYPE_CHECKING:
    Connection = pymysql.Connection[Any]
else:
    Connection = pymysql.Connection

log = logging.getLogger(__name__)

# The driver's own numbers; every other one was sent by a server, which therefore lives.
CLIENT_ERRORS = range(2000, 3000)


@dataclass(frozen=True)
class Limits:
    """How long a connection waits.

    Attributes:
        login: seconds to resolve the name, to connect and to log in, each.
        silence: seconds without a byte before the server is asked, over another connection, whether it still works on the statement.
        statement: seconds after which a statement is given up although the server works on it.
    """

    login: float
    silence: float
    statement: float


class BoundedConnection(Connection):
    """PyMySQL's connection, which by itself waits for ever for an answer, and for the resolver as long as that likes."""

    def __init__(self, limits: Limits, still_runs: Callable[[int], bool], **settings: Any) -> None:
        self._limits = limits
        self._still_runs = still_runs
        self._is_logged_in = False
        super().__init__(connect_timeout=limits.login, read_timeout=limits.login, write_timeout=limits.silence, **settings)

    def connect(self, sock: socket.socket | None = None) -> None:
        """Resolve, connect and log in, each within the limit."""
        self._is_logged_in = False
        self._read_timeout = self._limits.login
        if sock is None:
            sock = self._open_socket()
        super().connect(sock)
        self._read_timeout = self._limits.silence
        self._is_logged_in = True

    def _open_socket(self) -> socket.socket:
        failure: OSError = TimeoutError(f"no address for it within {self._limits.login:g} s")
        try:
            addresses = resolve(self.host, self.port, self._limits.login)
            for address in addresses:
                try:
                    sock = socket.create_connection(address, self._limits.login)
                except OSError as exc:
                    failure = exc
                    continue
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                self.host_info = f"socket {self.host}:{self.port}"
                return sock
        except OSError as exc:
            failure = exc
        raise pymysql.err.OperationalError(CR.CR_CONN_HOST_ERROR, f"Can't connect to MySQL server on {self.host!r} ({failure})")

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        # The stubs leave out what the driver keeps to itself.
        super()._execute_command(command, sql)  # type: ignore[misc]
        if command == COMMAND.COM_QUERY and self._is_logged_in:
            self._await_answer()

    def _await_answer(self) -> None:
        """Wait for the first byte of an answer.

        Raises:
            OperationalError: nothing came, and the server does not say that it still works on it.
        """
        began = time.monotonic()
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)  # type: ignore[attr-defined]
        while not poll.poll(self._limits.silence * 1000):
            waited = time.monotonic() - began
            if waited >= self._limits.statement:
                self._give_up(f"a statement was not done after {waited:.0f} s")
            # Asked again afterwards: the answer may have come while the server was asked.
            thread: int = self.thread_id()  # type: ignore[no-untyped-call]
            if not self._still_runs(thread) and not poll.poll(0):
                self._give_up(f"no answer for {waited:.0f} s, and the server does not say that it works on the statement")
            log.info("a statement has run for %.0f s, the server still works on it", waited)

    def _give_up(self, why: str) -> None:
        self._force_close()  # type: ignore[attr-defined]
        raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, why)


def resolve(host: str, port: int, seconds: float) -> list[tuple[str, int]]:
    """Return the addresses of a host. The C library's resolver cannot be interrupted, so it is left alone when it takes too long.

    Raises:
        OSError: there is none, or no answer in time.
    """
    answers: queue.Queue[list[tuple[str, int]] | OSError] = queue.Queue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([(str(address[0]), port) for *_, address in found])
        except OSError as exc:
            answers.put(exc)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"the name could not be resolved within {seconds:g} s") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def works_on(connection: Connection, thread: int) -> bool:
    """Ask a server whether it works on a statement of another connection."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW PROCESSLIST")
        return any(row[0] == thread and row[4] not in ("Sleep", "Killed") for row in cursor.fetchall())


def is_from_server(exc: pymysql.MySQLError) -> bool:
    """Tell whether a server has sent an error, for example that it has too many connections, and the driver has not made it up."""
    number = exc.args[0] if exc.args else None
    return isinstance(number, int) and number >= ER.ERROR_FIRST and number not in CLIENT_ERRORS
