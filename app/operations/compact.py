"""Which fact partitions are worth merging, and the requests to merge them, none larger than one micro-batch may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.ledger.operations import MOST_MERGED_PARTS, MOST_MERGED_ROWS, SMALL_PART_ROWS, name_partitions, request
from app.ledger.types import OperationKind
from app.mysql.database import Database, Tx


@dataclass(frozen=True)
class Merge:
    """One partition that is worth merging: its small live parts and their rows."""

    sales_month: str
    store_id: int
    parts: int
    rows: int

    @property
    def rounds(self) -> int:
        """How many operations it takes: each merges a bounded number of parts into one, and takes the smallest that are left."""
        by_parts, by_rows = -(-(self.parts - 1) // (MOST_MERGED_PARTS - 1)), -(-self.rows // MOST_MERGED_ROWS)
        return max(1, by_parts, min(by_rows, self.parts - 1))


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
    """Request COMPACT of partitions, so many at a time as a batch may read and write; a partition with more than that in several
    operations. Returns the numbers of the operations.
    """

    def ask(tx: Tx) -> list[int]:
        operations: list[int] = []
        rows_left = parts_left = 0
        for merge in merges:
            for _ in range(merge.rounds):
                if not operations or merge.rows > rows_left or merge.parts > parts_left:
                    operations.append(request(tx, OperationKind.COMPACT, requested_by, "merge small parts"))
                    rows_left, parts_left = MOST_MERGED_ROWS, MOST_MERGED_PARTS
                rows_left -= merge.rows
                parts_left -= merge.parts
                name_partitions(tx, operations[-1], [(merge.sales_month, merge.store_id)])
        return operations

    return db.run(ask)
