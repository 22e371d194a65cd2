"""Content identity on a real S3 server: one content counts once, however it was uploaded and however it is cut."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
MIB = 1 << 20


def upload_in_parts(world: World, name: str, data: bytes, part_bytes: int) -> None:
    """Upload one object in parts of a size; S3 then gives it an etag that is no MD5."""
    target = {"Bucket": world.bucket, "Key": world.config.s3.source_prefix + name}
    upload = world.client.create_multipart_upload(**target)["UploadId"]
    parts = []
    for number, at in enumerate(range(0, len(data), part_bytes), 1):
        body = data[at : at + part_bytes]
        answer = world.client.upload_part(**target, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    world.client.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})


def test_one_content_counts_once_whatever_the_upload_and_the_splits(world: World, spark: SparkSession) -> None:
    # Few rows of many bytes: what counts here is the size.
    lines = [f"{n % 20 + 1},121,sugar,2024-02-{n % 28 + 1:02d},1,{n}.25,1,{n}.25,{'x' * 1200}" for n in range(10_000)]
    data = "\n".join([f"{HEADER},note", *lines, ""]).encode()
    assert len(data) > 11 * MIB
    world.set("stream", split_bytes="1m")
    upload_in_parts(world, "five.csv", data, 5 * MIB)
    upload_in_parts(world, "six.csv", data, 6 * MIB)
    world.run_once(spark)
    world.drop("plain.csv", data)
    world.set("stream", split_bytes="3m")
    world.run_once(spark)
    # One changed byte makes it another content, of the same size.
    world.drop("other.csv", data.replace(b"\n1,121,", b"\n2,121,", 1))
    world.run_once(spark)
    found = world.rows("SELECT etag, state, rows_loaded, reason_detail, content_digest FROM source_file ORDER BY id")
    assert [(row["state"], row["rows_loaded"], row["reason_detail"]) for row in found] == [
        ("COMMITTED", 10_000, None),
        ("DUPLICATE", 0, "same content as file 1"),
        ("DUPLICATE", 0, "same content as file 1"),
        ("COMMITTED", 10_000, None),
    ]
    assert len({row["etag"] for row in found}) == 4
    assert [len({row["content_digest"] for row in found[:3]}), len({row["content_digest"] for row in found})] == [1, 2]
    assert world.rows("SELECT SUM(row_count) AS n FROM customers_data_mart") == [{"n": 20_000}]
