"""Which contender runs which workload, on how much of the data, and how the rounds become results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scripts.bench.contender import Contender, ContenderFailed
from scripts.bench.lineup import CONTENDERS
from scripts.bench.timing import Sample, median, percentile, spread
from scripts.bench.workloads import backlog, catch_up, growth, idle, latency
from scripts.bench.workloads.common import Live, Setting, warm

# Those that need a running, warm contender get it; the others start it in a way of their own.
Drop = Callable[[Setting, Contender, Live], Sample]
Own = Callable[[Setting, Contender], Sample]
OURS = "salestream"
FLOOR = "floor"
TENTH = 0.1


@dataclass(frozen=True)
class Case:
    """One contender in one workload; `share` is its part of the data, where all of it would take too long."""

    workload: str
    contender: Contender
    drop: Drop | None = None
    own: Own | None = None
    share: float = 1.0

    def run(self, setting: Setting) -> Sample:
        """Run one round."""
        if self.own is not None:
            return self.own(setting, self.contender)
        assert self.drop is not None, "a case has one of them"
        with warm(setting, self.contender, self.workload) as live:
            return self.drop(setting, self.contender, live)


@dataclass(frozen=True)
class Workload:
    """Cases that are compared with each other, round by round."""

    letter: str
    title: str
    cases: tuple[Case, ...]
    rounds: int = 3


def _cases(workload: str, drop: Drop, names: Sequence[str], slow: Sequence[str] = (), share: float = TENTH) -> tuple[Case, ...]:
    return tuple(Case(workload, CONTENDERS[name], drop, share=share if name in slow else 1.0) for name in names)


SLOW = ("tutorial", "seed", "dlt")
ALL = (OURS, FLOOR, "tutorial", "seed", "dlt", "single")
WORKLOADS = (
    Workload("a", "catch-up, 4 M rows in 40 files of one month", _cases("a_month", catch_up.month, ALL, SLOW)),
    Workload(
        "a", "catch-up, 4 M rows in 40 files over 24 months and 5 stores",
        _cases("a_partitions", catch_up.partitions, ALL, SLOW),
    ),
    # Three rounds of 100 s for ours; what the others take shows sooner.
    Workload("b", "one file of 1,000 rows a second for five minutes", _cases("b_latency", latency.one_a_second, ALL, ALL[1:], 0.2)),
    Workload("b", "the same over 24 months and 3 stores", _cases("b_partitions", latency.over_partitions, (OURS,))),
    Workload("c", "10,000 small distinct files", _cases("c_small", catch_up.small_files, (*ALL, "s3_loop"), SLOW)),
    Workload("d", "one file of 1 GB", _cases("d_large", catch_up.large_file, (OURS, FLOOR, "single"))),
    Workload(
        "e", "30 batches behind a history",
        tuple(Case(f"e_{name}", CONTENDERS[OURS], own=growth.with_history(name)) for name in growth.HISTORIES),
        rounds=1,
    ),
    Workload("f", "100,000 objects waiting", (Case("f_backlog", CONTENDERS[OURS], own=backlog.first_commit),), rounds=1),
    Workload("g", "an idle minute", (Case("g_idle", CONTENDERS[OURS], own=idle.nothing_comes),), rounds=1),
)  # fmt: skip


@dataclass
class Results:
    """The samples so far."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    shares: dict[tuple[str, str], float] = field(default_factory=dict)

    def add(self, case: Case, sample: Sample) -> None:
        """Note one round."""
        key = (case.workload, case.contender.name)
        self.samples.setdefault(key, []).append(sample)
        self.shares[key] = case.share

    def rows(self) -> list[dict[str, Any]]:
        """Return one result for each workload and contender."""
        return [self._row(workload, name, samples) for (workload, name), samples in self.samples.items()]

    def _row(self, workload: str, name: str, samples: list[Sample]) -> dict[str, Any]:
        good = [sample for sample in samples if sample.seconds > 0]
        seconds = [sample.seconds for sample in good] or [0.0]
        wrong = next((sample.wrong for sample in samples if not sample.correct), "")
        return {
            "workload": workload,
            "contender": name,
            "median_s": round(median(seconds), 3),
            "spread_s": round(spread(seconds), 3),
            "rows": samples[0].rows,
            "files": samples[0].files,
            "peak_mb": round(max(sample.peak_mb for sample in samples)),
            "ratio_to_floor": self._ratio(workload, name),
            "correct": not wrong,
            "rounds": len(samples),
            "scale": self.shares[workload, name],
            "note": wrong or CONTENDERS[name].less,
            **_merged([sample.extra for sample in samples]),
        }

    def _ratio(self, workload: str, name: str) -> float | None:
        """Compare round with round; a contender on a tenth of the data by its seconds a row, but waits of files as they are."""
        floor = self.samples.get((workload, FLOOR), [])
        pairs = [
            (own.seconds / _size(own)) / (other.seconds / _size(other))
            for own, other in zip(self.samples[workload, name], floor, strict=False)
            if own.seconds > 0 and other.seconds > 0
        ]
        return round(median(pairs), 2) if pairs else None


def _size(sample: Sample) -> int:
    return 1 if "waits" in sample.extra else sample.rows


def _merged(extras: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the rounds' further figures together: numbers by their median, lists one after the other."""
    merged: dict[str, Any] = {}
    for name, value in extras[0].items() if extras else ():
        values = [extra[name] for extra in extras if name in extra]
        if isinstance(value, list):
            merged[name] = [item for one in values for item in one]
        elif isinstance(value, dict):
            merged[name] = values[-1]
        else:
            merged[name] = round(median(values), 3)
    if waits := merged.pop("waits", None):
        merged |= {f"p{share}": round(percentile(waits, share / 100), 3) for share in (50, 95, 99)} | {"waits": len(waits)}
    return merged


def chosen(workload: Workload, wanted: Sequence[str], names: Sequence[str]) -> list[Case]:
    """Return the cases asked for by letter or name of the workload, and by contender."""
    is_whole = not wanted or workload.letter in wanted
    return [case for case in workload.cases if case.contender.name in names and (is_whole or case.workload in wanted)]


def run_cases(cases: Sequence[Case], setting: Setting, rounds: int, results: Results) -> None:
    """Run cases round by round, each round beginning with another one."""
    for number in range(rounds):
        turn = number % len(cases)
        for case in (*cases[turn:], *cases[:turn]):
            began = time.monotonic()
            try:
                sample = case.run(replace(setting, scale=setting.scale * case.share))
            except (ContenderFailed, TimeoutError) as exc:
                sample = Sample(0.0, 1, 1, correct=False, wrong=f"did not finish: {str(exc).splitlines()[0]}")
                print(exc, flush=True)
            results.add(case, sample)
            say(case, sample, f"round {number + 1}, {time.monotonic() - began:.0f} s in all")


def run_chained(setting: Setting, names: Sequence[str], rounds: int, results: Results, noted: Callable[[], None]) -> None:
    """Run every workload that only drops files, round by round, each round beginning with another contender.

    A contender is started once a round and gets one workload after the other, as a job that never stops does.
    """
    for number in range(rounds):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            began = time.monotonic()
            _run_chain(setting, name, results, f"round {number + 1}")
            noted()
            print(f"bench: {name} (round {number + 1}): {time.monotonic() - began:.0f} s in all", flush=True)


def _run_chain(setting: Setting, name: str, results: Results, how: str) -> None:
    cases = [case for workload in WORKLOADS for case in workload.cases if case.contender.name == name and case.drop is not None]
    # Half a million rows of the marts come last, or they would be read and compared after each of the others as well.
    cases.sort(key=lambda case: case.workload.endswith("_partitions"))
    reached = 0
    try:
        with warm(setting, CONTENDERS[name], "chain") as live:
            for case in cases:
                assert case.drop is not None, "only those were chosen"
                sample = case.drop(replace(setting, scale=setting.scale * case.share), case.contender, live)
                results.add(case, sample)
                say(case, sample, how)
                reached += 1
    except (ContenderFailed, TimeoutError) as exc:
        print(exc, flush=True)
        for case in cases[reached:]:
            results.add(case, Sample(0.0, 1, 1, correct=False, wrong=f"did not finish: {str(exc).splitlines()[0]}"))


def say(case: Case, sample: Sample, how: str) -> None:
    """Print one line about a round."""
    verdict = "right" if sample.correct else f"WRONG: {sample.wrong}"
    shown = "".join(f" {name}={value}" for name, value in sample.extra.items() if not isinstance(value, list))
    size = f"{sample.rows} rows, {sample.files} files, {sample.peak_mb:.0f} MB"
    print(f"bench: {case.workload} {case.contender.name} ({how}): {sample.seconds:.2f} s, {size},{shown}: {verdict}", flush=True)
