"""The plots of the results: one SVG for each section of the page. Runs in the bench's own venv, as only that has matplotlib."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from scripts.bench.page import TITLES, fingerprint, load, sections

DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
OURS, OTHER, WRONG = "#1f6f8b", "#9bb0b8", "#d98f8f"


def main(folder: Path) -> None:
    """Draw all sections."""
    mpl.use("svg")
    # The same results give the same bytes.
    mpl.rcParams["svg.hashsalt"] = "salestream"
    rows, _ = load(folder)
    DOCS.mkdir(exist_ok=True)
    for name, own in sections(rows).items():
        draw(TITLES[name], own, DOCS / f"{name}.svg", fingerprint(rows))


def draw(title: str, rows: list[dict[str, Any]], path: Path, mark: str) -> None:
    """Draw one bar for each contender: seconds, those on less data scaled up by their rows; whiskers are the spread."""
    labels, values, spreads, colours = [], [], [], []
    most = max(row["rows"] for row in rows)
    for row in rows:
        factor = most / row["rows"] if row["scale"] != 1 and "waits" not in row else 1.0
        note = "" if row["scale"] == 1 else f"\n(from {row['scale']:g} of the data)"
        name = row["contender"] if not row["workload"].startswith("e_") else row["workload"][2:]
        labels.append(name + note + ("" if row["correct"] else "\nWRONG RESULT"))
        values.append(row["median_s"] * factor)
        spreads.append(row["spread_s"] * factor / 2)
        colours.append(WRONG if not row["correct"] else OURS if row["contender"] == "salestream" else OTHER)
    figure, axes = plt.subplots(figsize=(8, 0.6 + 0.5 * len(rows)))
    places = range(len(rows))
    axes.barh(places, values, xerr=spreads, color=colours, error_kw={"ecolor": "#555555", "capsize": 3, "linewidth": 1})
    axes.set_yticks(places, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds")
    axes.set_title(title, fontsize=10, loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Description": mark})
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
