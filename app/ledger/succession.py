"""Who may become the owner of the source: the rules alone, without MySQL and without a clock of their own.

A start looks at the owner's row until it may take the source or must leave it. All looks of all starts are transactions that lock that
row, so they come one after another. `tests/integration/test_succession.py` searches all orders of a few starts, stops and deaths.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.lifeline import Life

# An owner beats so often within the silence after which another instance may take over.
BEATS_PER_TAKEOVER = 5
# So many missed beats a start must see for itself. The heartbeat alone may be old although its owner lives: after an outage of MySQL,
# and after a step of MySQL's clock.
BEATS_WATCHED = 3


class Step(StrEnum):
    """What a start does after a look."""

    TAKE = "TAKE"
    REFUSE = "REFUSE"
    WAIT = "WAIT"


@dataclass(frozen=True)
class Sight:
    """What a start sees.

    Attributes:
        is_free: nobody has had the source yet, or the last owner has given it back.
        silent: seconds since the owner's last beat, by MySQL's clock.
        has_moved: the owner has beaten, or changed, since the first look.
        life: what this machine knows of the owner's process.
        is_locked: this start has the lock, so no connection of the owner holds it.
        watched: seconds for which this start has looked without a gap.
    """

    is_free: bool
    silent: float
    has_moved: bool
    life: Life
    is_locked: bool
    watched: float


def decide(sight: Sight, takeover_seconds: float) -> Step:
    """Tell what a start does. An owner that lives and beats is never displaced, and nobody waits for longer than two takeovers."""
    beat = takeover_seconds / BEATS_PER_TAKEOVER
    if sight.is_free:
        return Step.TAKE
    # Two witnesses: the process is not there, and the server has seen its connection end.
    if sight.life == Life.DEAD and sight.is_locked:
        return Step.TAKE
    if sight.has_moved:
        return Step.REFUSE
    if sight.silent >= takeover_seconds or sight.watched >= takeover_seconds:
        return Step.TAKE if sight.watched >= BEATS_WATCHED * beat else Step.WAIT
    if sight.life == Life.ALIVE:
        return Step.REFUSE
    # MySQL frees the lock of a dead connection a moment after its end: a lock that stays taken is that of a living owner.
    if sight.life == Life.UNKNOWN and not sight.is_locked and sight.watched >= beat:
        return Step.REFUSE
    return Step.WAIT
