"""The floor: a plain Spark batch job that reads typed CSV, joins the dimensions and writes the same partitioned Parquet.

Same session settings, the magic committer, same few files per partition; no marts, no ledger, no checks. Nothing on Spark that also does
the rest can be expected to be faster.
"""

from __future__ import annotations

from scripts.bench.contenders.spark_side import SCHEMA, configuration, enriched, open_session, read_paths, s3a
from scripts.bench.worker import serve


def main() -> None:
    """Watch the prefix and load what is new."""
    config = configuration()
    spark = open_session(config, magic=True)

    def process(keys: list[str]) -> None:
        sales = spark.read.schema(SCHEMA).option("header", True).csv(read_paths(config, keys))
        facts = enriched(sales, spark, config)
        target = s3a(config, config.s3.facts_prefix)
        facts.hint("rebalance", "sales_month", "store_id").write.mode("append").partitionBy("sales_month", "store_id").parquet(target)

    serve(process)


if __name__ == "__main__":
    main()
