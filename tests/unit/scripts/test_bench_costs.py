"""The figures of docs/scaling.md are differences of the counts in scripts/bench/results/costs.json."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COSTS = json.loads((ROOT / "scripts" / "bench" / "results" / "costs.json").read_text())
ONE, MANY, WIDE = COSTS["1 file, 5 partitions"], COSTS["101 files, 5 partitions"], COSTS["1 file, 120 partitions"]


def difference(many: dict[str, dict[str, int]], few: dict[str, dict[str, int]], kind: str, by: int) -> int:
    return round((many["s3"].get(kind, 0) - few["s3"].get(kind, 0)) / by)


def test_a_file_costs_six_requests() -> None:
    kinds = {kind: difference(MANY, ONE, kind, 100) for kind in ("GET", "HEAD", "COPY", "DELETE", "PUT", "POST uploads", "POST complete")}
    assert {kind: count for kind, count in kinds.items() if count} == {"GET": 1, "HEAD": 3, "COPY": 1, "DELETE": 1}


def test_a_partition_costs_one_request() -> None:
    kinds = {kind: difference(WIDE, ONE, kind, 115) for kind in ("GET", "HEAD", "COPY", "DELETE", "PUT", "POST uploads", "POST complete")}
    assert {kind: count for kind, count in kinds.items() if count} == {"PUT": 1}


def test_the_page_says_so() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text()
    assert "3 HEAD, 1 COPY, 1 DELETE: 6 |" in page
    assert "1 PUT for each 64 MB of Parquet |" in page
