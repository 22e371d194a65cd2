"""Show what the demo's run has left: file statuses, marts, quarantine and Parquet, read with DuckDB and plain SQL."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from app import local
from app.config.load import Config, home_of, load_config
from app.mysql.database import Database, Tx
from app.s3.read import list_all, make_client

QUERIES = {
    "Files (view product_staging_table, table source_file)": (
        "SELECT SUBSTRING_INDEX(CONVERT(object_key USING utf8mb4), '/', -1) AS file, state, COALESCE(reason_code, '') AS reason,"
        " rows_read AS `read`, rows_loaded AS loaded, rows_rejected AS rejected, rows_pending AS pending"
        " FROM source_file ORDER BY id DESC LIMIT 12"
    ),
    "Customer mart: top rows": (
        "SELECT customer_id, full_name, sales_date_month, total_sales FROM customers_data_mart ORDER BY total_sales DESC LIMIT 5"
    ),
    "Sales-team mart: top rows": (
        "SELECT store_id, sales_person_id, full_name, sales_month, total_sales, incentive FROM sales_team_data_mart"
        " ORDER BY incentive DESC, total_sales DESC LIMIT 5"
    ),
    "Quarantine: reasons": (
        "SELECT r.reason_code, SUM(r.row_count) AS `rows`, COUNT(DISTINCT r.file_id) AS files, MIN(r.first_line) AS first_line,"
        " MIN(r.first_column) AS first_column FROM file_reject r JOIN batch_attempt a USING (batch_key)"
        " WHERE a.state = 'COMMITTED' GROUP BY r.reason_code ORDER BY 2 DESC"
    ),
    "Waiting for a dimension row": (
        "SELECT k.dimension, k.key_value, SUM(k.row_count) AS `rows` FROM pending_key k JOIN pending_part p USING (batch_key)"
        " WHERE p.state = 'WAITING' GROUP BY k.dimension, k.key_value ORDER BY k.dimension, k.key_value LIMIT 5"
    ),
}

NEXT = """What to try next
  ./spark-submit.sh local up                      # the demo has stopped its servers; the data is still there
  ./spark-submit.sh status
  ./spark-submit.sh run                           # for ever; stop it with Ctrl-C
  .venv/bin/python scripts/generate_standard.py --seed 7 --out /tmp/drop
  ./spark-submit.sh upload /tmp/drop              # in a second terminal, while it runs
  eval "$(./spark-submit.sh local env)"           # then: aws s3 ls --recursive s3://$SALESTREAM_BUCKET/
  ./spark-submit.sh local down"""


def main() -> None:
    """Print one table per question, the Parquet tree, and what to try next."""
    found = local.read_env(home_of())
    config = load_config("dev", defaults=found.variables() if found else {})
    console = Console(width=max(110, Console().width))
    db = Database(config.mysql)
    for title, sql in QUERIES.items():
        rows = db.run(partial(Tx.rows, sql=sql))
        table = Table(*(rows[0] if rows else ["nothing"]), title=title, title_justify="left")
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        console.print(table)
    console.print(parquet_tree(config))
    console.print(NEXT, highlight=False, markup=False)


def parquet_tree(config: Config) -> Tree:
    """Return the first partitions of the facts as a tree."""
    keys = [v.key for v in list_all(make_client(config.s3), config.s3.bucket, config.s3.facts_prefix) if v.key.endswith(".parquet")]
    tree = Tree(f"s3://{config.s3.bucket}/{config.s3.facts_prefix}  ({len(keys)} Parquet files)")
    shown = keys[:6]
    months: dict[str, Tree] = {}
    for key in shown:
        month, *rest = key.removeprefix(config.s3.facts_prefix).split("/")
        months.setdefault(month, tree.add(month) if month not in months else months[month]).add("/".join(rest))
    if len(keys) > len(shown):
        tree.add("...")
    return tree


if __name__ == "__main__":
    main()
