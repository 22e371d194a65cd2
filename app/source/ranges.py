"""Bytes of exactly the booked object version: GETs with If-Match, resumed where a connection broke, gzip unpacked on the way."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_exponential_jitter

from app.errors import S3Error, S3Unavailable
from app.parsing.preamble import GZIP_MAGIC, UNREADABLE
from app.s3.read import NOT_NOTED, ClientError, ObjectVersion, Seen, code_of, is_missing_key, look_twice, status_of, translated
from app.source.splits import ScanFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

OVERWRITTEN = "OVERWRITTEN"
GONE = "GONE"
# S3 refuses the object: for what the object is (archived, under a key of its own), or for a reason that may be the prefix's.
OBJECT_REFUSED = "OBJECT_REFUSED"
REFUSED = "REFUSED"
# S3 did not give the object, however often it was asked; it says neither that it is missing nor that it may not be read.
FAULT = "FAULT"
# Refusals that are about who asks, and not about what.
OF_THE_CALLER = frozenset(
    {
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "PermanentRedirect",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
# On top of the client's own attempts at each request.
ATTEMPTS = 4
# An S3 that is silent for so long is left to the batch, and to the run, which try again for stream.retry_seconds.
PATIENCE_SECONDS = 60
# How much is asked for behind the end of a split at a time, to finish its last record.
BEHIND_BYTES = 256 << 10
# Of a gzip member so much is given to the decompressor first, then twice as much each time: what lies behind its end is copied.
FIRST_STEP = 512


class FileLost(Exception):
    """A whole file cannot be read on: its code and why. Never leaves the scan; it becomes the outcome of a marker."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class RangeReader:
    """Reads an object version from one place on, forwards; a lost connection is opened again where it broke.

    Attributes:
        at: the offset of the next byte.
    """

    def __init__(self, client: S3Client, file: ScanFile, start: int, end: int) -> None:
        self.at = start
        self._client = client
        self._file = file
        self._end = end
        self._body: Any = None
        self._body_end = 0
        self._has_length = True
        self._stored = ""

    @property
    def is_at_end(self) -> bool:
        """Whether the object has no more bytes."""
        return self.at >= self._file.size

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`, and none only at the object's end.

        Raises:
            FileLost: the object is gone, or is no longer the booked version.
            S3Unavailable: S3 stays out of reach, or refuses the booked version although it is there.
            S3Error: S3 refuses to give it; `refusal_of` tells whether that may be the object's doing.
        """
        policy = Retrying(
            retry=retry_if_exception_type(S3Unavailable),
            stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(PATIENCE_SECONDS),
            wait=wait_exponential_jitter(multiplier=0.2, max=3),
            reraise=True,
        )
        return policy(self._read_once, size)

    def close(self) -> None:
        """Let go of the connection."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _read_once(self, size: int) -> bytes:
        target = f"s3://{self._file.bucket}/{self._file.key}"
        if self._body is None:
            if self.is_at_end and self._file.size > 0:
                return b""
            self._open(target)
        wanted = min(size, self._body_end - self.at)
        try:
            with translated(target):
                data: bytes = self._body.read(wanted) if wanted else b""
                is_longer = not self._has_length and self.at + len(data) >= self._body_end and self._body.read(1) != b""
            if wanted and not data:
                raise S3Unavailable(f"{target}: the connection ended at byte {self.at} of {self._file.size}")
            if is_longer:
                self._look_again(target, f"GET gives more than {self._body_end - self.at} bytes from {self.at} on{self._stored}")
        except OSError as exc:
            self.close()
            raise S3Unavailable(f"{target}: {exc}") from exc
        except (S3Unavailable, FileLost):
            self.close()
            raise
        self.at += len(data)
        if self.at >= self._body_end:
            self.close()
        return data

    def _open(self, target: str) -> None:
        end = self._end if self.at < self._end else min(self.at + BEHIND_BYTES, self._file.size)
        part: dict[str, Any] = {} if self.at == 0 and end >= self._file.size else {"Range": f"bytes={self.at}-{end - 1}"}
        try:
            with translated(target):
                answer = self._client.get_object(Bucket=self._file.bucket, Key=self._file.key, IfMatch=self._file.etag, **part)
        except S3Error as exc:
            if isinstance(exc.__cause__, ClientError):
                self._judge(target, exc, exc.__cause__)
            raise
        shown = answer.get("ETag", self._file.etag).removeprefix("W/").strip('"')
        if shown != self._file.etag:
            # The server ignores If-Match, or has another ETag here than in its listing.
            answer["Body"].close()
            self._look_again(target, f"GET answers with the etag {shown}, not {self._file.etag}")
        encoding = answer.get("ContentEncoding")
        self._stored = f" (stored with Content-Encoding {encoding})" if encoding else ""
        if odd := _other_bytes(answer, self.at, end, is_part=bool(part)):
            answer["Body"].close()
            self._look_again(target, odd + self._stored)
        self._body = answer["Body"]
        self._body_end = end
        self._has_length = "ContentLength" in answer

    def _judge(self, target: str, error: S3Error, cause: ClientError) -> None:
        """Find out whether a refusal says that the object is gone.

        Raises:
            FileLost: the object is gone, or is another version by now.
            S3Unavailable: the booked version is there all the same, or S3 does not say what is missing.
        """
        if status_of(cause) in (412, 416) or is_missing_key(cause):
            self._look_again(target, f"GET answers {status_of(cause)} {code_of(cause)}")
        if status_of(cause) == 404:
            raise S3Unavailable(f"{error.what} (which does not say that the object is missing)") from error

    def _look_again(self, target: str, what: str) -> None:
        """Believe that the booked version is gone only when it is.

        Raises:
            FileLost: it is gone, or another version is in its place.
            S3Unavailable: it is still there.
        """
        seen = look_twice(self._client, ObjectVersion(self._file.bucket, self._file.key, self._file.etag, self._file.size, NOT_NOTED))
        if seen is Seen.MISSING:
            raise FileLost(GONE, "the object is no longer there")
        if seen is Seen.OTHER:
            raise FileLost(OVERWRITTEN, "the object is no longer the booked version")
        raise S3Unavailable(
            f"{target}: {what}, although HEAD and listing show the booked version",
            cure="the job tries again by itself; if it stays so, see what ./spark-submit.sh check says of this server",
        )


def _other_bytes(answer: Mapping[str, Any], begin: int, end: int, *, is_part: bool) -> str | None:
    """Tell by its headers whether an answer gives other bytes than were asked for, and say so; None when it seems to give those.

    Google Cloud Storage unpacks what was stored with `Content-Encoding: gzip`, and then ignores the range; some gateways ignore it always.
    """
    place, length = answer.get("ContentRange"), answer.get("ContentLength")
    is_there = place.startswith(f"bytes {begin}-{end - 1}/") if place is not None else not is_part or length is not None
    if is_there and length in (None, end - begin):
        return None
    given = f"{length} bytes" if length is not None else "a body without a length"
    return f"GET gives {given} at {place or 'no range'}, not {end - begin} bytes from {begin} on"


def refusal_of(error: S3Error) -> str | None:
    """Return OBJECT_REFUSED or REFUSED for a refusal that may be about the object; None for one that is about who asks."""
    cause = error.__cause__
    if not isinstance(cause, ClientError) or code_of(cause) in OF_THE_CALLER:
        return None
    is_encrypted = status_of(cause) == 400 and "Server Side Encryption" in error.what
    return OBJECT_REFUSED if is_encrypted or code_of(cause) == "InvalidObjectState" else REFUSED


def unzipped(chunks: Iterator[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """Unpack gzip members one after the other, at most `chunk_bytes` at a time; what is no gzip at all passes unchanged.

    Raises:
        FileLost: the compressed data is damaged or ends too early.
    """
    first = b""
    while len(first) < len(GZIP_MAGIC) and (chunk := next(chunks, b"")):
        first += chunk
    if not first.startswith(GZIP_MAGIC):
        yield first
        yield from chunks
        return
    # Members may be tiny, and there may be thousands of them in a chunk: what they hold goes on together.
    texts: list[bytes] = []
    held = 0
    member = zlib.decompressobj(wbits=31)
    step = FIRST_STEP
    for chunk in chain([first], chunks):
        at = 0
        while at < len(chunk):
            if member.eof:
                # Some tools pad the end with zeros; anything else must be another member.
                if (at := _after_zeros(chunk, at)) == len(chunk):
                    break
                member, step = zlib.decompressobj(wbits=31), FIRST_STEP
            piece = memoryview(chunk)[at : at + step]
            step = min(2 * step, chunk_bytes)
            try:
                text = member.decompress(piece, chunk_bytes - held)
            except zlib.error as exc:
                raise FileLost(UNREADABLE, f"the gzip data is damaged: {exc}") from exc
            at += len(piece) - len(member.unused_data if member.eof else member.unconsumed_tail)
            texts.append(text)
            held += len(text)
            if 2 * held >= chunk_bytes:
                yield b"".join(texts)
                texts, held = [], 0
    if held:
        yield b"".join(texts)
    if not member.eof:
        raise FileLost(UNREADABLE, "the gzip data ends too early")


_ZEROS = re.compile(rb"\0*+")


def _after_zeros(chunk: bytes, at: int) -> int:
    found = _ZEROS.match(chunk, at)
    return found.end() if found else at
