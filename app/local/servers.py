"""Life cycle of the embedded servers: up, down, whether they are up."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.errors import LocalServerError
from app.local import mariadb, processes, s3proxy
from app.local.state import (
    HOST,
    REPOSITORY,
    LocalEnv,
    Secrets,
    choose_port,
    is_free,
    load_ports,
    load_secrets,
    locked,
    log_file,
    make_folders,
    read_env,
)

START_SECONDS = 60
STOP_SECONDS = 20
# A server that is still starting may not hear the polite signal yet, and has nothing to lose.
CUT_OFF_SECONDS = 2
PORT_ATTEMPTS = 3
LOG_BYTES = 10 << 20
POLL_SECONDS = 0.05


class Server(Protocol):
    """One embedded server, as a module."""

    NAME: str

    def marker(self, home: Path) -> str:
        """Name the argument by which this server of a home is known."""

    def check(self) -> None:
        """Make sure that everything needed to start is there."""

    def prepare(self, home: Path, port: int, known: Secrets) -> None:
        """Write configuration and data that the start needs."""

    def command(self, home: Path) -> list[str]:
        """Build the command line; it holds no secret."""

    def greets(self, port: int) -> bool:
        """Tell whether the server speaks its protocol on the port."""

    def answers(self, port: int, known: Secrets) -> bool:
        """Tell whether the server serves the job's user."""


# S3Proxy first: its JVM starts while MariaDB's data directory is made.
SERVERS: tuple[Server, ...] = (s3proxy, mariadb)


@dataclass(frozen=True)
class _Started:
    server: Server
    pid: int
    port: int


def up(home: Path, die_with_parent: bool = False) -> LocalEnv:
    """Start what does not run yet, wait until it answers, and tell how to reach it. Safe to call at any time.

    Args:
        home: the folder of the servers' data, logs and passwords.
        die_with_parent: end the servers that this call starts when the calling process ends, however it ends.

    Raises:
        EnvironmentFault: Java, a jar or a binary is missing.
        LocalServerError: a server does not come up, or the home cannot be used.
    """
    home = _real(home)
    make_folders(home)
    with locked(home):
        known = load_secrets(home)
        missing = [server for server in SERVERS if not _runs(home, server)]
        for server in missing:
            server.check()
        if missing:
            with _watched(home, missing, die_with_parent):
                _start(home, missing, known)
        env = read_env(home)
    if env is None:
        raise LocalServerError(f"the state below {home} vanished while the servers started")
    return env


def down(home: Path) -> bool:
    """Stop the servers of a home, MariaDB cleanly. Tell whether anything ran."""
    home = _real(home)
    with locked(home) if (home / "run").is_dir() else contextlib.nullcontext():
        processes.stop([watch_marker(home)], STOP_SECONDS)
        return processes.stop([server.marker(home) for server in SERVERS], STOP_SECONDS)


def is_up(home: Path) -> bool:
    """Tell whether both servers of a home run and answer."""
    home = _real(home)
    ports = load_ports(home)
    return all(_runs(home, server) and server.greets(ports[server.NAME]) for server in SERVERS)


def greet(home: Path) -> bool:
    """Tell whether something at the ports of both servers of a home speaks their protocol; asks no process, which may be hidden from us."""
    ports = load_ports(_real(home))
    return all(server.greets(ports[server.NAME]) for server in SERVERS)


def root_connection_args(home: Path) -> dict[str, Any]:
    """Tell how MariaDB's root logs in, as `pymysql.connect` takes it: for tests and administration.

    Raises:
        LocalServerError: the servers were never started in this home.
    """
    env = read_env(_real(home))
    if env is None:
        raise LocalServerError(f"there are no servers in {home}", cure="start them: ./spark-submit.sh local up")
    return {"host": HOST, "port": env.mysql_port, "user": "root", "password": load_secrets(_real(home)).mysql_root_password}


def watch_marker(home: Path) -> str:
    """Name the argument by which the watcher of a home is known."""
    return f"--salestream-watch={home}"


def _real(home: Path) -> Path:
    """One home has one name, whichever way it was reached: its processes are known by it."""
    return Path(os.path.realpath(home))


def _runs(home: Path, server: Server) -> bool:
    port = load_ports(home).get(server.NAME, 0)
    return any(processes.listens(pid, port) for pid in processes.find(server.marker(home)))


@contextlib.contextmanager
def _watched(home: Path, starting: Sequence[Server], die_with_parent: bool) -> Iterator[None]:
    """Have a watcher end what is being started, should this process fail or die before its work in the block is done."""
    reader, writer = os.pipe()
    argv = [sys.executable, "-S", "-m", "app.local.watch", watch_marker(home), str(os.getpid()), *(server.NAME for server in starting)]
    environment = {**_environment(), "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        watcher = processes.spawn(argv, log_file(home, "watch"), environment, stdin=reader)
    finally:
        os.close(reader)
    word = b""  # unless it hears otherwise, the watcher ends what it finds
    try:
        yield
        word = b"stay\n" if die_with_parent else b"done\n"
    except BaseException:
        processes.stop([server.marker(home) for server in starting], CUT_OFF_SECONDS)
        word = b"done\n"
        raise
    finally:
        with contextlib.suppress(BrokenPipeError):
            os.write(writer, word)
        os.close(writer)
        if word == b"done\n":
            processes.wait_and_reap(watcher, CUT_OFF_SECONDS)


def _start(home: Path, missing: Sequence[Server], known: Secrets) -> None:
    # Left by a start that was killed half way: it runs, but nothing listens. Its port is free only when it has gone.
    processes.stop([server.marker(home) for server in missing], CUT_OFF_SECONDS)
    started = [_launch(home, server, known) for server in missing]
    for one in started:
        _await(home, one, known)


def _launch(home: Path, server: Server, known: Secrets, avoid: frozenset[int] = frozenset()) -> _Started:
    port = choose_port(home, server.NAME, avoid)
    server.prepare(home, port, known)
    log = log_file(home, server.NAME)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    pid = processes.spawn(server.command(home), log, _environment())
    return _Started(server, pid, port)


def _environment() -> dict[str, str]:
    """Pass on only what a server needs; above all no credentials. Java takes the encoding of file names from the locale."""
    kept = ("PATH", "HOME", "TMPDIR", "JAVA_HOME", "LD_LIBRARY_PATH", "USER")
    return {**{name: os.environ[name] for name in kept if name in os.environ}, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _await(home: Path, started: _Started, known: Secrets) -> None:
    deadline = time.monotonic() + START_SECONDS
    tried: set[int] = set()
    while True:
        if processes.listens(started.pid, started.port) and started.server.answers(started.port, known):
            return
        if processes.reap(started.pid):
            # Another program may take a port between our look and the server's.
            if is_free(started.port) or len(tried) >= PORT_ATTEMPTS:
                raise _failure(home, started.server, "ended at once")
            tried.add(started.port)
            started = _launch(home, started.server, known, frozenset(tried))
        if time.monotonic() > deadline:
            raise _failure(home, started.server, f"does not answer after {START_SECONDS} s")
        time.sleep(POLL_SECONDS)


def _failure(home: Path, server: Server, what: str) -> LocalServerError:
    log = log_file(home, server.NAME)
    return LocalServerError(f"{server.NAME} {what}", cure=f"read the end of {log}")
