"""S3: a client, and the requests that read: HEAD, GET and LIST. app/s3/write.py has those that write."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.exceptions import RetriesExceededError
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

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
    "ClientError",
    "ClientFactory",
    "ObjectVersion",
    "S3Client",
    "download",
    "head",
    "is_same_version",
    "key_source",
    "list_all",
    "list_page",
    "make_client",
    "read_object",
    "server_time",
    "status_of",
    "translated",
]

log = logging.getLogger(__name__)

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})


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
    """Open an S3 client; keys come from the configuration or else from the standard AWS provider chain."""
    secret = config.secret_access_key
    token = config.session_token
    client = boto3.client(
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
            max_pool_connections=config.max_connections,
            connect_timeout=connect_timeout or config.connect_timeout_seconds,
            read_timeout=config.read_timeout_seconds,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    return bound_requests(client, config.read_timeout_seconds, config.least_bytes_per_second)


def key_source(config: S3Config) -> str:
    """Name the link of the AWS provider chain that keys come from, such as env, shared-credentials-file or iam-role.

    Raises:
        S3Error: the chain has no keys.
    """
    with translated("AWS provider chain"):
        found = boto3.Session(region_name=config.region).get_credentials()
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
        kind = S3Unavailable if status in TRANSIENT_STATUS or error.get("Code") == "RequestTimeout" else S3Error
        raise kind(f"{target}: {status} {error.get('Code', '')} {error.get('Message', '')}".rstrip()) from exc
    except BotoCoreError as exc:
        kind = S3Error if type(exc).__name__ in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound") else S3Unavailable
        raise kind(f"{target}: {exc}") from exc
    except (TimeoutError, RetriesExceededError) as exc:
        raise S3Unavailable(f"{target}: {exc}") from exc


def status_of(exc: ClientError) -> int:
    """Return the HTTP status of a refused request."""
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def list_page(client: S3Client, bucket: str, prefix: str, *, start_after: str = "") -> tuple[list[ObjectVersion], bool]:
    """List one page (at most 1,000 keys) below `prefix` after a key. Returns the objects and whether more follow.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the listing is refused.
    """
    with translated(f"s3://{bucket}/{prefix}"):
        answer = client.list_objects_v2(Bucket=bucket, Prefix=prefix, StartAfter=start_after)
    found = [
        ObjectVersion(bucket, item["Key"], item.get("ETag", "").strip('"'), int(item["Size"]), item["LastModified"])
        for item in answer.get("Contents", [])
    ]
    return found, bool(answer.get("IsTruncated"))


def list_all(client: S3Client, bucket: str, prefix: str) -> Iterator[ObjectVersion]:
    """Yield every object below `prefix`, page by page."""
    last, more = "", True
    while more:
        page, more = list_page(client, bucket, prefix, start_after=last)
        yield from page
        # We page by the last key; a page without one leaves nothing to go on from.
        if not page:
            return
        last = page[-1].key


def head(client: S3Client, bucket: str, key: str) -> ObjectVersion | None:
    """Look at one object; None when it is not there.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the request is refused.
    """
    with translated(f"s3://{bucket}/{key}"):
        try:
            answer = client.head_object(Bucket=bucket, Key=key)
        except ClientError as exc:
            if status_of(exc) == 404:
                return None
            raise
    return ObjectVersion(bucket, key, answer["ETag"].strip('"'), int(answer["ContentLength"]), answer["LastModified"])


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
            if status_of(exc) == 404:
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
            if status_of(exc) == 404:
                return False
            raise
    return True


def is_same_version(one: ObjectVersion, other: ObjectVersion) -> bool:
    """Tell whether two looks saw the same version. A HEAD shows whole seconds, a listing may show milliseconds."""
    if (one.etag, one.size) != (other.etag, other.size):
        return False
    times = {int(version.last_modified.timestamp()) for version in (one, other) if version.last_modified != NOT_NOTED}
    return len(times) < 2
