"""One kill: the real job pauses at a fail point, a process of it dies, and afterwards everything is as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.failpoints import RUN_FAILPOINTS
from tests.chaos import processes
from tests.chaos.checks import verified
from tests.chaos.site import END_SECONDS, Running, Site

KINDS = ("first", "later", "rejects", "released")
# A released batch reads no file, and only it is an operation; nothing but rejected rows reaches the quarantine.
NOT_RELEASED = {"after_discovery", "after_claim", "after_quarantine", "archive_copied"}


def applies(point: str, victim: str, kind: str) -> bool:
    """Tell whether a batch of this kind passes the fail point while the victim lives."""
    if point == "release_claimed" and kind != "released":
        return False
    if point == "after_quarantine" and kind == "later":
        return False
    return not (kind == "released" and point in NOT_RELEASED) and not (point == "during_shutdown" and victim == "planner")


@dataclass(frozen=True)
class Kill:
    """What dies where, and in which kind of batch."""

    point: str
    victim: str
    kind: str

    def __str__(self) -> str:
        return f"{self.point} {self.victim} {self.kind}"


def kill_and_recover(site: Site, kill: Kill) -> None:
    """Let the run pause at the point, kill, start again where that is needed, and compare everything.

    A run may be going already, when the last kill was this one's predecessor; it is started with this point prepared.
    """
    running = site.start_prepared(kill.point)
    _prepare(site, kill)
    _trigger(site, kill)
    site.wait(f"{kill}", site.paused.exists)
    # A planner that is started anew must not pause again.
    site.armed.unlink(missing_ok=True)
    hit = processes.kill(site.product.home, kill.victim)
    assert hit, f"{kill}: there is no {kill.victim}: {processes.members(site.product.home)}"
    site.paused.unlink()
    if kill.victim == "planner":
        site.settle()
        site.end()
        return
    _expect_the_end(site, running, kill)


def _prepare(site: Site, kill: Kill) -> None:
    """Bring the run to where the batch of this kind is the next one."""
    if kill.kind == "first":
        return
    if kill.kind == "released":
        site.drop(site.book.make("pending"))
    elif not site.book.contents:
        site.drop(site.book.make("good"))
    site.wait("the query", lambda: "query starts" in (site.running.text() if site.running else ""))
    site.settle()


def _trigger(site: Site, kill: Kill) -> None:
    """Arm the point and give the run its batch."""
    site.armed.touch()
    if kill.kind == "released":
        site.introduce(site.book.unknown())
    else:
        rejects = kill.kind == "rejects" or kill.point == "after_quarantine"
        site.drop(site.book.make("rejects" if rejects else "good"))
    if kill.point == "during_shutdown":
        assert site.running is not None
        site.wait("the stream", lambda: "query starts" in (site.running.text() if site.running else ""))
        site.wait("the batch", lambda: site.product.query("SELECT COUNT(*) FROM micro_batch WHERE state <> 'COMMITTED'")[0][0] > 0)
        os.kill(site.running.process.pid, signal.SIGTERM)


def _expect_the_end(site: Site, running: Running, kill: Kill) -> None:
    """The run ends with code 1 and one line, and nothing of it is left to write anything."""
    began = time.monotonic()
    code = running.process.wait(END_SECONDS)
    left = processes.gone(site.product.home, END_SECONDS)
    said = [line for line in running.text().splitlines() if line.startswith("salestream: ")]
    assert code == 1, f"{kill}: ended with {code}\n{running.text()[-3000:]}"
    assert left == [], f"{kill}: {left} outlived the run"
    assert len(said) == 1, f"{kill}: {said}"
    assert said[0].startswith("salestream: SPARK "), f"{kill}: {said}"
    assert "Traceback" not in running.text(), f"{kill}:\n{running.text()[-3000:]}"
    site.running = None
    assert time.monotonic() - began < END_SECONDS


def recover(site: Site) -> None:
    """Start again without any fail point and compare once all is done."""
    site.start()
    site.settle()
    site.end()
    assert verified(site.product) == []


def all_kills(rounds: int = len(processes.VICTIMS)) -> list[Kill]:
    """Every fail point, victim and kind of batch that go together, in rounds.

    Each round has every fail point with every kind of batch, and the victims in turn: the first one alone has them all.
    """
    chosen: list[Kill] = []
    for turn in range(rounds):
        for number, point in enumerate(RUN_FAILPOINTS):
            for kind in KINDS:
                victims = [victim for victim in processes.VICTIMS if applies(point, victim, kind)]
                if turn < len(victims):
                    chosen.append(Kill(point, victims[(turn + number + KINDS.index(kind)) % len(victims)], kind))
    return chosen


def one_kill_each() -> list[Kill]:
    """Every fail point once, with victims and kinds of batch in turn; the first batch there is comes first."""
    chosen: list[Kill] = []
    for number, point in enumerate(RUN_FAILPOINTS):
        kinds = ["first"] if number == 0 else _turned(KINDS[1:], number)
        victims = _turned(processes.VICTIMS, number)
        chosen.append(next(Kill(point, v, k) for v in victims for k in kinds if applies(point, v, k)))
    return chosen


def _turned(items: Sequence[str], by: int) -> list[str]:
    return [*items[by % len(items) :], *items[: by % len(items)]]
