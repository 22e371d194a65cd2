"""What the results should be, and whether they are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

OURS = "salestream"
USUAL = ("tutorial", "seed", "dlt")
Row = dict[str, Any]
By = Mapping[tuple[str, str], Row]


@dataclass(frozen=True)
class Goal:
    """One goal: `measured` gives the value in words and whether it is reached; it raises KeyError where nothing was measured."""

    text: str
    measured: Callable[[By, int], tuple[str, bool]]


def _ratio(by: By, _: int) -> tuple[str, bool]:
    found = [by[workload, OURS]["ratio_to_floor"] for workload in ("a_month", "a_partitions")]
    return f"{found[0]:.2f} and {found[1]:.2f}", max(found) <= 1.3


def _p50(by: By, _: int) -> tuple[str, bool]:
    found = by["b_latency", OURS]["p50"]
    return f"{found:.2f} s", found <= 1.0


def _p99(by: By, _: int) -> tuple[str, bool]:
    row = by["b_latency", OURS]
    return f"{row['p99'] / row['p50']:.2f} x", row["p99"] <= 2 * row["p50"]


def _rate(by: By, _: int) -> tuple[str, bool]:
    row = by["c_small", OURS]
    return f"{row['files'] / row['median_s']:.0f}", row["files"] >= 150 * row["median_s"]


def _cores(by: By, cores: int) -> tuple[str, bool]:
    row = by["d_large", OURS]
    busy = row["cpu_s"] / row["median_s"]
    # The servers on the same machine need their share.
    return f"{busy:.1f} of {cores}, without the servers", busy >= 0.8 * cores


def _growth(by: By, _: int) -> tuple[str, bool]:
    empty, *others = (by[f"e_{name}", OURS]["median_s"] for name in ("empty", "100k", "1m"))
    return " and ".join(f"{other / empty:.2f} x" for other in others), max(others) <= 1.1 * empty


def _backlog(by: By, _: int) -> tuple[str, bool]:
    row = by["f_backlog", OURS]
    return f"{row['known_at_first_commit']:,} of {row['files']:,} files known", row["known_at_first_commit"] < row["files"]


def _driver(by: By, _: int) -> tuple[str, bool]:
    row = by["f_backlog", OURS]
    return f"driver {row['driver_mb']:,} MB, planner {row['planner_mb']:,} MB", max(row["driver_mb"], row["planner_mb"]) < 1024


def _idle(by: By, _: int) -> tuple[str, bool]:
    row = by["g_idle", OURS]
    requests, lists, share = row["s3_requests_a_minute"], row["triggers_a_minute"], row["cpu_s_a_minute"] / 60
    return (
        f"{requests:.0f} S3 requests a minute, {lists:.0f} of them LIST; {share:.1%} of a core",
        requests <= 1.05 * lists and share <= 0.05,
    )


def _faster(by: By, _: int) -> tuple[str, bool]:
    slower = []
    for workload in ("a_month", "a_partitions", "b_latency", "c_small"):
        own = _cost(by[workload, OURS])
        slower += [f"{name} in {workload}" for name in USUAL if (row := by[workload, name])["correct"] and _cost(row) <= own]
    return ("not faster than " + ", ".join(slower) if slower else "yes"), not slower


def _cost(row: Row) -> float:
    return float(row["p50"]) if "p50" in row else row["median_s"] / row["rows"]


GOALS = (
    Goal("a: at most 1.3 times the floor", _ratio),
    Goal("b: half of the files committed within 1 s", _p50),
    Goal("b: p99 at most twice p50", _p99),
    Goal("c: 150 files a second", _rate),
    Goal("d: all cores busy with a file without quoted line breaks", _cores),
    Goal("e: a batch behind 100 k and 1 M files and 5 M mart rows takes at most 1.1 times as long", _growth),
    Goal("f: the first commit comes before the listing has ended", _backlog),
    Goal("f: driver and planner stay below 1 GB", _driver),
    Goal("g: a LIST page a trigger and no other request; at most 5 % of a core", _idle),
    Goal("a to c: faster, by row or by wait, than each of the usual ways whose result is right", _faster),
)


def goals_table(rows: list[Row], cores: int) -> str:
    """Return the table of goals for these results."""
    by = {(row["workload"], row["contender"]): row for row in rows}
    lines = ["| goal | measured | |", "| --- | --- | --- |"]
    for goal in GOALS:
        try:
            value, is_reached = goal.measured(by, cores)
        except KeyError:
            value, is_reached = "not measured", None
        lines.append(f"| {goal.text} | {value} | {'' if is_reached is None else 'reached' if is_reached else '**missed**'} |")
    return "\n".join(lines) + "\n"
