"""Reading exactly the booked bytes, whatever happens to the connection and to the object."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import S3Error, S3Unavailable
from app.source import ranges
from app.source.ranges import FileLost, RangeReader, unzipped
from app.source.splits import ScanFile
from tests.doubles import Bucket, refused

DATA = bytes(range(256)) * 10


@pytest.fixture
def bucket() -> Bucket:
    bucket = Bucket()
    bucket.put("a//b [1].csv", DATA)
    return bucket


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _seconds: None)
    monkeypatch.setattr("app.s3.read.time.sleep", lambda _seconds: None)


def drain(reader: RangeReader, size: int = 100) -> bytes:
    data = b""
    while chunk := reader.read(size):
        data += chunk
    return data


def test_a_whole_file_is_one_get_with_its_etag(bucket: Bucket) -> None:
    client = bucket.client
    assert drain(RangeReader(client, bucket.files[0], 0, len(DATA))) == DATA
    assert client.requests("get_object") == [{"Bucket": "drops", "Key": "a//b [1].csv", "IfMatch": bucket.files[0].etag}]


def test_a_range_goes_on_behind_its_end(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "BEHIND_BYTES", 1000)
    client = bucket.client
    assert drain(RangeReader(client, bucket.files[0], 10, 200)) == DATA[10:]
    assert [request["Range"] for request in client.requests("get_object")] == [
        "bytes=10-199",
        "bytes=200-1199",
        "bytes=1200-2199",
        "bytes=2200-2559",
    ]


def test_an_empty_object_is_read_as_nothing() -> None:
    bucket = Bucket()
    file = bucket.put("empty.csv", b"")
    client = bucket.client
    assert drain(RangeReader(client, file, 0, 0)) == b""
    assert len(client.requests("get_object")) == 1


def test_a_broken_connection_is_resumed_where_it_broke(bucket: Bucket) -> None:
    client = bucket.client
    client.broken_gets, client.breaks_after = 2, 150
    assert drain(RangeReader(client, bucket.files[0], 0, len(DATA))) == DATA
    assert [request.get("Range") for request in client.requests("get_object")] == [None, "bytes=150-2559", "bytes=300-2559"]
    assert {request["IfMatch"] for request in client.requests("get_object")} == {bucket.files[0].etag}


def test_a_connection_that_breaks_again_and_again_is_given_up(bucket: Bucket) -> None:
    client = bucket.client
    client.broken_gets, client.breaks_after = 1000, 0
    with pytest.raises(S3Unavailable):
        RangeReader(client, bucket.files[0], 0, len(DATA)).read(10)
    assert len(client.requests("get_object")) == ranges.ATTEMPTS


def test_a_body_that_ends_too_early_is_resumed(bucket: Bucket) -> None:
    client = bucket.client
    client.broken_gets, client.breaks_after, client.breaks_silently = 2, 150, True
    assert drain(RangeReader(client, bucket.files[0], 0, len(DATA))) == DATA
    assert [request.get("Range") for request in client.requests("get_object")] == [None, "bytes=150-2559", "bytes=300-2559"]


def test_a_body_that_ends_too_early_again_and_again_is_given_up(bucket: Bucket) -> None:
    client = bucket.client
    client.broken_gets, client.breaks_after, client.breaks_silently = 1000, 0, True
    with pytest.raises(S3Unavailable, match="ended at byte 0 of 2560"):
        drain(RangeReader(client, bucket.files[0], 0, len(DATA)))
    assert len(client.requests("get_object")) == ranges.ATTEMPTS


def test_an_object_shorter_than_booked_is_another_version(bucket: Bucket) -> None:
    short = bucket.files[0]
    longer = ScanFile(short.file_id, short.bucket, short.key, short.etag, short.size + 1)
    with pytest.raises(FileLost) as lost:
        drain(RangeReader(bucket.client, longer, 0, longer.size))
    assert lost.value.code == "OVERWRITTEN"


def test_an_overwritten_object_is_told_from_one_that_is_gone(bucket: Bucket) -> None:
    file = bucket.files[0]
    bucket.overwrite(file.key, b"other")
    with pytest.raises(FileLost) as lost:
        RangeReader(bucket.client, file, 0, file.size).read(10)
    assert lost.value.code == "OVERWRITTEN"
    bucket.remove(file.key)
    with pytest.raises(FileLost) as lost:
        RangeReader(bucket.client, file, 0, file.size).read(10)
    assert lost.value.code == "GONE"


def test_an_object_overwritten_while_it_is_read_is_noticed_when_the_connection_breaks(bucket: Bucket) -> None:
    client = bucket.client
    client.broken_gets, client.breaks_after = 1, 100
    reader = RangeReader(client, bucket.files[0], 0, len(DATA))
    assert reader.read(100) == DATA[:100]
    bucket.overwrite(bucket.files[0].key, DATA[::-1])
    with pytest.raises(FileLost):
        reader.read(100)


def test_a_refusal_is_an_error_of_its_own(bucket: Bucket) -> None:
    client = bucket.client.failing(refused(403, "AccessDenied"), "get_object")
    with pytest.raises(S3Error, match="403 AccessDenied"):
        RangeReader(client, bucket.files[0], 0, 10).read(10)


@pytest.mark.parametrize(("status", "code"), [(404, "NoSuchKey"), (412, "PreconditionFailed"), (416, "InvalidRange")])
def test_a_booked_version_that_get_denies_and_the_listing_shows_is_a_fault_of_s3(bucket: Bucket, status: int, code: str) -> None:
    client, file = bucket.client, bucket.files[0]
    gets = []
    client.get_object = lambda **request: gets.append(request) or (_ for _ in ()).throw(refused(status, code))
    with pytest.raises(S3Unavailable, match=f"GET answers {status} {code}, although HEAD and listing show the booked version"):
        RangeReader(client, file, 0, file.size).read(10)
    assert len(gets) == ranges.ATTEMPTS


@pytest.mark.parametrize("code", ["NoSuchBucket", "InjectedFault", "404"])
def test_only_a_missing_key_is_a_missing_object(bucket: Bucket, code: str) -> None:
    client, file = bucket.client, bucket.files[0]
    bucket.remove(file.key)
    client.get_object = lambda **_: (_ for _ in ()).throw(refused(404, code))
    with pytest.raises(S3Unavailable, match=f"404 {code}"):
        RangeReader(client, file, 0, file.size).read(10)


def test_a_moment_without_the_object_is_got_over(bucket: Bucket) -> None:
    client, file = bucket.client, bucket.files[0]
    answers = iter([refused(404, "NoSuchKey"), refused(404, "NoSuchBucket"), refused(412, "PreconditionFailed")])
    real = client.get_object

    def get_object(**request: object) -> object:
        fault = next(answers, None)
        if fault is not None:
            raise fault
        return real(**request)

    client.get_object = get_object
    assert drain(RangeReader(client, file, 0, file.size)) == DATA


def test_a_server_that_ignores_the_condition_of_a_get_does_not_give_another_version_for_the_booked_one(bucket: Bucket) -> None:
    client, file = bucket.client, bucket.files[0]
    real = client.get_object
    bucket.put(file.key, b"x" * file.size, etag="new")
    client.get_object = lambda **request: real(**request | {"IfMatch": "new"}) | {"ETag": '"new"'}
    with pytest.raises(FileLost) as lost:
        RangeReader(client, file, 0, file.size).read(10)
    assert lost.value.code == "OVERWRITTEN"


# What a server answers to `bytes=100-` of an object, or to a request for all of it, other than the bytes that it stores there.
ODD_ANSWERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "the whole object for a range": lambda stored: {"Body": io.BytesIO(stored), "ContentLength": len(stored)},
    "the whole object for a range, without a length": lambda stored: {"Body": io.BytesIO(stored)},
    "another range": lambda stored: {
        "Body": io.BytesIO(stored[50:-50]),
        "ContentLength": len(stored) - 100,
        "ContentRange": f"bytes 50-{len(stored) - 51}/{len(stored)}",
    },
    "more than it stores": lambda stored: {"Body": io.BytesIO(stored * 9), "ContentLength": 9 * len(stored), "ContentEncoding": "gzip"},
    "more than it stores, without a length": lambda stored: {"Body": io.BytesIO(stored * 9)},
    "less than it stores": lambda stored: {"Body": io.BytesIO(stored[:-120]), "ContentLength": len(stored) - 120},
}


@pytest.mark.parametrize("begin", [0, 100])
@pytest.mark.parametrize("odd", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_a_server_that_gives_other_bytes_than_were_asked_for_is_never_believed(
    bucket: Bucket, odd: Callable[[Any], dict[str, Any]], begin: int
) -> None:
    """Google Cloud Storage unpacks what was stored with Content-Encoding: gzip, and then ignores the range; so do some gateways."""
    client, file = bucket.client, bucket.files[0]
    client.get_object = lambda **_: {"ETag": f'"{file.etag}"', **odd(DATA)}
    whole_object = len(odd(DATA)["Body"].read()) == len(DATA)
    reader = RangeReader(client, file, begin, file.size)
    if begin == 0 and whole_object:
        assert drain(reader, 1000) == DATA
        return
    with pytest.raises(S3Unavailable, match=r"GET gives .* although HEAD and listing show the booked version"):
        drain(reader, 1000)


def test_an_answer_without_a_length_is_read_to_its_end(bucket: Bucket) -> None:
    client, file = bucket.client, bucket.files[0]
    real = client.get_object
    client.get_object = lambda **request: {name: value for name, value in real(**request).items() if name != "ContentLength"}
    assert drain(RangeReader(client, file, 0, file.size), 1000) == DATA
    assert drain(RangeReader(client, file, 100, 200), 1000) == DATA[100:]


@pytest.mark.parametrize(
    ("status", "code", "message", "meaning"),
    [
        (403, "InvalidObjectState", "The operation is not valid for the object's storage class", "OBJECT_REFUSED"),
        (400, "InvalidRequest", "The object was stored using a form of Server Side Encryption.", "OBJECT_REFUSED"),
        (403, "AccessDenied", "not authorized to perform: kms:Decrypt", "REFUSED"),
        (501, "NotImplemented", "", "REFUSED"),
        (400, "ExpiredToken", "The provided token has expired.", None),
        (403, "InvalidAccessKeyId", "", None),
        (403, "SignatureDoesNotMatch", "", None),
    ],
)
def test_a_refusal_is_about_the_object_or_about_who_asks(bucket: Bucket, status: int, code: str, message: str, meaning: str | None) -> None:
    from botocore.exceptions import ClientError

    client = bucket.client
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    client.get_object = lambda **_: (_ for _ in ()).throw(ClientError(answer, "GetObject"))
    with pytest.raises(S3Error) as refusal:
        RangeReader(client, bucket.files[0], 0, 10).read(10)
    assert ranges.refusal_of(refusal.value) == meaning


def chunked(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 13, 100_000])
@pytest.mark.parametrize("out", [7, 1000, 1 << 20])
def test_gzip_is_unpacked_in_pieces_whatever_their_size(size: int, out: int) -> None:
    text = b"abc,def\n" * 500
    pieces = list(unzipped(iter(chunked(gzip.compress(text), size)), out))
    assert b"".join(pieces) == text
    assert max(len(piece) for piece in pieces) <= out


def test_members_follow_each_other_and_may_be_padded() -> None:
    data = gzip.compress(b"one\n") + gzip.compress(b"") + gzip.compress(b"two\n") + b"\0" * 20
    assert b"".join(unzipped(iter(chunked(data, 5)), 100)) == b"one\ntwo\n"


def test_a_bomb_is_unpacked_in_bounded_pieces() -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    sizes = [len(piece) for piece in unzipped(iter(chunked(bomb, 999)), 1 << 16)]
    assert max(sizes) <= 1 << 16
    assert sum(sizes) == 20_000_000


def test_what_is_no_gzip_passes_unchanged() -> None:
    assert list(unzipped(iter([b"a,b\n", b"c"]), 100)) == [b"a,b\n", b"c"]
    assert b"".join(unzipped(iter([]), 100)) == b""


@pytest.mark.parametrize("where", [12, 60, -5])
def test_damaged_gzip_is_unreadable(where: int) -> None:
    text = random.Random(3).randbytes(4000)
    damaged = bytearray(gzip.compress(text))
    damaged[where] ^= 0xFF
    with pytest.raises(FileLost) as lost:
        list(unzipped(iter([bytes(damaged)]), 1000))
    assert lost.value.code == "UNREADABLE"


def test_truncated_gzip_and_trailing_garbage_are_unreadable() -> None:
    data = gzip.compress(b"abc\n" * 100)
    for broken in (data[:-1], data[:20], data + b"garbage"):
        with pytest.raises(FileLost):
            list(unzipped(iter([broken]), 1000))
