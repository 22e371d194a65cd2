"""Dimensions over JDBC: read once per refresh, pinned, and looked up directly when a batch misses a key (design: D6)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark import inheritable_thread_target
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from app.config import Config
from app.core.enrich import DIMENSIONS, Dimension
from app.errors import DimensionError
from app.failpoints import failpoint
from app.mysql import Database, Tx
from app.mysql_jdbc import jdbc_options

log = logging.getLogger(__name__)

# So many missing keys are looked up one by one; with more of them the dimension is simply read again.
LOOKUP_KEYS = 1000


@dataclass(frozen=True)
class DimensionSet:
    """All dimensions as of one refresh. `version` is the time of reading in ms since 1970."""

    version: int
    frames: Mapping[str, DataFrame]


class Dimensions:
    """The current dimension set, read again when it is older than `dimensions.refresh_seconds` or when asked to."""

    def __init__(self, spark: SparkSession, config: Config, now_ms: Callable[[], int]) -> None:
        self._spark = spark
        self._config = config
        self._now_ms = now_ms
        self._current: DimensionSet | None = None

    def current(self) -> DimensionSet:
        """Return the dimension set, read again when it is too old."""
        held = self._current
        age = self._now_ms() - held.version if held else None
        if held is None or age is None or age > self._config.dimensions.refresh_seconds * 1000:
            return self.refresh()
        return held

    def refresh(self) -> DimensionSet:
        """Read all dimensions again.

        Raises:
            DimensionError: a key occurs more than once; nothing is replaced.
        """
        version = self._now_ms()
        failpoint("during_refresh")
        with ThreadPoolExecutor(len(DIMENSIONS)) as pool:
            frames = list(pool.map(inheritable_thread_target(self._spark)(self._load), DIMENSIONS))
        self._current = DimensionSet(version, {d.table: frame for d, frame in zip(DIMENSIONS, frames, strict=True)})
        log.info("dimensions refreshed version=%d", version)
        return self._current

    def _load(self, dimension: Dimension) -> DataFrame:
        columns = ", ".join(f"`{name}`" for name in (dimension.key, *dimension.columns))
        query = f"(SELECT {columns} FROM `{dimension.table}` WHERE `{dimension.key}` IS NOT NULL) AS d"
        frame = self._spark.read.format("jdbc").options(**jdbc_options(self._config.mysql), dbtable=query).load()
        # A cached block that is evicted would be read again from a table that may have changed; a checkpoint is never recomputed.
        pinned = frame.localCheckpoint(eager=True)
        check_unique(pinned, dimension)
        return pinned


def check_unique(frame: DataFrame, dimension: Dimension) -> None:
    """Prove that a dimension has each key once.

    Raises:
        DimensionError: it has not; the first such keys are named.
    """
    doubled = frame.groupBy(dimension.key).count().where(F.col("count") > 1).orderBy(dimension.key).limit(5).collect()
    if doubled:
        keys = ", ".join(str(row[dimension.key]) for row in doubled)
        raise DimensionError(f"table {dimension.table} holds {dimension.key} {keys} more than once")


def any_key_known(db: Database, missing: Mapping[str, set[int]]) -> bool:
    """Tell whether a dimension table by now holds one of the keys that a batch missed; one indexed look-up per dimension."""

    def look(tx: Tx) -> bool:
        for dimension in DIMENSIONS:
            wanted = sorted(missing.get(dimension.table, ()))[:LOOKUP_KEYS]
            if not wanted:
                continue
            marks = ", ".join(["%s"] * len(wanted))
            if tx.scalar(f"SELECT 1 FROM `{dimension.table}` WHERE `{dimension.key}` IN ({marks}) LIMIT 1", wanted):
                return True
        return False

    return db.run(look)
