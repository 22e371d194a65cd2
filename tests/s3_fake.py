"""A stand-in for the boto3 client of the scan: objects in a dict, reads by range and etag, faults on demand. It can be pickled."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from app.source.splits import ScanFile

BUCKET = "drops"


class BrokenBody(io.BytesIO):
    """A body whose connection breaks after so many bytes."""

    def __init__(self, data: bytes, breaks_after: int) -> None:
        super().__init__(data)
        self._left = breaks_after

    def read(self, size: int | None = -1, /) -> bytes:
        if self._left <= 0:
            raise ReadTimeoutError(endpoint_url="http://s3")
        data = super().read(min(size if size and size > 0 else self._left, self._left))
        self._left -= len(data)
        return data


@dataclass
class FakeClient:
    objects: dict[str, bytes]
    etags: dict[str, str]
    requests: list[dict[str, Any]] = field(default_factory=list)
    # So many GETs break after so many bytes.
    broken_gets: int = 0
    breaks_after: int = 10

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        key = request["Key"]
        if key not in self.objects:
            raise _refused(404, "NoSuchKey")
        if request["IfMatch"] != self.etags[key]:
            raise _refused(412, "PreconditionFailed")
        data = self.objects[key]
        if "Range" in request:
            first, last = request["Range"].removeprefix("bytes=").split("-")
            data = data[int(first) : int(last) + 1]
        if self.broken_gets > 0:
            self.broken_gets -= 1
            return {"Body": BrokenBody(data, self.breaks_after)}
        return {"Body": io.BytesIO(data)}


@dataclass(frozen=True)
class FakeFactory:
    """Gives a worker the objects; every call makes a client of its own, as requests are not looked at there."""

    objects: tuple[tuple[str, bytes], ...]
    etags: tuple[tuple[str, str], ...]

    def __call__(self) -> Any:
        return FakeClient(dict(self.objects), dict(self.etags))


@dataclass
class Bucket:
    """Objects put so far, and the files that a ledger would have booked for them."""

    objects: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    files: list[ScanFile] = field(default_factory=list)

    def put(self, key: str, data: bytes, etag: str | None = None) -> ScanFile:
        self.objects[key] = data
        self.etags[key] = etag or hashlib.md5(data).hexdigest()
        file = ScanFile(len(self.files) + 1, BUCKET, key, self.etags[key], len(data))
        self.files.append(file)
        return file

    @property
    def client(self) -> FakeClient:
        return FakeClient(self.objects, self.etags)

    @property
    def factory(self) -> FakeFactory:
        return FakeFactory(tuple(self.objects.items()), tuple(self.etags.items()))


def _refused(status: int, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


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
