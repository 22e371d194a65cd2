"""Which fact partitions are worth merging, and the request to merge them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.ledger.operations import SMALL_PART_ROWS, request
from app.ledger.records import OperationKind
from app.mysql.database import Database, Tx

# Rows that one COMPACT writes again, at least one partition's: it bounds the batch.
MOST_MERGED_ROWS = 5_000_000


@dataclass(frozen=True)
class Merge:
    """One partition that is worth merging: its small live parts and their rows."""

    sales_month: str
    store_id: int
    parts: int
    rows: int


def mergeable(db: Database, month: str | None) -> list[Merge]:
    """Return the partitions (of one month) that have several small parts."""
    sql = (
        "SELECT sales_month, store_id, COUNT(*) AS parts, SUM(row_count) AS row_total FROM fact_part"
        " WHERE state = 'LIVE' AND row_count < %s AND (%s IS NULL OR sales_month = %s)"
        " GROUP BY sales_month, store_id HAVING COUNT(*) > 1 ORDER BY sales_month, store_id"
    )
    rows = db.run(lambda tx: tx.rows(sql, (SMALL_PART_ROWS, month, month)))
    return [Merge(row["sales_month"], int(row["store_id"]), int(row["parts"]), int(row["row_total"])) for row in rows]


def request_merge(db: Database, merges: Sequence[Merge], requested_by: str) -> list[int]:
    """Request COMPACT of partitions, so many at a time as a batch may write. Returns the numbers of the operations."""

    def ask(tx: Tx) -> list[int]:
        operations: list[int] = []
        left = 0
        for merge in merges:
            if not operations or merge.rows > left:
                operations.append(request(tx, OperationKind.COMPACT, requested_by, "merge small parts"))
                left = MOST_MERGED_ROWS
            left -= merge.rows
            tx.execute(
                "INSERT INTO operation_partition (operation_id, sales_month, store_id) VALUES (%s, %s, %s)",
                (operations[-1], merge.sales_month, merge.store_id),
            )
        return operations

    return db.run(ask)
