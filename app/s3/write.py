"""S3: the requests that change something there: exact copies, guarded deletes, clean-up."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from app.errors import S3Error, S3Unavailable
from app.s3.read import (
    ObjectVersion,
    S3Client,
    Seen,
    code_of,
    is_missing_key,
    list_all,
    look,
    look_twice,
    status_of,
    translated,
)

log = logging.getLogger(__name__)

# One copy request moves at most 5 GB; above this size the copy goes in parts, so that a broken one costs one part.
MULTIPART_COPY_BYTES = 1 << 30
COPY_PART_BYTES = 256 << 20
DELETE_PAGE = 1000
# Of a comparison, at a time.
READ_BYTES = 1 << 20
# Single deletes at the same time, for a server that has no bulk delete.
DELETE_THREADS = 8
# How servers refuse a request, or a header of it, that they do not know.
NOT_KNOWN = frozenset({400, 405, 411, 501})
# Codes of a bulk delete's single errors that may pass by themselves.
BUSY = frozenset({"InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout"})


@dataclass(frozen=True)
class Upload:
    """One pending multipart upload."""

    key: str
    id: str


def copy_version(client: S3Client, source: ObjectVersion, target_key: str) -> str | None:
    """Copy exactly this object version within its bucket. Returns the copy's etag, or None when the version is not there any more.

    Raises:
        S3Unavailable: S3 is out of reach, or refuses the version although it is still there.
        S3Error: the copy is refused.
    """
    target = f"s3://{source.bucket}/{source.key} -> {target_key}"
    with translated(target):
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
            if status_of(exc) != 412 and not is_missing_key(exc):
                raise
            if look_twice(client, source) is not Seen.SAME:
                return None
            raise S3Unavailable(f"{target}: {status_of(exc)} {code_of(exc)}, although the booked version is still there") from exc


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
                # In quotes, as HTTP has it: S3Proxy compares this one letter by letter.
                CopySourceIfMatch=f'"{source.etag}"',
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


def have_same_bytes(client: S3Client, original: ObjectVersion, other: ObjectVersion) -> bool | None:
    """Compare two objects of one size byte by byte; None when the original is not there any more.

    Raises:
        S3Unavailable: S3 is out of reach, or a connection broke.
        S3Error: S3 refuses to read one of them.
    """
    if look(client, original) is not Seen.SAME:
        return None
    digests = [_digest(client, version) for version in (original, other)]
    return digests[0] == digests[1]


def _digest(client: S3Client, version: ObjectVersion) -> bytes:
    target = f"s3://{version.bucket}/{version.key}"
    digest, size = hashlib.sha256(), 0
    with translated(target):
        body = client.get_object(Bucket=version.bucket, Key=version.key)["Body"]
        while piece := body.read(READ_BYTES):
            digest.update(piece)
            size += len(piece)
    if size != version.size:
        raise S3Unavailable(f"{target}: {size} of {version.size} bytes were read")
    return digest.digest()


def delete_version(client: S3Client, version: ObjectVersion) -> bool:
    """Delete the object if it is still this version; False when it changed meanwhile, and then it stays.

    The look right before the DELETE is for servers that ignore If-Match on DELETE, or do not know it; AWS honours the header itself.

    Raises:
        S3Unavailable: S3 is out of reach, or refuses the version although it is still there.
        S3Error: the deletion is refused.
    """
    seen = look(client, version)
    if seen is not Seen.SAME:
        return seen is Seen.MISSING
    target = f"s3://{version.bucket}/{version.key}"
    with translated(target):
        try:
            client.delete_object(Bucket=version.bucket, Key=version.key, IfMatch=version.etag)
        except ClientError as exc:
            if status_of(exc) in NOT_KNOWN:
                client.delete_object(Bucket=version.bucket, Key=version.key)
                return True
            if status_of(exc) != 412 and not is_missing_key(exc):
                raise
            seen = look(client, version)
            if seen is Seen.SAME:
                raise S3Unavailable(f"{target}: {status_of(exc)} {code_of(exc)}, although the booked version is still there") from exc
            return seen is Seen.MISSING
    return True


def write_object(client: S3Client, bucket: str, key: str, body: bytes) -> None:
    """Write a small object of our own, over an earlier one.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the write is refused.
    """
    with translated(f"s3://{bucket}/{key}"):
        client.put_object(Bucket=bucket, Key=key, Body=body)


def upload_object(client: S3Client, bucket: str, key: str, path: Path) -> None:
    """Write an object of our own from a local file, over an earlier one.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the write is refused.
    """
    with translated(f"s3://{bucket}/{key}"):
        try:
            client.upload_file(str(path), bucket, key)
        except S3UploadFailedError as exc:
            raise S3Error(f"s3://{bucket}/{key}: {exc}") from exc


def delete_keys(client: S3Client, bucket: str, keys: list[str]) -> None:
    """Delete objects that are ours alone (Parquet, work files), a thousand a request; one by one where the server knows no such request.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: an object could not be deleted.
    """
    for start in range(0, len(keys), DELETE_PAGE):
        page = keys[start : start + DELETE_PAGE]
        with translated(f"s3://{bucket}/{page[0]}"):
            try:
                errors = delete_page(client, bucket, page)
            except ClientError as exc:
                if status_of(exc) not in NOT_KNOWN:
                    raise
                log.info("bulk delete is refused (%d %s): deleting %d objects one by one", status_of(exc), code_of(exc), len(page))
                _delete_one_by_one(client, bucket, page)
                continue
        for error in errors:
            kind = S3Unavailable if error.get("Code") in BUSY else S3Error
            raise kind(f"s3://{bucket}/{error.get('Key')}: {error.get('Code')} {error.get('Message')}")


def delete_page(client: S3Client, bucket: str, keys: list[str]) -> list[Any]:
    """Send one bulk delete. Returns the errors of single keys."""
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True})
    return list(answer.get("Errors", []))


def _delete_one_by_one(client: S3Client, bucket: str, keys: list[str]) -> None:
    def delete(key: str) -> None:
        with translated(f"s3://{bucket}/{key}"):
            client.delete_object(Bucket=bucket, Key=key)

    with ThreadPoolExecutor(DELETE_THREADS, thread_name_prefix="delete") as pool:
        list(pool.map(delete, keys))


def delete_below(client: S3Client, bucket: str, prefix: str, wanted: Callable[[str], bool] = lambda _key: True) -> int:
    """Delete the objects below a prefix that is ours alone. Returns how many went."""
    keys = [found.key for found in list_all(client, bucket, prefix) if wanted(found.key)]
    delete_keys(client, bucket, keys)
    return len(keys)


def abort_uploads(client: S3Client, bucket: str, prefix: str) -> int:
    """Abort the pending multipart uploads below `prefix`. Returns how many went."""
    found = list(list_uploads(client, bucket, prefix))
    for upload in found:
        abort_upload(client, bucket, upload)
    return len(found)


def list_uploads(client: S3Client, bucket: str, prefix: str) -> Iterator[Upload]:
    """Yield the pending multipart uploads below a prefix."""
    with translated(f"s3://{bucket}/{prefix} (uploads)"):
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            for upload in page.get("Uploads", []):
                yield Upload(upload["Key"], upload["UploadId"])


def abort_upload(client: S3Client, bucket: str, upload: Upload) -> None:
    """Abort a pending multipart upload; one that is gone by now is none."""
    with translated(f"s3://{bucket}/{upload.key} (upload)"):
        try:
            client.abort_multipart_upload(Bucket=bucket, Key=upload.key, UploadId=upload.id)
        except ClientError as exc:
            if status_of(exc) != 404:
                raise
