"""A home with servers, the real job in it, and what was dropped there."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from app import local
from tests.chaos import processes
from tests.chaos.book import Book, Content
from tests.chaos.checks import Storage, differences, is_settled
from tests.product import SUBMIT, Product

PATIENCE = 600
# After a sudden death a new start must have the source within this time, counted from when it has looked at everything it needs.
OWN_SECONDS = 15
# After a sudden death the rest of a run must be gone within this time.
END_SECONDS = 90


@dataclass
class Running:
    """One run of the job, its output in a file."""

    process: subprocess.Popen[bytes]
    log: Path
    began: float = field(default_factory=time.time)

    def text(self) -> str:
        """Return what it has said so far."""
        return self.log.read_text(errors="replace")


@dataclass
class Site:
    """A home with servers, what was dropped there, and its run."""

    product: Product
    folder: Path
    seed: int = 1
    running: Running | None = None
    runs: int = 0
    drops: int = 0
    book: Book = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "clean").mkdir(parents=True)
        self.book = Book(self.folder / "clean", random.Random(self.seed))

    @cached_property
    def storage(self) -> Storage:
        """The bucket, where it was when first asked for."""
        return Storage(self.product)

    def forget_storage(self) -> None:
        """Look up anew where the bucket is."""
        self.__dict__.pop("storage", None)

    @property
    def paused(self) -> Path:
        return self.folder / "paused"

    @property
    def armed(self) -> Path:
        return self.folder / "armed"

    def start(self, *args: str, **environment: str) -> Running:
        """Start `run` with further arguments; from now on it is the site's run."""
        self.running = self.launch(*args, **environment)
        return self.running

    def launch(self, *args: str, **environment: str) -> Running:
        """Start `run` with further arguments, its output into a file, whatever else runs."""
        self.runs += 1
        log = self.folder / f"run{self.runs}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [SUBMIT, "run", *args],
                cwd="/",
                env=self.product.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        return Running(process, log)

    def start_prepared(self, point: str) -> Running:
        """Start the stream with a fail point that is not armed yet."""
        environment = {
            "SALESTREAM_FAILPOINT": f"{point}:1:pause",
            "SALESTREAM_FAILPOINT_FILE": str(self.paused),
            "SALESTREAM_FAILPOINT_ARMED": str(self.armed),
        }
        if point == "during_refresh":
            # Otherwise the first batch alone reads the dimensions.
            environment["SALESTREAM__DIMENSIONS__REFRESH_SECONDS"] = "0.01"
        return self.start(**environment)

    def drop(self, content: Content, name: str | None = None) -> str:
        """Drop a content and note what must come of it."""
        self.drops += 1
        name = name or f"drop{self.drops:04d}.csv"
        self.book.expect(content)
        self.storage.put(name, content.body)
        return name

    def introduce(self, customers: list[int]) -> None:
        """Insert the dimension rows of customers."""
        for customer in customers:
            self.product.execute("INSERT INTO customer (customer_id, first_name) VALUES (%s, 'Late')", customer)
            self.book.customers.add(customer)

    def wait(self, what: str, is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait while the run lives."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert self.running is not None
            assert self.running.process.poll() is None, f"the run ended while waiting for {what}:\n{self.running.text()[-3000:]}"
            assert time.monotonic() < deadline, (
                f"{seconds} s for {what}: {differences(self.product, self.book)}\n{self.running.text()[-3000:]}"
            )
            time.sleep(0.2)

    def owned_after(self) -> float:
        """Return how many seconds the run took to become the owner."""
        assert self.running is not None
        lines = self.running.text().splitlines()
        looked = max(number for number, line in enumerate(lines) if " check " in line)
        owned = next(line for line in lines[looked:] if " owner epoch=" in line)
        return (time_of(owned) - time_of(lines[looked])).total_seconds()

    def settle(self) -> None:
        """Wait until the run has done everything, and compare."""
        # A start that finds nothing to do is settled before it has said anything.
        self.wait("the source", lambda: " owner epoch=" in (self.running.text() if self.running else ""))
        self.wait("all work", lambda: is_settled(self.product, self.book))
        assert self.owned_after() < OWN_SECONDS
        found = differences(self.product, self.book)
        assert found == [], "\n".join(found)

    def end(self) -> None:
        """Kill an idle run, to begin another."""
        if self.running is not None:
            processes.kill(self.product.home, "group")
            self.running.process.wait(END_SECONDS)
            assert processes.gone(self.product.home, END_SECONDS) == []
            self.running = None


def open_site(home: Path, folder: Path, seed: int = 1) -> Site:
    """Start servers in a new home and make the tables."""
    local.up(home, die_with_parent=True)
    product = Product(home)
    product.call("init-db", "--seed")
    return Site(product, folder, seed)


def time_of(line: str) -> datetime:
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")
