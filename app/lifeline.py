"""Processes of one run that must not outlive each other, and how to tell a process that has ended from one that lives. Linux only."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import threading
from enum import StrEnum
from pathlib import Path

PROC = Path("/proc")
PR_SET_PDEATHSIG = 1
JVM = "java"
# spark-submit gives it to the Python driver that it starts.
GATEWAY = "PYSPARK_GATEWAY_PORT"
_libc = ctypes.CDLL(None, use_errno=True)


class Life(StrEnum):
    """What this machine knows of a process."""

    ALIVE = "ALIVE"
    DEAD = "DEAD"
    UNKNOWN = "UNKNOWN"


def this_process() -> str:
    """Return what names this process among all processes of all machines; empty where /proc does not tell."""
    try:
        return f"{_place()} {os.getpid()} {_started(os.getpid())}"
    except OSError:
        return ""


def life_of(process: str) -> Life:
    """Tell whether the process of that name lives. Only a process of this boot and this pid namespace can be judged."""
    try:
        boot, namespace, pid, started = process.split()
        if f"{boot} {namespace}" != _place():
            return Life.UNKNOWN
        # A process of another user may be hidden in /proc, but never from kill().
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return Life.DEAD
    except PermissionError:
        pass
    except (OSError, ValueError):
        return Life.UNKNOWN
    try:
        return Life.ALIVE if _started(int(pid)) == started else Life.DEAD
    except OSError:
        return Life.UNKNOWN


def _place() -> str:
    return f"{(PROC / 'sys/kernel/random/boot_id').read_text().strip()} {(PROC / 'self/ns/pid').readlink()}"


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since the boot; empty for one that has ended and is not yet reaped."""
    # The name in parentheses may hold anything, blanks and parentheses included.
    fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


def signal_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the thread that started it ends, also while this process is stopped."""
    if _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def is_child_of_jvm() -> bool:
    """Tell whether a JVM has started this process and still lives."""
    try:
        return (PROC / str(os.getppid()) / "comm").read_text().strip() == JVM
    except OSError:
        return False


def end_with_jvm() -> None:
    """End this process at once when spark-submit's JVM ends; a process that spark-submit has not started is left alone.

    For the driver: the thread of the JVM that starts it waits for it, so that thread ends with the JVM and not before.
    """
    if GATEWAY in os.environ and is_child_of_jvm():
        signal_with_parent(signal.SIGKILL)


def follow_jvm() -> None:
    """End this process soon after the JVM that started it has ended; without such a JVM nothing is done. For the planner."""
    if not is_child_of_jvm():
        return
    try:
        jvm = os.pidfd_open(os.getppid())
    except ProcessLookupError:
        os._exit(1)
    wake_with_jvm()
    threading.Thread(target=_end_after, args=(jvm,), name="lifeline", daemon=True).start()


def wake_with_jvm() -> None:
    """Have the kernel wake this process, should it be stopped (SIGSTOP), when the JVM that started it ends: it then sees for itself.

    The thread of the JVM that starts a worker's daemon ends long before the JVM does, so the kernel must not kill with it.
    """
    if is_child_of_jvm():
        signal_with_parent(signal.SIGCONT)


def _end_after(process: int) -> None:
    select.select([process], [], [])
    os._exit(1)


def end_forks_with_this_process() -> None:
    """Have every process that this process forks from now on die with it, also while it is stopped."""
    os.register_at_fork(after_in_child=lambda: signal_with_parent(signal.SIGKILL))
