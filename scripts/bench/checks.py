"""Is what a contender made right? Its marts and its Parquet against the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb

from scripts.bench.data import Expected
from scripts.bench.servers import Site

CUSTOMER_SQL = "SELECT customer_id, sales_date_month, total_sales FROM customers_data_mart"
TEAM_SQL = "SELECT store_id, sales_person_id, sales_month, total_sales, incentive FROM sales_team_data_mart"


def faults(site: Site, right: Expected, makes: frozenset[str]) -> list[str]:
    """Name what differs from the oracle, of what this contender makes: marts, facts, ledger."""
    found: list[str] = []
    if "marts" in makes:
        customers = [((c, m), t) for c, m, t in site.query(CUSTOMER_SQL)]
        team = [((s, p, m), (t, i)) for s, p, m, t, i in site.query(TEAM_SQL)]
        found += _table("customers mart", customers, right.customers)
        found += _table("sales team mart", team, right.team)
    if "facts" in makes:
        found += _table("facts", list(read_facts(site).items()), right.facts)
    if "ledger" in makes:
        found += _ledger(site, sum(rows for rows, _ in right.facts.values()))
    return found


def read_facts(site: Site) -> dict[tuple[str, int], tuple[int, Decimal]]:
    """Add up the Parquet of each partition, as a reader of the whole directory sees it."""
    if not any((site.bucket / "sales_facts").rglob("*.parquet")):
        return {}
    with duckdb.connect() as db:
        rows = db.execute(
            "SELECT sales_month, store_id, count(*), CAST(sum(total_cost) AS DECIMAL(30, 4)) FROM read_parquet(?, hive_partitioning = true,"
            " hive_types = {'sales_month': VARCHAR, 'store_id': INTEGER}) GROUP BY ALL",
            [f"{site.bucket}/sales_facts/**/*.parquet"],
        ).fetchall()
    return {(month, store): (count, amount) for month, store, count, amount in rows}


def parquet_files(site: Site) -> int:
    """Count the Parquet files of the facts."""
    return sum(1 for _ in (site.bucket / "sales_facts").rglob("*.parquet"))


def _table(name: str, rows: list[tuple[Any, Any]], right: dict[Any, Any]) -> Iterator[str]:
    counts = Counter(key for key, _ in rows)
    doubled = sum(1 for count in counts.values() if count > 1)
    if doubled:
        yield f"{name}: {doubled} of {len(counts)} keys have more than one row"
        return
    seen = dict(rows)
    wrong = [key for key in seen.keys() | right.keys() if seen.get(key) != right.get(key)]
    if wrong:
        yield f"{name}: {len(wrong)} of {len(right)} rows differ, such as {wrong[0]}: {seen.get(wrong[0])} for {right.get(wrong[0])}"


def _ledger(site: Site, rows: int) -> Iterator[str]:
    loaded, others = site.query("SELECT COALESCE(SUM(rows_loaded), 0), SUM(state <> 'COMMITTED') FROM source_file")[0]
    if (loaded, others) != (rows, 0):
        yield f"ledger: {loaded} rows loaded for {rows}, {others} files not committed"
    parts = site.query("SELECT COALESCE(SUM(row_count), 0) FROM fact_part WHERE state = 'LIVE'")[0][0]
    if parts != rows:
        yield f"ledger: live parts hold {parts} rows for {rows}"
