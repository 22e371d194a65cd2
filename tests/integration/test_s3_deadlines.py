"""A server that is silent, or sends a byte a second, ends no later than configured, whatever is asked of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from app.config.load import Config, S3Config
from app.errors import S3Unavailable
from app.s3.read import S3Client, head, list_page, make_client, read_object
from app.source.ranges import RangeReader
from app.source.splits import ScanFile
from tests.doubles import config_without_servers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_without_servers(tmp_path)


Answer = Callable[[socket.socket], None]
BODY = b"x" * 4096
GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "e"\r\nLast-Modified: Sat, 28 Nov 2026 10:00:00 GMT\r\n\r\n' % len(BODY)


def silent(sock: socket.socket) -> None:
    time.sleep(60)


def dripping_header(sock: socket.socket) -> None:
    for letter in GOOD * 100:
        sock.sendall(bytes([letter]))
        time.sleep(0.2)


def dripping_body(sock: socket.socket) -> None:
    sock.sendall(GOOD)
    for letter in BODY:
        sock.sendall(bytes([letter]))
        time.sleep(0.2)


def silent_body(sock: socket.socket) -> None:
    sock.sendall(GOOD + BODY[:1000])
    time.sleep(60)


def plain(sock: socket.socket) -> None:
    sock.sendall(GOOD + BODY)


@contextmanager
def server(*answers: Answer) -> Iterator[str]:
    """Serve HTTP that answers as told, request by request, the last one for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    left = list(answers)

    def serve(sock: socket.socket) -> None:
        with suppress(OSError), sock:
            while sock.recv(65536):
                (left.pop(0) if len(left) > 1 else left[0])(sock)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def client_of(url: str, **settings: int) -> S3Client:
    limits = {"connect_timeout_seconds": 1, "read_timeout_seconds": 1, "least_bytes_per_second": 1 << 20} | settings
    config = S3Config.model_validate(
        {"bucket": "one", "endpoint_url": url, "access_key_id": "a", "secret_access_key": "b", "path_style": True} | limits
    )
    return make_client(config)


@contextmanager
def takes(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


LOOKS: dict[str, Callable[[S3Client], object]] = {
    "head": lambda client: head(client, "one", "a"),
    "list": lambda client: list_page(client, "one", "p/"),
    "put": lambda client: client.put_object(Bucket="one", Key="a", Body=b"y" * 100),
}


@pytest.mark.parametrize("answer", [silent, dripping_header], ids=["silent", "a byte at a time"])
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_request_ends_in_bounded_time(look: Callable[[S3Client], object], answer: Answer) -> None:
    with server(answer) as url, takes(8), pytest.raises(Exception, match="(?i)time|timed out"):
        look(client_of(url))


@pytest.mark.parametrize("answer", [silent_body, dripping_body], ids=["silent", "a byte at a time"])
def test_a_body_ends_in_bounded_time(answer: Answer) -> None:
    with server(answer) as url, takes(8), pytest.raises(S3Unavailable):
        read_object(client_of(url), "one", "a")


def test_one_lost_answer_is_asked_for_again() -> None:
    with server(silent, plain) as url, takes(8):
        assert read_object(client_of(url), "one", "a") == BODY


def test_a_slow_reader_is_no_slow_server() -> None:
    with server(plain) as url:
        reader = RangeReader(client_of(url), ScanFile(1, "one", "a", "e", len(BODY)), 0, len(BODY))
        first = reader.read(100)
        time.sleep(3)
        rest = b""
        while chunk := reader.read(1000):
            rest += chunk
        assert first + rest == BODY


def test_the_split_of_a_silent_server_is_given_up_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.source.ranges.PATIENCE_SECONDS", 1)
    with server(silent_body) as url, takes(15):
        reader = RangeReader(client_of(url), ScanFile(1, "one", "a", "e", len(BODY)), 0, len(BODY))
        with pytest.raises(S3Unavailable):
            reader.read(4096)


def test_a_request_that_is_only_slow_is_borne() -> None:
    def slow(sock: socket.socket) -> None:
        sock.sendall(GOOD)
        for start in range(0, len(BODY), 512):
            time.sleep(0.3)
            sock.sendall(BODY[start : start + 512])

    with server(slow) as url:
        assert read_object(client_of(url, least_bytes_per_second=1000), "one", "a") == BODY
