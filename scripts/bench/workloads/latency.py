"""Workload b: one file of 1,000 rows a second, and how long each takes from its upload to its commit."""

from __future__ import annotations

import time

from scripts.bench.contender import Contender
from scripts.bench.data import ONE_MONTH, TWO_YEARS, DataSet
from scripts.bench.timing import Gauge, Sample, median
from scripts.bench.workloads.common import WORK_SECONDS, Live, Setting, archived, faults

SECONDS = 100
# Long enough for a median beside the one above.
PARTITIONS_SECONDS = 30
FILE_ROWS = 1000
# With 24 months that is 72 partitions for each file.
STORES = 3


def one_a_second(setting: Setting, contender: Contender, live: Live) -> Sample:
    """Drop a file a second for 100 s (three rounds make 5 minutes), each of one month and 5 stores."""
    files = _files(setting, SECONDS)
    return _drop(setting, contender, live, DataSet("live", files * FILE_ROWS, files, ONE_MONTH, seed=5))


def over_partitions(setting: Setting, contender: Contender, live: Live) -> Sample:
    """Do the same with files whose rows belong to 72 partitions."""
    files = _files(setting, PARTITIONS_SECONDS)
    return _drop(setting, contender, live, DataSet("wide", files * FILE_ROWS, files, TWO_YEARS, seed=6, stores=STORES))


def _files(setting: Setting, seconds: int) -> int:
    return max(5, round(seconds * setting.scale))


def _drop(setting: Setting, contender: Contender, live: Live, data: DataSet) -> Sample:
    site = setting.site
    live.given.append(data.make())
    with Gauge(live.running.process.pid) as gauge:
        dropped, next_at = {}, time.time()
        for path in data.paths:
            time.sleep(max(0.0, next_at - time.time()))
            next_at += 1.0
            key = f"sales_data/{data.name}/{path.name}"
            dropped[key] = site.put(key, path.read_bytes())
        committed = live.running.wait_for(live.files, WORK_SECONDS)
    if "ledger" in contender.makes:
        archived(site)
    waits = [committed[key] - at for key, at in dropped.items()]
    wrong = faults(site, live.given, contender)
    extra = {"waits": [round(wait, 3) for wait in waits], "cpu_s": round(gauge.cpu, 1), "start_s": round(live.running.warm_after, 1)}
    return Sample(median(waits), data.rows, data.files, gauge.peak_mb, not wrong, wrong, extra)
