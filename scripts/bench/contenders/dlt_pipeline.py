"""dlt: filesystem source, incremental by modification date, into MySQL by its sqlalchemy destination; then the marts are refreshed in SQL.

The fast way that its documentation names: DuckDB reads the CSV with declared types, rows travel as Arrow and Parquet. (Its ADBC driver
for MySQL is not on PyPI.) The marts are built anew from all rows, as nothing else is right after a repeated load. No Parquet facts, no
ledger, no check of rows.
"""

from __future__ import annotations

import os
import tempfile

import dlt
from dlt.sources.credentials import AwsCredentials
from dlt.sources.filesystem import filesystem, read_csv_duckdb
from sqlalchemy import URL

from scripts.bench.worker import SOURCE, bucket, mysql_settings, serve

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
CHUNK_ROWS = 50_000
REFRESH = (
    "DELETE FROM customers_data_mart",
    """
    INSERT INTO customers_data_mart
        (customer_id, full_name, address, phone_number, sales_date_month, total_sales, row_count, updated_at)
    SELECT c.customer_id, CONCAT_WS(' ', c.first_name, c.last_name), c.address, c.phone_number, s.month, s.total, s.n, UTC_TIMESTAMP(6)
    FROM (SELECT customer_id, DATE_FORMAT(sales_date, '%Y-%m') AS month, SUM(total_cost) AS total, COUNT(*) AS n
          FROM sales GROUP BY customer_id, month) s JOIN customer c ON c.customer_id = s.customer_id
    """,
    "DELETE FROM sales_team_data_mart",
    """
    INSERT INTO sales_team_data_mart
        (store_id, sales_person_id, full_name, sales_month, total_sales, incentive, row_count, updated_at)
    SELECT s.store_id, s.sales_person_id, CONCAT_WS(' ', p.first_name, p.last_name), s.month, s.total,
           IF(RANK() OVER (PARTITION BY s.store_id, s.month ORDER BY s.total DESC) = 1 AND s.total > 0, ROUND(s.total * 0.01, 2), 0), s.n,
           UTC_TIMESTAMP(6)
    FROM (SELECT store_id, sales_person_id, DATE_FORMAT(sales_date, '%Y-%m') AS month, SUM(total_cost) AS total, COUNT(*) AS n
          FROM sales GROUP BY store_id, sales_person_id, month) s JOIN sales_team p ON p.id = s.sales_person_id
    """,
)


def main() -> None:
    """Watch the prefix; each look that finds something is one run of the pipeline."""
    my = mysql_settings()
    address = URL.create("mysql+pymysql", my["user"], my["password"], my["host"], my["port"], my["database"])
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=folder,
            destination=dlt.destinations.sqlalchemy(address.render_as_string(hide_password=False)),
            dataset_name=my["database"],
        )

        def process(_: list[str]) -> None:
            files = filesystem(
                f"s3://{bucket()}/{SOURCE}",
                credentials=AwsCredentials(
                    aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
                    aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
                    endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"],
                    region_name=os.environ["AWS_REGION"],
                ),
                file_glob="**/*.csv",
                incremental=dlt.sources.incremental("modification_date"),
            )
            rows = (files | read_csv_duckdb(chunk_size=CHUNK_ROWS, use_pyarrow=True, header=True, dtype=TYPES)).with_name("sales")
            pipeline.run(rows, write_disposition="append", loader_file_format="parquet").raise_on_failed_jobs()
            with pipeline.sql_client() as sql, sql.begin_transaction():
                for statement in REFRESH:
                    sql.execute_sql(statement)

        serve(process)


if __name__ == "__main__":
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    main()
