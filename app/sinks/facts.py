"""Facts: partitioned Parquet on S3 through the magic committer (design: D4)."""

from __future__ import annotations

from decimal import Decimal

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from app.config import S3Config
from app.prefixes import fact_part_prefix
from app.sinks.marts import Totals

PARTITIONS = ("sales_month", "store_id", "batch_key")


def s3a(config: S3Config, prefix: str) -> str:
    """Return the Hadoop path of a prefix of our own."""
    return f"s3a://{config.bucket}/{prefix.rstrip('/')}"


def write_facts(facts: DataFrame, config: S3Config, amount_column: str = "total_cost") -> Totals:
    """Write enriched rows below `<facts>/sales_month=/store_id=/batch_key=/`, few files per partition.

    Returns what really went into the files: rows and amount, observed behind the shuffle so that a repeated map task cannot
    count twice.
    """
    observation = Observation()
    (
        facts.hint("rebalance", "sales_month", "store_id")
        .observe(observation, F.count(F.lit(1)).alias("rows"), F.sum(amount_column).alias("amount"))
        .write.mode("append")
        .partitionBy(*PARTITIONS)
        .parquet(s3a(config, config.facts_prefix))
    )
    seen = observation.get
    return Totals(int(seen["rows"]), Decimal(seen["amount"] or 0))


def part_prefix(config: S3Config, sales_month: str, store_id: int, batch_key: str) -> str:
    """Return the S3 prefix of one part."""
    return fact_part_prefix(config, sales_month, store_id, batch_key)
