"""The runs of a storm: the job, which is started again whenever it ends, and others beside it that want the source as well."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.chaos import processes
from tests.chaos.site import END_SECONDS, Running, Site, time_of

RESTART_SECONDS = 1.0
STOP_PATIENCE = 600
# A taker that has not got the source after so long does not get it any more.
TAKE_SECONDS = 60.0
# The heartbeat of a run that has just ended may still turn away one that began before.
SLACK_SECONDS = 2.0
# A stream looks for edits every second, but not while it begins again after an outage.
EDIT_SECONDS = 30.0
OWNER = re.compile(r"^(\S+ \S+) .* owner epoch=(\d+)", re.MULTILINE)
EDITED = re.compile(r"^(\S+ \S+) .*contract\.yml was edited", re.MULTILINE)
RUNNING = re.compile(r"^(\S+ \S+) .* query starts ", re.MULTILINE)
COMMITTED = re.compile(r"^(\S+ \S+) .* batch=\S+ committed files=", re.MULTILINE)


@dataclass
class Run:
    """One run and its end.

    Attributes:
        is_hit: a process of it was killed; it may have said already why it ends.
    """

    running: Running
    role: str
    ended: float | None = None
    code: int | None = None
    is_hit: bool = False

    def look(self) -> None:
        """Note its end."""
        if self.code is None and (code := self.running.process.poll()) is not None:
            self.ended, self.code = time.time(), code

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs."""
        self.look()
        return self.code is None

    def times(self, pattern: re.Pattern[str]) -> list[datetime]:
        """Return when it has said something."""
        return [time_of(found[1]) for found in pattern.finditer(self.running.text())]

    @property
    def epochs(self) -> list[int]:
        """Return under which epoch it has had the source; empty: it never got it."""
        return [int(found[2]) for found in OWNER.finditer(self.running.text())]


@dataclass
class Frozen:
    """A run whose processes are stopped, and the run that is to take over from it.

    Attributes:
        taker: started once the heartbeat is old; before that it would be turned away.
        pause: seconds from the takeover to its awakening.
        wakes: when that is, once it is known.
        woken: when that was.
    """

    run: Run
    members: list[processes.Member]
    pause: float
    taker: Run | None = None
    since: float = field(default_factory=time.monotonic)
    wakes: float | None = None
    woken: float | None = None

    @property
    def is_taken_over(self) -> bool:
        """Tell whether the other run has become the owner."""
        return self.taker is not None and bool(self.taker.epochs)


@dataclass
class Runs:
    """All runs of a storm. The job is managed by a thread, everything else by the storm itself.

    Attributes:
        silence: seconds without a heartbeat after which a run may be taken over.
        wanted: freezes that are to come; for each the seconds from the takeover to the awakening.
    """

    site: Site
    environment: Mapping[str, str]
    silence: float
    all: list[Run] = field(default_factory=list)
    freezes: list[Frozen] = field(default_factory=list)
    wanted: list[float] = field(default_factory=list)
    edits: list[datetime] = field(default_factory=list)
    job: Run | None = None
    # Held while the job is started: who holds it after the death of one knows that nobody reads.
    starting: threading.Lock = field(default_factory=threading.Lock)
    _calm: threading.Event = field(default_factory=threading.Event)
    _calmed: float = float("inf")
    _manager: threading.Thread | None = None

    def begin(self) -> None:
        """Start the job, and start it again whenever it has ended, as a service manager would."""
        self._manager = threading.Thread(target=self._manage, daemon=True)
        self._manager.start()

    def _manage(self) -> None:
        while not self._calm.is_set():
            with self.starting:
                self.job = run = self._start("job")
                self.site.running = run.running
            run.running.process.wait()
            run.look()
            self._calm.wait(RESTART_SECONDS)

    def _start(self, role: str, *args: str) -> Run:
        run = Run(self.site.launch(*args, **self.environment), role)
        self.all.append(run)
        return run

    @property
    def frozen(self) -> Frozen | None:
        """The run that is frozen now."""
        return self.freezes[-1] if self.freezes and self.freezes[-1].woken is None else None

    @property
    def other(self) -> Run | None:
        """The run beside the job that lives now."""
        return next((run for run in self.all if run.role != "job" and run.is_alive), None)

    def start_second(self) -> str:
        """Start a second owner while the first may live."""
        if self.other is not None or self.frozen is not None:
            return "nobody, there is one"
        self._start("second", "--once")
        return "beside the job"

    def want_freeze(self, pause: float) -> str:
        """Freeze the job as soon as it has the source and is alone, start one that takes over, and wake the first some time after that."""
        self.wanted.append(pause)
        return "the job, as soon as it runs"

    def _freeze(self) -> None:
        job = self.job
        if self.wanted and self.frozen is None and job is not None and job.is_alive and job.times(RUNNING) and self.other is None:
            members = processes.members(self.site.product.home)
            processes.signal_all(members, signal.SIGSTOP)
            self.freezes.append(Frozen(job, members, self.wanted.pop(0)))

    def tick(self) -> None:
        """Look after whom the storm has started, and wake up who has slept enough."""
        for run in self.all:
            run.look()
        frozen = self.frozen
        if frozen is None:
            self._freeze()
            return
        now = time.monotonic()
        if frozen.taker is None and now > frozen.since + self.silence and self.other is None:
            frozen.taker = self._start("taker", "--once")
        if frozen.wakes is None and frozen.is_taken_over:
            frozen.wakes = now + frozen.pause
        has_failed = frozen.taker is not None and not frozen.taker.is_alive
        if has_failed or now > (frozen.wakes or frozen.since + TAKE_SECONDS):
            self.wake()

    def wake(self) -> None:
        """Wake up the frozen run."""
        frozen = self.frozen
        if frozen is not None:
            processes.signal_all(frozen.members, signal.SIGCONT)
            frozen.woken = time.time()

    def kill(self, victim: str) -> list[processes.Member]:
        """Kill processes of whatever runs."""
        alive = [run for run in self.all if run.is_alive]
        hit = processes.kill(self.site.product.home, victim)
        for run in alive:
            # A planner is replaced by its run.
            run.is_hit |= bool(hit) and victim != "planner"
        return hit

    def edited(self) -> None:
        """Note an edit of the contract."""
        self.edits.append(_now())

    def end(self) -> list[str]:
        """Stop every run, each asked once, as a second signal would cut it short. Returns what is not as it must be."""
        self._calm.set()
        self._calmed = time.time()
        self.wanted.clear()
        self.wake()
        asked: set[int] = set()
        deadline = time.monotonic() + STOP_PATIENCE
        while time.monotonic() < deadline:
            with self.starting:
                alive = [run for run in self.all if run.is_alive]
            for run in alive:
                if run.running.process.pid not in asked:
                    asked.add(run.running.process.pid)
                    run.running.process.send_signal(signal.SIGTERM)
            assert self._manager is not None
            self._manager.join(1)
            if not alive and not self._manager.is_alive():
                break
        self.tick()
        left = processes.gone(self.site.product.home, END_SECONDS)
        return [f"{len(left)} processes outlived the storm: {left}"] if left else []

    def wrong(self) -> Iterator[str]:
        """Name what runs may not do: end in another way than with one clear line, own a source twice, live on after a takeover."""
        for run in self.all:
            # A stop that comes while the JVM starts ends it like any program.
            if run.ended is None or run.ended < self._calmed:
                yield from self._wrong_end(run)
        epochs = Counter(epoch for run in self.all for epoch in run.epochs)
        yield from (f"epoch {epoch} was given out {count} times" for epoch, count in epochs.items() if count > 1)
        for frozen in self.freezes:
            if not frozen.is_taken_over or frozen.run.is_hit or frozen.woken is None or frozen.woken >= self._calmed:
                continue
            name, ended = frozen.run.running.log.name, frozen.run.ended or time.time()
            if ended < self._calmed and frozen.run.code != 3:
                yield f"{name}: was taken over while it was frozen, and ended with code {frozen.run.code}"
            elif ended - frozen.woken > END_SECONDS:
                yield f"{name}: lived on for more than {END_SECONDS} s after it was taken over"
        for edit in self.edits:
            deaf = [run.running.log.name for run in self.all if is_deaf(run, edit)]
            yield from (f"{name}: did not say that the contract was edited at {edit}" for name in deaf)

    def _wrong_end(self, run: Run) -> Iterator[str]:
        name, text = run.running.log.name, run.running.text()
        said = [line for line in text.splitlines() if line.startswith("salestream: ")]
        # A start judges a bucket that is not there as a wrong name.
        is_misled = run.code == 2 and len(said) == 1 and "404 NoSuchBucket" in said[0]
        if run.code is None:
            yield f"{name}: did not end"
        elif is_misled:
            return
        elif run.code not in (0, 1, 3) or "Traceback" in text:
            yield f"{name}: ended with code {run.code}{' and a trace' if 'Traceback' in text else ''}: {said}"
        elif run.code and not 1 <= len(said) <= 1 + run.is_hit:
            yield f"{name}: ended with code {run.code} and {len(said)} lines instead of one: {said}"
        elif run.code == 3 and not (said[0].startswith("salestream: OWNED ") and self._has_company(run)):
            yield f"{name}: gave up the source, and nobody else was there: {said[0]}"

    def _has_company(self, run: Run) -> bool:
        began, ended = run.running.began - SLACK_SECONDS, run.ended or time.time()
        return any(one is not run and one.running.began < ended and (one.ended or ended) > began for one in self.all)

    def counts(self) -> dict[str, int]:
        """Count what came of the runs that wanted the source of another one."""
        others = [run for run in self.all if run.role == "second"]
        return {
            "second owners": len(others),
            "turned away": sum(run.code == 3 and not run.epochs for run in others),
            "freezes": len(self.freezes),
            "taken over": sum(frozen.is_taken_over for frozen in self.freezes),
            "edits said": sum(len(run.times(EDITED)) for run in self.all),
        }


def is_deaf(run: Run, edit: datetime) -> bool:
    """Tell whether a run owned the source when the contract was edited, has loaded files long after that, and has not said so."""
    owned = run.times(OWNER)
    is_running = bool(owned) and owned[0] < edit and any(at > edit + timedelta(seconds=EDIT_SECONDS) for at in run.times(COMMITTED))
    return is_running and not any(at >= edit for at in run.times(EDITED))


def _now() -> datetime:
    """Return the time as the logs have it."""
    return datetime.now(UTC).replace(tzinfo=None)
