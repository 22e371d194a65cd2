"""Parts: pieces of a batch become Parquet on S3, each file with one request (docs/decisions/0008-facts-by-workers.md).

An object is there as a whole or not at all, and every attempt of a task names its objects by its own id, so nothing is written over.
Whether they count is decided by the ledger, as for everything that a batch writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark import TaskContext

from app.model.pieces import Piece, pieces_of, unpacked
from app.s3.write import write_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

# Rows wait in memory until they are a row group of about this size; a file of about FILE_BYTES is closed and the next one begun.
ROW_GROUP_BYTES = 64 << 20
FILE_BYTES = 64 << 20
# Requests on their way at a time, as a round trip to S3 takes longer than the writing of a small file, and their bytes.
UPLOADS = 8
UPLOADS_BYTES = 64 << 20

RESULT = pa.schema([("what", pa.string()), ("rows", pa.int64()), ("amount", pa.string()), ("attempt", pa.int32()), ("stage", pa.int32())])


@dataclass(frozen=True)
class Part:
    """How pieces of a kind are written: below `prefix_of(piece)`, what `complete(piece, its rows)` returns. `amount_column` is summed.

    `what` names them where they are counted.
    """

    what: str
    prefix_of: Callable[[Piece], str]
    complete: Callable[[Piece, pa.RecordBatch], pa.RecordBatch]
    amount_column: str | None = None


@dataclass(frozen=True)
class PartWriter:
    """Writes the pieces of some kinds. It is pickled to the workers."""

    client_factory: Callable[[], S3Client]
    bucket: str
    parts: Mapping[int, Part]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write a task's pieces. Yields one row for each file.

        Raises:
            S3Unavailable: S3 stays out of reach.
            S3Error: S3 refuses a request.
        """
        context = TaskContext.get()
        assert context is not None, "this is what a task calls"
        # No two attempts of any task share this number.
        done = self.write((piece for batch in batches for piece in pieces_of(batch)), context.taskAttemptId())
        ours = {"attempt": context.attemptNumber(), "stage": context.stageId()}
        yield pa.RecordBatch.from_pylist([figures | ours for figures in done], schema=RESULT)

    def write(self, pieces: Iterable[Piece], task: int = 0) -> list[dict[str, Any]]:
        """Write pieces, those of one place after the other. Returns what, rows and amount of each file.

        Raises:
            S3Unavailable: S3 stays out of reach.
            S3Error: S3 refuses a request.
        """
        client = self.client_factory()
        done: list[dict[str, Any]] = []
        with ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload") as pool:
            running: deque[tuple[int, Future[None]]] = deque()
            for number, file in enumerate(self._files(pieces)):
                key, body = f"{file.prefix}part-{task:05}-{number:04}.zstd.parquet", file.close()
                while running and (len(running) >= UPLOADS or sum(size for size, _ in running) + len(body) > UPLOADS_BYTES):
                    running.popleft()[1].result()
                running.append((len(body), pool.submit(write_object, client, self.bucket, key, body)))
                done.append({"what": file.part.what, "rows": file.rows, "amount": str(file.amount)})
            for _, upload in running:
                upload.result()
        return done

    def _files(self, pieces: Iterable[Piece]) -> Iterator[_File]:
        """Yield one file after the other, full or with all rows of its place."""
        file: _File | None = None
        for piece in pieces:
            part = self.parts[piece.kind]
            prefix = part.prefix_of(piece)
            rows = part.complete(piece, unpacked(piece.blob or b""))
            if file is not None and (file.prefix != prefix or file.is_full):
                yield file
                file = None
            if file is None:
                file = _File(part, prefix, rows.schema)
            file.add(rows)
        if file is not None:
            yield file


class _File:
    """A Parquet file in memory."""

    def __init__(self, part: Part, prefix: str, schema: pa.Schema) -> None:
        self.part = part
        self.prefix = prefix
        self.rows = 0
        self.amount = Decimal(0)
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
        if self.part.amount_column is not None:
            self.amount += pc.sum(rows.column(self.part.amount_column)).as_py() or 0
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
            self._parquet.write_table(table.combine_chunks(), row_group_size=max(1, table.num_rows))
            self._waiting, self._waiting_bytes = [], 0
