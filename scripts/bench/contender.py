"""A contender as the harness sees it: a process that watches the source prefix, and tells when each file is committed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench.servers import REPOSITORY, Site

END_SECONDS = 120


class ContenderFailed(Exception):
    """A contender ended, or did not do its work in time."""


@dataclass
class Running:
    """A running contender."""

    process: subprocess.Popen[bytes]
    log: Path
    committed: Callable[[], dict[str, float]]
    kill: Callable[[], object] = lambda: None
    started: float = field(default_factory=time.time)
    warm_after: float = 0.0

    def wait_for(self, count: int, seconds: float, what: str = "commits", pause: float = 0.05) -> dict[str, float]:
        """Wait until so many files are committed. Returns key -> moment.

        Raises:
            ContenderFailed: it ended, or it took longer.
        """
        deadline = time.monotonic() + seconds
        while len(found := self.committed()) < count:
            if self.process.poll() is not None:
                raise ContenderFailed(f"ended with {self.process.returncode} before {what}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ContenderFailed(f"{len(found)} of {count} {what} after {seconds:.0f} s:\n{self.tail()}")
            time.sleep(pause)
        return found

    def stop(self) -> None:
        """Ask it to end; whatever is left of its session is ended."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()
            _kill_session(self.process)

    def tail(self) -> str:
        """Return the end of what it said."""
        return self.log.read_text(errors="replace")[-3000:]


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass(frozen=True)
class Contender:
    """One of those that are compared.

    Attributes:
        name: as in the results.
        title: for people.
        makes: what it makes of marts, facts and ledger; only that is checked.
        less: what it does less than Salestream.
        start: starts it on a site; it writes to the log and watches the source prefix.
        appends: whether it adds rows to the marts for keys that are there, so that they can have no primary key.
    """

    name: str
    title: str
    makes: frozenset[str]
    less: str
    start: Callable[[Site, Path], Running]
    appends: bool = False


def start_child(site: Site, log: Path, module: str, python: str = sys.executable, environment: dict[str, str] | None = None) -> Running:
    """Start a contender of ours: a Python module that reports into a file, line by line."""
    events = log.with_suffix(".events")
    events.unlink(missing_ok=True)
    events.touch()
    process = spawn(
        [python, "-m", f"scripts.bench.contenders.{module}"], log, site.environment | {"BENCH_EVENTS": str(events)} | (environment or {})
    )
    return Running(process, log, EventReader(events))


def spawn(argv: Sequence[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output in a file."""
    with log.open("wb") as sink:
        return subprocess.Popen(
            argv, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )


class EventReader:
    """Reads what a child reports: key -> moment of its commit."""

    def __init__(self, path: Path) -> None:
        self._file = path.open()
        self._found: dict[str, float] = {}
        self._rest = ""

    def __call__(self) -> dict[str, float]:
        """Return everything reported so far."""
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            event = json.loads(line)
            self._found |= dict.fromkeys(event["keys"], event["at"])
        return self._found
