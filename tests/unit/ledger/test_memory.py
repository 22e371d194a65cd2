"""A process remembers what it has committed, and stops when the ledger lacks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.errors import OwnershipError, RestoredLedger
from app.ledger.memory import REMEMBERED_SECONDS, Memory


class Attempts:
    """The table batch_attempt: state by key."""

    def __init__(self, **states: str) -> None:
        self.states = {key.replace("_", "-").removeprefix("b"): state for key, state in states.items()}
        self.asked = 0

    def rows(self, _sql: str, keys: Sequence[str]) -> list[dict[str, Any]]:
        self.asked += 1
        return [{"batch_key": key, "state": self.states[key]} for key in keys if key in self.states]


def remembering(begun: str | None = None, committed: str | None = None, *, age: float = 0.0) -> Memory:
    now = [1000.0]
    memory = Memory(lambda: now[0])
    if begun:
        memory.begun(begun)
    if committed:
        memory.committed(committed)
    now[0] += age
    return memory


def test_who_has_written_nothing_asks_nothing() -> None:
    ledger = Attempts()
    remembering().check(ledger)  # type: ignore[arg-type]
    assert ledger.asked == 0


@pytest.mark.parametrize("ledger", [Attempts(b4_1_1="OPEN", b3_1_1="COMMITTED"), Attempts(b4_1_1="DEAD", b3_1_1="COMMITTED")])
def test_a_ledger_that_knows_both_passes(ledger: Attempts) -> None:
    remembering("4-1-1", "3-1-1").check(ledger)  # type: ignore[arg-type]
    assert ledger.asked == 1


@pytest.mark.parametrize(
    ("ledger", "said"),
    [
        (Attempts(b3_1_1="COMMITTED"), "does not know attempt 4-1-1"),
        (Attempts(b4_1_1="OPEN"), "does not know attempt 3-1-1"),
        (Attempts(b4_1_1="OPEN", b3_1_1="OPEN"), "has committed batch 3-1-1, and it says OPEN"),
        (Attempts(b4_1_1="OPEN", b3_1_1="DEAD"), "has committed batch 3-1-1, and it says DEAD"),
        (Attempts(), "does not know attempt 4-1-1"),
    ],
)
def test_a_ledger_that_lacks_one_has_gone_back(ledger: Attempts, said: str) -> None:
    with pytest.raises(RestoredLedger, match=said) as caught:
        remembering("4-1-1", "3-1-1").check(ledger)  # type: ignore[arg-type]
    assert caught.value.exit_code == 3
    assert isinstance(caught.value, OwnershipError), "nobody may go on writing"


def test_the_same_attempt_is_first_open_and_then_committed() -> None:
    memory = remembering("4-1-1")
    memory.check(Attempts(b4_1_1="OPEN"))  # type: ignore[arg-type]
    memory.committed("4-1-1")
    with pytest.raises(RestoredLedger, match="it says OPEN"):
        memory.check(Attempts(b4_1_1="OPEN"))  # type: ignore[arg-type]


def test_what_is_long_ago_is_forgotten_as_its_record_may_be_cleaned() -> None:
    remembering("4-1-1", "4-1-1", age=REMEMBERED_SECONDS + 1).check(Attempts())  # type: ignore[arg-type]
    with pytest.raises(RestoredLedger):
        remembering("4-1-1", "4-1-1", age=REMEMBERED_SECONDS - 1).check(Attempts())  # type: ignore[arg-type]
