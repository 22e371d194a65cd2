"""S3: a client, and the requests that read: HEAD, GET and LIST. app/s3/write.py has those that write."""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import RetriesExceededError
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session as BotoSession

from app.config.load import S3Config
from app.errors import S3Error, S3Unavailable
from app.s3.deadlines import bound_requests
from app.version import USER_AGENT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

__all__ = [
    "NOT_NOTED",
    "Answer",
    "ClientError",
    "ClientFactory",
    "Listing",
    "ObjectVersion",
    "S3Client",
    "Seen",
    "ask_for",
    "code_of",
    "download",
    "head",
    "is_missing_key",
    "is_readable_prefix",
    "is_same_version",
    "key_source",
    "list_all",
    "list_page",
    "listed",
    "look",
    "look_twice",
    "make_client",
    "read_object",
    "server_time",
    "status_of",
    "translated",
]

log = logging.getLogger(__name__)

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
# Every run begins with a look at its bucket: a bucket that is missing later is a server in trouble, and comes back. A clock that is wrong,
# as after a machine was asleep, is set right by NTP.
CLOCK_CODE = "RequestTimeTooSkewed"
TRANSIENT_CODES = frozenset({"RequestTimeout", "NoSuchBucket", CLOCK_CODE})
CLOCK_CURE = "set this machine's clock by NTP; the job retries by itself"
# The client's own errors that no waiting helps against: no keys, no such profile, an AWS configuration file that cannot be read.
OF_THE_SETTINGS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ConfigParseError", "InvalidConfigError", "UnknownCredentialError"}
)
# Between two looks at an object that seems to be missing.
SECOND_LOOK_SECONDS = 0.5
# Keys that a walk remembers, so that it can begin anew by the server's own page tokens without yielding one twice.
MOST_REMEMBERED = 20_000


# The time of an object of our own, of which the ledger notes only key and etag; nobody else writes there.
NOT_NOTED = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ObjectVersion:
    """One version of one object, as a listing or a HEAD shows it. `etag` has no quotes; times are UTC."""

    bucket: str
    key: str
    etag: str
    size: int
    last_modified: datetime
    version_id: str | None = None


def make_client(config: S3Config, *, attempts: int = 5, connect_timeout: float | None = None) -> S3Client:
    """Open an S3 client; keys come from the configuration or else from the standard AWS provider chain.

    Raises:
        S3Error: the provider chain is asked, and names a profile that is not there.
    """
    secret = config.secret_access_key
    token = config.session_token
    client = _session(config.region, with_profile=config.access_key_id is None).client(
        "s3",
        region_name=config.region,
        endpoint_url=config.endpoint_url,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=token.get_secret_value() if token else None,
        config=BotoConfig(
            # Of its own, so that the bucket's access log names us; boto3's takes it a fifth of a request's time to put together.
            user_agent=USER_AGENT,
            retries={"mode": "standard", "max_attempts": attempts},
            s3={"addressing_style": "path" if config.path_style else "auto"},
            # None: those that the environment names, which know nothing of a server on this machine.
            proxies={} if _is_on_this_machine(config.endpoint_url) else None,
            max_pool_connections=config.max_connections,
            connect_timeout=connect_timeout or config.connect_timeout_seconds,
            read_timeout=config.read_timeout_seconds,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    for name in ("PutObject", "UploadPart", "DeleteObjects"):
        client.meta.events.register(f"before-sign.s3.{name}", _add_md5)
    return bound_requests(client, config.read_timeout_seconds, config.least_bytes_per_second)


@lru_cache(maxsize=4)
def _session(region: str, *, with_profile: bool) -> boto3.Session:
    """Open a session. With keys of our own the profile that a shell names is nobody's business; it may not even be there."""
    hidden = {} if with_profile else {"profile": (None, None, None, None)}
    with translated("AWS provider chain"):
        return boto3.Session(botocore_session=BotoSession(session_vars=hidden), region_name=region)


def _is_on_this_machine(url: str | None) -> bool:
    host = urlsplit(url or "").hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _add_md5(request: Any, **_: Any) -> None:
    """Give a request the checksum that all servers know: a bucket with an Object Lock wants one of a PUT, some of a bulk delete."""
    body = request.body
    digest = hashlib.md5(usedforsecurity=False)
    if hasattr(body, "read"):
        began = body.tell()
        while piece := body.read(1 << 20):
            digest.update(piece)
        body.seek(began)
    else:
        digest.update(body.encode() if isinstance(body, str) else body or b"")
    request.headers["Content-MD5"] = base64.b64encode(digest.digest()).decode()


def key_source(config: S3Config) -> str:
    """Name the link of the AWS provider chain that keys come from, such as env, shared-credentials-file or iam-role.

    Raises:
        S3Error: the chain has no keys.
    """
    with translated("AWS provider chain"):
        found = _session(config.region, with_profile=True).get_credentials()
    if found is None:
        cure = "set s3.access_key_id and s3.secret_access_key, or give the process an AWS profile or role"
        raise S3Error("there are no AWS keys: none in the configuration, none in the provider chain", cure=cure)
    return str(found.method)


def server_time(client: S3Client, bucket: str, prefix: str) -> datetime | None:
    """Ask S3 for its clock; None when it does not tell.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the listing is refused.
    """
    with translated(f"s3://{bucket}/{prefix}"):
        answer = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    text = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(text) if text else None


@dataclass(frozen=True)
class ClientFactory:
    """A picklable maker of S3 clients: one client for each configuration and worker process."""

    config: S3Config

    def __call__(self) -> S3Client:
        """Return this process's client."""
        return _cached_client(self.config)


@lru_cache(maxsize=4)
def _cached_client(config: S3Config) -> S3Client:
    return make_client(config)


@contextmanager
def translated(target: str) -> Iterator[None]:
    """Turn boto3 errors into S3Unavailable (Transient) or S3Error (Terminal), naming `target`."""
    try:
        yield
    except ClientError as exc:
        status = status_of(exc)
        error = exc.response.get("Error", {})
        kind = S3Unavailable if status in TRANSIENT_STATUS or code_of(exc) in TRANSIENT_CODES else S3Error
        cure = CLOCK_CURE if code_of(exc) == CLOCK_CODE else None
        raise kind(f"{target}: {status} {error.get('Code', '')} {error.get('Message', '')}".rstrip(), cure=cure) from exc
    except BotoCoreError as exc:
        kind = S3Error if type(exc).__name__ in OF_THE_SETTINGS else S3Unavailable
        raise kind(f"{target}: {exc}") from exc
    except (TimeoutError, RetriesExceededError) as exc:
        raise S3Unavailable(f"{target}: {exc}") from exc


def status_of(exc: ClientError) -> int:
    """Return the HTTP status of a refused request."""
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(exc: ClientError) -> str:
    """Return S3's code of a refusal, such as NoSuchKey. A HEAD has no body: its code is the status, as text."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def is_missing_key(exc: ClientError) -> bool:
    """Tell whether S3 says that the key is missing. Any other 404 is about the bucket, or comes from something in between."""
    return status_of(exc) == 404 and code_of(exc) == "NoSuchKey"


def list_page(client: S3Client, bucket: str, prefix: str, *, start_after: str = "") -> tuple[list[ObjectVersion], bool]:
    """List one page (at most 1,000 keys) below `prefix` after a key. Returns the objects and whether more follow.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the listing is refused.
    """
    found, more, _ = _request_page(client, bucket, prefix, StartAfter=start_after)
    return found, more


def _request_page(client: S3Client, bucket: str, prefix: str, **place: str) -> tuple[list[ObjectVersion], bool, str]:
    with translated(f"s3://{bucket}/{prefix}"):
        answer = client.list_objects_v2(Bucket=bucket, Prefix=prefix, **place)  # type: ignore[arg-type]  # one of two names
    found = [
        ObjectVersion(bucket, item["Key"], _bare(item.get("ETag", "")), int(item["Size"]), item["LastModified"])
        for item in answer.get("Contents", [])
    ]
    return found, bool(answer.get("IsTruncated")), answer.get("NextContinuationToken", "")


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


class Listing:
    """Walks a prefix page by page: by the last key of the page before, or by the server's own tokens.

    By key is the rule, because tokens of some servers lose their place. A server that does not list in the order of the keys, or
    ignores StartAfter, would make a walk by key skip keys or never end: it is found out by what it lists, and walked by its tokens.
    """

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self.by_token = False
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        # In a walk by token: the page after this key has this token.
        self._last = ""
        self._token = ""

    def page(self, *, start_after: str) -> tuple[list[ObjectVersion], bool]:
        """List the page after a key. In a walk by token that is the key the last page ended with, else the walk begins anew.

        Raises:
            S3Unavailable: S3 is out of reach.
            S3Error: the listing is refused, or does not get on.
        """
        if self.by_token:
            return self._next_by_token(start_after)
        page, more, token = _request_page(self._client, self._bucket, self._prefix, StartAfter=start_after)
        if not _follow(start_after, [version.key for version in page]):
            log.warning("s3://%s/%s is not listed by key: walking it by the server's page tokens", self._bucket, self._prefix)
            self.by_token = True
            return self._next_by_token("")
        if more and not page:
            page, more, token = self._first_filled(token)
            if not _follow(start_after, [version.key for version in page]):
                self.by_token, self._last, self._token = True, page[-1].key, token
        return page, more

    def _next_by_token(self, start_after: str) -> tuple[list[ObjectVersion], bool]:
        place = {"ContinuationToken": self._token} if start_after and start_after == self._last and self._token else {}
        page, more, token = _request_page(self._client, self._bucket, self._prefix, **place)
        if more and token in ("", place.get("ContinuationToken")):
            raise self._stuck()
        if more and not page:
            page, more, token = self._first_filled(token)
        self._last, self._token = (page[-1].key, token) if more else ("", "")
        return page, more

    def _first_filled(self, token: str) -> tuple[list[ObjectVersion], bool, str]:
        """Pass over empty pages of which the server says that more follow."""
        seen: set[str] = set()
        page: list[ObjectVersion] = []
        more = True
        while more and not page:
            if not token or token in seen:
                raise self._stuck()
            seen.add(token)
            page, more, token = _request_page(self._client, self._bucket, self._prefix, ContinuationToken=token)
        return page, more, token

    def _stuck(self) -> S3Error:
        cure = "this server's listing cannot be used; ask its vendor for StartAfter and continuation tokens of ListObjectsV2"
        return S3Error(f"s3://{self._bucket}/{self._prefix}: the listing says that more follows and does not get on", cure=cure)


def _follow(start_after: str, keys: Sequence[str]) -> bool:
    """Tell whether keys come one after the other behind a key, in the order of UTF-8 as S3 has it, or of UTF-16 as Java does."""
    whole = [start_after, *keys] if start_after else keys
    return any(
        all(one < other for one, other in pairwise([key.encode(order, errors="surrogatepass") for key in whole]))
        for order in ("utf-8", "utf-16-be")
    )


def list_all(client: S3Client, bucket: str, prefix: str) -> Iterator[ObjectVersion]:
    """Yield every object below `prefix` once, page by page.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the listing is refused, or the server loses its place in it.
    """
    listing = Listing(client, bucket, prefix)
    last, more, remembered = "", True, set[str]()
    count = 0
    while more:
        was_by_key = not listing.by_token
        page, more = listing.page(start_after=last)
        if was_by_key and listing.by_token and count > len(remembered):
            raise S3Error(f"s3://{bucket}/{prefix}: the listing lost its order after {count} keys", cure="run again; see docs/servers.md")
        for version in page:
            if listing.by_token and version.key in remembered:
                continue
            yield version
        if not page:
            return
        if not listing.by_token:
            count += len(page)
            if count <= MOST_REMEMBERED:
                remembered.update(version.key for version in page)
        last = page[-1].key


def listed(client: S3Client, bucket: str, key: str) -> ObjectVersion | None:
    """Look at one object by a listing, which unlike a HEAD tells a missing key from a missing bucket; None when it is not there.

    Raises:
        S3Unavailable: S3 is out of reach, or the bucket is missing.
        S3Error: the listing is refused.
    """
    return next((version for version in list_all(client, bucket, key) if version.key == key), None)


def head(client: S3Client, bucket: str, key: str) -> ObjectVersion | None:
    """Look at one object; None when it is not there, of which a listing makes sure.

    Raises:
        S3Unavailable: S3 is out of reach, or HEAD and listing contradict each other.
        S3Error: the request is refused.
    """
    with translated(f"s3://{bucket}/{key}"):
        try:
            answer = client.head_object(Bucket=bucket, Key=key)
        except ClientError as exc:
            if status_of(exc) != 404:
                raise
            if listed(client, bucket, key) is None:
                return None
            raise S3Unavailable(f"s3://{bucket}/{key}: HEAD answers 404, but the listing shows the object") from exc
    return ObjectVersion(bucket, key, _bare(answer["ETag"]), int(answer["ContentLength"]), answer["LastModified"])


class Seen(StrEnum):
    """What a look finds in the place of a booked object version."""

    SAME = "SAME"
    OTHER = "OTHER"
    MISSING = "MISSING"


def look(client: S3Client, booked: ObjectVersion) -> Seen:
    """Tell whether an object is still the booked version. Where HEAD is refused or shows another one, a listing makes sure of it.

    Raises:
        S3Unavailable: S3 is out of reach, or HEAD and listing contradict each other.
        S3Error: the listing is refused as well.
    """
    try:
        now = head(client, booked.bucket, booked.key)
    except S3Error as exc:
        log.info("the listing is asked instead: %s", exc)
        shown = listed(client, booked.bucket, booked.key)
        if shown is None:
            return Seen.MISSING
        return Seen.SAME if is_same_version(shown, booked) else Seen.OTHER
    if now is None:
        return Seen.MISSING
    if is_same_version(now, booked):
        return Seen.SAME
    shown = listed(client, booked.bucket, booked.key)
    if shown is not None and not is_same_version(shown, booked):
        return Seen.OTHER
    if shown is not None and (now.etag, now.size) == (booked.etag, booked.size):
        # HEAD and listing round the time of one object differently.
        return Seen.SAME
    what = f"etag {shown.etag} and {shown.size} bytes" if shown is not None else "no such object"
    raise S3Unavailable(
        f"s3://{booked.bucket}/{booked.key}: HEAD shows etag {now.etag} and {now.size} bytes, the listing {what}",
        cure="the job tries again by itself; if it stays so, see what ./spark-submit.sh check says of this server",
    )


def look_twice(client: S3Client, booked: ObjectVersion, sleep: Callable[[float], None] = time.sleep) -> Seen:
    """Tell whether an object is still the booked version; look again after a moment before it is called missing."""
    seen = look(client, booked)
    if seen is Seen.MISSING:
        sleep(SECOND_LOOK_SECONDS)
        seen = look(client, booked)
    return seen


class Answer(StrEnum):
    """How S3 answers to a request for an object version."""

    GIVEN = "GIVEN"
    NOT_THERE = "NOT_THERE"
    REFUSED = "REFUSED"


def ask_for(client: S3Client, version: ObjectVersion) -> Answer:
    """Ask for an object as a booked version is asked for. Who is told that it is not there would have been given it.

    Raises:
        S3Unavailable: S3 is out of reach.
    """
    with translated(f"s3://{version.bucket}/{version.key}"):
        try:
            client.get_object(Bucket=version.bucket, Key=version.key, IfMatch=version.etag)["Body"].close()
        except ClientError as exc:
            if status_of(exc) in TRANSIENT_STATUS:
                raise
            return Answer.NOT_THERE if is_missing_key(exc) or status_of(exc) == 412 else Answer.REFUSED
    return Answer.GIVEN


def is_readable_prefix(client: S3Client, bucket: str, missing_key: str) -> bool:
    """Tell whether we may read below a prefix, by asking for what is not there: who may not is refused before S3 looks."""
    with translated(f"s3://{bucket}/{missing_key}"):
        try:
            client.get_object(Bucket=bucket, Key=missing_key)["Body"].close()
        except ClientError as exc:
            if status_of(exc) in TRANSIENT_STATUS:
                raise
            return is_missing_key(exc)
    return True


def read_object(client: S3Client, bucket: str, key: str) -> bytes | None:
    """Read a small object; None when it is not there.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the request is refused.
    """
    with translated(f"s3://{bucket}/{key}"):
        try:
            return client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as exc:
            if is_missing_key(exc):
                return None
            raise


def download(client: S3Client, bucket: str, key: str, path: Path) -> bool:
    """Copy an object to a local file. Returns False when it is not there.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the request is refused.
    """
    with translated(f"s3://{bucket}/{key}"):
        try:
            client.download_file(bucket, key, str(path))
        except ClientError as exc:
            # It begins with a HEAD, which cannot tell.
            if status_of(exc) == 404 and listed(client, bucket, key) is None:
                return False
            raise
    return True


def is_same_version(one: ObjectVersion, other: ObjectVersion) -> bool:
    """Tell whether two looks saw the same version. A HEAD shows whole seconds, a listing may show milliseconds."""
    if (one.etag, one.size) != (other.etag, other.size):
        return False
    times = {int(version.last_modified.timestamp()) for version in (one, other) if version.last_modified != NOT_NOTED}
    return len(times) < 2
