"""The goals of the benchmarks: what is measured is compared, and what is not is said."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.bench.goals import GOALS, goals_table
from scripts.bench.timing import spent_between

MET: dict[str, dict[str, Any]] = {
    "a_month": {"ratio_to_floor": 1.29, "rows": 4000, "median_s": 8.0},
    "a_partitions": {"ratio_to_floor": 1.3, "rows": 4000, "median_s": 8.0},
    "b_latency": {"p50": 1.0, "p99": 2.0, "rows": 100, "median_s": 1.0},
    "c_small": {"files": 10_000, "rows": 4000, "median_s": 66.0},
    "d_large": {"cpu_s": 96.0, "median_s": 60.0},
    "e_empty": {"median_s": 1.0},
    "e_100k": {"median_s": 1.02},
    "e_1m": {"median_s": 1.1},
    "f_backlog": {"known_at_first_commit": 4000, "files": 100_000, "driver_mb": 300, "planner_mb": 200},
    "g_idle": {"s3_requests_a_minute": 120.0, "triggers_a_minute": 120.0, "cpu_s_a_minute": 3.0},
}
SLOW = {"a_month": 9.0, "a_partitions": 9.0, "b_latency": 1.5, "c_small": 70.0}


def results(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    own = [{"workload": name, "contender": "salestream", "correct": True} | row | changes.get(name, {}) for name, row in MET.items()]
    usual = [
        {"workload": workload, "contender": name, "correct": True, "rows": 4000, "median_s": seconds}
        | ({"p50": seconds} if workload == "b_latency" else {})
        for workload, seconds in SLOW.items()
        for name in ("tutorial", "seed", "dlt")
    ]
    return own + usual


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    return [line.split("|")[3].strip() for line in goals_table(rows, 2).splitlines()[2:]]


def test_goals_at_their_very_limits_are_reached() -> None:
    assert verdicts(results()) == ["reached"] * len(GOALS)


@pytest.mark.parametrize(
    ("goal", "changes"),
    [
        (0, {"a_partitions": {"ratio_to_floor": 1.31}}),
        (1, {"b_latency": {"p50": 1.01, "p99": 2.0}}),
        (2, {"b_latency": {"p99": 2.01}}),
        (3, {"c_small": {"median_s": 67.0}}),
        (4, {"d_large": {"cpu_s": 95.0}}),
        (5, {"e_1m": {"median_s": 1.11}}),
        (6, {"f_backlog": {"known_at_first_commit": 100_000}}),
        (7, {"f_backlog": {"planner_mb": 1024}}),
        (8, {"g_idle": {"s3_requests_a_minute": 130.0}}),
        (8, {"g_idle": {"cpu_s_a_minute": 3.1}}),
        (9, {"c_small": {"median_s": 66.1, "rows": 1000}}),
    ],
)
def test_each_goal_can_be_missed(goal: int, changes: dict[str, dict[str, Any]]) -> None:
    wanted = ["reached"] * len(GOALS)
    wanted[goal] = "**missed**"
    assert verdicts(results(**changes)) == wanted


def test_a_wrong_result_is_never_ahead() -> None:
    rows = [*results(), {"workload": "a_month", "contender": "dlt", "correct": False, "rows": 4000, "median_s": 0.1}]
    assert verdicts(rows)[9] == "reached"


def test_what_was_not_measured_is_said() -> None:
    assert goals_table([], 2).count("| not measured |  |") == len(GOALS)


def test_the_cpu_of_an_idle_minute_is_that_of_the_threads_still_there() -> None:
    assert spent_between({"1": 2.0, "2": 5.0}, {"1": 2.5, "3": 0.25}) == 0.75
