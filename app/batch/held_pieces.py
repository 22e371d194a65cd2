"""The pieces of a batch are made once and held, as facts, deltas, quarantine and counts must not disagree.

Those of a few rows come to the driver with the one job that makes them; those of many stay with Spark. Nothing else tells them apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from app.errors import TaskRepeated
from app.model.pieces import BUCKETS, NAMES, SCHEMA, Piece, batch_of, piece_of
from app.sinks.part_writer import RESULT, PartWriter
from app.spark.map_in_arrow import map_in_arrow

# A message between processes holds so many bytes of blobs, and one blob more.
MESSAGE_BYTES = 8 << 20
# Blobs of so many bytes come to the driver together; of more it asks for one bucket after the other.
COLLECTED_BYTES = 64 << 20
_PLAIN = [f"`{name}`" for name in NAMES if name != "blob"]
Work = Callable[[int], Iterator[Piece]]


@dataclass(frozen=True)
class _Tasks:
    """What Spark's tasks run: the work of the numbers that come in. It is pickled to the workers."""

    work: Work

    def __call__(self, tasks: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in tasks:
            for number in batch.column(0).to_pylist():
                yield from _messages(self.work(number))


def _messages(pieces: Iterable[Piece]) -> Iterator[pa.RecordBatch]:
    waiting: list[Piece] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece.blob or b"")
        if size >= MESSAGE_BYTES:
            yield batch_of(waiting)
            waiting, size = [], 0
    yield batch_of(waiting)


def made_by(spark: SparkSession, work: Work, tasks: int) -> DataFrame:
    """Return the pieces that tasks make, one for each number from 0."""
    return map_in_arrow(spark.range(0, tasks, 1, max(1, tasks)), _Tasks(work), SCHEMA)


class HeldPieces(ABC):
    """Pieces of a batch. `release` lets go of them."""

    @property
    @abstractmethod
    def counts(self) -> list[Piece]:
        """All pieces, without their blobs."""

    @abstractmethod
    def of(self, kinds: Collection[int]) -> Iterator[Piece]:
        """Yield the pieces of some kinds with their blobs, those of a kind and keys one after the other."""

    @abstractmethod
    def write(self, writer: PartWriter) -> list[dict[str, Any]]:
        """Have all pieces that a writer knows written. Returns its RESULT, a row for each file.

        Raises:
            TaskRepeated: Spark started a task again; what its first attempt wrote, or is writing still, must never count.
            S3Unavailable: S3 stays out of reach.
            S3Error: S3 refuses a request.
        """

    @abstractmethod
    def plus(self, others: HeldPieces) -> HeldPieces:
        """Return the pieces of both."""

    @abstractmethod
    def release(self) -> None:
        """Let go of what is held outside of this process."""


class InDriver(HeldPieces):
    """Few pieces, in this process."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = sorted(pieces, key=_order)

    @classmethod
    def collected(cls, frame: DataFrame) -> InDriver:
        """Run the job that makes the pieces."""
        return cls(piece_of(row) for row in frame.collect())

    @property
    def counts(self) -> list[Piece]:
        """See HeldPieces."""
        return self._pieces

    def of(self, kinds: Collection[int]) -> Iterator[Piece]:
        """See HeldPieces."""
        return (piece for piece in self._pieces if piece.kind in kinds)

    def write(self, writer: PartWriter) -> list[dict[str, Any]]:
        """See HeldPieces."""
        return writer.write(self.of(writer.parts))

    def plus(self, others: HeldPieces) -> HeldPieces:
        """See HeldPieces."""
        if isinstance(others, InDriver):
            return InDriver([*self._pieces, *others._pieces])
        return others.plus(self)

    def release(self) -> None:
        """See HeldPieces."""


class InSpark(HeldPieces):
    """Many pieces, kept by Spark: in memory, and what has no room there on disk."""

    def __init__(self, *frames: DataFrame, more: Iterable[Piece] = ()) -> None:
        self._frames = frames
        self._more = InDriver(more)

    @classmethod
    def held(cls, frame: DataFrame) -> InSpark:
        """Keep pieces from their first use on."""
        return cls(frame.persist(StorageLevel.MEMORY_AND_DISK))

    @cached_property
    def _sized(self) -> list[tuple[Piece, int]]:
        """The pieces that Spark keeps, each without its blob and with the size of it."""
        rows = [row for frame in self._frames for row in frame.selectExpr(*_PLAIN, "coalesce(length(blob), 0)").collect()]
        return [(piece_of((*plain, None)), size) for *plain, size in rows]

    @property
    def counts(self) -> list[Piece]:
        """See HeldPieces."""
        return [piece for piece, _ in self._sized] + self._more.counts

    def of(self, kinds: Collection[int]) -> Iterator[Piece]:
        """See HeldPieces."""
        if sum(size for piece, size in self._sized if piece.kind in kinds) <= COLLECTED_BYTES:
            return InDriver.collected(self._all(kinds)).of(kinds)
        wanted = self._all(kinds).repartition(BUCKETS, "name", "keys").sortWithinPartitions("kind", "name", "keys")
        return (piece_of(row) for row in wanted.toLocalIterator())

    def write(self, writer: PartWriter) -> list[dict[str, Any]]:
        """See HeldPieces."""
        written = self._written(writer)
        tracker = self._frames[0].sparkSession.sparkContext.statusTracker()
        stages = [tracker.getStageInfo(stage) for stage in {file["stage"] for file in written}]
        if any(file["attempt"] for file in written) or any(stage is not None and stage.currentAttemptId for stage in stages):
            raise TaskRepeated("a task that writes Parquet was started again by Spark, after an executor was lost or failed")
        return written

    def _written(self, writer: PartWriter) -> list[dict[str, Any]]:
        pieces = self._all(writer.parts).hint("rebalance", "name", "keys").sortWithinPartitions("name", "keys", "kind")
        return [row.asDict() for row in map_in_arrow(pieces, writer, RESULT).collect()]

    def plus(self, others: HeldPieces) -> HeldPieces:
        """See HeldPieces."""
        if isinstance(others, InSpark):
            return InSpark(*self._frames, *others._frames, more=[*self._more.counts, *others._more.counts])
        return InSpark(*self._frames, more=[*self._more.counts, *others.counts])

    def release(self) -> None:
        """See HeldPieces."""
        for frame in self._frames:
            frame.unpersist()

    def _all(self, kinds: Collection[int]) -> DataFrame:
        frames = [frame.where(frame["kind"].isin(sorted(kinds))) for frame in self._frames]
        if more := list(self._more.of(kinds)):
            frames.append(self._frames[0].sparkSession.createDataFrame(pa.Table.from_batches([batch_of(more)])))
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.union(frame)
        return whole


def _order(piece: Piece) -> tuple[Any, ...]:
    # Kinds last: rows that become facts and rows that stay some lie in one part.
    return piece.name or "", piece.keys or (), piece.kind
