"""Processes of the embedded servers: start apart from the terminal, find by their arguments, stop for certain."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"
KILL_SECONDS = 10


def spawn(argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, stdin: int | None = None) -> int:
    """Start a process in a session of its own, its output appended to the log, and tell its pid.

    A session of its own: Ctrl-C in the terminal is for the command that runs there, not for the servers it started.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        sources = (nothing if stdin is None else stdin, output, output)
        redirections = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(sources)]
        return os.posix_spawn(argv[0], list(argv), dict(environment or os.environ), file_actions=redirections, setsid=True)
    finally:
        os.close(output)
        os.close(nothing)


def find(marker: str) -> list[int]:
    """Find own processes that have the marker as one whole argument. A process that has ended but is not yet reaped has none."""
    wanted = os.fsencode(marker)
    found = []
    for entry in os.scandir(PROC):
        if entry.name.isdigit() and _is_marked(int(entry.name), wanted):
            found.append(int(entry.name))
    return sorted(found)


def _is_marked(pid: int, wanted: bytes) -> bool:
    try:
        folder = PROC / str(pid)
        return wanted in (folder / "cmdline").read_bytes().split(b"\0") and folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def stop(markers: Sequence[str], seconds: float) -> bool:
    """End every process that has one of the markers: ask, wait, then force. Tell whether there was one.

    The pid is pinned by a pidfd before its arguments are read again, so a pid reused meanwhile is never signalled.
    """
    pinned = [pair for marker in markers for pair in _pinned(marker)]
    for _, descriptor in pinned:
        _signal(descriptor, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for pid, descriptor in pinned:
        if not ended(descriptor, max(0.0, deadline - time.monotonic())):
            _signal(descriptor, signal.SIGKILL)
            ended(descriptor, KILL_SECONDS)
        os.close(descriptor)
        reap(pid)
    return bool(pinned)


def _pinned(marker: str) -> list[tuple[int, int]]:
    pairs = []
    for pid in find(marker):
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            if _is_marked(pid, os.fsencode(marker)):
                pairs.append((pid, descriptor))
            else:
                os.close(descriptor)
    return pairs


def _signal(descriptor: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)


def ended(descriptor: int, seconds: float) -> bool:
    """Wait until the process behind a pidfd has ended, at most so long."""
    return bool(select.select([descriptor], [], [], seconds)[0])


def reap(pid: int) -> bool:
    """Take leave of an own child that has ended; tell whether it had. True as well for a process that is nobody's child here."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not (PROC / str(pid)).exists()


def wait_and_reap(pid: int, seconds: float) -> None:
    """Wait for the end of an own child, at most so long, and take leave of it."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        ended(descriptor, seconds)
        os.close(descriptor)
    reap(pid)


def listens(pid: int, port: int) -> bool:
    """Tell whether this very process, not another one, listens on the port of 127.0.0.1."""
    wanted = f"0100007F:{port:04X}", f"0000000000000000FFFF00000100007F:{port:04X}"
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            rows = (line.split() for line in (PROC / "net" / table).read_text().splitlines()[1:])
            inodes |= {f"socket:[{row[9]}]" for row in rows if row[1] in wanted and row[3] == LISTEN}
    return bool(inodes) and not inodes.isdisjoint(_descriptors(pid))


def _descriptors(pid: int) -> set[str]:
    targets = set()
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                targets.add(str(entry.readlink()))
    return targets
