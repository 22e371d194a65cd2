"""A MySQL that accepts and says nothing: every wait of a connection ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from app.config.load import MySqlConfig
from app.errors import MySqlUnavailable
from app.mysql.connection import resolve
from app.mysql.database import Database, can_log_in
from app.mysql.migrations import apply_migrations

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@contextmanager
def silent_server(greeting: bytes = b"") -> Iterator[int]:
    """Accept connections, send the same bytes to each, a few times a second, and never what was asked for."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                held.append(sock)
                sock.sendall(greeting)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        for sock in (listener, *held):
            sock.close()


def config(port: int, host: str = "127.0.0.1") -> MySqlConfig:
    values = {"host": host, "port": port, "user": "job", "password": "p", "database": "d", "connect_timeout_seconds": 1}
    return MySqlConfig.model_validate(values | {"read_timeout_seconds": 1})


@pytest.mark.parametrize("greeting", [b"", b"\x4a"], ids=["nothing", "half a greeting"])
def test_logging_in_ends_in_bounded_time(greeting: bytes) -> None:
    with silent_server(greeting) as port:
        began = time.monotonic()
        with pytest.raises(MySqlUnavailable, match="timed out"):
            Database(config(port)).connect()
        assert time.monotonic() - began < 4


def test_the_migrations_end_in_bounded_time() -> None:
    with silent_server() as port, pytest.raises(MySqlUnavailable, match="timed out"):
        apply_migrations(config(port))


def test_a_look_at_the_login_ends_in_bounded_time() -> None:
    with silent_server() as port:
        assert not can_log_in("127.0.0.1", port, "job", "p", "d", seconds=1)


def test_a_resolver_that_answers_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    enough = threading.Event()

    def never(*_: object, **__: object) -> None:
        enough.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    began = time.monotonic()
    with pytest.raises(MySqlUnavailable, match="could not be resolved within 1 s"):
        Database(config(3306, host="silent.example")).connect()
    assert time.monotonic() - began < 4
    enough.set()


def test_a_name_that_nobody_has_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(MySqlUnavailable, match="Name or service not known"):
        Database(config(3306, host="nobody.example")).connect()


def test_every_address_of_a_host_is_known() -> None:
    assert ("127.0.0.1", 3306) in resolve("localhost", 3306, 5) or ("::1", 3306) in resolve("localhost", 3306, 5)
