#!/usr/bin/env python3
"""Show where Spark's own file stream, readStream.csv, loses or misreads a file. Plain Spark over a temporary folder, no server.

Run it with .venv/bin/python scripts/spikes/readstream_faults.py (about half a minute); docs/decisions/0001 holds its output.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row, SparkSession

SCHEMA = "customer_id INT, store_id INT, product_name STRING, total_cost DECIMAL(18,4), _corrupt_record STRING"
HEADER = "customer_id,store_id,product_name,total_cost"
FIRST, SECOND, THIRD = "1,121,sugar,100", "2,122,maida,20", "3,123,besan,52"


@dataclass
class Drop:
    """One user: a folder that files are dropped into, and a query over it that is started again and again on one checkpoint."""

    spark: SparkSession
    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def put(self, name: str, *lines: str, age_seconds: float = 0) -> None:
        """Write a file; a dropped file is never changed in place, so it is written aside and moved."""
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.folder / "aside"
        aside.write_text("".join(f"{line}\n" for line in lines))
        when = time.time() - age_seconds
        os.utime(aside, (when, when))
        aside.replace(path)

    def run(self) -> str:
        """Let the stream read what is there, and return what it read, in short."""
        rows: list[str] = []

        def collect(batch: DataFrame, _batch_id: int) -> None:
            rows.extend(shown(row) for row in batch.orderBy("customer_id").collect())

        stream = self.spark.readStream.schema(SCHEMA).option("header", "true").options(**self.options).csv(str(self.folder / "in"))
        query = (
            stream.writeStream.foreachBatch(collect)
            .trigger(availableNow=True)
            .option("checkpointLocation", str(self.folder / "seen"))
            .start()
        )
        try:
            query.awaitTermination()
        except PySparkException as exc:
            return f"the query stops: {type(exc).__name__}"
        return ", ".join(rows) or "no row"


def shown(row: Row) -> str:
    """Return a row as (customer, store, product, total), and what Spark thinks is wrong with it."""
    total = None if row.total_cost is None else f"{row.total_cost.normalize():f}"
    text = (
        "(" + ", ".join("NULL" if value is None else str(value) for value in (row.customer_id, row.store_id, row.product_name, total)) + ")"
    )
    return (text + (" corrupt" if row._corrupt_record else "")).replace("\n", "\\n")


@dataclass(frozen=True)
class Case:
    """One thing that happens to a drop: what is dropped, what ought to come of it, and how it is acted out."""

    dropped: str
    right: str
    act: Callable[[Drop], str]
    options: dict[str, str] = field(default_factory=dict)


def same_name_again(drop: Drop) -> str:
    """Drop the daily file, and the next day's file under the same name."""
    drop.put("sales_data.csv", HEADER, FIRST)
    drop.run()
    drop.put("sales_data.csv", HEADER, SECOND, THIRD)
    return drop.run()


def older_file(drop: Drop) -> str:
    """Drop a file of now, then one whose time lies further back than maxFileAge."""
    drop.put("today.csv", HEADER, FIRST)
    drop.run()
    drop.put("late.csv", HEADER, SECOND, age_seconds=2 * 3600)
    return drop.run()


def once(name: str, *lines: str) -> Callable[[Drop], str]:
    """Drop one file and read it."""

    def act(drop: Drop) -> str:
        drop.put(name, *lines)
        return drop.run()

    return act


def bad_beside_good(drop: Drop) -> str:
    """Drop a sound file and one whose header is in another order."""
    drop.put("good.csv", HEADER, FIRST)
    drop.put("reordered.csv", "store_id,customer_id,product_name,total_cost", "122,2,maida,20")
    return drop.run()


MULTILINE = {"multiLine": "true"}
CASES = (
    Case("the same name again, with other content", "both rows of the second drop", same_name_again),
    Case(
        "a header in another order: store_id, customer_id, ...",
        "(2, 122, maida, 20)",
        once("a.csv", "store_id,customer_id,product_name,total_cost", "122,2,maida,20"),
    ),
    Case("the same file and a good one, enforceSchema=false", "both rows", bad_beside_good, {"enforceSchema": "false"}),
    Case("an extra column at the end", "(1, 121, sugar, 100), and cash kept", once("a.csv", f"{HEADER},payment_mode", f"{FIRST},cash")),
    Case("an extra column in front", "(1, 121, sugar, 100), and 7 kept", once("a.csv", f"zone,{HEADER}", f"7,{FIRST}")),
    Case(
        "three rows, a quote left open in the first, multiLine=true",
        "rows 2 and 3; row 1 rejected",
        once("a.csv", HEADER, '1,121,"sugar,100', SECOND, THIRD),
        MULTILINE,
    ),
    Case("a quoted line break, multiLine=false", "(1, 121, su\\ngar, 100)", once("a.csv", HEADER, '1,121,"su', 'gar",100')),
    Case("an empty file", "a file rejected as EMPTY", once("empty.csv")),
    Case("a file older than maxFileAge (here 1h)", "(2, 122, maida, 20)", older_file, {"maxFileAge": "1h"}),
    Case("a file named _sales.csv", "(1, 121, sugar, 100)", once("_sales.csv", HEADER, FIRST)),
)


def main() -> None:
    """Act out every case and print the table."""
    with tempfile.TemporaryDirectory(prefix="salestream-spike-") as folder:
        spark = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.log.level", "OFF")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.warehouse.dir", f"{folder}/warehouse")
            .getOrCreate()
        )
        print(f"Spark {spark.version}\n")
        print("| what was dropped | what Spark read | what was right |\n|---|---|---|")
        for number, case in enumerate(CASES):
            base = Path(folder, str(number))
            base.mkdir()
            print(f"| {case.dropped} | {case.act(Drop(spark, base, case.options))} | {case.right} |", flush=True)
        spark.stop()


if __name__ == "__main__":
    main()
