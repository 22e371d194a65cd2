"""Checks of S3: where the keys come from, the buckets, and on each prefix what the job does there."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from app.config.load import S3Config
from app.errors import S3Error
from app.s3.read import (
    ClientError,
    Listing,
    ObjectVersion,
    S3Client,
    code_of,
    head,
    is_same_version,
    key_source,
    list_all,
    list_page,
    listed,
    make_client,
    status_of,
    translated,
)
from app.s3.write import NOT_KNOWN, delete_page
from app.source.object_names import CHECK_PROBE

# A check is there to tell soon; the job itself is more patient.
ATTEMPTS = 2
CONNECT_SECONDS = 5.0
MOST_READ_SECONDS = 15
WRONG_ETAG = "00000000000000000000000000000000"
BODY = b"salestream"


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
        "s3 versions": lambda: check_versions(client, config.bucket, config.processed_prefix),
        "s3 listing": lambda: check_listing(client, config.bucket, config.processed_prefix),
        "s3 copy": lambda: check_copy(client, config.bucket, config.processed_prefix),
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
        client.put_object(Bucket=bucket, Key=probe, Body=BODY)
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
        client.put_object(Bucket=bucket, Key=probe, Body=BODY)
    honoured, answer = False, "200"
    try:
        honoured, answer = _honours_condition(client, bucket, probe)
    finally:
        if honoured or answer != "200":
            _delete(client, bucket, probe)
    if honoured:
        return "a conditional delete is honoured"
    known = "not honoured" if answer == "200" else f"not known ({answer})"
    return f"a conditional delete is {known} by this server: the archive looks right before it deletes"


def check_versions(client: S3Client, bucket: str, prefix: str) -> str:
    """See whether listing, HEAD and GET show one object as the same version, and whether a GET gives only the version it is asked for.

    Raises:
        S3Error: the job lacks a right, or could not read a single file of this server.
        S3Unavailable: S3 is out of reach.
    """
    probe = _probe(prefix)
    with translated(f"s3://{bucket}/{probe} (write)"):
        client.put_object(Bucket=bucket, Key=probe, Body=BODY)
    try:
        shown, now = listed(client, bucket, probe), head(client, bucket, probe)
        if shown is None or now is None:
            raise _useless(bucket, probe, "an object that was just written is not listed")
        if (shown.etag, shown.size) != (now.etag, now.size):
            raise _useless(
                bucket, probe, f"HEAD shows etag {now.etag} and {now.size} bytes, the listing etag {shown.etag} and {shown.size} bytes"
            )
        if not _gives(client, shown, shown.etag):
            raise _useless(bucket, probe, f"a GET under the etag {shown.etag}, which HEAD and listing show, is refused")
        found = "a conditional GET gives the version asked for"
        if _gives(client, shown, WRONG_ETAG):
            found += ", but the condition is not honoured by this server: each answer's ETag is compared instead"
        else:
            found += " and no other"
        if not is_same_version(shown, now):
            found += "; HEAD and listing show different times: each file costs one listing more"
        if not _gives_ranges(client, shown):
            found += "; ranges are ignored by this server: a file that is read in more than one of them is UNREADABLE"
        return found
    finally:
        _delete(client, bucket, probe)


def check_listing(client: S3Client, bucket: str, prefix: str) -> str:
    """See whether a listing goes by key, and whether objects can be deleted in bulk.

    Raises:
        S3Error: the job lacks a right, or a listing misses objects.
        S3Unavailable: S3 is out of reach.
    """
    folder = f"{_probe(prefix)}/"
    keys = [f"{folder}{name}" for name in ("month=1", "month=2", "other")]
    # Some servers decode a plus sign as if it came from a form; none of our own keys has one.
    odd = f"{folder}a+b"
    for key in (*keys, odd):
        with translated(f"s3://{bucket}/{key} (write)"):
            client.put_object(Bucket=bucket, Key=key, Body=BODY)
    try:
        seen = {version.key for version in list_all(client, bucket, folder)}
        if not set(keys) <= seen:
            raise _useless(bucket, folder, f"of {len(keys)} objects that were just written {len(set(keys) & seen)} are listed")
        listing = Listing(client, bucket, folder)
        for start in ("", keys[0]):
            listing.page(start_after=start)
        order = "listings go by key"
        if listing.by_token:
            order = "listings do not go by key: each look for new files walks the whole prefix by the server's page tokens"
        lost = "" if odd in seen else "; a plus sign in a key is listed as another character: files with one in their name are UNREADABLE"
        return f"{order}{lost}; {_bulk_delete(client, bucket, keys)}"
    finally:
        for key in (*keys, odd):
            _delete(client, bucket, key)


def check_copy(client: S3Client, bucket: str, prefix: str) -> str:
    """See whether the archive can copy, and whether a copy has the ETag of its original.

    Raises:
        S3Error: the job lacks a right.
        S3Unavailable: S3 is out of reach.
    """
    probe, copy = _probe(prefix), _probe(prefix)
    with translated(f"s3://{bucket}/{probe} (write)"):
        client.put_object(Bucket=bucket, Key=probe, Body=BODY)
    try:
        original = head(client, bucket, probe)
        if original is None:
            raise _useless(bucket, probe, "an object that was just written is not there")
        with translated(f"s3://{bucket}/{probe} -> {copy}"):
            client.copy_object(Bucket=bucket, Key=copy, CopySource={"Bucket": bucket, "Key": probe}, CopySourceIfMatch=original.etag)
        copied = head(client, bucket, copy)
        if copied is not None and copied.etag == original.etag:
            return "a copy has the ETag of its original"
        return "a copy has another ETag than its original: a move that was cut off reads both again"
    finally:
        _delete(client, bucket, probe)
        _delete(client, bucket, copy)


def _bulk_delete(client: S3Client, bucket: str, keys: list[str]) -> str:
    with translated(f"s3://{bucket}/{keys[0]} (bulk delete)"):
        try:
            errors = delete_page(client, bucket, keys)
        except ClientError as exc:
            if status_of(exc) not in NOT_KNOWN:
                raise
            return f"bulk delete is refused ({status_of(exc)} {code_of(exc)}): objects are deleted one by one, a request each"
    if errors:
        raise S3Error(f"s3://{bucket}/{errors[0].get('Key')} (bulk delete): {errors[0].get('Code')} {errors[0].get('Message')}")
    return "bulk delete works"


def _gives(client: S3Client, version: ObjectVersion, etag: str) -> bool:
    with translated(f"s3://{version.bucket}/{version.key} (read)"):
        try:
            client.get_object(Bucket=version.bucket, Key=version.key, IfMatch=etag)["Body"].close()
        except ClientError as exc:
            if status_of(exc) != 412:
                raise
            return False
    return True


def _gives_ranges(client: S3Client, version: ObjectVersion) -> bool:
    with translated(f"s3://{version.bucket}/{version.key} (read)"):
        return client.get_object(Bucket=version.bucket, Key=version.key, Range="bytes=2-5")["Body"].read() == BODY[2:6]


def _useless(bucket: str, key: str, what: str) -> S3Error:
    return S3Error(f"s3://{bucket}/{key}: {what}", cure="no file could be loaded from this server; see docs/servers.md")


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


def _honours_condition(client: S3Client, bucket: str, key: str) -> tuple[bool, str]:
    """Try a conditional delete with a wrong ETag. Returns whether it was refused for that, and how the server answered."""
    with translated(f"s3://{bucket}/{key} (delete)"):
        try:
            client.delete_object(Bucket=bucket, Key=key, IfMatch=WRONG_ETAG)
        except ClientError as exc:
            if status_of(exc) == 412:
                return True, "412"
            if status_of(exc) in NOT_KNOWN:
                return False, f"{status_of(exc)} {code_of(exc)}".rstrip()
            raise
    return False, "200"


def _delete(client: S3Client, bucket: str, key: str) -> None:
    with translated(f"s3://{bucket}/{key} (delete)"):
        client.delete_object(Bucket=bucket, Key=key)
