"""Are the objects of a batch still the versions that were read? One HEAD each, by as many cores as there are; more where it is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import SparkSession

from app.ledger.types import FileState
from app.s3.read import ObjectVersion, Seen, look_twice
from app.spark.map_in_arrow import map_in_arrow

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

# The driver looks at so few in less time than a Spark job takes; above, the executors do, whose cores are not the driver's one.
DRIVER_HEADS = 100
# Most looks of one worker at the same time: enough to cover the waiting for S3.
WORKER_THREADS = 16
SCHEMA = pa.schema([pa.field("file_id", pa.int64()), pa.field("state", pa.string())])

Versions = Sequence[tuple[int, ObjectVersion]]


def changed_files(spark: SparkSession, versions: Versions, client_factory: Callable[[], S3Client], threads: int) -> dict[int, FileState]:
    """Return the files whose object is GONE or OVERWRITTEN.

    Args:
        spark: the session.
        versions: file id and the version that was read.
        client_factory: is pickled; gives a process its S3 client.
        threads: most looks of one process at the same time.

    Raises:
        S3Unavailable: S3 stays out of reach; from the executors as Spark's failure of that meaning.
        S3Error: S3 refuses a request.
    """
    if len(versions) <= DRIVER_HEADS:
        return dict(_changed(client_factory(), versions, threads))
    tasks = spark.range(0, len(versions), 1, spark.sparkContext.defaultParallelism)
    changed = map_in_arrow(tasks, Look(client_factory, versions, min(threads, WORKER_THREADS)), SCHEMA)
    return {row["file_id"]: FileState(row["state"]) for row in changed.collect()}


@dataclass(frozen=True)
class Look:
    """What a Python worker does with the numbers of its versions. It is pickled to the workers."""

    client_factory: Callable[[], S3Client]
    versions: Versions
    threads: int

    def __call__(self, tasks: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Look at the versions whose numbers come in; yield those that changed."""
        for batch in tasks:
            mine = [self.versions[number] for number in batch.column(0).to_pylist()]
            changed = _changed(self.client_factory(), mine, self.threads)
            yield pa.RecordBatch.from_pylist([{"file_id": file_id, "state": state} for file_id, state in changed], schema=SCHEMA)


def _changed(client: S3Client, versions: Versions, threads: int) -> list[tuple[int, FileState]]:
    with ThreadPoolExecutor(threads, thread_name_prefix="look") as pool:
        seen = list(pool.map(lambda one: look_twice(client, one[1]), versions))
    return [
        (file_id, FileState.GONE if now is Seen.MISSING else FileState.OVERWRITTEN)
        for (file_id, _), now in zip(versions, seen, strict=True)
        if now is not Seen.SAME
    ]
