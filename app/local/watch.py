"""The watcher of one start: ends the servers when the process that starts them, or that they belong to, dies.

It hears through its standard input how the start went: `done` - leave, the servers stay; `stay` - guard them until that
process ends; nothing - it failed or died, end what it was starting. Run as `python -m app.local.watch`.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from pathlib import Path

from app.local import processes
from app.local.servers import SERVERS, STOP_SECONDS
from app.local.state import locked

LOOK_SECONDS = 2.0
# Between fork and exec a new server does not carry its arguments yet; a second look finds it.
SECOND_LOOK_SECONDS = 0.5


def end(home: Path, names: list[str]) -> None:
    """Stop the named servers of a home."""
    markers = [server.marker(home) for server in SERVERS if server.NAME in names]
    with locked(home) if (home / "run").is_dir() else contextlib.nullcontext():
        processes.stop(markers, STOP_SECONDS)
        time.sleep(SECOND_LOOK_SECONDS)
        processes.stop(markers, STOP_SECONDS)


def guard(home: Path, names: list[str], parent: int) -> bool:
    """Wait until the parent has ended, then tell True; False as soon as the servers are gone anyway."""
    markers = [server.marker(home) for server in SERVERS if server.NAME in names]
    while not processes.ended(parent, LOOK_SECONDS):
        if not any(processes.find(marker) for marker in markers):
            return False
    return True


def watch(home: Path, parent_pid: int, names: list[str]) -> None:
    """Follow one start from its beginning."""
    try:
        parent = os.pidfd_open(parent_pid)
    except ProcessLookupError:
        return end(home, names)
    # A process forked by the parent may hold the other end of the pipe open: the parent's own end counts as well.
    ready, _, _ = select.select([0, parent], [], [])
    word = os.read(0, 16).strip() if 0 in ready else b""
    if word == b"done" or (word == b"stay" and not guard(home, names, parent)):
        return None
    return end(home, names)


if __name__ == "__main__":
    watch(Path(sys.argv[1].partition("=")[2]), int(sys.argv[2]), sys.argv[3:])
