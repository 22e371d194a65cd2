"""A TCP proxy before MySQL or S3: cuts connections, refuses new ones, loses the answer to a COMMIT, goes silent, or becomes slow."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE = 64 << 10


@dataclass
class TcpProxy:
    """The running proxy.

    Attributes:
        is_down: refuse new connections; those that are open are cut by `cut`.
        marked: a connection that has sent this text is the one whose COMMIT is cut, once.
        reaches_server: whether that COMMIT still gets through before the connection is cut.
        rate: bytes a second that come through of the server's answers, on each connection; None: all of them.
        refused: a connection that has sent this text gets one of the refusals for the answer to its COMMIT, which the server does not see.
        refusals: error numbers and texts, one for each such COMMIT; when there are none left, it gets through.
        silenced_by: a statement that holds this text makes the proxy silent before it gets through.
        swallowed: a statement that holds this text is lost, once: its connection stays open, and the server answers all others.
    """

    host: str
    upstream_port: int
    port: int = 0
    is_down: bool = False
    marked: bytes | None = None
    reaches_server: bool = True
    rate: float | None = None
    refused: bytes | None = None
    refusals: list[tuple[int, str]] = field(default_factory=list)
    silenced_by: bytes | None = None
    swallowed: bytes | None = None
    cuts: int = 0
    _flows: threading.Event = field(default_factory=threading.Event)
    _open: set[socket.socket] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._flows.set()

    def go_silent(self) -> None:
        """Accept connections and say nothing; on those that are open nothing gets through any more. Nobody is told."""
        self._flows.clear()

    @property
    def is_silent(self) -> bool:
        """Tell whether nothing gets through."""
        return not self._flows.is_set()

    def speak(self) -> None:
        """Let everything through again, also what was held back."""
        self._flows.set()

    def cut(self) -> None:
        """Cut every connection that is open now."""
        with self._guard:
            for one in self._open:
                _close(one)
            self._open.clear()

    def go_down(self) -> None:
        """Be away: cut what is open and refuse what comes."""
        self.is_down = True
        self.cut()

    def serve(self, client: socket.socket) -> None:
        """Pass bytes both ways until one side ends."""
        if self.is_down:
            _close(client)
            return
        self._flows.wait()
        try:
            server = socket.create_connection((self.host, self.upstream_port))
        except OSError:
            _close(client)
            return
        with self._guard:
            self._open |= {client, server}
        threading.Thread(target=self._pass, args=(server, client), daemon=True).start()
        self._pass_statements(client, server)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE if self.rate is None else 1):
                self._flows.wait()
                if self.rate is not None:
                    time.sleep(1 / self.rate)
                target.sendall(data)
        _close(source)
        _close(target)

    def _pass_statements(self, client: socket.socket, server: socket.socket) -> None:
        is_marked = is_refused = False
        with suppress(OSError):
            while data := client.recv(PIECE):
                if self.silenced_by is not None and self.silenced_by in data:
                    self.silenced_by = None
                    self.go_silent()
                self._flows.wait()
                if self.swallowed is not None and self.swallowed in data:
                    self.swallowed = None
                    continue
                is_marked = is_marked or (self.marked is not None and self.marked in data)
                is_refused = is_refused or (self.refused is not None and self.refused in data)
                if is_refused and data[4:].upper() == b"\x03COMMIT":
                    is_refused = False
                    if self.refusals:
                        client.sendall(_refusal(*self.refusals.pop(0)))
                        continue
                if is_marked and data[4:].upper() == b"\x03COMMIT":
                    self.marked = None
                    self.cuts += 1
                    # First deaf towards the server, so that its answer is lost for certain.
                    _close(client)
                    if self.reaches_server:
                        server.sendall(data)
                        time.sleep(0.3)
                    break
                server.sendall(data)
        _close(client)
        _close(server)


@contextmanager
def tcp_proxy(host: str, port: int) -> Iterator[TcpProxy]:
    """Run a proxy before host:port."""
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = TcpProxy(host, port, listener.getsockname()[1])

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield proxy
    finally:
        _close(listener)
        proxy.go_down()
        proxy.speak()


def _refusal(number: int, text: str) -> bytes:
    """Make the packet by which a server refuses a statement."""
    said = b"\xff" + number.to_bytes(2, "little") + b"#HY000" + text.encode()
    return len(said).to_bytes(3, "little") + b"\x01" + said


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
