"""The doubles of what the unit tests have no server for: a bucket in memory, transactions without MySQL, a ledger in a list.

FakeS3 answers as S3 does where the product looks: etags, conditions, ranges, pages, errors with their status. What it cannot do it
refuses, as an unknown method or argument. tests/integration/test_doubles.py asks it and a real server the same.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import ClientError, ReadTimeoutError
from pydantic import SecretStr

from app.config.load import Config, MySqlConfig, S3Config
from app.ledger.types import Ignored, SourceFile
from app.s3.read import ObjectVersion
from app.source.splits import ScanFile

AT = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)


def config_without_servers(folder: Path) -> Config:
    """Return a small configuration of no real server; checkpoints go below `folder`."""
    return Config(
        env="test",
        s3=S3Config(bucket="lake"),
        mysql=MySqlConfig(host="db.example.com", user="job", password=SecretStr("not-to-be-seen"), database="sales"),
        checkpoint_root=folder / "checkpoints",
    )


# S3

MOST_KEYS = 1000
# What is put by boto3 in parts has an etag of another form; its parts are of 8 MB.
PART_BYTES = 8 << 20


def refused(status: int, code: str = "Code", message: str = "message", operation: str = "PutObject") -> ClientError:
    """Return the error that boto3 raises for an answer with this status."""
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


class BrokenBody(io.BytesIO):
    """A body whose connection breaks after so many bytes, with an error or without a word."""

    def __init__(self, data: bytes, breaks_after: int, *, silently: bool = False) -> None:
        super().__init__(data)
        self._left = breaks_after
        self._silently = silently

    def read(self, size: int | None = -1, /) -> bytes:
        if self._left <= 0:
            if self._silently:
                return b""
            raise ReadTimeoutError(endpoint_url="http://s3")
        data = super().read(min(size if size and size > 0 else self._left, self._left))
        self._left -= len(data)
        return data


@dataclass(frozen=True)
class StoredObject:
    """One object: its bytes, its etag without quotes, when it was written."""

    body: bytes
    etag: str
    last_modified: datetime = AT


@dataclass
class FakeS3:
    """A boto3 client whose buckets lie in memory; it can be pickled, and a copy has objects of its own.

    Attributes:
        objects: what is stored, by bucket and key. Every bucket exists.
        page: how many keys a page of a listing has at most.
        sent: every request, as its operation and arguments.
        broken_gets: so many GETs break after `breaks_after` bytes, with an error or silently.
        locked: keys that no delete_objects may remove.
    """

    objects: dict[tuple[str, str], StoredObject] = field(default_factory=dict)
    page: int = MOST_KEYS
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    broken_gets: int = 0
    breaks_after: int = 10
    breaks_silently: bool = False
    locked: set[str] = field(default_factory=set)
    _failures: dict[str, Exception] = field(default_factory=dict)

    @classmethod
    def holding(cls, objects: Mapping[str, bytes], bucket: str = "lake", **settings: Any) -> FakeS3:
        """Return a client of a bucket with these objects."""
        made = cls(**settings)
        for key, body in objects.items():
            made.store(bucket, key, body)
        return made

    @classmethod
    def with_versions(cls, *versions: ObjectVersion, **settings: Any) -> FakeS3:
        """Return a client of a bucket with these versions; their bytes are as many x."""
        made = cls(**settings)
        for version in versions:
            made.store(version.bucket, version.key, b"x" * version.size, etag=version.etag, at=version.last_modified)
        return made

    # What a test does beside the requests

    def store(self, bucket: str, key: str, body: bytes, *, etag: str | None = None, at: datetime = AT) -> StoredObject:
        """Put an object without a request."""
        stored = StoredObject(body, hashlib.md5(body).hexdigest() if etag is None else etag, at)
        self.objects[bucket, key] = stored
        return stored

    def failing(self, error: Exception, *names: str) -> FakeS3:
        """Refuse every further request of these operations, or with these keys; returns the client itself."""
        self._failures |= dict.fromkeys(names, error)
        return self

    def requests(self, operation: str) -> list[dict[str, Any]]:
        """Return the arguments of all requests of one operation."""
        return [arguments for name, arguments in self.sent if name == operation]

    @property
    def bodies(self) -> dict[tuple[str, str], bytes]:
        """Return the bytes of all objects, by bucket and key."""
        return {place: stored.body for place, stored in self.objects.items()}

    def keys(self, bucket: str = "lake") -> list[str]:
        """Return all keys of a bucket in their order."""
        return sorted(key for name, key in self.objects if name == bucket)

    # Requests

    def list_objects_v2(
        self, *, Bucket: str, Prefix: str = "", StartAfter: str = "", MaxKeys: int = MOST_KEYS, ContinuationToken: str | None = None
    ) -> dict[str, Any]:
        self._begin("list_objects_v2", Bucket=Bucket, Prefix=Prefix, StartAfter=StartAfter)
        after = StartAfter if ContinuationToken is None else ContinuationToken
        left = [key for key in self.keys(Bucket) if key.startswith(Prefix) and key > after]
        page = left[: min(self.page, MaxKeys, MOST_KEYS)]
        answer: dict[str, Any] = {"KeyCount": len(page), "IsTruncated": len(left) > len(page), "ResponseMetadata": _metadata()}
        if page:
            answer["Contents"] = [self._listed(Bucket, key) for key in page]
        if answer["IsTruncated"]:
            answer["NextContinuationToken"] = page[-1]
        return answer

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self._begin("head_object", Bucket=Bucket, Key=Key)
        # The answer to a HEAD has no body, and so no code of its own.
        found = self._found(Bucket, Key, "HeadObject", code="404")
        return self._described(found)

    def get_object(self, *, Bucket: str, Key: str, IfMatch: str | None = None, Range: str | None = None) -> dict[str, Any]:
        given = {name: value for name, value in (("IfMatch", IfMatch), ("Range", Range)) if value is not None}
        self._begin("get_object", Bucket=Bucket, Key=Key, **given)
        found = self._found(Bucket, Key, "GetObject")
        _check_match(found, IfMatch, "GetObject")
        asked = slice(0, len(found.body)) if Range is None else _asked_range(Range, len(found.body))
        data = found.body[asked]
        place = {} if Range is None else {"ContentRange": f"bytes {asked.start}-{asked.stop - 1}/{len(found.body)}"}
        body = io.BytesIO(data)
        if self.broken_gets > 0:
            self.broken_gets -= 1
            body = BrokenBody(data, self.breaks_after, silently=self.breaks_silently)
        return self._described(found) | place | {"ContentLength": len(data), "Body": body}

    def put_object(
        self, *, Bucket: str, Key: str, Body: bytes | BinaryIO = b"", IfMatch: str | None = None, IfNoneMatch: str | None = None
    ) -> dict[str, Any]:
        self._begin("put_object", Bucket=Bucket, Key=Key)
        there = self.objects.get((Bucket, Key))
        if IfNoneMatch is not None and there is not None:
            raise refused(412, "PreconditionFailed", operation="PutObject")
        if IfMatch is not None:
            _check_match(self._found(Bucket, Key, "PutObject"), IfMatch, "PutObject")
        stored = self.store(Bucket, Key, Body if isinstance(Body, bytes) else Body.read())
        return {"ETag": f'"{stored.etag}"', "ResponseMetadata": _metadata()}

    def copy_object(self, *, Bucket: str, Key: str, CopySource: dict[str, str], CopySourceIfMatch: str | None = None) -> dict[str, Any]:
        condition = {} if CopySourceIfMatch is None else {"CopySourceIfMatch": CopySourceIfMatch}
        self._begin("copy_object", Bucket=Bucket, Key=Key, CopySource=CopySource, **condition)
        source = self._found(CopySource["Bucket"], CopySource["Key"], "CopyObject")
        _check_match(source, CopySourceIfMatch, "CopyObject")
        stored = self.store(Bucket, Key, source.body)
        return {"CopyObjectResult": {"ETag": f'"{stored.etag}"', "LastModified": stored.last_modified}}

    def delete_object(self, *, Bucket: str, Key: str, IfMatch: str | None = None) -> dict[str, Any]:
        condition = {} if IfMatch is None else {"IfMatch": IfMatch}
        self._begin("delete_object", Bucket=Bucket, Key=Key, **condition)
        if IfMatch is not None:
            _check_match(self._found(Bucket, Key, "DeleteObject"), IfMatch, "DeleteObject")
        self.objects.pop((Bucket, Key), None)
        return {"ResponseMetadata": _metadata(204)}

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        self._begin("delete_objects", Bucket=Bucket, Delete=Delete)
        keys = [item["Key"] for item in Delete["Objects"]]
        if not 1 <= len(keys) <= MOST_KEYS:
            raise refused(400, "MalformedXML", operation="DeleteObjects")
        for key in set(keys) - self.locked:
            self.objects.pop((Bucket, key), None)
        answer: dict[str, Any] = {} if Delete.get("Quiet") else {"Deleted": [{"Key": key} for key in keys if key not in self.locked]}
        errors = [{"Key": key, "Code": "AccessDenied", "Message": "no"} for key in keys if key in self.locked]
        return answer | ({"Errors": errors} if errors else {})

    def download_file(self, Bucket: str, Key: str, Filename: str) -> None:
        self._begin("download_file", Bucket=Bucket, Key=Key)
        Path(Filename).write_bytes(self._found(Bucket, Key, "HeadObject", code="404").body)

    def upload_fileobj(self, Fileobj: BinaryIO, Bucket: str, Key: str, Callback: Callable[[int], None] | None = None) -> None:
        self._begin("upload_fileobj", Bucket=Bucket, Key=Key)
        # Each part has an etag; that of the object is made of theirs.
        parts = list(iter(lambda: Fileobj.read(PART_BYTES), b""))
        for part in parts:
            if Callback is not None:
                Callback(len(part))
        digest = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
        self.store(Bucket, Key, b"".join(parts), etag=f"{digest}-{len(parts)}")

    def _begin(self, operation: str, **arguments: Any) -> None:
        self.sent.append((operation, arguments))
        for name in (operation, arguments.get("Key")):
            if name in self._failures:
                raise self._failures[name]

    def _found(self, bucket: str, key: str, operation: str, code: str = "NoSuchKey") -> StoredObject:
        if (bucket, key) not in self.objects:
            raise refused(404, code, "Not Found", operation)
        return self.objects[bucket, key]

    def _listed(self, bucket: str, key: str) -> dict[str, Any]:
        found = self.objects[bucket, key]
        return {"Key": key, "ETag": f'"{found.etag}"', "Size": len(found.body), "LastModified": found.last_modified}

    def _described(self, found: StoredObject) -> dict[str, Any]:
        # HTTP has whole seconds, a listing has more.
        seconds = found.last_modified.replace(microsecond=0)
        return {"ETag": f'"{found.etag}"', "ContentLength": len(found.body), "LastModified": seconds, "ResponseMetadata": _metadata()}


def _metadata(status: int = 200) -> dict[str, Any]:
    return {"HTTPStatusCode": status, "HTTPHeaders": {}}


def _check_match(found: StoredObject, etag: str | None, operation: str) -> None:
    if etag is not None and etag.strip('"') not in ("*", found.etag):
        raise refused(412, "PreconditionFailed", operation=operation)


def _asked_range(text: str, size: int) -> slice:
    first, last = text.removeprefix("bytes=").split("-")
    begin, end = (max(size - int(last), 0), size) if not first else (int(first), min(int(last) + 1, size) if last else size)
    if begin >= size or end <= begin:
        raise refused(416, "InvalidRange", operation="GetObject")
    return slice(begin, end)


@dataclass(frozen=True)
class FakeFactory:
    """A factory of clients that can be pickled: a worker's client has a copy of the objects."""

    client: FakeS3

    def __call__(self) -> Any:
        return self.client


@dataclass
class Bucket:
    """A bucket of drops, and the files that a ledger would have booked for them."""

    client: FakeS3 = field(default_factory=FakeS3)
    files: list[ScanFile] = field(default_factory=list)
    name: str = "drops"

    def put(self, key: str, data: bytes, etag: str | None = None) -> ScanFile:
        """Store an object and book it as the next file."""
        stored = self.client.store(self.name, key, data, etag=etag)
        file = ScanFile(len(self.files) + 1, self.name, key, stored.etag, len(data))
        self.files.append(file)
        return file

    def overwrite(self, key: str, data: bytes) -> None:
        """Store another version, of which the ledger knows nothing."""
        self.client.store(self.name, key, data)

    def remove(self, key: str) -> None:
        """Remove an object, of which the ledger knows nothing."""
        del self.client.objects[self.name, key]

    @property
    def factory(self) -> FakeFactory:
        """Return what gives workers a client."""
        return FakeFactory(self.client)


@dataclass(frozen=True)
class Folder:
    """A factory of clients whose bucket is a folder: workers of another process write there."""

    root: Path

    def __call__(self) -> Folder:
        return self

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        path = self.root / Bucket / Key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as sink:
            sink.write(Body)


# MySQL


class FakeTx:
    """A transaction without a server: what a query finds is given, every change is kept.

    Args:
        answers: what queries find, in turn, each as the method that asks returns it.
        found: rows by how a query begins, or by a part of it; then `answers` are not used. A function is called for its rows.
        matched: how many rows an UPDATE finds; a function is asked with its values.
        number: what the first INSERT is numbered.
    """

    def __init__(
        self,
        *answers: Any,
        found: Mapping[str, Any] | None = None,
        matched: int | Callable[[Sequence[Any]], int] = 1,
        number: int = 1,
    ) -> None:
        self.answers = list(answers)
        self.found = found
        self.matched = matched
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.changes: list[tuple[str, Any]] = []
        self._numbers = itertools.count(number)

    def rows(self, sql: str, args: Sequence[Any] = ()) -> Any:
        return self._answer(sql, args, lambda rows: rows)

    def row(self, sql: str, args: Sequence[Any] = ()) -> Any:
        return self._answer(sql, args, lambda rows: next(iter(rows), None))

    def scalar(self, sql: str, args: Sequence[Any] = ()) -> Any:
        return self._answer(sql, args, lambda rows: next(iter(rows[0].values())) if rows else None)

    def pages(self, sql: str) -> Any:
        return iter([self._answer(sql, (), lambda rows: rows)])

    def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        self.changes.append((sql, tuple(args)))
        return self.matched(args) if callable(self.matched) else self.matched

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        self.changes.append((sql, [tuple(row) for row in rows]))
        return len(rows)

    def insert(self, sql: str, args: Sequence[Any]) -> int:
        self.changes.append((sql, tuple(args)))
        return next(self._numbers)

    def changed(self, text: str) -> list[Any]:
        """Return the values of all changes whose statement holds a text."""
        return [values for sql, values in self.changes if text in sql]

    def _answer(self, sql: str, args: Sequence[Any], part: Callable[[Any], Any]) -> Any:
        self.asked.append((sql, tuple(args)))
        if self.found is None:
            assert self.answers, f"one query too many: {sql}"
            return self.answers.pop(0)
        begins = [name for name in self.found if sql.startswith(name)]
        name = next(iter(begins or [name for name in self.found if name in sql]), None)
        assert name is not None, f"nothing is said of what this finds: {sql}"
        rows = self.found[name]
        return part(rows() if callable(rows) else rows)


class FakeDatabase:
    """A database without a server: all work is done on one fake transaction, and transactions are counted."""

    def __init__(self, *answers: Any, **settings: Any) -> None:
        self.tx = FakeTx(*answers, **settings)
        self.transactions = 0

    def run(self, work: Callable[[Any], Any]) -> Any:
        self.transactions += 1
        return work(self.tx)

    def single(self, work: Callable[[Any], Any]) -> Any:
        return work(self.tx)

    def pages(self, sql: str) -> Any:
        return self.tx.pages(sql)

    @property
    def asked(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return all queries with their values."""
        return self.tx.asked


class FakeLedger:
    """A ledger in memory: what waits, what is planned or requested, what is due to be archived, and which contents count."""

    def __init__(
        self,
        *keys: str,
        planned: Iterable[int] = (),
        operations: Iterable[int] = (),
        due: Sequence[SourceFile] = (),
        in_force: Mapping[str, int] | None = None,
    ) -> None:
        self.waiting = {f"sales_data/{key}": 10 for key in keys}
        self.known = set(self.waiting)
        self.claimed: list[list[str]] = []
        self.planned = list(planned)
        self.operations = list(operations)
        self.asked_behind: list[int] = []
        self.ignored: list[dict[str, Ignored]] = []
        self.retried = 0
        self.refused: list[int] = []
        self.due = list(due)
        self.noted: list[tuple[int, str | None, str | None]] = []
        self.in_force = dict(in_force or {})

    def retry_unreadable(self, limit: int) -> int:
        self.retried += 1
        return 0

    def archive_refused(self, file_id: int) -> None:
        self.refused.append(file_id)

    def record_ignored(self, found: Mapping[str, Ignored]) -> None:
        self.ignored.append(dict(found))

    def next_batch(self, after: int) -> int | None:
        self.asked_behind.append(after)
        return next((number for number in self.planned if number > after), None)

    def claim_operation(self) -> int | None:
        return self.operations.pop(0) if self.operations else None

    def claimable(self, max_files: int) -> tuple[int, int]:
        sizes = list(self.waiting.values())[:max_files]
        return len(sizes), sum(sizes)

    def discover(self, versions: Iterable[ObjectVersion]) -> int:
        new = {version.key: version.size for version in versions if version.key not in self.known}
        self.known |= set(new)
        self.waiting |= new
        return len(new)

    def claim_files(self, max_files: int, max_bytes: int) -> int | None:
        taken = list(self.waiting)[:max_files]
        if not taken:
            return None
        for key in taken:
            del self.waiting[key]
        self.claimed.append([key.removeprefix("sales_data/") for key in taken])
        return 100 + len(self.claimed)

    def archive_due(self, limit: int) -> list[SourceFile]:
        return [file for file in self.due if file.id not in [noted[0] for noted in self.noted]][:limit]

    def archived(self, file_id: int, key: str | None, etag: str | None) -> None:
        self.noted.append((file_id, key, etag))

    def files_in_force(self, digests: set[bytes], but: Collection[int]) -> dict[bytes, int]:
        return {digest: self.in_force[digest.decode()] for digest in digests if digest.decode() in self.in_force}


class PliantS3:
    """A client of one bucket whose every answer a test may replace: for servers that contradict themselves. Notes copies and deletions."""

    def __init__(self, *versions: ObjectVersion, page: int = 2, fault: Exception | None = None) -> None:
        self.objects = {version.key: version for version in versions}
        self.page = page
        self.fault = fault
        # Refusals of copies and deletions alone, and what happens right before them.
        self.faults: dict[str, Exception] = {}
        self.before: dict[str, Callable[[], Any]] = {}
        self.copied: list[dict[str, Any]] = []
        self.deleted: list[dict[str, Any]] = []
        self.pages: list[int] = []
        self.bodies: dict[str, bytes] = {}

    def list_objects_v2(self, *, Bucket: str, Prefix: str, StartAfter: str) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        found = [v for key, v in sorted(self.objects.items()) if key.startswith(Prefix) and key > StartAfter]
        contents = [{"Key": v.key, "ETag": f'"{v.etag}"', "Size": v.size, "LastModified": v.last_modified} for v in found[: self.page]]
        return {"Contents": contents, "IsTruncated": len(found) > self.page} if contents else {"IsTruncated": False}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.objects:
            raise self.fault or refused(404, "404", "Not Found")
        found = self.objects[Key]
        return {"ETag": f'"{found.etag}"', "ContentLength": found.size, "LastModified": found.last_modified.replace(microsecond=0)}

    def refuse(self, fault: Exception) -> Any:
        raise fault

    def _ask(self, name: str) -> None:
        self.before.get(name, lambda: None)()
        fault = self.fault or self.faults.get(name)
        if fault:
            raise fault

    def get_object(self, *, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        """The etag is the content here."""
        if Key not in self.objects:
            raise refused(404, "NoSuchKey")
        return {"Body": io.BytesIO(self.bodies.get(Key, self.objects[Key].etag.encode().ljust(3)))}

    def copy_object(self, **request: Any) -> dict[str, Any]:
        self._ask("copy")
        self.copied.append(request)
        return {"CopyObjectResult": {"ETag": '"copied"'}}

    def delete_object(self, **request: Any) -> None:
        self._ask("delete")
        self.deleted.append(request)

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        self.pages.append(len(Delete["Objects"]))
        for item in Delete["Objects"]:
            self.objects.pop(item["Key"], None)
        return {"Errors": [{"Key": "k", "Code": "AccessDenied", "Message": "no"}]} if self.fault else {}
