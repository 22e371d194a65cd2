"""The batch job that Salestream replaces, step by step as its README describes it; each look at the prefix is one run of it.

Download, check headers, note the files in a staging table, read, join the dimensions (inner, as there), local Parquet, upload, both marts
by windows and JDBC append, move the files, clean up, update the staging table. The session stays open between runs, which that job's
does not.
"""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymysql
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from app.config.load import Config
from app.mysql.jdbc import jdbc_options
from scripts.bench.contenders.spark_side import SCHEMA, configuration, enriched, open_session
from scripts.bench.worker import bucket, mysql_settings, s3_client, serve

COLUMNS = [column.split()[0] for column in SCHEMA.split(", ") if " " in column]
STAGING = (
    "CREATE TABLE IF NOT EXISTS seed_staging (id INT AUTO_INCREMENT PRIMARY KEY, file_name VARCHAR(255), file_location VARCHAR(255),"
    " created_date TIMESTAMP NULL, updated_date TIMESTAMP NULL, status CHAR(1))"
)
THREADS = 8


class Job:
    """One run after another."""

    def __init__(self, config: Config, spark: SparkSession) -> None:
        self.config = config
        self.spark = spark
        self.client = s3_client()
        self.connection = pymysql.connect(**mysql_settings())
        self._sql(STAGING)

    def run(self, keys: list[str]) -> None:
        """Do all steps for these files."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = self._download(keys, folder / "in")
            good = {key: path for key, path in files.items() if _has_all_columns(path)}
            self._stage(good)
            sales = self.spark.read.schema(SCHEMA).option("header", True).csv([str(path) for path in good.values()])
            rows = enriched(sales, self.spark, self.config)
            self._write(rows, folder)
            self._marts(folder)
            self._move(good, "sales_data_processed/")
            self._move({key: path for key, path in files.items() if key not in good}, "sales_data_error/")
            self._sql("UPDATE seed_staging SET status = 'I', updated_date = UTC_TIMESTAMP() WHERE status = 'A'")

    def _sql(self, sql: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(sql, rows) if rows else cursor.execute(sql)
        self.connection.commit()

    def _download(self, keys: list[str], folder: Path) -> dict[str, Path]:
        folder.mkdir()
        files = {key: folder / f"{number}.csv" for number, key in enumerate(keys)}
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda item: self.client.download_file(bucket(), item[0], str(item[1])), files.items()))
        return files

    def _stage(self, files: dict[str, Path]) -> None:
        self._sql(
            "INSERT INTO seed_staging (file_name, file_location, created_date, status) VALUES (%s, %s, UTC_TIMESTAMP(), 'A')",
            [(Path(key).name, key) for key in files],
        )

    def _write(self, rows: DataFrame, folder: Path) -> None:
        """Write the customers' and the team's rows and the partitioned ones to local disk, then upload them."""
        customers = rows.select(
            "customer_id", "first_name", "last_name", "address", "pincode", "phone_number", "sales_date", "sales_month", "total_cost"
        )
        team = rows.select(
            "store_id", "sales_person_id", "sales_person_first_name", "sales_person_last_name", "store_manager_name", "manager_id",
            "is_manager", "sales_person_address", "sales_person_pincode", "sales_date", "total_cost", "sales_month",
        )  # fmt: skip
        customers.write.mode("overwrite").parquet(str(folder / "customer_data_mart"))
        team.write.mode("overwrite").parquet(str(folder / "sales_team_data_mart"))
        team.write.mode("overwrite").partitionBy("sales_month", "store_id").parquet(str(folder / "sales_facts"))
        paths = [
            path for part in ("customer_data_mart", "sales_team_data_mart", "sales_facts") for path in (folder / part).rglob("*.parquet")
        ]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda path: self.client.upload_file(str(path), bucket(), path.relative_to(folder).as_posix()), paths))

    def _marts(self, folder: Path) -> None:
        """Work out both marts from the local Parquet by window functions and append them."""
        options = jdbc_options(self.config.mysql)
        url = options.pop("url")
        extra = {"row_count": F.lit(0), "updated_at": F.current_timestamp()}
        rows = self.spark.read.parquet(str(folder / "customer_data_mart"))
        month = Window.partitionBy("customer_id", "sales_month")
        customers = rows.select(
            "customer_id",
            F.concat_ws(" ", "first_name", "last_name").alias("full_name"),
            "address",
            "phone_number",
            F.col("sales_month").alias("sales_date_month"),
            F.sum("total_cost").over(month).alias("total_sales"),
        ).distinct()
        customers.withColumns(extra).write.jdbc(url, "customers_data_mart", "append", options)
        rows = self.spark.read.parquet(str(folder / "sales_team_data_mart"))
        own = Window.partitionBy("store_id", "sales_person_id", "sales_month")
        team = rows.select(
            "store_id",
            "sales_person_id",
            F.concat_ws(" ", "sales_person_first_name", "sales_person_last_name").alias("full_name"),
            "sales_month",
            F.sum("total_cost").over(own).alias("total_sales"),
        ).distinct()
        place = F.rank().over(Window.partitionBy("store_id", "sales_month").orderBy(F.desc("total_sales")))
        bonus = F.when(place == 1, F.round(F.col("total_sales") * F.lit("0.01").cast("decimal(3,2)"), 2)).otherwise(0)
        team.withColumn("incentive", bonus).withColumns(extra).write.jdbc(url, "sales_team_data_mart", "append", options)

    def _move(self, files: dict[str, Path], target: str) -> None:
        def move(key: str) -> None:
            name = target + key.removeprefix("sales_data/")
            self.client.copy_object(Bucket=bucket(), Key=name, CopySource={"Bucket": bucket(), "Key": key})
            self.client.delete_object(Bucket=bucket(), Key=key)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(move, files))


def _has_all_columns(path: Path) -> bool:
    with path.open() as file:
        return set(COLUMNS) <= set(file.readline().strip().split(","))


def main() -> None:
    """Watch the prefix; each look that finds something is one run."""
    # What an interrupted run left.
    shutil.rmtree("spark-warehouse", ignore_errors=True)
    config = configuration()
    job = Job(config, open_session(config, magic=False))
    serve(job.run)


if __name__ == "__main__":
    main()
