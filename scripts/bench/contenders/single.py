"""The lower bound of one machine: one process, DuckDB for the data, LOAD DATA and an upsert for MySQL, one transaction for all files.

DuckDB's own S3 reader is an extension that is downloaded at run time; the objects are fetched with boto3 instead. No ledger, no check of
rows, no quarantine, no late dimension rows, nothing that survives a crash between Parquet and MySQL.
"""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pymysql

from scripts.bench.worker import bucket, mysql_settings, s3_client, serve

THREADS = 8
TYPES = {
    "customer_id": "INTEGER",
    "store_id": "INTEGER",
    "product_name": "VARCHAR",
    "sales_date": "DATE",
    "sales_person_id": "INTEGER",
    "price": "DECIMAL(12, 4)",
    "quantity": "INTEGER",
    "total_cost": "DECIMAL(18, 4)",
}
FACTS = """
    SELECT s.*, c.* EXCLUDE (customer_id), t.store_manager_name, p.* EXCLUDE (sales_person_id),
           strftime(s.sales_date, '%Y-%m') AS sales_month
    FROM sales s JOIN customer c USING (customer_id) JOIN store t USING (store_id) JOIN seller p USING (sales_person_id)
"""
DIMENSIONS = {
    "customer": "SELECT customer_id, first_name, last_name, address, pincode, phone_number FROM customer",
    "store": "SELECT id AS store_id, store_manager_name FROM store",
    "seller": "SELECT id AS sales_person_id, first_name AS sales_person_first_name, last_name AS sales_person_last_name, manager_id,"
    " is_manager, address AS sales_person_address, pincode AS sales_person_pincode FROM sales_team",
}
MARTS = {
    "customers_data_mart": (
        "customer_id, full_name, address, phone_number, sales_date_month, total_sales, row_count",
        "SELECT customer_id, any_value(concat_ws(' ', first_name, last_name)), any_value(address), any_value(phone_number), sales_month,"
        " sum(total_cost), count(*) FROM facts GROUP BY customer_id, sales_month",
    ),
    "sales_team_data_mart": (
        "store_id, sales_person_id, full_name, sales_month, total_sales, row_count",
        "SELECT store_id, sales_person_id, any_value(concat_ws(' ', sales_person_first_name, sales_person_last_name)), sales_month,"
        " sum(total_cost), count(*) FROM facts GROUP BY store_id, sales_person_id, sales_month",
    ),
}
INCENTIVE = """
    UPDATE sales_team_data_mart t
    JOIN (SELECT store_id, sales_month, sales_person_id, RANK() OVER (PARTITION BY store_id, sales_month ORDER BY total_sales DESC) AS place
          FROM sales_team_data_mart WHERE (store_id, sales_month) IN (SELECT store_id, sales_month FROM incoming_sales_team_data_mart)) r
    USING (store_id, sales_month, sales_person_id)
    SET t.incentive = IF(r.place = 1 AND t.total_sales > 0, ROUND(t.total_sales * 0.01, 2), 0)
"""


class Loader:
    """Loads all new files at once."""

    def __init__(self) -> None:
        self.client = s3_client()
        self.mysql = pymysql.connect(**mysql_settings(), local_infile=True, init_command="SET time_zone = '+00:00'")
        self.runs = 0

    def load(self, keys: list[str]) -> None:
        """Fetch, read, join, write Parquet, upload it, and add to the marts in one transaction."""
        self.runs += 1
        with tempfile.TemporaryDirectory() as name, duckdb.connect() as db:
            folder = Path(name)
            (folder / "in").mkdir()
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(lambda item: self._fetch(item[1], folder / "in" / f"{item[0]}.csv"), enumerate(keys)))
            self._read(db, folder)
            target = folder / "sales_facts"
            db.execute(f"COPY facts TO '{target}' (FORMAT parquet, PARTITION_BY (sales_month, store_id), COMPRESSION zstd)")
            shutil.rmtree(folder / "in")
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(lambda path: self._upload(path, folder), list(target.rglob("*.parquet"))))
            self._marts(db, folder)

    def _fetch(self, key: str, path: Path) -> None:
        path.write_bytes(self.client.get_object(Bucket=bucket(), Key=key)["Body"].read())

    def _upload(self, path: Path, folder: Path) -> None:
        key = path.relative_to(folder).with_name(f"{self.runs}-{path.name}").as_posix()
        self.client.put_object(Bucket=bucket(), Key=key, Body=path.read_bytes())

    def _read(self, db: duckdb.DuckDBPyConnection, folder: Path) -> None:
        for name, sql in DIMENSIONS.items():
            with self.mysql.cursor() as cursor:
                cursor.execute(sql)
                columns = [column[0] for column in cursor.description]
                rows = list(cursor.fetchall())
            kinds = ", ".join(f"{column} {'INTEGER' if column.endswith('_id') else 'VARCHAR'}" for column in columns)
            db.execute(f"CREATE TABLE {name} ({kinds})")
            path = folder / f"{name}.csv"
            path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
            db.execute(f"COPY {name} FROM '{path}' (DELIMITER '\t', HEADER false)")
        types = ", ".join(f"'{name}': '{kind}'" for name, kind in TYPES.items())
        db.execute(f"CREATE VIEW sales AS FROM read_csv('{folder}/in/*.csv', header = true, auto_detect = false, columns = {{{types}}})")
        db.execute(f"CREATE TABLE facts AS {FACTS}")

    def _marts(self, db: duckdb.DuckDBPyConnection, folder: Path) -> None:
        with self.mysql.cursor() as cursor:
            # A temporary table is made and dropped without ending the transaction.
            self.mysql.begin()
            for mart, (columns, sql) in MARTS.items():
                path = folder / f"{mart}.tsv"
                db.execute(f"COPY ({sql}) TO '{path}' (DELIMITER '\t', HEADER false, QUOTE '', ESCAPE '')")
                cursor.execute(f"CREATE TEMPORARY TABLE incoming_{mart} AS SELECT {columns} FROM {mart} LIMIT 0")
                cursor.execute(f"LOAD DATA LOCAL INFILE %s INTO TABLE incoming_{mart} CHARACTER SET utf8mb4 ({columns})", (str(path),))
                cursor.execute(
                    f"INSERT INTO {mart} ({columns}, updated_at) SELECT s.*, UTC_TIMESTAMP(6) FROM incoming_{mart} s"
                    f" ON DUPLICATE KEY UPDATE total_sales = {mart}.total_sales + s.total_sales, row_count = {mart}.row_count + s.row_count"
                )
            cursor.execute(INCENTIVE)
            for mart in MARTS:
                cursor.execute(f"DROP TEMPORARY TABLE incoming_{mart}")
        self.mysql.commit()


if __name__ == "__main__":
    serve(Loader().load)
