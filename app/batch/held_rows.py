"""The rows of a batch are computed once and held, as facts, deltas, quarantine and counts must not disagree."""

from __future__ import annotations

from collections.abc import Callable

from pyspark import StorageLevel
from pyspark.sql import DataFrame


def hold(frame: DataFrame, *, is_small: bool) -> tuple[DataFrame, Callable[[], None]]:
    """Return the same rows, kept from their first use on, and what lets go of them.

    Many rows go into Spark's cache, compressed by column. For a few the cache costs more than it holds: every query on it is compared
    with everything that is cached. They are kept as they are, cut off from their plan.
    """
    if not is_small:
        held = frame.persist(StorageLevel.MEMORY_AND_DISK)
        return held, lambda: _forget(held)
    kept = frame.localCheckpoint(eager=False)
    # The plan of such a frame is one node, which has the rows.
    return kept, lambda: kept._jdf.queryExecution().logical().rdd().unpersist(False)


def _forget(held: DataFrame) -> None:
    held.unpersist()
