"""The processes of one run, found in /proc by what they inherited from spark-submit.sh; and their sudden deaths."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# spark-submit.sh gives it to all that it starts, and to nothing else.
INHERITED = b"SALESTREAM_DRIVER_PID_FILE="
VICTIMS = ("group", "jvm", "driver", "planner")


@dataclass(frozen=True)
class Member:
    """One process of a run."""

    pid: int
    role: str


def members(home: Path) -> list[Member]:
    """Find every process of the runs of this home."""
    wanted = f"SALESTREAM_HOME={home}".encode()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            environment = (entry / "environ").read_bytes().split(b"\0")
            if wanted in environment and any(item.startswith(INHERITED) for item in environment):
                found.append(Member(int(entry.name), role_of((entry / "cmdline").read_bytes().decode(errors="replace").split("\0"))))
    return found


def role_of(argv: list[str]) -> str:
    """Tell a process by its arguments: jvm, driver, planner, worker or other."""
    program = Path(argv[0]).name
    if program == "java":
        return "jvm" if "org.apache.spark.deploy.SparkSubmit" in argv else "other"
    if not program.startswith("python"):
        return "other"
    for mark, role in (("python_streaming_source_runner", "planner"), ("pyspark.daemon", "worker"), ("app/main.py", "driver")):
        if any(mark in word for word in argv):
            return role
    return "other"


def kill(home: Path, victim: str) -> list[Member]:
    """SIGKILL the JVM, the driver, the planner, or the whole group of them and their workers. Returns who was hit."""
    hit = [one for one in members(home) if one.role == victim or (victim == "group" and one.role != "other")]
    signal_all(hit, signal.SIGKILL)
    return hit


def signal_all(targets: list[Member], number: signal.Signals) -> None:
    """Signal all of them; who has ended meanwhile is let be."""
    for one in targets:
        with suppress(ProcessLookupError):
            os.kill(one.pid, number)


def gone(home: Path, seconds: float) -> list[Member]:
    """Wait until no process of the home's runs is left. Returns those that still are."""
    deadline = time.monotonic() + seconds
    while (left := members(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left
