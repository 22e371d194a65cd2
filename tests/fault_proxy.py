"""A small HTTP proxy before the embedded S3: records every request, and on demand answers wrongly, slowly or not to the end.

Signatures hold, as the Host header passes through unchanged.
"""

from __future__ import annotations

import html
import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
PIECE = 256 << 10

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One request as it came in.

    `key` is empty for requests about the bucket; `copied` is the key that a copy reads, `deleted` are those of a bulk delete. The names of
    `headers` are in small letters.
    """

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    copied: str | None = None
    deleted: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def text(self) -> str:
        """What the pattern of a fault is held against, such as `PUT bucket/key?uploadId=7`."""
        shown = "&".join(f"{name}={value}" for name, value in sorted(self.query.items()))
        return f"{self.method} {self.bucket}/{self.key}{f'?{shown}' if shown else ''}"


@dataclass
class Fault:
    """What to do to requests whose text matches: an error status, a delay, an answer that ends too early, or another answer.

    `times` counts down; None: always. `when` says of a request that matches whether it is meant. `rewrite` changes headers and body of
    the server's answer to a request.
    """

    pattern: str
    status: int | None = None
    code: str = "InjectedFault"
    delay: float = 0.0
    cut_after: int | None = None
    times: int | None = None
    message: str = "injected by the test"
    when: Callable[[Request], bool] = lambda _request: True
    rewrite: Callable[[Request, Headers, bytes], tuple[Headers, bytes]] | None = None


@dataclass
class FaultProxy:
    """The running proxy."""

    upstream: str
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    allows: Callable[[Request], bool] = lambda _request: True
    hits: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """The address to be given to S3 clients."""
        return f"http://127.0.0.1:{self.port}"

    def due(self, request: Request) -> Fault | None:
        """Note a request and return the first fault that is to befall it."""
        with self._guard:
            self.requests.append(request)
            if not self.allows(request):
                return Fault("", status=403, code="AccessDenied")
            for fault in self.faults:
                if fault.times != 0 and re.search(fault.pattern, request.text) and fault.when(request):
                    fault.times = None if fault.times is None else fault.times - 1
                    self.hits += 1
                    return fault
        return None


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Run a proxy before the S3 server at `upstream` (http://host:port)."""
    proxy = FaultProxy(upstream)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy
    # Without it, headers and body of a small answer wait for each other's acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = 64 << 10

    def _forward(self) -> None:
        body = self._body()
        request = self._request(body)
        fault = self.proxy.due(request)
        if fault is not None and fault.delay:
            time.sleep(fault.delay)
        if fault is not None and fault.status is not None:
            self._refuse(fault)
            return
        parts = urlsplit(self.proxy.upstream)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body)
            self._answer(request, connection.getresponse(), fault)
        except OSError:
            # The server is away: so are we, for this request.
            self.close_connection = True
        finally:
            connection.close()

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come: in the buffer the word would wait for the client, and the client for the word."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward

    def _body(self) -> bytes | None:
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length) if length else None

    def _request(self, body: bytes | None) -> Request:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path.lstrip("/")).partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        source = self.headers.get("x-amz-copy-source")
        copied = unquote(source).lstrip("/").partition("/")[2] if source else None
        deleted = re.findall(r"<Key>(.*?)</Key>", (body or b"").decode(errors="replace")) if "delete" in query else []
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, bucket, key, query, copied, tuple(html.unescape(name) for name in deleted), headers)

    def _refuse(self, fault: Fault) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>".encode()
        self.send_response(fault.status or 500)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _answer_rewritten(self, request: Request, response: http.client.HTTPResponse, fault: Fault) -> None:
        assert fault.rewrite is not None
        headers, body = fault.rewrite(request, response.getheaders(), response.read())
        self.send_response_only(response.status, response.reason)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP and (name.lower() != "content-length" or self.command == "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _answer(self, request: Request, response: http.client.HTTPResponse, fault: Fault | None) -> None:
        if fault is not None and fault.rewrite is not None:
            self._answer_rewritten(request, response, fault)
            return
        self.send_response_only(response.status, response.reason)
        has_length = response.getheader("Content-Length") is not None
        has_body = self.command != "HEAD" and response.status not in (204, 304)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if has_body and not has_length:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        left = fault.cut_after if fault is not None and fault.cut_after is not None else None
        while has_body and (piece := response.read(PIECE if left is None else min(PIECE, left))):
            self.wfile.write(piece)
            left = None if left is None else left - len(piece)
        if left is not None:
            # The rest of the promised bytes never comes.
            self.close_connection = True
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing: the requests are recorded."""
