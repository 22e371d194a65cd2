"""Whose fault it is, over any order of good files, bad files and a fault of everything, run after run."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.batch.breaker import MOST_ALIKE, MOST_ALIKE_PROVEN, Breaker
from app.errors import SystemicFault
from app.ledger.isolate import Failing

EVERYTHING = "no module"


@dataclass
class Site:
    """Files, one in each batch, and a ledger of what became of them. `bad` are the causes of files that are bad by themselves."""

    bad: dict[int, str] = field(default_factory=dict)
    is_broken: bool = False
    states: dict[int, str] = field(default_factory=dict)
    causes: dict[int, str] = field(default_factory=dict)
    given_up_since: list[int] = field(default_factory=list)
    now: float = 0.0

    # What the breaker asks of a ledger.

    def over_limit(self, _: int) -> dict[int, str]:
        return {number: self.causes[number] for number, state in self.states.items() if state == "OVER"}

    def isolate(self, batch_id: int, error: str, _: int, *, replaces: bool) -> str:
        self.states[batch_id] = "HELD"
        return "is held back"

    def failing_in_a_row(self) -> list[Failing]:
        held = [number for number, state in self.states.items() if state == "HELD"]
        return [Failing(n, self.causes[n], self.causes[n], n in held) for n in [*self.given_up_since, *held]]

    def give_up(self, batch_ids: list[int]) -> list[int]:
        for number in batch_ids:
            self.states[number] = "FAILED"
            self.given_up_since.append(number)
        return batch_ids

    def try_again(self, _: int, *, batch_id: int | None = None, explained: bool = False) -> int:
        again = [n for n, state in self.states.items() if (state == "HELD" if batch_id is None else n == batch_id)]
        self.states |= dict.fromkeys(again, "STARTED")
        return len(again)

    def claimable(self, _: int) -> tuple[int, int]:
        return sum(state == "DISCOVERED" for state in self.states.values()), 0

    # What happens.

    def probe(self, _: Any) -> bool | None:
        return not self.is_broken if "COMMITTED" in self.states.values() else None

    def run(self) -> bool:
        """Do what a run does that ends by itself. Returns False when it was stopped."""
        contract = SimpleNamespace(replaces=False)
        job: Any = SimpleNamespace(config=SimpleNamespace(stream=SimpleNamespace(max_attempts=3)), contract=contract, ledger=self)
        breaker = Breaker(job, self.probe, now=lambda: self.now)
        try:
            breaker.begin()
            for number in sorted(self.states):
                if self.states[number] not in ("DISCOVERED", "STARTED"):
                    continue
                self.now += 60
                cause = EVERYTHING if self.is_broken else self.bad.get(number)
                if cause is None:
                    self.states[number] = "COMMITTED"
                    breaker.committed(1)
                    self.given_up_since.clear()
                else:
                    self.states[number], self.causes[number] = "OVER", cause
                    assert breaker.isolate(number, cause)
                breaker.at_rest()
            breaker.at_end()
        except SystemicFault:
            return False
        return True


def site(files: int, **bad: str) -> Site:
    return Site(
        {int(name.removeprefix("f")): cause for name, cause in bad.items()}, states=dict.fromkeys(range(1, files + 1), "DISCOVERED")
    )


def test_a_bad_file_among_good_ones_is_given_up() -> None:
    made = site(3, f2="apple")
    assert made.run()
    assert made.states == {1: "COMMITTED", 2: "FAILED", 3: "COMMITTED"}


def test_alone_and_first_of_all_it_is_held_and_the_run_says_so() -> None:
    made = site(1, f1="apple")
    assert not made.run()
    assert made.states == {1: "STARTED"}
    made.states[2] = "DISCOVERED"
    assert made.run()
    assert made.states == {1: "FAILED", 2: "COMMITTED"}


@pytest.mark.parametrize("loaded", [0, 1])
def test_files_alike_in_a_row_stop_it(loaded: int) -> None:
    most = MOST_ALIKE_PROVEN if loaded else MOST_ALIKE
    bad = dict.fromkeys(range(loaded + 1, loaded + most + 1), "apple")
    made = Site(bad, states=dict.fromkeys(range(1, loaded + most + 1), "DISCOVERED"))
    assert not made.run()
    assert "FAILED" not in made.states.values()
    fewer = Site(bad, states=dict.fromkeys(range(1, loaded + most), "DISCOVERED"))
    fewer.run()
    assert ("FAILED" in fewer.states.values()) == bool(loaded)


def test_a_file_an_hour_is_a_row_as_well() -> None:
    """Each of them is alone, and given up by itself; together they are too many."""
    made = site(1)
    assert made.run()
    for number in range(2, 2 + MOST_ALIKE_PROVEN - 1):
        made.states[number], made.bad[number] = "DISCOVERED", "apple"
        assert made.run()
        assert made.states[number] == "FAILED"
    made.states[99], made.bad[99] = "DISCOVERED", "apple"
    assert not made.run()
    assert made.states[99] == "STARTED"


@given(st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from(["", "", "", "apple", "pear"]), max_size=6)), max_size=8))
def test_no_good_file_is_ever_given_up_and_once_all_is_well_every_good_file_is_loaded(runs: list[tuple[bool, list[str]]]) -> None:
    made = Site()
    for is_broken, files in runs:
        made.is_broken = is_broken
        for cause in files:
            number = len(made.states) + 1
            made.states[number] = "DISCOVERED"
            if cause:
                made.bad[number] = cause
        made.run()
        assert all(number in made.bad for number, state in made.states.items() if state == "FAILED")
    made.is_broken = False
    made.bad = {number: f"{cause} {number}" for number, cause in made.bad.items()}
    made.states[len(made.states) + 1] = "DISCOVERED"
    assert made.run()
    assert set(made.states.values()) <= {"COMMITTED", "FAILED"}
    assert all(made.states[number] == "COMMITTED" for number in made.states if number not in made.bad)
