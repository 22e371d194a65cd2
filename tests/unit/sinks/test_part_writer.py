"""What becomes of pieces: one file for each place that comes, counted as it is written."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from app.batch import gather
from app.errors import S3Unavailable
from app.model.pieces import FACTS, KEPT, WAITERS, Piece, batch_of, packed
from app.sinks import part_writer
from app.sinks.part_writer import RESULT, Part, PartWriter

ROWS = pa.schema(
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


def prefix(piece: Piece) -> str:
    assert piece.keys is not None
    return f"sales_facts/{piece.name}/{piece.keys[0]}/5-1-1/"


def without_place(piece: Piece, rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.drop_columns(["sales_month", "store_id"])


def as_it_is(piece: Piece, rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows


def rows_of(*rows: tuple[str, str, int]) -> pa.RecordBatch:
    made = [{"total_cost": Decimal(cost), "_warnings": None, "sales_month": month, "store_id": store} for cost, month, store in rows]
    return pa.RecordBatch.from_pylist(made, schema=ROWS)


def piece(*costs: str, month: str = "2024-01", store: int = 1, kind: int = FACTS) -> Piece:
    """Make a piece of rows with these costs."""
    return Piece(kind, month, (store,), len(costs), blob=packed(rows_of(*((cost, month, store) for cost in costs))))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(part_writer.TaskContext, "get", staticmethod(Context))
    return Client()


FACT_PART = Part("facts", prefix, without_place, "total_cost")


def writer_of(client: Client, parts: dict[int, Part] | None = None) -> PartWriter:
    return PartWriter(lambda: client, "salestream", parts or {FACTS: FACT_PART, KEPT: FACT_PART})


def write(client: Client, *batches: list[Piece]) -> list[dict[str, Any]]:
    """Write as a task of Spark does, whose pieces come in some batches."""
    results = list(writer_of(client)(batch_of(pieces) for pieces in batches))
    assert {result.schema for result in results} == {RESULT}
    return [row for result in results for row in result.to_pylist()]


def counts(found: list[dict[str, Any]]) -> list[tuple[int, Decimal]]:
    return [(row["rows"], Decimal(row["amount"])) for row in found]


def test_each_partition_is_one_object_whose_path_holds_the_partition(client: Client) -> None:
    found = write(client, [piece("1.5000", "2"), piece("3", store=2)], [piece("4", store=2), piece("5", month="2024-02", store=2)])
    assert counts(found) == [(2, Decimal("3.5")), (2, Decimal(7)), (1, Decimal(5))]
    assert [row["what"] for row in found] == ["facts"] * 3
    keys = [
        f"sales_facts/{place}/5-1-1/part-00041-{at:04}.zstd.parquet" for at, place in enumerate(["2024-01/1", "2024-01/2", "2024-02/2"])
    ]
    assert sorted(client.objects) == keys
    assert client.rows(keys[1]) == [{"total_cost": Decimal(3), "_warnings": None}, {"total_cost": Decimal(4), "_warnings": None}]
    # As Spark writes it: 18 digits fit a number of 64 bits.
    assert pq.read_schema(io.BytesIO(client.objects[keys[0]])).names == ["total_cost", "_warnings"]
    assert pq.ParquetFile(io.BytesIO(client.objects[keys[0]])).schema.column(0).physical_type == "INT64"
    assert pq.ParquetFile(io.BytesIO(client.objects[keys[0]])).metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_driver_writes_the_same_without_a_task_of_spark() -> None:
    client = Client()
    found = writer_of(client).write([piece("1.5", "2"), piece("3", store=2)])
    assert found == [{"what": "facts", "rows": 2, "amount": "3.5000"}, {"what": "facts", "rows": 1, "amount": "3.0000"}]
    assert sorted(client.objects) == [f"sales_facts/2024-01/{store}/5-1-1/part-00000-{store - 1:04}.zstd.parquet" for store in (1, 2)]


def test_new_rows_and_rows_that_stay_go_into_one_file(client: Client) -> None:
    found = write(client, [piece("1"), piece("2", "4", kind=KEPT), piece("8", kind=KEPT, store=2)])
    assert counts(found) == [(3, Decimal(7)), (1, Decimal(8))]
    assert [row["total_cost"] for row in client.rows(min(client.objects))] == [1, 2, 4]


def test_without_partition_columns_all_rows_go_to_one_place_whole(client: Client) -> None:
    pieces = [piece("1"), piece("2", month="2024-02", store=2), piece("4")]
    waiting = [Piece(WAITERS, rows=one.rows, blob=one.blob) for one in pieces]
    writer = writer_of(client, {WAITERS: Part("waiting rows", lambda _: "sales_pending/batch_key=5-1-1/", as_it_is)})
    found = [row for result in writer(iter([batch_of(waiting[:2]), batch_of(waiting[2:])])) for row in result.to_pylist()]
    assert found == [{"what": "waiting rows", "rows": 3, "amount": "0", "attempt": 2, "stage": 7}]
    assert list(client.objects) == ["sales_pending/batch_key=5-1-1/part-00041-0000.zstd.parquet"]
    rows = client.rows(*client.objects)
    assert [(row["total_cost"], row["sales_month"], row["store_id"]) for row in rows] == [
        (1, "2024-01", 1),
        (2, "2024-02", 2),
        (4, "2024-01", 1),
    ]


def test_pieces_in_another_order_make_more_files_and_lose_nothing(client: Client) -> None:
    found = write(client, [piece("1"), piece("2", month="2024-02"), piece("4")])
    assert counts(found) == [(1, Decimal(1)), (1, Decimal(2)), (1, Decimal(4))]
    assert [key.split("/")[1] for key in client.objects] == ["2024-01", "2024-02", "2024-01"]


def test_a_full_file_is_followed_by_another_one(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_writer, "FILE_BYTES", 1)
    monkeypatch.setattr(part_writer, "ROW_GROUP_BYTES", 1)
    found = write(client, *[[piece(str(at))] for at in range(1, 4)])
    assert counts(found) == [(1, Decimal(1)), (1, Decimal(2)), (1, Decimal(3))]
    assert [client.rows(key)[0]["total_cost"] for key in sorted(client.objects)] == [1, 2, 3]


def test_small_pieces_become_one_row_group(client: Client) -> None:
    write(client, [piece(str(at)) for at in range(50)])
    [body] = client.objects.values()
    assert pq.ParquetFile(io.BytesIO(body)).metadata.num_row_groups == 1
    assert pq.ParquetFile(io.BytesIO(body)).metadata.num_rows == 50


def test_the_driver_learns_that_a_task_was_started_again(client: Client) -> None:
    [row] = write(client, [piece("1")])
    assert (row["attempt"], row["stage"]) == (2, 7)


def test_no_pieces_are_no_object(client: Client) -> None:
    assert write(client, []) == []
    assert write(client) == []
    assert client.objects == {}


@pytest.mark.parametrize("files", [1, 20])
def test_an_upload_that_fails_fails_the_task_once_all_are_over(client: Client, files: int) -> None:
    client.fails = 1
    with pytest.raises(S3Unavailable, match=r"s3://salestream/sales_facts/.*503 SlowDown"):
        write(client, *[[piece("1", store=store)] for store in range(files)])


def test_pieces_are_read_as_they_come(client: Client) -> None:
    """A worker never holds more than the file it is at."""

    def batches() -> Iterator[pa.RecordBatch]:
        for store in range(1, 40):
            yield batch_of([piece("1", store=store)])
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
    assert len(write(client, *[[piece("1", store=store)] for store in range(10)])) == 10
    assert len(client.objects) == 10


def test_very_long_rows_of_one_place_are_no_one_file(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of Arrow is bounded by its rows: 2,000 records of a megabyte each are two gigabytes."""
    monkeypatch.setattr(part_writer, "FILE_BYTES", 1 << 20)
    monkeypatch.setattr(part_writer, "ROW_GROUP_BYTES", 1 << 20)
    monkeypatch.setattr(gather, "BLOB_BYTES", 1 << 18)
    texts = [os.urandom(50_000).hex() for _ in range(200)]
    pieces = [Piece(WAITERS, rows=rows.num_rows, blob=packed(rows)) for rows in gather.slices(pa.RecordBatch.from_pydict({"raw": texts}))]
    writer = writer_of(client, {WAITERS: Part("waiting rows", lambda _: "quarantine/", as_it_is)})
    assert sum(row["rows"] for row in writer.write(pieces)) == 200
    # 20 MB of text that nothing compresses below half of it.
    assert len(client.objects) > 4
    assert max(len(body) for body in client.objects.values()) < 3 << 20
    assert [row["raw"] for key in sorted(client.objects) for row in client.rows(key)] == texts
