"""Workload f: a very long backlog in continuous mode. How soon is the first file committed, and what do driver and planner hold?"""

from __future__ import annotations

import time
from decimal import Decimal

from scripts.bench.contender import Contender
from scripts.bench.data import ONE_MONTH, DataSet
from scripts.bench.timing import Sample, memory_mb
from scripts.bench.workloads.common import START_SECONDS, WORK_SECONDS, Setting
from tests.chaos.processes import members

OBJECTS = 100_000
OBJECT_ROWS = 10
WATCHED_SECONDS = 120


def first_commit(setting: Setting, contender: Contender) -> Sample:
    """Start on 100,000 waiting objects; watch for two minutes, or until half of them are loaded."""
    site = setting.site
    files = setting.rows(OBJECTS, 500)
    data = DataSet("backlog", files * OBJECT_ROWS, files, ONE_MONTH, seed=6).make()
    site.reset()
    site.stage(data, data.name)
    site.drop(data.name)
    peaks: dict[str, float] = {}
    running = contender.start(site, setting.logs / f"{data.name}-{contender.name}.log")
    try:
        first = min(running.wait_for(1, START_SECONDS + WORK_SECONDS, "the first file").values())
        # What was known at that moment; a listing that had ended would have made it all of them.
        known_first = site.query("SELECT COUNT(*) FROM source_file WHERE discovered_at <= (SELECT MIN(committed_at) FROM micro_batch)")[0][
            0
        ]
        deadline = time.monotonic() + max(5.0, WATCHED_SECONDS * min(1.0, setting.scale * 2))
        is_over = False
        while not is_over:
            is_over = time.monotonic() > deadline or len(running.committed()) >= files // 2
            for one in members(site.home):
                peaks[one.role] = max(peaks.get(one.role, 0.0), memory_mb(one.pid))
            time.sleep(0.5)
        begun = site.query("SELECT UNIX_TIMESTAMP(MIN(discovered_at)) FROM source_file")[0][0]
    finally:
        running.stop()
    wrong = _faults(setting)
    committed, last = site.query(
        "SELECT SUM(f.state = 'COMMITTED'), UNIX_TIMESTAMP(MAX(b.committed_at)) FROM source_file f JOIN micro_batch b ON b.id = f.batch_id"
    )[0]
    extra = {
        "from_start_s": round(first - running.started, 1),
        "known_at_first_commit": known_first,
        "files_committed": int(committed),
        "files_a_second": round(float(committed) / max(0.1, float(last) - float(begun)), 1),
        "jvm_mb": round(peaks.get("jvm", 0)),
        "driver_mb": round(peaks.get("driver", 0)),
        "planner_mb": round(peaks.get("planner", 0)),
    }
    return Sample(first - float(begun), data.rows, files, sum(peaks.values()), not wrong, wrong, extra)


def _faults(setting: Setting) -> str:
    """Compare what was loaded until the stop: the marts must hold exactly the rows of the committed files."""
    loaded = setting.site.query("SELECT COALESCE(SUM(rows_loaded), 0) FROM source_file WHERE state = 'COMMITTED'")[0][0]
    rows = [setting.site.query(f"SELECT COALESCE(SUM(row_count), 0), COALESCE(SUM(total_sales), 0) FROM {mart}")[0] for mart in MARTS]
    parts = setting.site.query("SELECT COALESCE(SUM(row_count), 0), COALESCE(SUM(amount), 0) FROM fact_part WHERE state = 'LIVE'")[0]
    if {(int(count), Decimal(amount)) for count, amount in (*rows, parts)} != {(int(loaded), Decimal(parts[1]))}:
        return f"{loaded} rows are loaded, the marts hold {rows}, the parts {parts}"
    return ""


MARTS = ("customers_data_mart", "sales_team_data_mart")
