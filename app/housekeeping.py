"""What a stream does beside its batches, on every tick, also while no file arrives (design: D5, Idle work)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from app import owner
from app.core.enrich import DIMENSIONS
from app.evaluate import Job
from app.leftovers import clear_stage
from app.sinks.archive import archive_due

log = logging.getLogger(__name__)

# Most pending parts that one RELEASE reads: it bounds the batch that loads them.
RELEASE_PARTS = 100


@dataclass
class Housekeeper:
    """Heartbeat, archive moves, stage clean-up, refresh of dimensions, release of pending rows."""

    job: Job
    ownership: owner.Ownership
    wanted: Callable[[], bool]

    def tick(self) -> int:
        """Do what is due now. Returns how many things were done, so that a caller can drain until it is 0.

        Raises:
            OwnershipError: another instance has taken over.
        """
        owner.beat(self.job.ledger.db, self.ownership)
        done = archive_due(self.job.clients(), self.job.config, self.job.ledger, self.wanted)
        done += clear_stage(self.job.ledger)
        return done + self.request_release()

    def request_release(self) -> int:
        """Ask for a RELEASE when a key that pending rows wait for is in its dimension table by now."""
        joins = {d.table: (d.table, d.key) for d in DIMENSIONS if d.required}
        operation = self.job.ledger.request_release(joins, RELEASE_PARTS)
        if operation is not None:
            log.info("release requested operation=%d", operation)
        return int(operation is not None)
