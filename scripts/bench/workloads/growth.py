"""Workload e: what does a batch cost with a long history behind it? Each history is a database of its own, made once by SQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pymysql

from app import local
from app.config.load import load_config
from app.mysql.migrations import apply_migrations
from scripts.bench.contender import Contender
from scripts.bench.contenders import salestream
from scripts.bench.data import CUSTOMERS, TWO_YEARS, DataSet
from scripts.bench.servers import DROPS, Site, dimension_rows
from scripts.bench.timing import Gauge, Sample, median
from scripts.bench.workloads.common import START_SECONDS, WARM, WORK_SECONDS, Setting, archived

# Files in the ledger, rows in the customers mart; each history has as many batches and Parquet parts as a real one would have.
HISTORIES = {"empty": (0, 0), "100k": (100_000, 0), "1m": (1_000_000, 5_000_000)}
# A quick run makes do with few.
BATCHES = 30
FEWEST = 3
FILES_A_BATCH = 10
MONTHS = "(SELECT DATE_FORMAT(DATE '2023-01-01' + INTERVAL seq MONTH, '%Y-%m') AS month FROM seq_0_to_23) m"


def with_history(name: str) -> Callable[[Setting, Contender], Sample]:
    """Return the workload on one of the histories."""

    def run(setting: Setting, contender: Contender) -> Sample:
        files, mart_rows = (round(size * min(1.0, setting.scale)) for size in HISTORIES[name])
        site = _site(setting.site, f"{setting.site.config.mysql.database}_{files}_{mart_rows}", files, mart_rows)
        after = site.query("SELECT COALESCE(MAX(id), 0) FROM source_file")[0][0]
        # Never the same twice, as the ledger knows the content of every round before, and of runs that were cut.
        count = setting.rows(BATCHES, FEWEST)
        data = DataSet("growth", count * 1000, count, TWO_YEARS, seed=10_000_000 + after).make()
        warm = DataSet("warm", 1000, 1, WARM.period, seed=20_000_000 + after).make()
        sums = _sums(site)
        running = salestream.start(site, setting.logs / f"growth-{name}.log", after=after)
        try:
            site.put(f"{DROPS}warm/{after}.csv", warm.paths[0].read_bytes())
            running.wait_for(1, START_SECONDS, "its first file")
            archived(site, after)
            waits = []
            with Gauge(running.process.pid) as gauge:
                for number, path in enumerate(data.paths, start=1):
                    key = f"{DROPS}growth/{after}/{path.name}"
                    at = site.put(key, path.read_bytes())
                    waits.append(running.wait_for(1 + number, WORK_SECONDS, pause=0.01)[key] - at)
                    archived(site, after)
        finally:
            running.stop()
        sql = "SELECT b.planned_at, b.committed_at FROM micro_batch b WHERE b.id IN (SELECT batch_id FROM source_file WHERE id > %s)"
        batches = [(end - begin).total_seconds() for begin, end in site.query(f"{sql} ORDER BY b.id", after)][1:]
        right = _added(sums, data.expected(), warm.expected())
        wrong = "" if (seen := _sums(site)) == right else f"sums by month are {seen}, for {right}"
        extra = {"waits": [round(wait, 3) for wait in waits], "drop_to_commit_s": round(median(waits), 3), "cpu_s": round(gauge.cpu, 1)}
        history = {"ledger_rows": files, "mart_rows": mart_rows, "batch_s": [round(batch, 3) for batch in batches]}
        return Sample(median(batches), data.rows // count, 1, gauge.peak_mb, not wrong, wrong[:500], extra | history)

    return run


def _site(site: Site, database: str, files: int, mart_rows: int) -> Site:
    """Return a site on a database with a history; make it when it is not there. The bucket is empty each time."""
    variables = site.variables | {"SALESTREAM_MYSQL_DATABASE": database}
    own = replace(site, variables=variables, config=load_config("dev", environ={}, defaults=variables))
    for path in own.bucket.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (own.bucket / DROPS).mkdir()
    with pymysql.connect(**local.root_connection_args(site.home)) as root, root.cursor() as cursor:
        if cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (database,)):
            return own
        cursor.execute(f"CREATE DATABASE `{database}`")
        for host in ("127.0.0.1", "localhost"):
            cursor.execute(f"GRANT ALL PRIVILEGES ON `{database}`.* TO '{site.config.mysql.user}'@'{host}'")
    apply_migrations(own.config.mysql)
    with own.connect() as connection, connection.cursor() as cursor:
        for sql, rows in dimension_rows():
            cursor.executemany(sql, rows)
        for sql in _history(files, mart_rows):
            cursor.execute(sql)
        cursor.execute("ANALYZE TABLE source_file, micro_batch, batch_attempt, fact_part, customers_data_mart")
    return own


def _history(files: int, mart_rows: int) -> list[str]:
    """Return the statements that make a history of committed, archived files and of mart rows that each hold one sale of 1.00."""
    batches = files // FILES_A_BATCH
    made = [
        "INSERT INTO source_file (identity, bucket, object_key, etag, size_bytes, last_modified, state, in_force, batch_id, rows_read,"
        " rows_loaded, content_digest, discovered_at, claimed_at, finished_at, archived_at, archived_key, archived_etag)"
        " SELECT UNHEX(SHA2(CONCAT('v', seq), 256)), 'salestream', CONCAT('sales_data/history/', seq, '.csv'), MD5(seq), 46000,"
        f" '2025-01-01', 'COMMITTED', 1, 1 + (seq - 1) DIV {FILES_A_BATCH}, 1000, 1000, UNHEX(SHA2(CONCAT('c', seq), 256)), '2025-01-01',"
        " '2025-01-01', '2025-01-01', '2025-01-01', CONCAT('sales_data_processed/2025-01-01/', seq, '/history.csv'), MD5(seq)"
        f" FROM seq_1_to_{files}",
        "INSERT INTO micro_batch (id, state, attempt, batch_key, files, bytes, rows_read, rows_loaded, planned_at,"
        f" started_at, committed_at) SELECT seq, 'COMMITTED', 1, CONCAT(seq, '-1-1'), {FILES_A_BATCH}, 460000, 10000, 10000,"
        " '2025-01-01', '2025-01-01', '2025-01-01'"
        f" FROM seq_1_to_{batches}",
        "INSERT INTO batch_attempt (batch_key, batch_id, state, started_at, ended_at)"
        f" SELECT CONCAT(seq, '-1-1'), seq, 'COMMITTED', '2025-01-01', '2025-01-01' FROM seq_1_to_{batches}",
        "INSERT INTO fact_part (batch_key, sales_month, store_id, state, row_count, amount, planned_at, live_at)"
        " SELECT CONCAT(seq, '-1-1'), m.month, 121 + seq % 5, 'LIVE', 100, 100, '2025-01-01', '2025-01-01'"
        f" FROM seq_1_to_{batches} JOIN {MONTHS}",
    ]
    marts = [
        "INSERT INTO customers_data_mart (customer_id, full_name, address, phone_number, sales_date_month, total_sales, row_count,"
        f" updated_at) SELECT seq, 'Somebody Else', 'Ring Road', '9', m.month, 1, 1, '2025-01-01'"
        f" FROM seq_1_to_{mart_rows // 24} JOIN {MONTHS}",
    ]
    return (made if files else []) + (marts if mart_rows >= 24 else [])


def _sums(site: Site) -> dict[Any, tuple[Decimal, Decimal]]:
    """Add up both marts by month, plainly and weighted by the key, so that a sum in the wrong row shows; only keys that are dropped."""
    customers = site.query(
        "SELECT sales_date_month, SUM(total_sales), SUM(total_sales * customer_id) FROM customers_data_mart"
        " WHERE customer_id <= %s GROUP BY 1",
        CUSTOMERS,
    )
    team = site.query(
        "SELECT sales_month, SUM(total_sales), SUM(total_sales * (store_id * 100 + sales_person_id)) FROM sales_team_data_mart GROUP BY 1"
    )
    return {("customers", m): (a, b) for m, a, b in customers} | {("team", m): (a, b) for m, a, b in team}


def _added(before: dict[Any, tuple[Decimal, Decimal]], *more: Any) -> dict[Any, tuple[Decimal, Decimal]]:
    sums = dict(before)

    def add(key: tuple[str, str], total: Decimal, weight: int) -> None:
        plain, weighted = sums.get(key, (Decimal(0), Decimal(0)))
        sums[key] = (plain + total, weighted + total * weight)

    for expected in more:
        for (customer, month), total in expected.customers.items():
            add(("customers", month), total, customer)
        for (store, seller, month), (total, _) in expected.team.items():
            add(("team", month), total, store * 100 + seller)
    return sums
