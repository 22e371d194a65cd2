from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.bench import page
from scripts.bench.timing import percentile

ROOT = Path(__file__).resolve().parents[3]
FIELDS = {"workload", "contender", "median_s", "spread_s", "rows", "files", "peak_mb", "ratio_to_floor", "correct"}
ROW = {
    "workload": "a_month", "contender": "floor", "median_s": 2.5, "spread_s": 0.25, "rows": 4000, "files": 4, "peak_mb": 900,
    "ratio_to_floor": 1.0, "correct": True, "rounds": 3, "scale": 1.0, "note": "",
}  # fmt: skip
MACHINE = {
    "at": "2026-01-02T03:04:05+00:00", "commit": "abc", "cores": 2, "cpu": "C", "memory_mb": 2048, "load_before": 0.1, "python": "3.11.7",
    "java": 'openjdk version "17"', "scale": 1,
}  # fmt: skip


def test_the_page_of_benchmarks_is_what_the_results_make_it() -> None:
    assert (ROOT / "docs" / "benchmarks.md").read_text() == page.page(*page.load()), "run .venv/bin/python -m scripts.bench.report"


def test_every_plot_was_drawn_from_the_results() -> None:
    rows, _ = page.load()
    for name in page.sections(rows):
        assert page.fingerprint(rows) in (ROOT / "docs" / "benchmarks" / f"{name}.svg").read_text(), name


def test_every_result_has_the_fields_that_others_read() -> None:
    rows = json.loads((page.RESULTS / "latest.json").read_text())
    assert rows
    for row in rows:
        assert row.keys() >= FIELDS
        assert page.group(row["workload"]) in page.TITLES


def test_none_of_our_own_results_is_wrong() -> None:
    assert [row for row in page.load()[0] if row["contender"] == "salestream" and not row["correct"]] == []


def test_a_wrong_result_and_less_data_are_said() -> None:
    text = page.page([ROW, ROW | {"contender": "dlt", "correct": False, "scale": 0.1, "note": "sums differ"}], MACHINE)
    assert "| floor | 2.50 | 0.25 | 1.00 | 4,000 | 4 | 900 | right |" in text
    assert "| dlt (on 0.1 of the data) | 2.50 | 0.25 | 1.00 | 4,000 | 4 | 900 | **wrong** |" in text
    assert "- dlt: sums differ" in text


def test_how_long_the_run_took_is_said() -> None:
    assert "The run took 58 minutes." in page.page([ROW], MACHINE | {"minutes": 57.6})


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, wanted: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == wanted
