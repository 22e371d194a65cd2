"""Workloads a, c and d: data wait, and all of it is to be loaded."""

from __future__ import annotations

from scripts.bench.contender import Contender
from scripts.bench.data import ONE_MONTH, TWO_YEARS, DataSet
from scripts.bench.timing import Sample
from scripts.bench.workloads.common import Live, Setting, measure_drop

ROWS = 4_000_000
FILES = 40
SMALL_FILES = 10_000
SMALL_ROWS = 100
LARGE_ROWS = 6_500_000


def month(setting: Setting, contender: Contender, live: Live) -> Sample:
    """Load 4 M rows in 40 files of one month."""
    return measure_drop(
        setting, contender, live, DataSet("month", setting.rows(ROWS, 4000), max(4, round(FILES * setting.scale)), ONE_MONTH)
    )


def partitions(setting: Setting, contender: Contender, live: Live) -> Sample:
    """Load 4 M rows in 40 files of 24 months and 5 stores."""
    data = DataSet("partitions", setting.rows(ROWS, 4000), max(4, round(FILES * setting.scale)), TWO_YEARS, seed=2)
    return measure_drop(setting, contender, live, data)


def small_files(setting: Setting, contender: Contender, live: Live) -> Sample:
    """Load 10,000 distinct files of 100 rows, of one month."""
    files = setting.rows(SMALL_FILES, 50)
    return measure_drop(setting, contender, live, DataSet("small", files * SMALL_ROWS, files, ONE_MONTH, seed=3))


def large_file(setting: Setting, contender: Contender, live: Live) -> Sample:
    """Load one file of 1 GB."""
    return measure_drop(setting, contender, live, DataSet("large", setting.rows(LARGE_ROWS, 50_000), 1, ONE_MONTH, seed=4, wide=True))
