"""Objects of more than a gigabyte are copied part by part, as one request takes no more than five."""

from __future__ import annotations

import dataclasses

import pytest

from app.s3 import write
from app.s3.read import head
from app.s3.write import copy_version
from tests.world import World

pytestmark = pytest.mark.integration

BODY = b"0123456789abcdef" * (11 << 16)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "MULTIPART_COPY_BYTES", 6 << 20)
    monkeypatch.setattr(write, "COPY_PART_BYTES", 5 << 20)


def test_a_large_object_is_copied_part_by_part(world: World) -> None:
    world.client.put_object(Bucket=world.bucket, Key="sales_data/large.csv", Body=BODY)
    version = head(world.client, world.bucket, "sales_data/large.csv")
    assert version is not None
    etag = copy_version(world.client, version, "sales_data_processed/large.csv")
    there = head(world.client, world.bucket, "sales_data_processed/large.csv")
    assert there is not None
    assert (there.etag, there.size) == (etag, len(BODY))
    assert world.client.get_object(Bucket=world.bucket, Key="sales_data_processed/large.csv")["Body"].read() == BODY


def test_another_version_of_a_large_object_is_not_copied(world: World) -> None:
    world.client.put_object(Bucket=world.bucket, Key="sales_data/large.csv", Body=BODY)
    version = head(world.client, world.bucket, "sales_data/large.csv")
    assert version is not None
    assert copy_version(world.client, dataclasses.replace(version, etag="0" * 32), "sales_data_processed/large.csv") is None
    assert head(world.client, world.bucket, "sales_data_processed/large.csv") is None
    assert world.client.list_multipart_uploads(Bucket=world.bucket).get("Uploads", []) == []
