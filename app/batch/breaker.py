"""Is it the file, or is it everything? Nothing is given up while a fault that every file meets may be the cause (decision 5).

A file that keeps failing is held back where it is. It is given up as FAILED when another file has been loaded after it, or when the run
ends and a file known good goes through. When that one fails as well, or when several files in a row fail for one cause, the run stops.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from app.batch.context import Job
from app.errors import SystemicFault
from app.ledger.isolate import Failing

log = logging.getLogger(__name__)

# Files in a row that fail for one cause and stop the run: where no file is known good, and where one is and goes through.
MOST_ALIKE = 3
MOST_ALIKE_PROVEN = 5
PROBE_SECONDS = 10.0


@dataclass
class Breaker:
    """Decides what becomes of batches that keep failing. `probe` tells whether a file known good goes through; None: there is none."""

    job: Job
    probe: Callable[[Job], bool | None]
    now: Callable[[], float] = time.monotonic
    _works_until: float = float("-inf")
    _may_hold: bool = True
    _has_begun: bool = False

    def begin(self) -> None:
        """Let what an earlier run held back be tried once more; but not what killed that run, which would kill this one first of all."""
        if not self._has_begun:
            count = self.job.ledger.try_again(self.job.config.stream.max_attempts, explained=True)
            if count:
                log.warning("last run: %d files that kept failing were held back: they are tried again", count)
        self._has_begun = True

    def isolate(self, batch_id: int, error: str) -> bool:
        """Take a batch out of the way that has failed as often as it may. Returns False when it has not.

        Raises:
            SystemicFault: it is not this batch's own fault; it stays as it is, to be tried again.
        """
        limit = self.job.config.stream.max_attempts
        if batch_id not in self.job.ledger.over_limit(limit):
            return False
        if self._works() is False:
            self._stop(batch_id, error, "a file that was loaded before fails as well")
        verdict = self.job.ledger.isolate(batch_id, error, limit, replaces=self.job.contract.replaces)
        log.error("batch=%d %s: %s", batch_id, verdict, error)
        self._may_hold = True
        self._judge()
        return True

    def committed(self, rows_loaded: int) -> None:
        """Give up what is held back once other rows have been loaded after it."""
        if rows_loaded and self._may_hold:
            self._give_up(self._held())

    def at_rest(self) -> None:
        """Give up what is held back when nothing else waits to be loaded and a file known good goes through."""
        if self._may_hold and not self.job.ledger.claimable(1)[0] and (held := self._held()) and self._works():
            self._give_up(held)

    def at_end(self) -> bool:
        """Decide at the end of a run that ends by itself about what is held back still. Returns whether files were given up.

        Raises:
            SystemicFault: nobody can tell whether it is the file or everything; it is tried again by the next run.
        """
        held = self._held()
        if not held:
            return False
        if self._works():
            self._give_up(held)
            return True
        self._stop(None, held[0].error, f"{len(held)} files fail, and no file has been loaded that would show that it is their own fault")

    def _judge(self) -> None:
        """Stop when the files that fail in a row do so for one cause."""
        failing = self.job.ledger.failing_in_a_row()
        for cause, count in Counter(one.cause for one in failing).most_common(1):
            if count < MOST_ALIKE or (count < MOST_ALIKE_PROVEN and self._works()):
                return
            shown = next(one for one in failing if one.cause == cause)
            self._stop(None, shown.error, f"{count} files in a row fail for one cause")

    def _works(self) -> bool | None:
        """Tell whether a file known good goes through; asked again after a moment only, as batches are cut one after the other."""
        if self.now() < self._works_until:
            return True
        works = self.probe(self.job)
        if works:
            self._works_until = self.now() + PROBE_SECONDS
        return works

    def _stop(self, batch_id: int | None, error: str, why: str) -> NoReturn:
        limit = self.job.config.stream.max_attempts
        self.job.ledger.try_again(limit)
        if batch_id is not None:
            self.job.ledger.try_again(limit, batch_id=batch_id)
        raise SystemicFault(f"{why}: {error}")

    def _held(self) -> list[Failing]:
        held = [one for one in self.job.ledger.failing_in_a_row() if one.is_held]
        self._may_hold = bool(held)
        return held

    def _give_up(self, held: list[Failing]) -> None:
        if held:
            files = self.job.ledger.give_up([one.batch_id for one in held])
            self._may_hold = False
            log.error("gave up files %s: they alone fail, other files are loaded", ", ".join(map(str, files)))
