"""Checks of S3: where the keys come from, the buckets, and on each prefix what the job does there."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from app.config.load import S3Config
from app.errors import S3Error
from app.s3.read import ClientError, S3Client, key_source, list_page, make_client, status_of, translated
from app.source.ignored_keys import CHECK_PROBE

# A check is there to tell soon; the job itself is more patient.
ATTEMPTS = 2
CONNECT_SECONDS = 5.0
MOST_READ_SECONDS = 15
WRONG_ETAG = "00000000000000000000000000000000"


def checks(config: S3Config) -> dict[str, Callable[[], str]]:
    """Return the checks of S3 by name."""
    hasty = config.model_copy(update={"read_timeout_seconds": min(config.read_timeout_seconds, MOST_READ_SECONDS)})
    client = make_client(hasty, attempts=ATTEMPTS, connect_timeout=CONNECT_SECONDS)
    named = {
        "processed": config.processed_prefix,
        "error": config.error_prefix,
        "facts": config.facts_prefix,
        "pending": config.pending_prefix,
    }
    return {
        "s3 keys": lambda: _keys(client, config),
        "s3 bucket": lambda: _buckets(client, config),
        "s3 source": lambda: check_source(client, config.bucket, config.source_prefix),
        **{f"s3 {name}": (lambda prefix=prefix: check_own(client, config.bucket, prefix)) for name, prefix in named.items()},  # type: ignore[misc]
        "s3 condition": lambda: check_condition(client, config.bucket, config.processed_prefix),
    }


def check_source(client: S3Client, bucket: str, prefix: str) -> str:
    """List, read and delete below the source prefix; writing there is what producers and `upload` do, the job does not need it.

    Raises:
        S3Error: the job lacks a right.
        S3Unavailable: S3 is out of reach.
    """
    probe = _probe(prefix)
    list_page(client, bucket, prefix)
    _read_missing(client, bucket, probe)
    may_write = _may_write(client, bucket, probe)
    _delete(client, bucket, probe)
    return f"s3://{bucket}/{prefix}: list, read, delete" + (", write" if may_write else "; write is refused, which only upload needs")


def check_own(client: S3Client, bucket: str, prefix: str) -> str:
    """List, write, read and delete below a prefix of the job's own.

    Raises:
        S3Error: the job lacks a right.
        S3Unavailable: S3 is out of reach.
    """
    probe = _probe(prefix)
    list_page(client, bucket, prefix)
    with translated(f"s3://{bucket}/{probe} (write)"):
        client.put_object(Bucket=bucket, Key=probe, Body=b"salestream")
    try:
        with translated(f"s3://{bucket}/{probe} (read)"):
            client.get_object(Bucket=bucket, Key=probe)["Body"].read()
    finally:
        _delete(client, bucket, probe)
    return f"s3://{bucket}/{prefix}: list, read, write, delete"


def check_condition(client: S3Client, bucket: str, prefix: str) -> str:
    """See whether the server honours a conditional delete, which closes the last gap between the archive's look and its delete.

    Raises:
        S3Error: the job lacks a right.
        S3Unavailable: S3 is out of reach.
    """
    probe = _probe(prefix)
    with translated(f"s3://{bucket}/{probe} (write)"):
        client.put_object(Bucket=bucket, Key=probe, Body=b"salestream")
    honoured = False
    try:
        honoured = _honours_condition(client, bucket, probe)
    finally:
        if honoured:
            _delete(client, bucket, probe)
    return "a conditional delete is " + (
        "honoured" if honoured else "not honoured by this server: the archive looks right before it deletes"
    )


def _probe(prefix: str) -> str:
    return f"{prefix}{CHECK_PROBE}{uuid.uuid4().hex}"


def _keys(client: S3Client, config: S3Config) -> str:
    where = "the configuration" if config.access_key_id else f"the AWS provider chain ({key_source(config)})"
    return f"access keys from {where}; region {config.region}, {client.meta.endpoint_url}"


def _buckets(client: S3Client, config: S3Config) -> str:
    """List the account's buckets, as the batch job did. The right to do so is not needed."""
    bucket = config.bucket
    list_page(client, bucket, config.source_prefix)
    with translated(f"s3://{bucket}"):
        try:
            names = sorted(found["Name"] for found in client.list_buckets().get("Buckets", []))
        except ClientError as exc:
            if status_of(exc) != 403 or exc.response.get("Error", {}).get("Code") != "AccessDenied":
                raise
            return f"{bucket}; listing all buckets is refused, which the job does not need"
    if bucket not in names:
        return f"{bucket} (of another account); {len(names)} buckets of this one{_shown(names)}"
    return f"{bucket}; {len(names)} buckets{_shown(names)}"


def _shown(names: list[str]) -> str:
    return f": {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}" if names else ""


def _read_missing(client: S3Client, bucket: str, key: str) -> None:
    # With the right to list, S3 answers 404 for what is not there; without the right to read, 403.
    with translated(f"s3://{bucket}/{key} (read)"):
        try:
            client.get_object(Bucket=bucket, Key=key)
        except ClientError as exc:
            if status_of(exc) != 404:
                raise
        else:
            raise S3Error(f"s3://{bucket}/{key} is there, though its name was made up just now")


def _may_write(client: S3Client, bucket: str, key: str) -> bool:
    with translated(f"s3://{bucket}/{key} (write)"):
        try:
            client.put_object(Bucket=bucket, Key=key, Body=b"")
        except ClientError as exc:
            if status_of(exc) == 403:
                return False
            raise
    return True


def _honours_condition(client: S3Client, bucket: str, key: str) -> bool:
    with translated(f"s3://{bucket}/{key} (delete)"):
        try:
            client.delete_object(Bucket=bucket, Key=key, IfMatch=WRONG_ETAG)
        except ClientError as exc:
            if status_of(exc) == 412:
                return True
            raise
    return False


def _delete(client: S3Client, bucket: str, key: str) -> None:
    with translated(f"s3://{bucket}/{key} (delete)"):
        client.delete_object(Bucket=bucket, Key=key)
