"""Marts in MySQL: a batch's deltas are staged, and the final transaction merges them (docs/decisions/0013-marts-and-money.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import partial
from itertools import islice

from app.config.load import MartsConfig
from app.errors import LedgerError
from app.model.marts import Mart
from app.model.totals import Totals
from app.mysql.database import Database, Tx

# Rows that are sent at a time.
STAGE_ROWS = 5000


def stage_rows(db: Database, table: str, columns: Sequence[str], batch_key: str, rows: Iterable[Sequence[object]]) -> None:
    """Put rows, unique on the table's key, under the key of their batch: a page at a time, however many there are.

    What a lost answer has left of a page is replaced. Nothing of it counts before the batch does.
    """
    left = iter(rows)
    while page := list(islice(left, STAGE_ROWS)):
        db.run(partial(put_rows, table=table, columns=columns, batch_key=batch_key, rows=page))


def put_rows(tx: Tx, table: str, columns: Sequence[str], batch_key: str, rows: Iterable[Sequence[object]]) -> None:
    """Put rows, unique on the table's key, under the key of their batch."""
    sql = f"REPLACE INTO {table} (batch_key, {', '.join(columns)}) VALUES ({', '.join(['%s'] * (len(columns) + 1))})"
    tx.executemany(sql, [(batch_key, *row) for row in rows])


def check_stage(tx: Tx, mart: Mart, batch_key: str, delta: Totals) -> None:
    """Compare the staged deltas with what the facts changed by: what was written less what the replaced parts held.

    Raises:
        LedgerError: rows or amount differ.
    """
    measure = next(iter(mart.measures))
    row = tx.row(
        f"SELECT COALESCE(SUM(row_count), 0) AS row_total, COALESCE(SUM({measure}), 0) AS amount FROM {mart.stage_table}"
        " WHERE batch_key = %s",
        (batch_key,),
    )
    assert row is not None, "an aggregate without GROUP BY has one row"
    staged = Totals(int(row["row_total"]), Decimal(row["amount"]))
    if staged != delta:
        raise LedgerError(f"batch {batch_key}: {mart.stage_table} holds {staged}, the facts change by {delta}")


def merge(tx: Tx, mart: Mart, batch_key: str, config: MartsConfig, *, removes: bool = False) -> int:
    """Add the staged deltas to the mart and rank the touched groups again. Returns the number of touched mart rows.

    Raises:
        LedgerError: `removes`, and more would be taken out of a mart row than is in it.
    """
    touched = tx.execute(merge_sql(mart), (batch_key,))
    if removes:
        _remove_empty(tx, mart, batch_key)
    if mart.ranked_within:
        tx.execute(incentive_sql(mart, config.tie_rule), (batch_key, config.incentive_rate))
    return touched


def _remove_empty(tx: Tx, mart: Mart, batch_key: str) -> None:
    """Delete the mart rows that no fact is behind any more.

    Raises:
        LedgerError: more was taken out of a row than was in it.
    """
    on_row = " AND ".join(f"t.{column} = s.{column}" for column in mart.grain)
    touched = f"FROM {mart.table} t JOIN {mart.stage_table} s ON {on_row} WHERE s.batch_key = %s"
    amounts = " OR ".join(f"t.{column} <> 0" for column in mart.measures)
    wrong = tx.scalar(f"SELECT COUNT(*) {touched} AND (t.row_count < 0 OR (t.row_count = 0 AND ({amounts})))", (batch_key,))
    if wrong:
        raise LedgerError(f"batch {batch_key}: {wrong} rows of {mart.table} would hold less than nothing")
    tx.execute(f"DELETE t {touched} AND t.row_count = 0", (batch_key,))


def merge_sql(mart: Mart) -> str:
    """Return the upsert from stage to mart: measures are added, attributes overwritten (SCD type 1).

    Where rows are only taken out the attributes stay: their dimension row may be gone by now.
    """
    columns = ", ".join(mart.columns)
    sums = [f"{c} = {mart.table}.{c} + s.{c}" for c in (*mart.measures, "row_count")]
    latest = [f"{c} = IF(s.row_count > 0, s.{c}, {mart.table}.{c})" for c in mart.attributes]
    return (
        f"INSERT INTO {mart.table} ({columns}, updated_at)"
        f" SELECT {', '.join(f's.{c}' for c in mart.columns)}, UTC_TIMESTAMP(6) FROM {mart.stage_table} s WHERE s.batch_key = %s"
        f" ON DUPLICATE KEY UPDATE {', '.join([*sums, *latest, 'updated_at = UTC_TIMESTAMP(6)'])}"
    )


def incentive_sql(mart: Mart, tie_rule: str) -> str:
    """Return the statement that gives each touched group's leader the incentive and everybody else 0.

    Every seller of a touched group is written, because a new leader takes the incentive from the old one. `all`: each tied leader
    gets it; `first`: the one with the lowest id. ROUND on DECIMAL is half away from zero, and the incentive is never negative.
    """
    group = mart.ranked_within
    seller = next(column for column in mart.grain if column not in group)
    touched = f"(SELECT DISTINCT {', '.join(group)} FROM {mart.stage_table} WHERE batch_key = %s) g"
    on_group = " AND ".join(f"g.{c} = m.{c}" for c in group)
    partition = ", ".join(f"m.{c}" for c in group)
    rank = "RANK()" if tie_rule == "all" else "ROW_NUMBER()"
    order = "m.total_sales DESC" if tie_rule == "all" else f"m.total_sales DESC, m.{seller}"
    keys = ", ".join(f"m.{c}" for c in (*group, seller))
    ranked = (
        f"(SELECT {keys}, {rank} OVER (PARTITION BY {partition} ORDER BY {order}) AS place FROM {mart.table} m"
        f" JOIN {touched} ON {on_group}) r"
    )
    on_row = " AND ".join(f"t.{c} = r.{c}" for c in (*group, seller))
    return (
        f"UPDATE {mart.table} t JOIN {ranked} ON {on_row}"
        " SET t.incentive = IF(r.place = 1 AND t.total_sales > 0, ROUND(t.total_sales * %s, 2), 0), t.updated_at = UTC_TIMESTAMP(6)"
    )
