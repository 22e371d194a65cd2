"""What the Spark contenders share: a session with Salestream's own settings, typed CSV, dimensions over JDBC, the partition column."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from app.config.load import Config, load_config
from app.mysql.jdbc import jdbc_options
from app.spark.session import s3a_credentials, settings

REPOSITORY = Path(__file__).resolve().parents[3]
# Holds PathOutputCommitProtocol; the newest on Central, and it fits Spark 4.3.0.
COMMITTER_PACKAGE = "org.apache.spark:spark-hadoop-cloud_2.13:4.1.1"
# What it asks for beside its own jar: the session has its hadoop-aws, and needs no other cloud's.
COMMITTER_EXCLUDES = ",".join(
    f"{group}:*"
    for group in (
        "org.apache.hadoop",
        "com.google.cloud.bigdataoss",
        "com.fasterxml.jackson.*",
        "org.apache.httpcomponents",
        "joda-time",
        "com.squareup.*",
        "org.eclipse.jetty",
        "org.slf4j",
        "org.wildfly.openssl",
        "software.amazon.*",
    )
)
# The best that Spark's own writer can do on S3: one multipart upload per file, completed at job commit.
MAGIC_COMMITTER = {
    "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
    "spark.sql.parquet.output.committer.class": "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter",
    "spark.hadoop.fs.s3a.committer.name": "magic",
    "spark.hadoop.fs.s3a.committer.magic.track.commits.in.memory.enabled": "true",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}
WRITE_SETTINGS = {"spark.hadoop.fs.s3a.create.performance": "true", "spark.sql.parquet.compression.codec": "zstd"}
SCHEMA = (
    "customer_id INT, store_id INT, product_name STRING, sales_date DATE, sales_person_id INT,"
    " price DECIMAL(12,4), quantity INT, total_cost DECIMAL(18,4)"
)


def configuration() -> Config:
    """Read the configuration as the job does."""
    return load_config("dev")


def open_session(config: Config, *, magic: bool) -> SparkSession:
    """Open a local session as spark-submit.sh would: same jars, memory and settings; without `magic` Spark's default committer writes."""
    jars = ",".join(str(path) for path in sorted((REPOSITORY / ".cache" / "ivy" / "jars").glob("*.jar")))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_CONF_DIR"] = str(REPOSITORY / "conf")
    # As in spark-submit.sh: that collector, unless one is chosen.
    collector = "" if "GC" in os.environ.get("SPARK_SUBMIT_OPTS", "") else "--driver-java-options -XX:+UseParallelGC"
    # In an Ivy folder of its own: spark-submit.sh takes all that lies in the other one.
    ivy = f"--conf spark.jars.ivy={REPOSITORY}/.cache/bench/ivy"
    package = f"--packages {COMMITTER_PACKAGE} --exclude-packages {COMMITTER_EXCLUDES} {ivy}" if magic else ""
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--driver-memory {config.spark.driver_memory} {collector} --conf spark.buffer.pageSize=1m --jars {jars} {package} pyspark-shell"
    )
    builder = SparkSession.builder.appName("bench").config("spark.ui.enabled", os.environ.get("BENCH_UI", "true"))
    for name, value in (settings(config) | WRITE_SETTINGS | (MAGIC_COMMITTER if magic else {})).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    for name, value in s3a_credentials(config).items():
        hadoop.set(name, value)
    return spark


def s3a(config: Config, path: str) -> str:
    """Return the Hadoop path of a key or prefix."""
    return f"s3a://{config.s3.bucket}/{path}"


def read_paths(config: Config, keys: list[str]) -> list[str]:
    """Return what to hand to spark.read: a folder where all of it is new, single files where they lie in the prefix itself."""
    folders = {key.rsplit("/", 1)[0] for key in keys}
    if folders == {config.s3.source_prefix.rstrip("/") + "/live"}:
        return [s3a(config, key) for key in keys]
    return [s3a(config, folder) for folder in sorted(folders)]


def dimension(spark: SparkSession, config: Config, columns: str, table: str) -> DataFrame:
    """Read a dimension table over JDBC."""
    query = f"(SELECT {columns} FROM {table}) AS d"
    return spark.read.format("jdbc").options(**jdbc_options(config.mysql), dbtable=query).load()


def enriched(sales: DataFrame, spark: SparkSession, config: Config, how: str = "inner") -> DataFrame:
    """Join the three dimensions, broadcast, and add the month."""
    customer = dimension(spark, config, "customer_id, first_name, last_name, address, pincode, phone_number", "customer")
    store = dimension(spark, config, "id AS store_id, store_manager_name", "store")
    seller = dimension(
        spark,
        config,
        "id AS sales_person_id, first_name AS sales_person_first_name, last_name AS sales_person_last_name, manager_id, is_manager,"
        " address AS sales_person_address, pincode AS sales_person_pincode",
        "sales_team",
    )
    return (
        sales.join(F.broadcast(customer), "customer_id", how)
        .join(F.broadcast(store), "store_id", how)
        .join(F.broadcast(seller), "sales_person_id", how)
        .withColumn("sales_month", F.date_format("sales_date", "yyyy-MM"))
    )
