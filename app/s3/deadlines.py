"""Every request to S3 comes to an end: a server that is silent, or sends a byte a second, is given up.

The client's own time-outs count from one byte to the next. So a request, and each read of a body, gets a deadline beside them; when
it is over, the socket is shut down under it, and it fails as after any other time-out.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnection, AWSHTTPSConnectionPool
from botocore.exceptions import BotoCoreError, ConnectTimeoutError, ReadTimeoutError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

TICK_SECONDS = 0.2
# Where nobody knows how much comes: a page of a listing is smaller.
UNKNOWN_BYTES = 1 << 20
# A lost connection is worth another try; a server that is silent twice in a row is not.
MOST_TIMEOUTS = 2


class S3Silent(BotoCoreError):
    """The server does not answer in time. Unlike botocore's own time-outs it is not tried again at once: the caller does that."""

    fmt = "{error}"


@dataclass
class _Watched:
    """One wait on a socket."""

    ends: float
    connection: Any = None
    sock: Any = None
    is_over: bool = False

    def cut(self) -> None:
        """End the wait; it may not have a socket yet."""
        self.is_over = True
        sock = self.sock or getattr(self.connection, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Watch:
    """One thread that looks at the deadlines of all waits of this process."""

    def __init__(self) -> None:
        self.current = threading.local()
        self._waits: dict[int, _Watched] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, seconds: float) -> Iterator[_Watched]:
        """Give what this thread does now so many seconds."""
        wait = _Watched(time.monotonic() + seconds)
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="s3-deadlines", daemon=True)
                self._thread.start()
            self._waits[id(wait)] = wait
            self._changed.notify()
        self.current.wait = wait
        try:
            yield wait
        finally:
            self.current.wait = None
            with self._changed:
                del self._waits[id(wait)]

    def _look(self) -> None:
        while True:
            with self._changed:
                while not self._waits:
                    self._changed.wait()
                over = [wait for wait in self._waits.values() if wait.ends <= time.monotonic()]
            for wait in over:
                wait.cut()
            time.sleep(TICK_SECONDS)


_watch = _Watch()


def _renew() -> None:
    """Begin anew in a forked process, which has no threads."""
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_renew)


def _note(connection: Any) -> None:
    wait: _Watched | None = getattr(_watch.current, "wait", None)
    if wait is not None:
        wait.connection, wait.sock = connection, connection.sock


class _Http(AWSHTTPConnection):
    def request(self, *args: Any, **kwargs: Any) -> Any:
        _note(self)
        return super().request(*args, **kwargs)

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        _note(self)
        return super().getresponse(*args, **kwargs)


class _Https(AWSHTTPSConnection):
    def request(self, *args: Any, **kwargs: Any) -> Any:
        _note(self)
        return super().request(*args, **kwargs)

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        _note(self)
        return super().getresponse(*args, **kwargs)


class _HttpPool(AWSHTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _Https


def bound_requests(client: S3Client, read_timeout: float, least_bytes_per_second: float) -> S3Client:
    """Give every request of a client a deadline, by its bytes: `read_timeout` and what they take at the lowest rate that is borne."""
    session: Any = client._endpoint.http_session  # type: ignore[attr-defined]
    session._pool_classes_by_scheme |= {"http": _HttpPool, "https": _HttpsPool}
    send: Callable[[Any], Any] = session.send
    timeouts = threading.local()

    def seconds_for(count: int | None) -> float:
        return read_timeout + (UNKNOWN_BYTES if count is None else count) / least_bytes_per_second

    def bounded_send(request: Any) -> Any:
        sent = int(request.headers.get("Content-Length") or 0)
        try:
            with _watch.limit(seconds_for(max(sent, UNKNOWN_BYTES))) as wait:
                try:
                    answer = send(request)
                except BotoCoreError as exc:
                    if wait.is_over:
                        raise ReadTimeoutError(endpoint_url=request.url, error=exc) from exc
                    raise
        except (ReadTimeoutError, ConnectTimeoutError) as exc:
            timeouts.count = getattr(timeouts, "count", 0) + 1
            if timeouts.count >= MOST_TIMEOUTS:
                timeouts.count = 0
                raise S3Silent(error=exc) from exc
            raise
        timeouts.count = 0
        if request.stream_output:
            _bound_body(answer.raw, seconds_for)
        return answer

    session.send = bounded_send
    return client


def _bound_body(raw: Any, seconds_for: Callable[[int | None], float]) -> None:
    """Give every read of a body a deadline of its own: the reader may take its time between them."""
    read, sock = raw.read, raw._sock_shutdown

    def bounded_read(amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        left = raw.length_remaining
        wanted = left if amt is None or (left is not None and left < amt) else amt
        with _watch.limit(seconds_for(wanted)) as wait:
            # What urllib3 keeps of the socket, for this very purpose, is its method `shutdown`.
            wait.sock = getattr(sock, "__self__", None)
            try:
                data: bytes = read(amt, *args, **kwargs)
            except Exception as exc:
                if wait.is_over:
                    raise TimeoutError(f"the body came too slowly: {exc}") from exc
                raise
            if wait.is_over:
                raise TimeoutError("the body came too slowly")
            return data

    raw.read = bounded_read
