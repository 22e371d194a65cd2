"""Dimensions over JDBC: read once per refresh, pinned, and looked up directly when a batch misses a key.

docs/decisions/0016-dimensions-and-pending-rows.md says why.
"""

from __future__ import annotations

import contextlib
import io
import logging
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
from pyspark import Broadcast, inheritable_thread_target
from pyspark.sql import DataFrame, SparkSession

from app.config.load import Config
from app.errors import DimensionError
from app.failpoints import failpoint
from app.model.dimensions import DIMENSIONS, Dimension
from app.model.lookup import Lookup, Lookups, doubled_keys
from app.model.marts import attribute_columns
from app.mysql.database import Database, Tx
from app.mysql.jdbc import jdbc_options
from app.spark.errors import spark_error

log = logging.getLogger(__name__)

# So many missing keys are looked up one by one; with more of them the dimension is simply read again.
LOOKUP_KEYS = 1000


@dataclass(frozen=True)
class DimensionSet:
    """All dimensions as of one refresh.

    Attributes:
        version: the time of reading in ms since 1970.
        lookups: their rows, in the memory of every worker that asks for them.
        schemas: the columns of each.
    """

    version: int
    lookups: Broadcast[Lookups]
    schemas: Mapping[str, pa.Schema]


class Dimensions:
    """The current dimension set, read again when it is older than `dimensions.refresh_seconds` or when asked to."""

    def __init__(self, spark: SparkSession, config: Config, now_ms: Callable[[], int]) -> None:
        self._spark = spark
        self._config = config
        self._now_ms = now_ms
        self._current: DimensionSet | None = None
        self._before: DimensionSet | None = None

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
        EnvironmentFault: the disk is full.
        """
        version = self._now_ms()
        failpoint("during_refresh")
        with ThreadPoolExecutor(len(DIMENSIONS)) as pool:
            tables = list(pool.map(inheritable_thread_target(self._spark)(self._load), DIMENSIONS))
        lookups: Lookups = {d.table: Lookup.of(table, d.key) for d, table in zip(DIMENSIONS, tables, strict=True)}
        held = _broadcast(self._spark, lookups)
        if self._before is not None:
            # A batch may still hold the set that is replaced now, but none an older one.
            self._before.lookups.destroy()
        self._before = self._current
        self._current = DimensionSet(version, held, {name: lookup.rows.schema for name, lookup in lookups.items()})
        log.info("dimensions refreshed version=%d", version)
        return self._current

    def _load(self, dimension: Dimension) -> pa.Table:
        columns = ", ".join(f"`{name}`" for name in (dimension.key, *dimension.columns))
        query = f"(SELECT {columns} FROM `{dimension.table}` WHERE `{dimension.key}` IS NOT NULL) AS d"
        frame = self._spark.read.format("jdbc").options(**jdbc_options(self._config.mysql), dbtable=query).load()
        table = lookup_rows(frame, dimension).toArrow()
        check_unique(table, dimension)
        return table


def _broadcast(spark: SparkSession, lookups: Lookups) -> Broadcast[Lookups]:
    # Spark writes them to a file first. When it cannot, it prints a trace, and raises what hides the cause in its text.
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return spark.sparkContext.broadcast(lookups)
    except pickle.PicklingError as exc:
        raise spark_error(str(exc)) from exc


def lookup_rows(frame: DataFrame, dimension: Dimension) -> DataFrame:
    """Return what is looked up of a dimension table: its key as it is compared, its columns, and what the marts show of it. Same rows."""
    key = f"cast(`{dimension.key}` AS {dimension.key_type}) AS `{dimension.key}`"
    attributes = [f"{sql} AS `{name}`" for name, sql in attribute_columns(dimension.table).items()]
    return frame.selectExpr(key, *[f"`{name}`" for name in dimension.columns], *attributes)


def check_unique(rows: pa.Table, dimension: Dimension) -> None:
    """Prove that a dimension has each key once.

    Raises:
        DimensionError: it has not; the first such keys are named.
    """
    doubled = doubled_keys(rows, dimension.key, limit=5)
    if doubled:
        raise DimensionError(f"table {dimension.table} holds {dimension.key} {', '.join(map(str, doubled))} more than once")


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
