"""The bucket in memory that unit tests use answers as a real server does: both are asked the same, and must say the same."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.config.load import load_config
from app.local import LocalEnv
from app.s3.read import make_client
from tests.doubles import FakeS3

OTHER = "0" * 32
Ask = Callable[[Any, str], Any]


@pytest.fixture(scope="module")
def server(servers: LocalEnv) -> tuple[Any, str]:
    client = make_client(load_config("dev", environ={}, defaults=servers.variables()).s3, attempts=1)
    bucket = f"double{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=bucket)
    return client, bucket


def told(ask: Ask, client: Any, bucket: str) -> Any:
    """Return the answer, or the status of the refusal."""
    try:
        return ask(client, bucket)
    except ClientError as exc:
        return exc.response["ResponseMetadata"]["HTTPStatusCode"]


def put(client: Any, bucket: str, key: str, body: bytes = b"0123456789") -> str:
    return str(client.put_object(Bucket=bucket, Key=key, Body=body)["ETag"])


def listed(client: Any, bucket: str, **query: Any) -> Any:
    answer = client.list_objects_v2(Bucket=bucket, **query)
    found = [(one["Key"], one["Size"], one["ETag"]) for one in answer.get("Contents", []) if not one["Key"].endswith("/")]
    return found, bool(answer.get("IsTruncated"))


def body(client: Any, bucket: str, key: str, **query: Any) -> Any:
    answer = client.get_object(Bucket=bucket, Key=key, **query)
    return answer["Body"].read(), answer["ETag"], answer["ContentLength"]


def all_pages(client: Any, bucket: str) -> list[str]:
    keys: list[str] = []
    query: dict[str, Any] = {}
    while True:
        answer = client.list_objects_v2(Bucket=bucket, Prefix="p/", MaxKeys=2, **query)
        keys += [one["Key"] for one in answer["Contents"]]
        if not answer["IsTruncated"]:
            return keys
        query = {"ContinuationToken": answer["NextContinuationToken"]}


def copied(client: Any, bucket: str, key: str, **query: Any) -> Any:
    answer = client.copy_object(Bucket=bucket, Key="c/target", CopySource={"Bucket": bucket, "Key": key}, **query)
    return answer["CopyObjectResult"]["ETag"].strip('"'), body(client, bucket, "c/target")[0]


def deleted(client: Any, bucket: str) -> Any:
    put(client, bucket, "d/one")
    put(client, bucket, "d/two")
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "d/one"}, {"Key": "d/none"}], "Quiet": True})
    client.delete_object(Bucket=bucket, Key="d/never")
    return [key for key, _, _ in listed(client, bucket, Prefix="d/")[0]]


def headed(client: Any, bucket: str, key: str) -> Any:
    answer = client.head_object(Bucket=bucket, Key=key)
    return answer["ETag"], answer["ContentLength"], answer["LastModified"].microsecond


QUESTIONS: dict[str, Ask] = {
    "the etag of a put": lambda client, bucket: put(client, bucket, "p/a"),
    "a put of an open file": lambda client, bucket: client.put_object(Bucket=bucket, Key="p/file", Body=io.BytesIO(b"x"))["ETag"],
    "a listing": lambda client, bucket: listed(client, bucket, Prefix="p/"),
    "a listing after a key": lambda client, bucket: listed(client, bucket, Prefix="p/", StartAfter="p/b"),
    "a listing cut short": lambda client, bucket: listed(client, bucket, Prefix="p/", MaxKeys=2),
    "a listing of nothing": lambda client, bucket: listed(client, bucket, Prefix="nothing/"),
    "all pages": all_pages,
    "a head": lambda client, bucket: headed(client, bucket, "p/b"),
    "a head of nothing": lambda client, bucket: headed(client, bucket, "p/none"),
    "a whole object": lambda client, bucket: body(client, bucket, "p/b"),
    "a range": lambda client, bucket: body(client, bucket, "p/b", Range="bytes=2-4"),
    "a range beyond the end": lambda client, bucket: body(client, bucket, "p/b", Range="bytes=8-99"),
    "a range without an end": lambda client, bucket: body(client, bucket, "p/b", Range="bytes=7-"),
    "the last bytes": lambda client, bucket: body(client, bucket, "p/b", Range="bytes=-3"),
    "a range behind the end": lambda client, bucket: body(client, bucket, "p/b", Range="bytes=10-12"),
    "an object that is not there": lambda client, bucket: body(client, bucket, "p/none"),
    "the version that is there": lambda client, bucket: body(client, bucket, "p/b", IfMatch=put(client, bucket, "p/b")),
    "another version": lambda client, bucket: body(client, bucket, "p/b", IfMatch=OTHER),
    "a copy of the version that is there": lambda client, bucket: copied(
        client, bucket, "p/b", CopySourceIfMatch=put(client, bucket, "p/b").strip('"')
    ),
    "a copy of another version": lambda client, bucket: copied(client, bucket, "p/b", CopySourceIfMatch=OTHER),
    "a copy of nothing": lambda client, bucket: copied(client, bucket, "p/none"),
    "deletions": deleted,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_double_and_the_server_give_one_answer(server: tuple[Any, str], question: str) -> None:
    fake = FakeS3()
    for client, bucket in (server, (fake, "lake")):
        for key in ("p/a", "p/b", "p/c", "q/x"):
            put(client, bucket, key)
    if question != "a put of an open file":
        server[0].delete_object(Bucket=server[1], Key="p/file")
    assert told(QUESTIONS[question], fake, "lake") == told(QUESTIONS[question], *server)


def test_a_download_and_an_upload_in_parts_keep_their_bytes(server: tuple[Any, str], tmp_path: Path) -> None:
    data = bytes(range(256)) * (40 << 10)  # 10 MB: two parts
    etags = []
    for client, bucket in (server, (FakeS3(), "lake")):
        client.upload_fileobj(io.BytesIO(data), bucket, "u/large")
        etags.append(client.head_object(Bucket=bucket, Key="u/large")["ETag"])
        client.download_file(bucket, "u/large", str(tmp_path / "back"))
        assert (tmp_path / "back").read_bytes() == data
    assert etags[0] == etags[1]
    for client, bucket in (server, (FakeS3(), "lake")):
        with pytest.raises(ClientError) as caught:
            client.download_file(bucket, "u/none", str(tmp_path / "none"))
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
