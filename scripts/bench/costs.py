"""`python -m scripts.bench.costs`: count what a batch costs in S3 requests, by its files, partitions and bytes.

Each drop is one batch; what a file, a partition and a batch cost is the difference of two. The triggers go on meanwhile: with one more
listing each half second, which belongs to the seconds.
docs/scaling.md does its arithmetic with these.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

from scripts.bench.data import CACHE, ONE_MONTH, TWO_YEARS, DataSet
from scripts.bench.lineup import CONTENDERS
from scripts.bench.servers import open_site
from scripts.bench.workloads.common import Setting, warm
from scripts.bench.workloads.idle import kind_of
from tests.fault_proxy import fault_proxy

DAY = (date(2024, 5, 1), 1)
# Sellers of five stores: 5 partitions a month.
DROPS = {
    "1 file, 5 partitions": DataSet("cost1", 1000, 1, DAY, seed=31),
    "101 files, 5 partitions": DataSet("cost101", 101_000, 101, ONE_MONTH, seed=32),
    "1 file, 120 partitions": DataSet("cost120", 20_000, 1, TWO_YEARS, seed=33),
    "1 file of 40 MB, 5 partitions": DataSet("costmb", 900_000, 1, ONE_MONTH, seed=34),
}


def main() -> None:
    """Count, and print a line for each drop."""
    found = {}
    with open_site() as site, fault_proxy(site.variables["AWS_ENDPOINT_URL_S3"]) as proxy:
        counted = replace(site, variables=site.variables | {"AWS_ENDPOINT_URL_S3": proxy.url})
        (CACHE / "logs").mkdir(parents=True, exist_ok=True)
        with warm(Setting(counted, CACHE / "logs"), CONTENDERS["salestream"], "costs") as live:
            for title, data in DROPS.items():
                live.given.append(data.make())
                site.stage(data, data.name)
                time.sleep(1)
                before = len(proxy.requests)
                site.drop(data.name)
                began = time.monotonic()
                while any((site.bucket / "sales_data").rglob("*.csv")):
                    time.sleep(0.2)
                time.sleep(1)
                took = time.monotonic() - began
                kinds = Counter(kind_of(request) for request in proxy.requests[before:])
                found[title] = {
                    "seconds": round(took, 1),
                    "bytes": data.size,
                    "s3": dict(sorted(kinds.items())),
                }
                print(f"{title}: {json.dumps(found[title])}", flush=True)
    (Path(__file__).with_name("results") / "costs.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
