"""Clocks and gauges: medians, the memory and CPU of a process tree, and what one run of a workload measured."""

from __future__ import annotations

import math
import os
import statistics
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROC = Path("/proc")
SAMPLE_SECONDS = 0.5
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """What one round of one contender measured."""

    seconds: float
    rows: int
    files: int
    peak_mb: float = 0.0
    correct: bool = True
    wrong: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def spread(values: Sequence[float]) -> float:
    """Return the distance between the slowest and the fastest round."""
    return max(values) - min(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies, by the nearest rank."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked) - 1e-9) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name stands in brackets and may hold blanks.
    return text[text.rindex(")") + 2 :].split()


def tree(root: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def memory_mb(pid: int) -> float:
    """Return the proportional set size of one process: what several share is divided among them."""
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU time of processes and of their children that have ended."""
    return sum(sum(map(int, fields[11:15])) for pid in pids if (fields := _stat(pid))) / TICKS


def thread_seconds(pids: Sequence[int]) -> dict[str, float]:
    """Return the CPU time of each thread of processes, to the nanosecond.

    What wakes for less than a clock tick, as an idle stream does, hardly shows in `cpu_seconds`.
    """
    spent = {}
    for pid in pids:
        for thread in (PROC / str(pid) / "task").glob("*/schedstat"):
            with suppress(OSError):
                spent[thread.parent.name] = int(thread.read_text().split()[0]) / 1e9
    return spent


def spent_between(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Return what threads that are still there have spent; the last moments of those that ended are lost."""
    return sum(seconds - before.get(thread, 0.0) for thread, seconds in after.items())


class Gauge:
    """Watches a process tree: its peak memory, and the CPU time between begin and end."""

    def __init__(self, root: int) -> None:
        self.peak_mb = 0.0
        self.cpu = 0.0
        self._root = root
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Gauge:
        self._before = cpu_seconds(tree(self._root))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.cpu = cpu_seconds(tree(self._root)) - self._before

    def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, sum(map(memory_mb, tree(self._root))))
            if self._over.wait(SAMPLE_SECONDS):
                return
