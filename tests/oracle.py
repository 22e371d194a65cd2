"""The independent oracle: both marts worked out by DuckDB from the CSV files themselves. Imports nothing from app.

It takes clean sales only (any column order, any extra columns) and refuses the rest, so that it never has to guess what the
pipeline rejects. Money is DECIMAL and exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

import duckdb

COLUMNS = {
    "customer_id": "BIGINT",
    "store_id": "BIGINT",
    "product_name": "VARCHAR",
    "sales_date": "DATE",
    "sales_person_id": "BIGINT",
    "price": "DECIMAL(20, 4)",
    "quantity": "BIGINT",
    "total_cost": "DECIMAL(20, 4)",
}
# What a clean value looks like. DuckDB's own casts are more generous than the contract: 1.23456 would be rounded, 1e2 taken.
CLEAN = {
    "BIGINT": r"-?\d{1,18}",
    "DATE": r"\d{4}-\d{2}-\d{2}",
    "DECIMAL(20, 4)": r"-?\d{1,16}(\.\d{1,4})?",
    "VARCHAR": r"(?s).*\S.*",
}


@dataclass(frozen=True)
class Dimensions:
    """The keys that have a dimension row; the sample dimensions where left out."""

    customers: Iterable[int] = range(1, 26)
    stores: Iterable[int] = range(121, 125)
    sellers: Iterable[int] = range(1, 11)


@dataclass(frozen=True)
class Marts:
    """Both marts, the facts, and what had to wait.

    customers: (customer_id, 'YYYY-MM') -> total. team: (store_id, seller, 'YYYY-MM') -> (total, incentive).
    facts: ('YYYY-MM', store_id) -> (rows, sum of total_cost) of the rows whose keys are known. pending: rows by
    missing ('customer' | 'store' | 'sales_team', key); a row that lacks two counts under both, but once in pending_rows.
    files: path as given -> (rows_read, rows_loaded, rows_pending).
    """

    customers: dict[tuple[int, str], Decimal] = field(default_factory=dict)
    team: dict[tuple[int, int, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    facts: dict[tuple[str, int], tuple[int, Decimal]] = field(default_factory=dict)
    pending: dict[tuple[str, int], int] = field(default_factory=dict)
    pending_rows: int = 0
    files: dict[str, tuple[int, int, int]] = field(default_factory=dict)


def expected_marts(csv_paths: Sequence[str | Path], dimensions: Dimensions | None = None, *, rate: Decimal = Decimal("0.01")) -> Marts:
    """Return marts and facts over all rows of these clean files whose customer, store and seller are known.

    A path that stands twice counts twice: give each content that was booked once.

    Raises:
        ValueError: a file holds a row that is not clean.
    """
    if not csv_paths:
        return Marts()
    with _sales(csv_paths, dimensions or Dimensions()) as db:
        customers = db.execute("SELECT customer_id, month, sum(total_cost) FROM sales WHERE known GROUP BY ALL").fetchall()
        team = db.execute("SELECT store_id, sales_person_id, month, sum(total_cost) FROM sales WHERE known GROUP BY ALL").fetchall()
        facts = db.execute("SELECT month, store_id, count(*), sum(total_cost) FROM sales WHERE known GROUP BY ALL").fetchall()
        pending = db.execute(
            """
            SELECT 'customer', customer_id, count(*) FROM sales WHERE NOT has_customer GROUP BY ALL
            UNION ALL SELECT 'store', store_id, count(*) FROM sales WHERE NOT has_store GROUP BY ALL
            UNION ALL SELECT 'sales_team', sales_person_id, count(*) FROM sales WHERE NOT has_seller GROUP BY ALL
            """
        ).fetchall()
        files = db.execute(
            "SELECT file, count(*), count(*) FILTER (known), count(*) FILTER (NOT known) FROM sales GROUP BY file"
        ).fetchall()
    return Marts(
        customers={(customer, month): total for customer, month, total in customers},
        team=with_incentives({(store, seller, month): total for store, seller, month, total in team}, rate),
        facts={(month, store): (rows, total) for month, store, rows, total in facts},
        pending={(dimension, key): rows for dimension, key, rows in pending},
        pending_rows=sum(row[3] for row in files),
        files={str(path): (0, 0, 0) for path in csv_paths} | {row[0]: row[1:] for row in files},
    )


def with_incentives(totals: dict[tuple[int, int, str], Decimal], rate: Decimal) -> dict[tuple[int, int, str], tuple[Decimal, Decimal]]:
    """Add the incentive: the rate of the own total, half a cent up, to all who lead a store and month above zero."""
    top: dict[tuple[int, str], Decimal] = {}
    for (store, _, month), total in totals.items():
        top[store, month] = max(total, top.get((store, month), total))
    with localcontext(prec=60):
        return {
            (store, seller, month): (total, _cents(total * rate) if total == top[store, month] and total > 0 else Decimal("0.00"))
            for (store, seller, month), total in totals.items()
        }


def _sales(csv_paths: Sequence[str | Path], dimensions: Dimensions) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("SET threads = 2")
    _load_raw(db, csv_paths)
    _refuse_dirt(db)
    for name, keys in (("customers", dimensions.customers), ("stores", dimensions.stores), ("sellers", dimensions.sellers)):
        db.execute(f"CREATE TABLE {name} AS SELECT DISTINCT unnest(?::BIGINT[]) AS id", [list(keys)])
    typed = ", ".join(f"CAST({column} AS {kind}) AS {column}" for column, kind in COLUMNS.items())
    db.execute(
        f"""
        CREATE TABLE sales AS
        WITH typed AS (SELECT file, {typed} FROM raw),
        looked_up AS (
            SELECT *, strftime(sales_date, '%Y-%m') AS month,
                   customer_id IN (SELECT id FROM customers) AS has_customer,
                   store_id IN (SELECT id FROM stores) AS has_store,
                   sales_person_id IN (SELECT id FROM sellers) AS has_seller
            FROM typed
        )
        SELECT *, has_customer AND has_store AND has_seller AS known FROM looked_up
        """
    )
    return db


def _load_raw(db: duckdb.DuckDBPyConnection, csv_paths: Sequence[str | Path]) -> None:
    # Each file by itself: a file of several columns more or other order then needs no guess about the others.
    columns = ", ".join(COLUMNS)
    db.execute(f"CREATE TABLE raw (file VARCHAR, {', '.join(f'{column} VARCHAR' for column in COLUMNS)})")
    for path in map(str, csv_paths):
        db.execute(
            f"""
            INSERT INTO raw SELECT ?, {columns}
            FROM read_csv(?, all_varchar = true, header = true, delim = ',', quote = '"', escape = '"', strict_mode = true,
                          skip = 0, comment = '')
            """,
            [path, re.sub(r"([*?\[])", r"[\1]", path)],
        )


def _refuse_dirt(db: duckdb.DuckDBPyConnection) -> None:
    for column, kind in COLUMNS.items():
        found = db.execute(
            f"""
            SELECT file, {column} FROM raw
            WHERE {column} IS NULL OR NOT regexp_full_match({column}, ?) OR TRY_CAST({column} AS {kind}) IS NULL LIMIT 1
            """,
            [CLEAN[kind]],
        ).fetchone()
        if found:
            raise ValueError(f"{found[0]}: {column} is {found[1]!r}, the oracle takes clean rows only")


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
