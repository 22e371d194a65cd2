"""Random chaos: drops without end under kills, silence, wrong answers, rivals and contract changes; nothing may be lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError
from pymysql.err import MySQLError

from app import local
from app.local import mariadb, s3proxy
from app.local import processes as servers
from tests.chaos import processes
from tests.chaos.book import Content
from tests.chaos.checks import differences, verified, versions
from tests.chaos.contracts import Contracts
from tests.chaos.lines import Lines
from tests.chaos.runs import Runs
from tests.chaos.site import END_SECONDS, Site

# Weights of what happens next. Drops go on all the time; what hurts leaves the job time to come back.
EVENTS = {"drop": 60, "introduce": 6, "job": 4, "mysql": 2, "s3": 2, "fault": 12, "silence": 4, "contract": 4, "second": 2, "freeze": 2}
SHAPES = {"good": 40, "rejects": 15, "pending": 12, "again": 8, "duplicate": 8, "empty": 4, "wrong_header": 5}
BETWEEN = (0.5, 3.0)
SILENCE = (1.0, 12.0)
# From the takeover of a frozen run to its awakening.
ASLEEP = (0.0, 15.0)
TICK_SECONDS = 0.2
# How long a file that is to be deleted may take to be discovered, and the states in which nobody has read it for good.
DISCOVERY_SECONDS = 3.0
UNREAD = {"", "DISCOVERED", "CLAIMED"}
FINAL_PATIENCE = 600
FINAL_RUNS = 8
# Some silences are shorter than these, some longer.
BOUNDS = {
    "SALESTREAM__MYSQL__READ_TIMEOUT_SECONDS": "4",
    "SALESTREAM__MYSQL__CONNECT_TIMEOUT_SECONDS": "4",
    "SALESTREAM__S3__READ_TIMEOUT_SECONDS": "6",
    "SALESTREAM__S3__CONNECT_TIMEOUT_SECONDS": "4",
    "SALESTREAM__STREAM__TAKEOVER_SECONDS": "5",
    "SALESTREAM__STREAM__STOP_TIMEOUT_SECONDS": "90",
}


@dataclass
class Storm:
    """One random run. The same seed gives the same sequence of events, as far as timing allows.

    Attributes:
        order: gives the sequence of events.
        events: what may happen, with weights.
        rng: gives the details of one event.
        dropped: name -> the content that was dropped under it last.
        removable: the name of a file that may be deleted before it is read.
    """

    site: Site
    lines: Lines
    order: random.Random
    say: Callable[[str], None]
    events: Mapping[str, int] = field(default_factory=lambda: EVENTS)
    happened: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Content] = field(default_factory=dict)
    removable: str = ""
    rng: random.Random = field(init=False)
    runs: Runs = field(init=False)
    contracts: Contracts = field(init=False)
    _harm: list[str] = field(default_factory=list)
    _speaks: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runs = Runs(self.site, {**self.lines.environment, **BOUNDS}, float(BOUNDS["SALESTREAM__STREAM__TAKEOVER_SECONDS"]))
        self.contracts = Contracts(self.site.folder / "conf", random.Random(self.order.random()))
        # Also for what is run afterwards: rows are read under the contract that they were loaded with, or a later one.
        self.site.product.environment["SALESTREAM_CONF_DIR"] = str(self.contracts.folder)

    def rage(self, seconds: float) -> None:
        """Let it happen for so long, then stop all faults and every run."""
        self.runs.begin()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            event, pause = self.next_event()
            detail = getattr(self, f"_{event}")()
            if event != "drop":
                self.say(f"{seconds - (until - time.monotonic()):5.0f} s  {event} {detail}")
            self._wait(pause)
        self.lines.calm()
        self._servers_up()
        self._harm += self.runs.end()

    def next_event(self) -> tuple[str, float]:
        """Draw what happens next, and the pause after it. However much an event draws for itself, those after it stay the same."""
        event = self.order.choices(list(self.events), list(self.events.values()))[0]
        self.rng = random.Random(self.order.random())
        return event, self.order.uniform(*BETWEEN)

    def _wait(self, seconds: float) -> None:
        """Let time pass, and do what is due meanwhile."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            for name in [name for name, due in self._speaks.items() if due <= now]:
                self.lines.to[name].speak()
                del self._speaks[name]
            self.runs.tick()
            time.sleep(min(TICK_SECONDS, until - now))

    def finish(self) -> list[str]:
        """Run `--once` until nothing is left to do, and name what is not as it must be."""
        found = ["the final run did not come to an end"]
        for _ in range(FINAL_RUNS):
            run = self.site.start("--once")
            code = run.process.wait(FINAL_PATIENCE)
            if code != 0:
                found = [f"the final run ended with {code}: {run.text()[-2000:]}"]
                break
            found = differences(self.site.product, self.site.book) or verified(self.site.product)
            if not found:
                break
        return [*found, *self._harm, *self.runs.wrong()]

    def summary(self, found: list[str]) -> str:
        """Say in a few lines what happened and whether it did any harm."""
        verdict = "nothing was lost or doubled" if not found else f"{len(found)} DIFFERENCES: {'; '.join(found)}"
        book, came, removed = self.site.book, self.runs.counts(), len(self.site.book.removed)
        of_runs = (
            f"{came['second owners']} second owners ({came['turned away']} turned away),"
            f" {came['freezes']} frozen runs ({came['taken over']} taken over)"
        )
        changes = f"{self.happened['contract']} contract changes ({came['edits said']} said by a running stream)"
        return "\n".join(
            (
                f"kills: {self._counted('kill ')}; silences: {self._counted('silent ')}; S3 faults: {_shown(self.lines.hits())}",
                f"{of_runs}, {changes}, {removed} files deleted before they were read",
                f"{self.site.runs} runs, {self.site.drops} files, {len(book.contents)} contents, {book.rows} rows: {verdict}",
            )
        )

    def _counted(self, kind: str) -> str:
        return _shown({name.removeprefix(kind): count for name, count in self.happened.items() if name.startswith(kind)})

    # What may happen. Each returns what is worth a line.

    def _drop(self) -> str:
        shape = self.rng.choices(list(SHAPES), list(SHAPES.values()))[0]
        if shape in ("again", "duplicate"):
            known = sorted(name for name, content in self.dropped.items() if content.verdict == "COMMITTED")
            if not known:
                return ""
            earlier = self.rng.choice(known)
            if shape == "duplicate":
                self._put(self.dropped[earlier], None)
            elif self._is_archived(earlier):
                self._put(self._make("good"), earlier)
        else:
            self._put(self._make(shape, self.rng.randint(1, 200)), None)
        return shape

    def _make(self, shape: str, rows: int = 12) -> Content:
        return self.site.book.make(shape, rows, more=True)

    def _put(self, content: Content, name: str | None) -> None:
        """Drop for certain: a producer repeats a PUT that failed, though it may have succeeded."""
        self.happened["drop"] += 1
        name = name or f"drop{self.happened['drop']:04d}.csv"
        while True:
            with suppress(BotoCoreError, ClientError):
                self.dropped[self.site.drop(content, name)] = content
                return
            self._servers_up()

    def _is_archived(self, name: str) -> bool:
        """Only then does the job have nothing more to do with the object of this name; before that a version may be passed over."""
        with suppress(MySQLError, BotoCoreError, ClientError):
            of_name = [v for v in versions(self.site.product) if v["name"] == f"sales_data/{name}"]
            final = bool(of_name) and all(v["state"] in ("COMMITTED", "DUPLICATE") and v["archived"] for v in of_name)
            return final and f"sales_data/{name}" not in self.site.storage.keys("sales_data/")
        return False

    def _overwrite_while_nobody_reads(self) -> None:
        """Replace an object while no run lives: only its last version was ever there to be read."""
        name = f"twice{self.happened['drop']:04d}.csv"
        with suppress(BotoCoreError, ClientError):
            self.site.storage.put(name, self._make("good").body)
        self._put(self._make("good"), name)

    def _introduce(self) -> str:
        with suppress(MySQLError):
            unknown = self.site.book.unknown()
            chosen = self.rng.sample(unknown, len(unknown) // 2)
            self.site.introduce(chosen)
            return f"{len(chosen)} customers"
        return "nobody"

    def _job(self) -> str:
        victim = self.rng.choice(processes.VICTIMS)
        if self.runs.frozen is not None and not self.runs.frozen.is_taken_over:
            return f"{victim}: nobody, as one is about to take over"
        if victim == "group":
            # What sleeps would not end.
            self.runs.wake()
            self._put_and_see()
        with self.runs.starting:
            hit = self.runs.kill(victim)
            if victim == "group" and not processes.gone(self.site.product.home, END_SECONDS):
                self._overwrite_while_nobody_reads()
                self._remove_while_nobody_reads()
        if hit:
            self.happened[f"kill {victim}"] += 1
        return f"{victim}: {', '.join(one.role for one in hit) or 'nobody'}"

    def _put_and_see(self) -> None:
        """Drop a file, and wait a moment for the job to discover it."""
        self.removable = f"removed{self.happened['drop']:04d}.csv"
        self._put(self._make("good", 200), self.removable)
        until = time.monotonic() + DISCOVERY_SECONDS
        while time.monotonic() < until and not self._state_of_removable():
            time.sleep(0.05)

    def _state_of_removable(self) -> str | None:
        """Return what the ledger says of the file, empty if it does not know it; None if it cannot be asked."""
        with suppress(MySQLError):
            return next((v["state"] for v in versions(self.site.product) if v["name"] == f"sales_data/{self.removable}"), "")
        return None

    def _remove_while_nobody_reads(self) -> None:
        """Delete an object that a batch may have claimed already, while no run lives: it was never read for good, and is gone."""
        if self.lines.to["mysql"].is_silent:
            # A commit may be on its way.
            return
        time.sleep(1)
        if self._state_of_removable() in UNREAD:
            with suppress(BotoCoreError, ClientError):
                self.site.storage.client.delete_object(Bucket=self.site.storage.bucket, Key=f"sales_data/{self.removable}")
                self.site.book.withdraw(self.dropped.pop(self.removable))

    def _mysql(self) -> str:
        return self._server("mysql", mariadb.marker(self.site.product.home))

    def _s3(self) -> str:
        return self._server("s3", s3proxy.marker(self.site.product.home))

    def _server(self, name: str, marker: str) -> str:
        for pid in servers.find(marker):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.happened[f"kill {name}"] += 1
        away = self.rng.uniform(0, 5)
        self._wait(away)
        self._servers_up()
        return f"was away for {away:.1f} s"

    def _servers_up(self) -> None:
        before = self.site.product.environment_of_servers()
        after = local.up(self.site.product.home, die_with_parent=True)
        if after.variables() != before.variables():
            # Somebody else has taken a port meanwhile. The job does not see it: its lines end where they did.
            self.lines.lead_to(after)
            self.site.forget_storage()

    def _fault(self) -> str:
        return self.lines.add_fault(self.rng)

    def _silence(self) -> str:
        """Let a server accept and say nothing, for less or more than its bounds; everything else goes on."""
        name, seconds = self.rng.choice(("mysql", "s3")), self.rng.uniform(*SILENCE)
        if name not in self._speaks:
            self.happened[f"silent {name}"] += 1
            self.lines.to[name].go_silent()
        self._speaks[name] = time.monotonic() + seconds
        return f"{name} says nothing for {seconds:.1f} s"

    def _contract(self) -> str:
        """Edit the contract under the running stream. It has read it, and only says so; who starts next uses it."""
        what = self.contracts.edit()
        self.happened["contract"] += 1
        self.runs.edited()
        return what

    def _second(self) -> str:
        return self.runs.start_second()

    def _freeze(self) -> str:
        return self.runs.want_freeze(self.rng.uniform(*ASLEEP))


def _shown(counts: Mapping[str, int]) -> str:
    return f"{sum(counts.values())} ({', '.join(f'{count} {name}' for name, count in sorted(counts.items()))})"
