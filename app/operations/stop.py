"""Ask the running stream to finish its micro-batch and stop. The request goes through the ledger, so it works from any machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.errors import StillRunning
from app.ledger.owner import Owner, StreamState, ask_to_stop, read_owner
from app.mysql.database import Database

LOOK_SECONDS = 0.2


def stop_stream(
    db: Database,
    takeover_seconds: float,
    by: str,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Ask the stream to stop and wait for its end, at most `seconds`. Returns in one line what came of it.

    The request is for the owner of this moment: a stream that starts later is not asked.

    Raises:
        StillRunning: it has not ended in time, or nothing has been heard of it for so long that its end cannot be known.
    """
    asked = db.run(lambda tx: ask_to_stop(tx, takeover_seconds, by))
    if asked.state == StreamState.NEVER:
        return "no stream has run yet: there is nothing to stop"
    if asked.state == StreamState.STOPPED:
        return f"no stream is running: the last one, of {asked.holder}, stopped at {asked.stopped_at:%Y-%m-%d %H:%M:%S} UTC"
    if asked.state == StreamState.DEAD:
        return f"no stream is running: the last one, of {asked.holder}, was killed"
    if not seconds:
        return f"asked the stream of {asked.holder} (epoch {asked.epoch}) to stop; it finishes its micro-batch first"
    until = clock() + seconds
    while True:
        now = db.run(lambda tx: read_owner(tx, takeover_seconds))
        if (said := _end(asked, now)) is not None:
            return said
        if now.state == StreamState.SILENT:
            raise StillRunning(
                f"nothing has been heard of the stream of {now.holder} for {now.silent:.0f} s: it was killed, is frozen, or has lost MySQL",
                cure="look on that machine; should it come back, it stops; a new run takes over",
            )
        if clock() >= until:
            raise StillRunning(f"the stream of {now.holder} has not stopped within {seconds:.0f} s")
        sleep(LOOK_SECONDS)


def _end(asked: Owner, now: Owner) -> str | None:
    if now.epoch != asked.epoch:
        return f"the stream of {asked.holder} (epoch {asked.epoch}) has ended; since then {now.holder} has the source (epoch {now.epoch})"
    if now.state == StreamState.STOPPED:
        return f"the stream of {asked.holder} (epoch {asked.epoch}) has stopped"
    if now.state == StreamState.DEAD:
        return (
            f"the stream of {asked.holder} (epoch {asked.epoch}) was killed before it had stopped; the next run does its micro-batch again"
        )
    return None
