"""All orders of a few starts, stops, deaths and faults: nobody who lives is displaced, one of all starts gets the source, nobody hangs.

A small model of the world around `decide`: the owner's row, the lock, and each start as one of a few states; time goes in beats. The search
visits every state that two or three starts can reach. `tests/integration/test_owner.py` holds the real code to the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from app.ledger.succession import BEATS_PER_TAKEOVER, BEATS_WATCHED, Sight, Step, decide
from app.lifeline import Life

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

T = float(BEATS_PER_TAKEOVER)  # the takeover's silence, so that a beat is 1
CAP = BEATS_PER_TAKEOVER + 1
NEW, LOOKING, OWNER, REFUSED, STOPPED, DEAD, LOST = range(7)
NOBODY, A_DEAD_CONNECTION = -1, -2

Rule = Callable[[Sight, float], Step]


class Actor(NamedTuple):
    """One start: its phase, and what it has seen."""

    phase: int = NEW
    is_locked: bool = False
    has_tried: bool = False
    has_moved: bool = False
    watched: int = 0
    gap: int = 0  # beats since the last look
    unbeaten: int = 0  # 1: its next beat is due
    frozen: bool = False
    was_frozen: bool = False  # since its last beat


class World(NamedTuple):
    """Everything that decides what may happen next."""

    actors: tuple[Actor, ...]
    owner: int = NOBODY
    age: int = 0
    is_free: bool = True
    asked: bool = False
    lock: int = NOBODY
    outage: bool = False
    faults: int = 1  # that may still happen: freezes, lost locks, outages of MySQL, steps of its clock
    deaths: int = 1

    def actor(self, number: int, **changes: int) -> World:
        """Return the world with one actor changed; what its phase has no use for is forgotten, so that fewer states differ."""
        now = self.actors[number]._replace(**changes)
        if now.phase == OWNER:
            now = Actor(OWNER, unbeaten=now.unbeaten, frozen=now.frozen, was_frozen=now.was_frozen)
        elif now.phase == LOOKING:
            now = now._replace(unbeaten=0, was_frozen=False)
        else:
            now = Actor(now.phase)
        return self._replace(actors=(*self.actors[:number], now, *self.actors[number + 1 :]))

    def noticed(self) -> World:
        """The row has changed under everybody who looks."""
        return self._replace(actors=tuple(a._replace(has_moved=True) if a.phase == LOOKING else a for a in self.actors))


class Displaced(AssertionError):
    """An owner that lives has lost the source."""


def is_protected(world: World, number: int) -> bool:
    """An owner that runs, and that has not been frozen since its last beat, must keep the source."""
    actor = world.actors[number]
    return world.owner == number and actor.phase == OWNER and not actor.was_frozen


def look(world: World, number: int, rule: Rule, far: bool) -> World:
    """One look of a start, which is one transaction on the row."""
    me = world.actors[number]
    watched = min(CAP, me.watched + me.gap) if me.gap <= 1 else 0
    phase = world.actors[world.owner].phase if world.owner >= 0 else NEW
    life = Life.UNKNOWN if far or world.owner < 0 else Life.DEAD if phase in (DEAD, STOPPED, LOST, REFUSED) else Life.ALIVE
    step = rule(Sight(world.is_free, float(world.age), me.has_moved, life, me.is_locked, float(watched)), T)
    if step == Step.TAKE:
        if world.owner >= 0 and not world.is_free and is_protected(world, world.owner):
            raise Displaced(f"{number} displaces {world.owner}: {world}")
        taken = world.noticed()._replace(owner=number, age=0, is_free=False, asked=False)
        return taken.actor(number, phase=OWNER, unbeaten=0, was_frozen=False)
    if step == Step.REFUSE:
        refused = world.actor(number, phase=REFUSED)
        return refused._replace(lock=A_DEAD_CONNECTION if world.lock == number else world.lock)
    return world.actor(number, watched=watched, gap=0, has_tried=False)


def beat(world: World, number: int) -> World:
    """One beat: it finds a takeover, renews the row, tries the lock, and sees a stop that was asked for."""
    if world.owner != number:
        return drop_lock(world.actor(number, phase=LOST), number)
    beaten = world.noticed()._replace(age=0, lock=number if world.lock == NOBODY else world.lock)
    beaten = beaten.actor(number, unbeaten=0, was_frozen=False)
    return stop(beaten, number) if world.asked else beaten


def stop(world: World, number: int) -> World:
    stopped = world._replace(is_free=True, age=0, asked=False) if world.owner == number else world
    return drop_lock(stopped.actor(number, phase=STOPPED), number)


def drop_lock(world: World, number: int) -> World:
    return world._replace(lock=A_DEAD_CONNECTION) if world.lock == number else world


def moves(world: World, rule: Rule, far: bool) -> Iterator[World]:
    """Everything that may happen next."""
    for number, actor in enumerate(world.actors):
        alive = actor.phase in (LOOKING, OWNER)
        runs = not actor.frozen and not world.outage
        if actor.phase == NEW and not world.outage:
            yield world.actor(number, phase=LOOKING)
        if actor.phase == LOOKING and runs:
            if not actor.has_tried:
                got = world.lock in (NOBODY, number)
                tried = world._replace(lock=number) if got else world
                yield tried.actor(number, has_tried=True, is_locked=got)
            else:
                yield look(world, number, rule, far)
        if actor.phase == OWNER and runs:
            yield beat(world, number)
            yield stop(world, number)
            if world.owner == number and not world.asked:
                yield world._replace(asked=True)
            if world.faults and world.lock == number:
                yield world._replace(lock=NOBODY, faults=world.faults - 1)
        if alive and world.deaths:
            yield drop_lock(world.actor(number, phase=DEAD), number)._replace(deaths=world.deaths - 1)
        if alive and not actor.frozen and world.faults:
            yield world.actor(number, frozen=True, was_frozen=True)._replace(faults=world.faults - 1)
        if actor.frozen:
            yield world.actor(number, frozen=False)
    if world.lock == A_DEAD_CONNECTION:
        yield world._replace(lock=NOBODY)
    if world.faults and not world.outage:
        yield world._replace(outage=True, faults=world.faults - 1)
    if world.outage:
        yield world._replace(outage=False)
    if world.faults and world.owner >= 0 and not world.is_free:
        yield world._replace(age=CAP, faults=world.faults - 1)
    # Whoever is not frozen beats, or looks, at least once in the time of a beat, as soon as MySQL answers.
    late = any(not a.frozen and ((a.phase == OWNER and a.unbeaten) or (a.phase == LOOKING and a.gap)) for a in world.actors)
    if world.outage or not late:
        yield tick(world)


def tick(world: World) -> World:
    """One beat of time passes."""

    def older(actor: Actor) -> Actor:
        if actor.phase == LOOKING:
            return actor._replace(gap=min(2, actor.gap + 1))
        return actor._replace(unbeaten=1) if actor.phase == OWNER else actor

    return world._replace(actors=tuple(older(a) for a in world.actors), age=0 if world.is_free else min(CAP, world.age + 1))


def reachable(first: World, rule: Rule, far: bool) -> set[World]:
    """Search all states from the first one; raises Displaced."""
    seen, todo = {first}, [first]
    while todo:
        for world in moves(todo.pop(), rule, far):
            if world not in seen:
                seen.add(world)
                todo.append(world)
    return seen


def calm(world: World) -> World:
    """Return the same world once all faults are over."""
    return World(
        tuple(a._replace(frozen=False) for a in world.actors),
        world.owner,
        world.age,
        world.is_free,
        world.asked,
        world.lock,
        faults=0,
        deaths=0,
    )


def settled(world: World, rule: Rule, far: bool) -> World:
    """Let everybody who is there go on without further faults, for as long as any start may need."""
    for _ in range(BEATS_PER_TAKEOVER + BEATS_WATCHED + 3):
        for number in range(len(world.actors)):
            if world.lock == A_DEAD_CONNECTION:
                world = world._replace(lock=NOBODY)
            if world.actors[number].phase == OWNER:
                world = beat(world, number)
            if world.actors[number].phase == LOOKING:
                got = world.lock in (NOBODY, number)
                world = (world._replace(lock=number) if got else world).actor(number, has_tried=True, is_locked=got)
                world = look(world, number, rule, far)
        world = tick(world)
    return world


FAR = pytest.mark.parametrize("far", [False, True], ids=["one machine", "several machines"])


@FAR
@pytest.mark.parametrize(("count", "faults", "deaths"), [(2, 2, 1), (3, 0, 1)], ids=["two starts", "three starts"])
def test_in_no_order_of_events_an_owner_that_lives_is_displaced_and_no_start_hangs(count: int, faults: int, deaths: int, far: bool) -> None:
    seen = reachable(World((Actor(),) * count, faults=faults, deaths=deaths), decide, far)
    assert len(seen) > 1000
    for world in {calm(one) for one in seen if any(a.phase == LOOKING for a in one.actors)}:
        end = settled(world, decide, far)
        assert [a.phase for a in end.actors if a.phase == LOOKING] == [], world
        # Where somebody looks, somebody has the source in the end. But for an owner that is asked to stop meanwhile, and for one that dies
        # after it was seen to beat, which only its own machine can know.
        if not world.asked and not (far and any(a.has_moved for a in world.actors)):
            assert [a.phase for a in end.actors].count(OWNER) == 1, (world, end)


@FAR
def test_of_starts_at_once_exactly_one_has_the_source_and_the_others_are_refused(far: bool) -> None:
    for count in (2, 3):
        for world in reachable(World((Actor(),) * count, faults=0, deaths=0), decide, far):
            if any(a.phase == STOPPED for a in world.actors) or world.asked:
                continue
            started = sum(a.phase != NEW for a in world.actors)
            phases = [a.phase for a in settled(world, decide, far).actors if a.phase != NEW]
            assert sorted(phases) == sorted([OWNER] + [REFUSED] * (started - 1)) or not started


def by_the_lock_alone(sight: Sight, takeover: float) -> Step:
    """The rule that was: who has the lock takes the source from whoever has it."""
    alive = not sight.is_free and sight.silent < takeover
    return Step.REFUSE if not sight.is_locked and alive else Step.TAKE


def by_the_heartbeat_alone(sight: Sight, takeover: float) -> Step:
    """A rule that trusts one look at the age of the heartbeat."""
    return Step.TAKE if sight.is_free or sight.silent >= takeover else Step.REFUSE


@pytest.mark.parametrize(("rule", "faults"), [(by_the_lock_alone, 0), (by_the_heartbeat_alone, 1)])
def test_the_search_finds_the_faults_of_simpler_rules(rule: Rule, faults: int) -> None:
    with pytest.raises(Displaced):
        reachable(World((Actor(), Actor()), faults=faults, deaths=0), rule, far=True)


def test_a_stop_that_was_asked_for_ends_the_owner_it_was_asked_of_and_no_other() -> None:
    for world in reachable(World((Actor(), Actor()), faults=1, deaths=0), decide, far=True):
        if not world.asked or world.outage or any(a.frozen for a in world.actors):
            continue
        owner = world.owner
        assert beat(world, owner).actors[owner].phase in (STOPPED, REFUSED, DEAD, LOST) or world.actors[owner].phase != OWNER
        others = [n for n, a in enumerate(world.actors) if n != owner and a.phase == OWNER]
        for other in others:
            assert beat(world, other).actors[other].phase == LOST


@pytest.mark.parametrize(
    ("sight", "step"),
    [
        (Sight(True, 0, False, Life.UNKNOWN, False, 0), Step.TAKE),
        (Sight(False, 1, False, Life.ALIVE, True, 0), Step.REFUSE),
        (Sight(False, 1, False, Life.DEAD, True, 0), Step.TAKE),
        (Sight(False, 1, False, Life.DEAD, False, 0), Step.WAIT),
        (Sight(False, 1, True, Life.UNKNOWN, True, 3), Step.REFUSE),
        (Sight(False, 1, False, Life.UNKNOWN, False, 0), Step.WAIT),
        (Sight(False, 1, False, Life.UNKNOWN, False, 3), Step.REFUSE),
        (Sight(False, 1, False, Life.UNKNOWN, True, 3), Step.WAIT),
        (Sight(False, 60, False, Life.ALIVE, False, 0), Step.WAIT),
        (Sight(False, 60, False, Life.ALIVE, False, 9), Step.TAKE),
        (Sight(False, -3600, False, Life.UNKNOWN, True, 15), Step.TAKE),
    ],
    ids=[
        "given back",
        "lives here",
        "died here",
        "died here, and its lock is not free yet",
        "beats elsewhere",
        "elsewhere, its lock may just not be free yet",
        "elsewhere, and its connection lives",
        "elsewhere, without its lock",
        "silent, perhaps after an outage",
        "silent, and stays so",
        "silent, and MySQL's clock was set back",
    ],
)
def test_each_case(sight: Sight, step: Step) -> None:
    assert decide(sight, 15) == step
