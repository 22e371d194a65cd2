#!/usr/bin/env python
"""The spike behind docs/decisions/0002-scan.md: Spark's CSV reader against our scan, on the same local files.

    .venv/bin/python scripts/spikes/scan.py                     4 M rows in 40 files, three interleaved rounds
    .venv/bin/python scripts/spikes/scan.py --quotes all        every field quoted
    .venv/bin/python scripts/spikes/scan.py --rows 400000       a quick look

Both read local files, so that S3 costs neither anything. Compare ratios within one run only; the machine's mood changes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from pyspark.sql import DataFrame

REPOSITORY = Path(__file__).resolve().parents[2]
# What is imported from the repository is imported where it is used, behind this.
sys.path.insert(0, str(REPOSITORY))
os.environ["PYTHONPATH"] = str(REPOSITORY)
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"

TYPES = {
    "customer_id": "int",
    "store_id": "int",
    "product_name": "string",
    "sales_date": "date",
    "sales_person_id": "int",
    "price": "decimal(12,4)",
    "quantity": "int",
    "total_cost": "decimal(18,4)",
}
QUOTES: dict[str, tuple[int, ...]] = {"none": (), "one": (2,), "all": tuple(range(8))}


@dataclass(frozen=True)
class Settings:
    """The shipped settings of config.stream."""

    split_bytes: int = 32 << 20
    max_header_bytes: int = 64 << 10
    max_record_lines: int = 100
    max_record_bytes: int = 1 << 20


class LocalClient:
    """Looks like an S3 client; keys are local paths."""

    def get_object(self, **request: Any) -> dict[str, Any]:
        body = Path(request["Key"]).open("rb")  # noqa: SIM115 - the reader closes it
        body.seek(int(request.get("Range", "bytes=0-")[6:].split("-")[0]))
        return {"Body": body}


def make_files(folder: Path, rows: int, files: int, quotes: str) -> list[str]:
    """Write the files once; later runs find them."""
    from scripts.generators import SALES_HEADER, standard_rows

    folder = folder / f"{rows}-{files}-{quotes}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"sales_{number:03}.csv" for number in range(files)]
    for number, path in enumerate(paths):
        if not path.exists():
            lines = [SALES_HEADER, *standard_rows(random.Random(number), rows // files, start=date(2023, 1, 1), end=date(2024, 12, 31))]
            quoted = QUOTES[quotes]
            text = "".join(",".join(f'"{v}"' if at in quoted else v for at, v in enumerate(line)) + "\n" for line in lines)
            path.write_text(text)
    return [str(path) for path in paths]


def tree_cpu_seconds() -> float:
    """Add up the CPU time of this process and all its descendants: the JVM and the Python workers."""
    parents: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        fields = text[text.rindex(")") + 2 :].split()
        number = int(path.parent.name)
        parents.setdefault(int(fields[1]), []).append(number)
        ticks[number] = sum(int(field) for field in fields[11:15])
    todo, total = [os.getpid()], 0
    while todo:
        number = todo.pop()
        total += ticks.get(number, 0)
        todo += parents.get(number, [])
    return total / os.sysconf("SC_CLK_TCK")


def measure(cases: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Run the cases in turn, once for warmth and then `rounds` times. Returns median seconds and CPU seconds."""
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            began, cpu = time.perf_counter(), tree_cpu_seconds()
            case()
            if number:
                seen[name].append((time.perf_counter() - began, tree_cpu_seconds() - cpu))
    return {name: (statistics.median(w for w, _ in runs), statistics.median(c for _, c in runs)) for name, runs in seen.items()}


def show(title: str, results: dict[str, tuple[float, float]], rows: int) -> None:
    """Print a table; ratios are to the first line."""
    print(f"\n{title}\n{'':34}{'seconds':>9}{'ratio':>7}{'CPU s':>8}{'ratio':>7}{'Mrows/s':>9}")
    wall, cpu = next(iter(results.values()))
    for name, (seconds, used) in results.items():
        print(f"{name:34}{seconds:9.3f}{seconds / wall:7.2f}{used:8.2f}{used / cpu:7.2f}{rows / seconds / 1e6:9.2f}")


def noop(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


def with_types(frame: DataFrame, *more: str) -> DataFrame:
    from pyspark.sql import functions as F

    return frame.select(*[F.col(name).try_cast(kind).alias(name) for name, kind in TYPES.items()], *more)


def local_client() -> S3Client:
    return cast("S3Client", LocalClient())


def main() -> None:
    from pyspark.sql import SparkSession

    from app.contract.contract import load_contract
    from app.model.dimensions import DIMENSIONS
    from app.model.lookup import Lookup
    from app.source.scan import Marker, ScanFile, plan_splits, scan

    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=4_000_000)
    arguments.add_argument("--files", type=int, default=40)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--quotes", choices=tuple(QUOTES), default="none")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "build" / "spike_scan")
    args = arguments.parse_args()
    paths = make_files(args.out, args.rows, args.files, args.quotes)
    small = make_files(args.out, 1000, 1, args.quotes)

    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "1g").config("spark.ui.enabled", "false")
    settings = {"spark.sql.ansi.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.session.timeZone": "UTC"}
    for name, value in {**settings, "spark.python.unix.domain.socket.enabled": "true"}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    contract = load_contract(REPOSITORY / "conf" / "contract.yml")

    kinds = {"bigint": pa.int64(), "string": pa.string()}
    unknown = SimpleNamespace(value={d.table: Lookup(pa.record_batch({d.key: pa.array([], kinds[d.key_type])}), d.key) for d in DIMENSIONS})

    def ours(paths: list[str]) -> DataFrame:
        files = [ScanFile(n, "", path, hashlib.md5(path.encode()).hexdigest(), os.path.getsize(path)) for n, path in enumerate(paths)]
        return scan(spark, plan_splits(files, Settings().split_bytes), contract, Settings(), unknown, local_client)

    def csv(paths: list[str], schema: str) -> DataFrame:
        return spark.read.schema(schema).option("header", True).csv(paths)

    texts = ",".join(f"{name} string" for name in TYPES)
    types = ",".join(f"{name} {kind}" for name, kind in TYPES.items())
    lineage = ("_file_id", "_split", "_line", "_marker")
    markers = ours(paths).where("_marker IS NOT NULL").select("_marker").collect()
    found = sum(Marker.from_json(text).rows for (text,) in markers)
    assert found == args.rows // args.files * args.files, found
    cases = {
        "a  spark csv, text": lambda: noop(csv(paths, texts)),
        "b  spark csv, typed": lambda: noop(csv(paths, types)),
        "c  spark csv, text + try_cast": lambda: noop(with_types(csv(paths, texts))),
        "d  scan, all columns": lambda: noop(ours(paths)),
        "d1 scan, the contract's columns": lambda: noop(ours(paths).select(*TYPES)),
        "d2 scan + try_cast, with lineage": lambda: noop(with_types(ours(paths), *lineage)),
    }
    show(f"{args.rows} rows in {args.files} files, quotes: {args.quotes}", measure(cases, args.rounds), args.rows)
    latency = {
        "spark csv, text + try_cast": lambda: noop(with_types(csv(small, texts))),
        "scan + try_cast": lambda: noop(with_types(ours(small), *lineage)),
    }
    show("one file of 1,000 rows", measure(latency, 20), 1000)
    spark.stop()


if __name__ == "__main__":
    main()
