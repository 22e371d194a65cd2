"""`python -m scripts.bench.report`: write docs/benchmarks.md and its plots from the committed results."""

from __future__ import annotations

import subprocess
from pathlib import Path

from scripts.bench.environment import bench_python
from scripts.bench.page import RESULTS, load, page

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Write page and plots."""
    (REPOSITORY / "docs" / "benchmarks.md").write_text(page(*load()))
    subprocess.run([str(bench_python()), "-m", "scripts.bench.plots", str(RESULTS)], check=True, cwd=REPOSITORY)


if __name__ == "__main__":
    main()
