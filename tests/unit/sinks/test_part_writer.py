"""What a worker writes: one file for each partition that comes, counted as it is written."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from app.errors import S3Unavailable
from app.sinks import part_writer
from app.sinks.part_writer import PartWriter

SCHEMA = pa.schema(
    [
        ("total_cost", pa.decimal128(18, 4)),
        ("_warnings", pa.list_(pa.string())),
        ("sales_month", pa.string()),
        ("store_id", pa.int32()),
    ]
)


@dataclass
class Client:
    """An S3 client that keeps what is put; `fails` puts are refused with 503 first."""

    fails: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        assert Bucket == "salestream"
        if self.fails:
            self.fails -= 1
            raise ClientError({"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "PutObject")
        assert Key not in self.objects
        self.objects[Key] = Body

    def rows(self, key: str) -> list[dict[str, Any]]:
        return pq.read_table(io.BytesIO(self.objects[key])).to_pylist()


class Context:
    """Stands for Spark's: attempt 2 of the task, the job's task 41."""

    def taskAttemptId(self) -> int:
        return 41

    def attemptNumber(self) -> int:
        return 2

    def stageId(self) -> int:
        return 7


def prefix(month: str, store: int, batch_key: str) -> str:
    return f"sales_facts/{month}/{store}/{batch_key}/"


def batch(*rows: tuple[str, str, int]) -> pa.RecordBatch:
    made = [{"total_cost": Decimal(cost), "_warnings": None, "sales_month": month, "store_id": store} for cost, month, store in rows]
    return pa.RecordBatch.from_pylist(made, schema=SCHEMA)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(part_writer.TaskContext, "get", staticmethod(Context))
    return Client()


def writer_of(client: Client) -> PartWriter:
    by = ("sales_month", "store_id")
    return PartWriter(lambda: client, "salestream", partial(prefix, batch_key="5-1-1"), by, amount_column="total_cost")


def write(client: Client, *batches: pa.RecordBatch) -> list[dict[str, Any]]:
    return [row for result in writer_of(client)(iter(batches)) for row in result.to_pylist()]


def test_each_partition_is_one_object_whose_path_holds_the_partition(client: Client) -> None:
    found = write(
        client, batch(("1.5000", "2024-01", 1), ("2", "2024-01", 1), ("3", "2024-01", 2)), batch(("4", "2024-01", 2), ("5", "2024-02", 2))
    )
    assert [(row["rows"], Decimal(row["amount"])) for row in found] == [(2, Decimal("3.5")), (2, Decimal(7)), (1, Decimal(5))]
    keys = [
        f"sales_facts/{place}/5-1-1/part-00041-{at:04}.zstd.parquet" for at, place in enumerate(["2024-01/1", "2024-01/2", "2024-02/2"])
    ]
    assert sorted(client.objects) == keys
    assert client.rows(keys[1]) == [{"total_cost": Decimal(3), "_warnings": None}, {"total_cost": Decimal(4), "_warnings": None}]
    # As Spark writes it: 18 digits fit a number of 64 bits.
    assert pq.read_schema(io.BytesIO(client.objects[keys[0]])).names == ["total_cost", "_warnings"]
    assert pq.ParquetFile(io.BytesIO(client.objects[keys[0]])).schema.column(0).physical_type == "INT64"


def test_without_partition_columns_all_rows_go_to_one_place_whole(client: Client) -> None:
    writer = PartWriter(lambda: client, "salestream", lambda: "sales_pending/batch_key=5-1-1/")
    found = [
        row
        for result in writer(iter([batch(("1", "2024-01", 1), ("2", "2024-02", 2)), batch(("4", "2024-01", 1))]))
        for row in result.to_pylist()
    ]
    assert found == [{"rows": 3, "amount": "0", "attempt": 2, "stage": 7}]
    assert list(client.objects) == ["sales_pending/batch_key=5-1-1/part-00041-0000.zstd.parquet"]
    rows = client.rows(*client.objects)
    assert [(row["total_cost"], row["sales_month"], row["store_id"]) for row in rows] == [
        (1, "2024-01", 1),
        (2, "2024-02", 2),
        (4, "2024-01", 1),
    ]


def test_rows_in_another_order_make_more_files_and_lose_nothing(client: Client) -> None:
    found = write(client, batch(("1", "2024-01", 1), ("2", "2024-02", 1), ("4", "2024-01", 1)))
    assert [(row["rows"], Decimal(row["amount"])) for row in found] == [(1, Decimal(1)), (1, Decimal(2)), (1, Decimal(4))]
    assert [key.split("/")[1] for key in client.objects] == ["2024-01", "2024-02", "2024-01"]


def test_a_full_file_is_followed_by_another_one(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_writer, "FILE_BYTES", 1)
    monkeypatch.setattr(part_writer, "ROW_GROUP_BYTES", 1)
    found = write(client, *[batch((str(at), "2024-01", 1)) for at in range(1, 4)])
    assert [(row["rows"], Decimal(row["amount"])) for row in found] == [(1, Decimal(1)), (1, Decimal(2)), (1, Decimal(3))]
    assert [client.rows(key)[0]["total_cost"] for key in sorted(client.objects)] == [1, 2, 3]


def test_the_driver_learns_that_a_task_was_started_again(client: Client) -> None:
    [row] = write(client, batch(("1", "2024-01", 1)))
    assert (row["attempt"], row["stage"]) == (2, 7)


def test_no_rows_are_no_object(client: Client) -> None:
    assert write(client, batch()) == []
    assert write(client) == []
    assert client.objects == {}


@pytest.mark.parametrize("files", [1, 20])
def test_an_upload_that_fails_fails_the_task_once_all_are_over(client: Client, files: int) -> None:
    client.fails = 1
    with pytest.raises(S3Unavailable, match=r"s3://salestream/sales_facts/.*503 SlowDown"):
        write(client, *[batch(("1", "2024-01", store)) for store in range(files)])


def test_batches_are_read_as_they_come(client: Client) -> None:
    """A worker never holds more than the file it is at."""

    def batches() -> Iterator[pa.RecordBatch]:
        for store in range(1, 40):
            yield batch(("1", "2024-01", store))
            assert len(client.objects) >= store - part_writer.UPLOADS - 3

    list(writer_of(client)(batches()))
    assert len(client.objects) == 39


def test_large_files_are_not_held_beside_each_other(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_writer, "UPLOADS_BYTES", 1)
    waiting = 0

    def put_object(*, Bucket: str, Key: str, Body: bytes) -> None:
        nonlocal waiting
        waiting += 1
        assert waiting == 1, f"{Bucket}/{Key} is sent while another file is"
        client.objects[Key] = Body
        time.sleep(0.01)
        waiting -= 1

    monkeypatch.setattr(client, "put_object", put_object)
    assert len(write(client, *[batch(("1", "2024-01", store)) for store in range(10)])) == 10
    assert len(client.objects) == 10


def test_one_batch_of_very_long_rows_is_no_one_file(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of Arrow is bounded by its rows: 2,000 records of a megabyte each are two gigabytes."""
    monkeypatch.setattr(part_writer, "FILE_BYTES", 1 << 20)
    monkeypatch.setattr(part_writer, "ROW_GROUP_BYTES", 1 << 20)
    monkeypatch.setattr(part_writer, "SLICE_BYTES", 1 << 18, raising=False)
    texts = [os.urandom(50_000).hex() for _ in range(200)]
    rows = pa.RecordBatch.from_pydict({"raw": texts})
    written = PartWriter(lambda: client, "salestream", lambda: "quarantine/")
    assert sum(row["rows"] for result in written(iter([rows])) for row in result.to_pylist()) == 200
    # 20 MB of text that nothing compresses below half of it.
    assert len(client.objects) > 4
    assert max(len(body) for body in client.objects.values()) < 3 << 20
    assert [row["raw"] for key in sorted(client.objects) for row in client.rows(key)] == texts
