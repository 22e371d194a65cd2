"""What this process has committed, and so knows better than a ledger that has lost it.

A fail-over to a replica that lags, or a crash of a server that does not flush at every commit, takes the last commits away under a
running job. Its connections come back to a ledger of some seconds ago, in which everything looks as if the work were still to be done.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from app.errors import RestoredLedger
from app.mysql.database import Tx

# What is longer ago is not lost by a fail-over any more, and `clean` may remove its record after a day.
REMEMBERED_SECONDS = 12 * 3600.0


class Memory:
    """The newest attempt that this process has begun, and the newest that it has committed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun: tuple[str, float] | None = None
        self._committed: tuple[str, float] | None = None

    def begun(self, batch_key: str) -> None:
        """Remember an attempt whose record is committed."""
        self._begun = (batch_key, self._clock())

    def committed(self, batch_key: str) -> None:
        """Remember an attempt whose batch is committed."""
        self._committed = (batch_key, self._clock())

    def check(self, tx: Tx) -> None:
        """Stop if the ledger lacks what this process has committed; one look by key.

        Raises:
            RestoredLedger: it does.
        """
        since = self._clock() - REMEMBERED_SECONDS
        begun, committed = (kept[0] if kept and kept[1] >= since else None for kept in (self._begun, self._committed))
        keys = [key for key in dict.fromkeys((begun, committed)) if key is not None]
        if not keys:
            return
        rows = tx.rows(f"SELECT batch_key, state FROM batch_attempt WHERE batch_key IN ({', '.join(['%s'] * len(keys))})", keys)
        states = {row["batch_key"]: row["state"] for row in rows}
        for key in keys:
            if key not in states:
                raise RestoredLedger(f"the ledger in MySQL has gone back: it does not know attempt {key}, which this run has written")
        if committed is not None and states[committed] != "COMMITTED":
            raise RestoredLedger(
                f"the ledger in MySQL has gone back: this run has committed batch {committed}, and it says {states[committed]}"
            )
