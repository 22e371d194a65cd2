"""What the workloads share: sizes, a started and warm contender, and one measured drop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.bench import checks
from scripts.bench.contender import Contender, Running
from scripts.bench.data import WARM_MONTH, DataSet, joined
from scripts.bench.servers import Site
from scripts.bench.timing import Gauge, Sample

WARM = DataSet("warm", 1000, 1, WARM_MONTH, seed=99)
# The machine may be busy with something else; nobody waits for ever all the same.
START_SECONDS = 600
WORK_SECONDS = 1200
ARCHIVE_SECONDS = 300


@dataclass(frozen=True)
class Setting:
    """Where and how large a run is: `scale` is its share of the data."""

    site: Site
    logs: Path
    scale: float = 1.0

    def rows(self, full: int, least: int = 1000) -> int:
        """Return a number of rows, or files, at this scale."""
        return max(least, round(full * self.scale))


@dataclass
class Live:
    """A running contender that is warm, and what it has been given so far."""

    running: Running
    given: list[DataSet]

    @property
    def files(self) -> int:
        """How many files it has been given."""
        return sum(data.files for data in self.given)


@contextmanager
def warm(setting: Setting, contender: Contender, log: str) -> Iterator[Live]:
    """Start a contender on empty servers, let it load one small file, and end it afterwards."""
    setting.site.reset()
    if contender.appends:
        setting.site.drop_mart_keys()
    setting.site.stage(WARM.make(), "warm")
    setting.site.drop("warm")
    running = contender.start(setting.site, setting.logs / f"{log}-{contender.name}.log")
    try:
        running.wait_for(1, START_SECONDS, "its first file")
        running.warm_after = time.time() - running.started
        if "ledger" in contender.makes:
            archived(setting.site)
        yield Live(running, [WARM])
    finally:
        running.stop()


def archived(site: Site, after: int = 0) -> float:
    """Wait until Salestream has archived every file behind the id `after`. Returns the moment of the last move."""
    deadline = time.monotonic() + ARCHIVE_SECONDS
    while site.query("SELECT COUNT(*) FROM source_file WHERE archive_due = 1")[0][0]:
        if time.monotonic() > deadline:
            raise TimeoutError("the archive does not get done")
        time.sleep(0.2)
    last = site.query("SELECT UNIX_TIMESTAMP(MAX(archived_at)) FROM source_file WHERE id > %s", after)[0][0]
    return float(last or 0)


def measure_drop(setting: Setting, contender: Contender, live: Live, data: DataSet) -> Sample:
    """Drop a data set, and time it until the last file is committed."""
    site = setting.site
    live.given.append(data.make())
    before = checks.parquet_files(site)
    site.stage(data, data.name)
    with Gauge(live.running.process.pid) as gauge:
        began = site.drop(data.name)
        done = max(live.running.wait_for(live.files, WORK_SECONDS).values())
    extra = {"cpu_s": round(gauge.cpu, 1), "start_s": round(live.running.warm_after, 1), "bytes": data.size}
    if "facts" in contender.makes:
        extra["parquet_files"] = checks.parquet_files(site) - before
    if "ledger" in contender.makes:
        extra["archive_s"] = round(archived(site) - began, 1)
    wrong = faults(site, live.given, contender)
    return Sample(done - began, data.rows, data.files, gauge.peak_mb, not wrong, wrong, extra)


def faults(site: Site, given: list[DataSet], contender: Contender) -> str:
    """Return what is wrong in one line, empty when nothing is."""
    expected = joined(*(data.expected() for data in given))
    return "; ".join(checks.faults(site, expected, contender.makes))
