"""What a stream does beside its batches, on every tick, also while no file arrives (docs/decisions/0012-exactly-once.md)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.batch.cleanup import clear_consumed, clear_mended, clear_replaced, clear_stage
from app.batch.context import Job
from app.ledger.ownership import Ownership
from app.model.dimensions import DIMENSIONS
from app.sinks.archive import archive_due
from app.stream.edited_files import EditedFiles

log = logging.getLogger(__name__)

# Most pending parts that one RELEASE reads: it bounds the batch that loads them.
RELEASE_PARTS = 100
# Stage clean-up and the look for released keys cost a few statements each; a tick in between only archives.
LOOK_SECONDS = 1.0
# While more files wait than one batch takes, the cores are theirs and loaded objects stay where they are; of one backlog not for longer.
YIELD_SECONDS = 600.0


@dataclass
class Housekeeper:
    """Archive moves, clean-up, release of pending rows."""

    job: Job
    ownership: Ownership
    wanted: Callable[[], bool]
    now: Callable[[], float] = time.monotonic
    edited: EditedFiles | None = None
    _last_look: float = float("-inf")
    _yields_since: float | None = None

    def tick(self) -> int:
        """Do what is due now; a look at MySQL at most once a second. Returns how much was done, so that a caller can drain.

        Raises:
            OwnershipError: another instance has taken over.
        """
        self.ownership.check()
        done = archive_due(self.job.clients(), self.job.config, self.job.ledger, lambda: self.wanted() and not self._yields())
        return done if self.now() - self._last_look < LOOK_SECONDS else done + self.look()

    def _yields(self) -> bool:
        """Tell whether the archive gives way to the loading: during the first YIELD_SECONDS of a backlog."""
        if not self.job.ledger.has_backlog(self.job.config.stream.max_files_per_trigger):
            self._yields_since = None
            return False
        if self._yields_since is None:
            self._yields_since = self.now()
        return self.now() - self._yields_since < YIELD_SECONDS

    def look(self) -> int:
        """Clear the stage tables and Parquet that is over, and look for keys that pending rows wait for. Returns how much was done."""
        self._last_look = self.now()
        if self.edited is not None:
            self.edited.look()
        job, client = self.job, self.job.clients()
        # Also while nothing is to be done: a ledger that has gone back may look as if no batch were due.
        job.ledger.prove()
        done = clear_stage(job.ledger)
        done += sum(clear(job.ledger, job.config, client) for clear in (clear_consumed, clear_replaced, clear_mended))
        return done + self.request_release()

    def request_release(self) -> int:
        """Ask for a RELEASE when a key that pending rows wait for is in its dimension table by now."""
        joins = {d.table: (d.table, d.key) for d in DIMENSIONS if d.required}
        operation = self.job.ledger.request_release(joins, RELEASE_PARTS, self.job.contract.hash)
        if operation is not None:
            log.info("release requested operation=%d", operation)
        return int(operation is not None)
