"""S3: a client, and the few requests the job makes. The only module that imports boto3."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from app.config import S3Config
from app.errors import S3Error, S3Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

__all__ = [
    "ClientFactory",
    "ObjectVersion",
    "S3Client",
    "abort_uploads",
    "copy_version",
    "delete_below",
    "delete_version",
    "head",
    "is_same_version",
    "list_all",
    "list_page",
    "make_client",
]

log = logging.getLogger(__name__)

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
# One copy request moves at most 5 GB; above this size the copy goes in parts, so that a broken one costs one part.
MULTIPART_COPY_BYTES = 1 << 30
COPY_PART_BYTES = 256 << 20
DELETE_PAGE = 1000


@dataclass(frozen=True)
class ObjectVersion:
    """One version of one object, as a listing or a HEAD shows it. `etag` has no quotes; times are UTC."""

    bucket: str
    key: str
    etag: str
    size: int
    last_modified: datetime
    version_id: str | None = None


def make_client(config: S3Config) -> S3Client:
    """Open an S3 client; keys come from the configuration or else from the standard AWS provider chain."""
    secret = config.secret_access_key
    token = config.session_token
    return boto3.client(
        "s3",
        region_name=config.region,
        endpoint_url=config.endpoint_url,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=token.get_secret_value() if token else None,
        config=BotoConfig(
            retries={"mode": "standard", "max_attempts": 5},
            s3={"addressing_style": "path" if config.path_style else "auto"},
            max_pool_connections=config.max_connections,
            connect_timeout=10,
            read_timeout=60,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


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


def is_same_version(one: ObjectVersion, other: ObjectVersion) -> bool:
    """Tell whether two looks saw the same version. A HEAD shows whole seconds, a listing may show milliseconds."""
    return (one.etag, one.size, int(one.last_modified.timestamp())) == (other.etag, other.size, int(other.last_modified.timestamp()))


def copy_version(client: S3Client, source: ObjectVersion, target_key: str) -> str | None:
    """Copy exactly this object version within its bucket. Returns the copy's etag, or None when the version is gone.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the copy is refused.
    """
    with translated(f"s3://{source.bucket}/{source.key} -> {target_key}"):
        try:
            if source.size > MULTIPART_COPY_BYTES:
                return _copy_in_parts(client, source, target_key)
            answer = client.copy_object(
                Bucket=source.bucket,
                Key=target_key,
                CopySource={"Bucket": source.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
            )
            return str(answer["CopyObjectResult"]["ETag"]).strip('"')
        except ClientError as exc:
            if status_of(exc) in (404, 412):
                return None
            raise


def _copy_in_parts(client: S3Client, source: ObjectVersion, target_key: str) -> str:
    upload = client.create_multipart_upload(Bucket=source.bucket, Key=target_key)["UploadId"]
    try:
        parts = []
        for number, start in enumerate(range(0, source.size, COPY_PART_BYTES), start=1):
            end = min(start + COPY_PART_BYTES, source.size) - 1
            answer = client.upload_part_copy(
                Bucket=source.bucket,
                Key=target_key,
                UploadId=upload,
                PartNumber=number,
                CopySource={"Bucket": source.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
                CopySourceRange=f"bytes={start}-{end}",
            )
            parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
        done = client.complete_multipart_upload(
            Bucket=source.bucket,
            Key=target_key,
            UploadId=upload,
            MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
        )
        return str(done["ETag"]).strip('"')
    except BaseException:
        client.abort_multipart_upload(Bucket=source.bucket, Key=target_key, UploadId=upload)
        raise


def delete_version(client: S3Client, version: ObjectVersion) -> bool:
    """Delete the object if it is still this version; False when it changed meanwhile, and then it stays.

    The HEAD right before the DELETE is for servers that ignore If-Match on DELETE; AWS honours the header itself.
    """
    now = head(client, version.bucket, version.key)
    if now is None:
        return True
    if not is_same_version(now, version):
        return False
    with translated(f"s3://{version.bucket}/{version.key}"):
        try:
            client.delete_object(Bucket=version.bucket, Key=version.key, IfMatch=version.etag)
        except ClientError as exc:
            if status_of(exc) in (404, 412):
                return status_of(exc) == 404
            raise
    return True


def delete_keys(client: S3Client, bucket: str, keys: list[str]) -> None:
    """Delete objects that are ours alone (Parquet, work files), a thousand a request.

    Raises:
        S3Error: an object could not be deleted.
    """
    for start in range(0, len(keys), DELETE_PAGE):
        page = keys[start : start + DELETE_PAGE]
        with translated(f"s3://{bucket}/{page[0]}"):
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in page], "Quiet": True})
        for error in answer.get("Errors", []):
            raise S3Error(f"s3://{bucket}/{error.get('Key')}: {error.get('Code')} {error.get('Message')}")


def delete_below(client: S3Client, bucket: str, prefix: str, wanted: Callable[[str], bool] = lambda _key: True) -> int:
    """Delete the objects below a prefix that is ours alone. Returns how many went."""
    keys = [found.key for found in list_all(client, bucket, prefix) if wanted(found.key)]
    delete_keys(client, bucket, keys)
    return len(keys)


def abort_uploads(client: S3Client, bucket: str, prefix: str, wanted: Callable[[str], bool]) -> int:
    """Abort the pending multipart uploads below `prefix` whose key is wanted. Returns how many went."""
    aborted = 0
    with translated(f"s3://{bucket}/{prefix} (uploads)"):
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            for upload in page.get("Uploads", []):
                if wanted(upload["Key"]):
                    client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                    aborted += 1
    return aborted
