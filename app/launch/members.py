"""The processes of one run, found by what they have inherited."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
MARK = "SALESTREAM_DRIVER_PID_FILE"
LOOK_SECONDS = 0.1
KILL_SECONDS = 5.0


def members(mark: str) -> list[int]:
    """Find the processes of this user that have the mark in their environment; those that have ended and are not reaped have none."""
    wanted = os.fsencode(mark)
    found = []
    for entry in os.scandir(PROC):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if wanted in (PROC / entry.name / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def is_member(pid: int, mark: str) -> bool:
    """Tell whether a process is one of the run; a number may have been given to another process since."""
    try:
        return os.fsencode(mark) in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except PermissionError:
        # A process that hides its environment: whether it is there can be seen all the same.
        return True
    except OSError:
        return False


def open_member(pid: int, mark: str) -> int | None:
    """Return a descriptor that stays with one process of the run; None when it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    # Looked at after it is pinned: from here on the number cannot be another process's.
    if is_member(pid, mark):
        return descriptor
    os.close(descriptor)
    return None


def signal_member(pid: int, mark: str, number: signal.Signals) -> bool:
    """Signal a process of the run; tell whether it was there."""
    descriptor = open_member(pid, mark)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def end_members(mark: str, seconds: float) -> bool:
    """Wait until no process of the run is left, and kill what still is after so many seconds. Tells whether all are gone.

    A process that is stopped (SIGSTOP) is killed as well.
    """
    deadline = time.monotonic() + seconds
    while left := members(mark):
        if time.monotonic() >= deadline + KILL_SECONDS:
            return False
        if time.monotonic() >= deadline:
            for pid in left:
                signal_member(pid, mark, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)
    return True
