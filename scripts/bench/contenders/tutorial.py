"""The usual way, as Spark's own guide and most tutorials show it: the file source with a schema, foreachBatch, df.write.jdbc(append).

Default committer, a local checkpoint, the batch persisted while both sinks read it. The marts are appended to, batch by batch, and the
incentive is worked out within the batch.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from app.mysql.jdbc import jdbc_options
from scripts.bench.contenders.spark_side import SCHEMA, configuration, enriched, open_session, s3a
from scripts.bench.worker import report, until_stopped


def main() -> None:
    """Run the stream until told to stop."""
    config = configuration()
    spark = open_session(config, magic=False)
    over = until_stopped()
    options = jdbc_options(config.mysql)
    url = options.pop("url")

    def to_mart(rows: DataFrame, table: str) -> None:
        rows.withColumns({"row_count": F.lit(0), "updated_at": F.current_timestamp()}).write.jdbc(url, table, "append", options)

    def load(batch: DataFrame, batch_id: int) -> None:
        rows = enriched(batch, spark, config).persist()
        rows.write.mode("append").partitionBy("sales_month", "store_id").parquet(s3a(config, config.s3.facts_prefix))
        name = F.concat_ws(" ", "first_name", "last_name").alias("full_name")
        customers = rows.groupBy("customer_id", name, "address", "phone_number", F.col("sales_month").alias("sales_date_month"))
        to_mart(customers.agg(F.sum("total_cost").alias("total_sales")), "customers_data_mart")
        seller = F.concat_ws(" ", "sales_person_first_name", "sales_person_last_name").alias("full_name")
        team = rows.groupBy("store_id", "sales_person_id", seller, "sales_month").agg(F.sum("total_cost").alias("total_sales"))
        place = F.rank().over(Window.partitionBy("store_id", "sales_month").orderBy(F.desc("total_sales")))
        bonus = F.when(place == 1, F.round(F.col("total_sales") * F.lit("0.01").cast("decimal(3,2)"), 2)).otherwise(0)
        to_mart(team.withColumn("incentive", bonus), "sales_team_data_mart")
        rows.unpersist()
        report(files_of(Path(checkpoint), batch_id))

    with tempfile.TemporaryDirectory() as checkpoint:
        query = (
            spark.readStream.schema(SCHEMA)
            .option("header", True)
            .option("recursiveFileLookup", True)
            .csv(s3a(config, config.s3.source_prefix))
            .writeStream.foreachBatch(load)
            .option("checkpointLocation", checkpoint)
            .trigger(processingTime=config.stream.trigger_interval)
            .start()
        )
        while not over.wait(0.2) and query.isActive:
            pass
        if query.isActive:
            query.stop()
        elif (failure := query.exception()) is not None:
            raise failure


def files_of(checkpoint: Path, batch_id: int) -> list[str]:
    """Read the keys of a batch's files from the log that the file source keeps; every tenth entry holds all before it as well."""
    log = checkpoint / "sources" / "0"
    path = next(path for path in (log / str(batch_id), log / f"{batch_id}.compact") if path.exists())
    entries = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return [unquote(urlsplit(entry["path"]).path).lstrip("/") for entry in entries if entry["batchId"] == batch_id]


if __name__ == "__main__":
    main()
