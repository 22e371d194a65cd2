"""Random chaos: drops without end while job, MySQL and S3 are killed and S3 answers wrongly; nothing may be lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
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
from tests.chaos.site import END_SECONDS, Site
from tests.fault_proxy import Fault, FaultProxy

# Weights of what happens next. Drops go on all the time; what hurts leaves the job time to come back.
EVENTS = {"drop": 60, "introduce": 6, "job": 4, "mysql": 2, "s3": 2, "fault": 10}
SHAPES = {"good": 40, "rejects": 15, "pending": 12, "again": 8, "duplicate": 8, "empty": 4, "wrong_header": 5}
BETWEEN = (0.5, 3.0)
RESTART_SECONDS = 1.0
FINAL_PATIENCE = 600
FINAL_RUNS = 8


@dataclass
class Storm:
    """One random run. The same seed gives the same sequence of events, as far as timing allows.

    Attributes:
        dropped: name -> the content that was dropped under it last.
    """

    site: Site
    proxy: FaultProxy
    rng: random.Random
    say: Callable[[str], None]
    happened: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    dropped: dict[str, Content] = field(default_factory=dict)
    _calm: threading.Event = field(default_factory=threading.Event)
    # Held while a run is started: who holds it after the death of one knows that nobody reads.
    _starting: threading.Lock = field(default_factory=threading.Lock)

    def rage(self, seconds: float) -> None:
        """Let it happen for so long, then stop all faults and every run."""
        manager = threading.Thread(target=self._manage, daemon=True)
        manager.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            event = self.rng.choices(list(EVENTS), list(EVENTS.values()))[0]
            detail = getattr(self, f"_{event}")()
            if event != "drop":
                self.say(f"{seconds - (until - time.monotonic()):5.0f} s  {event} {detail}")
            time.sleep(self.rng.uniform(*BETWEEN))
        self._calm.set()
        self.proxy.faults.clear()
        self._servers_up()
        self._stop_runs(manager)
        processes.gone(self.site.product.home, END_SECONDS)

    def _stop_runs(self, manager: threading.Thread) -> None:
        """Stop the run, and one that may just have been started; each is asked once, as a second signal would cut it short."""
        asked: set[int] = set()
        deadline = time.monotonic() + FINAL_PATIENCE
        while manager.is_alive() and time.monotonic() < deadline:
            with self._starting:
                run = self.site.running
            if run is not None and run.process.pid not in asked:
                asked.add(run.process.pid)
                run.process.send_signal(signal.SIGTERM)
            manager.join(1)

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
        wrong_codes = {code: count for code, count in self.codes.items() if count and code not in (0, 1)}
        return [*found, *(f"{count} runs ended with code {code}" for code, count in sorted(wrong_codes.items()))]

    def summary(self, found: list[str]) -> str:
        """Say in one line what happened and whether it did any harm."""
        kills = {name: count for name, count in sorted(self.happened.items()) if name.startswith("kill ")}
        shown = ", ".join(f"{count} {name.removeprefix('kill ')}" for name, count in kills.items())
        verdict = "nothing was lost or doubled" if not found else f"{len(found)} DIFFERENCES: {'; '.join(found)}"
        book = self.site.book
        return (
            f"{sum(kills.values())} kills ({shown}), {self.proxy.hits} S3 faults, {self.site.runs} runs, {self.site.drops} files,"
            f" {len(book.contents)} contents, {book.rows} rows: {verdict}"
        )

    def _manage(self) -> None:
        """Start the job again whenever it has ended, as a service manager would."""
        endpoint = {"SALESTREAM__S3__ENDPOINT_URL": self.proxy.url}
        while not self._calm.is_set():
            with self._starting:
                run = self.site.start(**endpoint)
            code = run.process.wait()
            # A stop that comes while the JVM starts ends it like any program.
            self.codes[code] += not self._calm.is_set()
            self._calm.wait(RESTART_SECONDS)

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
                self._put(self.site.book.make("good"), earlier)
        else:
            self._put(self.site.book.make(shape, self.rng.randint(1, 200)), None)
        return shape

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
        if processes.gone(self.site.product.home, END_SECONDS):
            return
        name = f"twice{self.happened['drop']:04d}.csv"
        with suppress(BotoCoreError, ClientError):
            self.site.storage.put(name, self.site.book.make("good").body)
        self._put(self.site.book.make("good"), name)

    def _introduce(self) -> str:
        with suppress(MySQLError):
            unknown = self.site.book.unknown()
            chosen = self.rng.sample(unknown, len(unknown) // 2)
            self.site.introduce(chosen)
            return f"{len(chosen)} customers"
        return "nobody"

    def _job(self) -> str:
        victim = self.rng.choice(processes.VICTIMS)
        with self._starting:
            hit = processes.kill(self.site.product.home, victim)
            if victim == "group":
                self._overwrite_while_nobody_reads()
        if hit:
            self.happened[f"kill {victim}"] += 1
        return f"{victim}: {', '.join(one.role for one in hit) or 'nobody'}"

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
        time.sleep(away)
        self._servers_up()
        return f"was away for {away:.1f} s"

    def _servers_up(self) -> None:
        before = self.site.product.environment_of_servers()
        if local.up(self.site.product.home, die_with_parent=True).variables() != before.variables():
            raise SystemExit("a server came back at another port")

    def _fault(self) -> str:
        fault = Fault(self.rng.choice(("", "GET", "PUT", "HEAD", "sales_facts", "sales_data/")), times=self.rng.randint(1, 6))
        kind = self.rng.choice(("500", "503", "slow", "truncated"))
        if kind in ("500", "503"):
            fault.status, fault.code = int(kind), "InternalError" if kind == "500" else "SlowDown"
        elif kind == "slow":
            fault.delay = self.rng.uniform(0.2, 3)
        else:
            fault.pattern, fault.cut_after = "GET", self.rng.randint(0, 300)
        self.proxy.faults[:] = [old for old in self.proxy.faults if old.times != 0] + [fault]
        return f"{kind} {fault.times} times on {fault.pattern or 'anything'}"
