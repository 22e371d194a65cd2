"""What servers answer out of turn: looks that contradict each other, listings in another order, requests that they do not know."""

import hashlib
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
)
from pydantic import SecretStr

from app.config.load import Config
from app.errors import S3Error, S3Unavailable
from app.ledger.types import SourceFile
from app.s3.read import (
    SECOND_LOOK_SECONDS,
    Answer,
    Listing,
    ObjectVersion,
    Seen,
    ask_for,
    head,
    is_readable_prefix,
    list_all,
    look,
    look_twice,
    make_client,
)
from app.s3.write import copy_version, delete_keys, delete_version, write_object
from tests.doubles import PliantS3

AT = datetime(2024, 1, 1, 10, 0, 0, 999000, tzinfo=UTC)


VERSION = ObjectVersion("lake", "sales_data/a.csv", "e1", 3, AT)


URL = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.s3.read.time.sleep", lambda _seconds: None)


def refused(status: int, code: str = "Code", message: str = "message") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


GONE_OR_NOT = [refused(404, "NoSuchKey"), refused(412, "PreconditionFailed")]


@pytest.mark.parametrize("fault", GONE_OR_NOT, ids=["404", "412"])
def test_a_version_that_is_still_there_when_its_copy_is_refused_is_a_fault_of_s3(fault: Exception) -> None:
    client = PliantS3(VERSION)
    client.faults["copy"] = fault
    with pytest.raises(S3Unavailable, match="although the booked version is still there"):
        copy_version(client, VERSION, "x")


def test_a_missing_bucket_is_no_missing_object() -> None:
    with pytest.raises(S3Unavailable, match="NoSuchBucket"):
        copy_version(PliantS3(VERSION, fault=refused(404, "NoSuchBucket")), VERSION, "x")


@pytest.mark.parametrize("fault", GONE_OR_NOT, ids=["404", "412"])
def test_a_version_that_is_still_there_when_its_deletion_is_refused_is_a_fault_of_s3(fault: Exception) -> None:
    client = PliantS3(VERSION)
    client.faults["delete"] = fault
    with pytest.raises(S3Unavailable, match="although the booked version is still there"):
        delete_version(client, VERSION)


@pytest.mark.parametrize("fault", [refused(501, "NotImplemented"), refused(400, "InvalidArgument")], ids=["501", "400"])
def test_a_server_without_conditional_deletes_is_looked_at_and_then_told_to_delete(fault: Exception) -> None:
    client = PliantS3(VERSION)
    client.delete_object = lambda **request: client.refuse(fault) if "IfMatch" in request else client.deleted.append(request)
    assert delete_version(client, VERSION)
    assert client.deleted == [{"Bucket": "lake", "Key": VERSION.key}]


def test_a_head_that_finds_nothing_is_believed_only_when_the_listing_agrees() -> None:
    client = PliantS3(VERSION)
    client.head_object = lambda **_: client.refuse(refused(404, "404"))
    with pytest.raises(S3Unavailable, match="HEAD answers 404, but the listing shows the object"):
        head(client, "lake", VERSION.key)
    client.fault = refused(404, "NoSuchBucket")
    with pytest.raises(S3Unavailable, match="NoSuchBucket"):
        head(client, "lake", VERSION.key)


def test_an_object_is_called_missing_after_a_second_look() -> None:
    client, looks = PliantS3(), []
    assert look_twice(client, VERSION, looks.append) is Seen.MISSING
    assert looks == [SECOND_LOOK_SECONDS]
    assert look_twice(client, VERSION, lambda _: client.objects.update({VERSION.key: VERSION})) is Seen.SAME


@pytest.mark.parametrize("seconds", [1, 3600])
def test_a_head_that_rounds_the_time_otherwise_than_the_listing_shows_the_same_version(seconds: int) -> None:
    client = PliantS3(VERSION)
    shown = client.head_object
    client.head_object = lambda **request: shown(**request) | {"LastModified": AT.replace(microsecond=0) + timedelta(seconds=seconds)}
    assert look(client, VERSION) is Seen.SAME
    assert delete_version(client, VERSION)


def test_where_a_head_is_refused_the_listing_tells() -> None:
    client = PliantS3(VERSION)
    client.head_object = lambda **_: client.refuse(refused(400, "400", "Bad Request"))
    assert look(client, VERSION) is Seen.SAME
    client.objects[VERSION.key] = replace(VERSION, etag="e2")
    assert look(client, VERSION) is Seen.OTHER
    client.objects.clear()
    assert look(client, VERSION) is Seen.MISSING
    client.fault = refused(400, "ExpiredToken")
    with pytest.raises(S3Error, match="ExpiredToken"):
        look(client, VERSION)


def test_a_server_whose_head_and_listing_have_two_etags_is_a_fault_and_no_new_version() -> None:
    client = PliantS3(VERSION)
    shown = client.head_object
    client.head_object = lambda **request: shown(**request) | {"ETag": '"other"'}
    with pytest.raises(S3Unavailable, match="HEAD shows etag other and 3 bytes, the listing etag e1 and 3 bytes"):
        look(client, VERSION)
    client.objects[VERSION.key] = replace(VERSION, etag="e2")
    assert look(client, VERSION) is Seen.OTHER


class Habit(PliantS3):
    """A server with a habit: lists in another order, ignores StartAfter, shows empty pages, or does not get on. Has page tokens."""

    def __init__(self, count: int, habit: str, page: int = 3) -> None:
        super().__init__(*[replace(VERSION, key=f"p/k={number:03}") for number in range(count)], page=page)
        self.habit = habit
        self.requests = 0

    def list_objects_v2(self, *, Bucket: str, Prefix: str, StartAfter: str = "", ContinuationToken: str = "") -> dict[str, Any]:
        self.requests += 1
        assert self.requests < 100, "the walk does not end"
        keys = sorted(self.objects)
        if self.habit == "shuffled":
            keys = sorted(keys, key=lambda key: hashlib.md5(key.encode()).digest())
        elif self.habit == "backwards":
            keys.reverse()
        at = int(ContinuationToken or 0)
        if StartAfter and self.habit not in ("ignores StartAfter", "backwards"):
            keys = [key for key in keys if key > StartAfter]
        if self.habit == "empty pages" and at % 2 == 0:
            return {"IsTruncated": True, "NextContinuationToken": str(at + 1)}
        start = at // 2 * self.page if self.habit == "empty pages" else at
        shown = [self.objects[key] for key in keys[start : start + self.page]]
        more = start + self.page < len(keys)
        token = "0" if self.habit == "stuck" else str(at + 1 if self.habit == "empty pages" else at + self.page)
        contents = [{"Key": v.key, "ETag": v.etag, "Size": v.size, "LastModified": v.last_modified} for v in shown]
        return {"Contents": contents, "IsTruncated": more, **({"NextContinuationToken": token} if more else {})}


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
@pytest.mark.parametrize("habit", ["by key", "shuffled", "backwards", "ignores StartAfter", "empty pages"])
def test_a_walk_yields_every_key_once_whatever_the_order_of_the_server(habit: str, count: int) -> None:
    client = Habit(count, habit)
    assert sorted(version.key for version in list_all(client, "lake", "p/")) == sorted(client.objects)


def test_a_listing_that_does_not_get_on_is_an_error_and_no_short_answer() -> None:
    client = Habit(10, "stuck")
    client.list_objects_v2 = lambda **_: {"IsTruncated": True}
    with pytest.raises(S3Error, match="says that more follows and does not get on"):
        list(list_all(client, "lake", "p/"))


def test_a_listing_in_the_order_of_java_is_one_by_key() -> None:
    # An emoji comes before a full-width letter in UTF-16, and after it in UTF-8.
    keys = ["p/\U0001f600", "p/\uff41"]
    client = PliantS3(*[replace(VERSION, key=key) for key in keys])
    contents = [{"Key": key, "ETag": "e", "Size": 1, "LastModified": AT} for key in keys]
    client.list_objects_v2 = lambda **_: {"Contents": contents, "IsTruncated": False}
    listing = Listing(client, "lake", "p/")
    assert [version.key for version in listing.page(start_after="")[0]] == keys
    assert not listing.by_token


@pytest.mark.parametrize("habit", ["by key", "shuffled", "backwards", "ignores StartAfter"])
def test_a_planner_like_walk_by_pages_sees_every_key(habit: str) -> None:
    client = Habit(10, habit)
    listing, at, more, seen = Listing(client, "lake", "p/"), "", True, set()
    while more:
        page, more = listing.page(start_after=at)
        seen |= {version.key for version in page}
        at = page[-1].key
    assert seen == set(client.objects)


def test_puts_and_bulk_deletes_carry_the_checksum_that_every_server_knows(config: Config) -> None:
    sent: dict[str, str] = {}

    def keep(request: Any, event_name: str, **_: Any) -> Any:
        value = request.headers["Content-MD5"]
        sent[event_name.rpartition(".")[2]] = value.decode() if isinstance(value, bytes) else value
        raise EndpointConnectionError(endpoint_url=URL)

    keys = {"access_key_id": "key", "secret_access_key": SecretStr("secret")}
    client = make_client(config.s3.model_copy(update=keys), attempts=1)
    client.meta.events.register("before-send.s3", keep)
    with pytest.raises(S3Unavailable):
        write_object(client, "lake", "a", b"body")
    with pytest.raises(EndpointConnectionError):
        client.put_object(Bucket="lake", Key="a", Body=io.BytesIO(b"body"))
    with pytest.raises(EndpointConnectionError):
        client.upload_part(Bucket="lake", Key="a", UploadId="1", PartNumber=1, Body=b"body")
    assert sent == dict.fromkeys(["PutObject", "UploadPart"], "hBotaJrYa9FhFEdFPCLG/A==")
    with pytest.raises(S3Unavailable):
        delete_keys(client, "lake", ["a"])
    assert set(sent) == {"PutObject", "UploadPart", "DeleteObjects"}


@pytest.mark.parametrize("fault", [refused(400, "MissingContentMD5"), refused(501, "NotImplemented"), refused(400, "InvalidDigest")])
def test_a_server_without_bulk_delete_is_asked_for_each_key(fault: ClientError) -> None:
    client = PliantS3()
    client.delete_objects = lambda **_: client.refuse(fault)
    delete_keys(client, "lake", ["a", "b", "c"])
    assert sorted(request["Key"] for request in client.deleted) == ["a", "b", "c"]


def test_a_bulk_delete_that_may_not_be_is_no_reason_to_try_each_key() -> None:
    client = PliantS3()
    client.delete_objects = lambda **_: client.refuse(refused(403, "AccessDenied"))
    with pytest.raises(S3Error, match="403 AccessDenied"):
        delete_keys(client, "lake", ["a"])
    assert client.deleted == []


def test_a_key_that_the_server_is_too_busy_to_delete_may_be_tried_again() -> None:
    client = PliantS3()
    client.delete_objects = lambda **_: {"Errors": [{"Key": "a", "Code": "SlowDown", "Message": "later"}]}
    with pytest.raises(S3Unavailable, match="s3://lake/a: SlowDown later"):
        delete_keys(client, "lake", ["a"])


def finished(key: str, state: str = "COMMITTED", number: int = 42) -> SourceFile:
    return SourceFile(number, replace(VERSION, key=key), state, datetime(2024, 5, 1, 23, 59))


FOLDER = "sales_data_processed/2024-05-01/42/"  # 35 bytes: a name may have 989


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (None, Answer.GIVEN),
        (refused(404, "NoSuchKey"), Answer.NOT_THERE),
        (refused(412, "PreconditionFailed"), Answer.NOT_THERE),
        (refused(403, "AccessDenied"), Answer.REFUSED),
        (refused(404, "NoSuchBucket"), Answer.REFUSED),
    ],
)
def test_who_is_told_that_an_object_is_not_there_may_read(fault: ClientError | None, answer: Answer) -> None:
    client = PliantS3(VERSION)
    if fault is not None:
        client.get_object = lambda **_: client.refuse(fault)
        assert is_readable_prefix(client, "lake", "x") == (fault.response["Error"]["Code"] == "NoSuchKey")
    assert ask_for(client, VERSION) is answer


def test_a_server_that_is_away_tells_nothing_of_rights() -> None:
    client = PliantS3(VERSION)
    client.get_object = lambda **_: client.refuse(refused(503, "SlowDown"))
    with pytest.raises(S3Unavailable):
        ask_for(client, VERSION)
    with pytest.raises(S3Unavailable):
        is_readable_prefix(client, "lake", "x")
