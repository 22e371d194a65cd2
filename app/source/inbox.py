"""The streaming source `s3_csv_inbox`: its offsets are batch numbers of the ledger, its rows the numbers themselves.

Spark runs the reader in a planner process of its own. The options name the configuration; they never hold a value of it, because
options show in query plans (docs/decisions/0011-ledger-and-identity.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql.datasource import DataSource, SimpleDataSourceStreamReader
from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow
from pyspark.sql.types import LongType, StructField, StructType

from app.errors import RestoredLedger

if TYPE_CHECKING:
    from app.source.planner import Planner

INBOX_FORMAT = "s3_csv_inbox"
INBOX_SCHEMA = StructType([StructField("batch", LongType(), nullable=False)])

Offset = dict[str, int]


class InboxReader(SimpleDataSourceStreamReader, SupportsTriggerAvailableNow):
    """Hands out one planned micro-batch after another. Spark also pickles it for tasks, so connections are opened on first use."""

    def __init__(self, env: str, conf_dir: str, read: str, epoch: int, after: int) -> None:
        self.env = env
        self.conf_dir = conf_dir
        self.read_file = read
        self.epoch = epoch
        self.after = after

    @cached_property
    def planner(self) -> Planner:
        """The planner of this process."""
        # Spark hands the reader around in processes of its own that never plan: they need not load what a planner needs.
        from app.source.planner import open_planner

        return open_planner(self.env, Path(self.conf_dir), Path(self.read_file), self.epoch)

    def initialOffset(self) -> Offset:
        """Start behind everything that was finished before the query started: a lost checkpoint is every start's case."""
        return {"batch": self.after}

    def read(self, start: Offset) -> tuple[Iterator[tuple[int]], Offset]:
        """Plan the next batch, or answer with the same offset when there is nothing to do.

        Raises:
            RestoredLedger: the ledger has lost batches that this query has been given.
        """
        batch = self.planner.next_batch(start["batch"])
        if batch is not None and batch <= start["batch"]:
            # Spark would only see an offset that does not advance.
            raise RestoredLedger(f"the ledger in MySQL has gone back: it gives out batch {batch} again, after batch {start['batch']}")
        # Spark needs an iterator it can copy, which a generator is not.
        return (iter([(batch,)]), {"batch": batch}) if batch is not None else (iter([]), start)

    def readBetweenOffsets(self, start: Offset, end: Offset) -> Iterator[tuple[int]]:
        """Repeat the numbers of a range; the claims behind them never change."""
        return iter([(number,) for number in range(start["batch"] + 1, end["batch"] + 1)])

    def prepareForTriggerAvailableNow(self) -> None:
        """Write everything that is in the prefix now into the ledger; later drops are left to the next run."""
        self.planner.freeze()


class InboxSource(DataSource):
    """`spark.readStream.format("s3_csv_inbox")`; options: env, conf_dir, read, epoch, after."""

    @classmethod
    def name(cls) -> str:
        """Return the format's name."""
        return INBOX_FORMAT

    def schema(self) -> StructType:
        """Return the source's schema: one row per batch number."""
        return INBOX_SCHEMA

    def simpleStreamReader(self, schema: StructType) -> InboxReader:
        """Open the reader in the planner process."""
        given = self.options
        return InboxReader(given["env"], given["conf_dir"], given["read"], int(given["epoch"]), int(given["after"]))
