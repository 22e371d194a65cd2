"""What a Python worker does with the rows of some partitions: write them as Parquet, each file with one request.

An object is there as a whole or not at all, and every attempt of a task names its objects by its own id, so nothing is written over.
Whether they count is decided by the ledger, as for everything that a batch writes: docs/decisions/0008-facts-by-workers.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark import TaskContext

from app.s3.write import write_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

# Rows wait in memory until they are a row group of about this size; a file of about FILE_BYTES is closed and the next one begun.
ROW_GROUP_BYTES = 64 << 20
FILE_BYTES = 64 << 20
# Rows are taken in slices of about this size: a batch of Arrow is bounded by its rows, and a row may be as long as a record.
SLICE_BYTES = 8 << 20
# Requests on their way at a time, as a round trip to S3 takes longer than the writing of a small file, and their bytes.
UPLOADS = 8
UPLOADS_BYTES = 64 << 20

RESULT = pa.schema([("rows", pa.int64()), ("amount", pa.string()), ("attempt", pa.int32()), ("stage", pa.int32())])
# The values of the partition columns.
Place = tuple[Any, ...]


def as_they_are(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows: nothing is missing."""
    return rows


@dataclass(frozen=True)
class PartWriter:
    """Writes what `complete` makes of rows below `prefix_of(*place)`. It is pickled to the workers.

    `partition_by` are the columns of a row that say its place; the path holds them, the file does not. `amount_column` is summed.
    """

    client_factory: Callable[[], S3Client]
    bucket: str
    prefix_of: Callable[..., str]
    partition_by: tuple[str, ...] = ()
    complete: Callable[[pa.RecordBatch], pa.RecordBatch] = as_they_are
    amount_column: str | None = None

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write a task's rows, of one partition after the other. Yields one row for each file.

        Raises:
            S3Unavailable: S3 stays out of reach.
            S3Error: S3 refuses a request.
        """
        context = TaskContext.get()
        assert context is not None, "only workers write"
        # No two attempts of any task share this number.
        files = _Files(self, context.taskAttemptId())
        done: list[dict[str, Any]] = []
        with ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload") as pool:
            running: deque[tuple[int, Future[None]]] = deque()
            for key, body, figures in files.made_of(batches):
                while running and (len(running) >= UPLOADS or sum(size for size, _ in running) + len(body) > UPLOADS_BYTES):
                    running.popleft()[1].result()
                running.append((len(body), pool.submit(write_object, files.client, self.bucket, key, body)))
                done.append(figures | {"attempt": context.attemptNumber(), "stage": context.stageId()})
            for _, upload in running:
                upload.result()
        yield pa.RecordBatch.from_pylist(done, schema=RESULT)


class _Files:
    """The files of one task, one open at a time."""

    def __init__(self, writer: PartWriter, task: int) -> None:
        self.client = writer.client_factory()
        self._writer = writer
        self._task = task
        self._number = 0

    def made_of(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
        """Yield key, body and figures of one file after the other."""
        file: _File | None = None
        for batch in batches:
            for place, run in runs(self._writer.complete(batch), self._writer.partition_by):
                for rows in slices(run):
                    if file is not None and (file.place != place or file.is_full):
                        yield self._close(file)
                        file = None
                    if file is None:
                        file = _File(place, rows.schema, self._writer.amount_column)
                    file.add(rows)
        if file is not None:
            yield self._close(file)

    def _close(self, file: _File) -> tuple[str, bytes, dict[str, Any]]:
        key = f"{self._writer.prefix_of(*file.place)}part-{self._task:05}-{self._number:04}.zstd.parquet"
        self._number += 1
        return key, file.close(), {"rows": file.rows, "amount": str(file.amount)}


class _File:
    """A Parquet file in memory."""

    def __init__(self, place: Place, schema: pa.Schema, amount_column: str | None) -> None:
        self.place = place
        self.rows = 0
        self.amount = Decimal(0)
        self._amount_column = amount_column
        self._sink = pa.BufferOutputStream()
        # Decimals as Spark writes them, so that a reader finds one kind of file.
        self._parquet = pq.ParquetWriter(self._sink, schema, compression="zstd", store_decimal_as_integer=True)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the next rows belong into another file."""
        return bool(self._sink.tell() >= FILE_BYTES)

    def add(self, rows: pa.RecordBatch) -> None:
        """Add rows."""
        self.rows += rows.num_rows
        if self._amount_column is not None:
            self.amount += pc.sum(rows.column(self._amount_column)).as_py() or 0
        self._waiting.append(rows)
        self._waiting_bytes += rows.nbytes
        if self._waiting_bytes >= ROW_GROUP_BYTES:
            self._write()

    def close(self) -> bytes:
        """Return the bytes of the whole file."""
        self._write()
        self._parquet.close()
        return bytes(self._sink.getvalue().to_pybytes())

    def _write(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting)
            self._parquet.write_table(table, row_group_size=max(1, table.num_rows))
            self._waiting, self._waiting_bytes = [], 0


def runs(batch: pa.RecordBatch, partition_by: Sequence[str]) -> Iterator[tuple[Place, pa.RecordBatch]]:
    """Cut a batch where the partition changes. The pieces have no partition columns, which the path holds."""
    if batch.num_rows == 0:
        return
    columns = [batch.column(name) for name in partition_by]
    rows = batch.drop_columns(list(partition_by))
    for start, stop in _borders(batch.num_rows, columns):
        yield tuple(column[start].as_py() for column in columns), rows.slice(start, stop - start)


def slices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut rows into slices of about SLICE_BYTES, at least one row each; halves of halves, as the long rows may lie anywhere."""
    if rows.num_rows <= 1 or rows.nbytes <= SLICE_BYTES:
        yield rows
        return
    middle = rows.num_rows // 2
    yield from slices(rows.slice(0, middle))
    yield from slices(rows.slice(middle))


def _borders(count: int, columns: Sequence[pa.Array]) -> Iterator[tuple[int, int]]:
    changes: set[int] = set()
    for column in columns:
        changes.update(pc.indices_nonzero(pc.not_equal(column.slice(1), column.slice(0, count - 1))).to_pylist())
    starts = [0, *(at + 1 for at in sorted(changes)), count]
    yield from pairwise(starts)
