"""Named points where a test makes the real process die, fail or wait; off unless SALESTREAM_FAILPOINT is set.

SALESTREAM_FAILPOINT is `name[:nth[:kill|raise|pause]]`; every process counts its own hits. A pause writes the name into the file
SALESTREAM_FAILPOINT_FILE and lasts until that file is gone. With SALESTREAM_FAILPOINT_ARMED=<path> hits count, and the point is due,
only while that file exists, so that a test lets a run start and recover first.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from app.errors import TerminalError, UsageError

# What `run` passes through.
RUN_FAILPOINTS = (
    "after_discovery",
    "after_claim",
    "after_begin",
    "after_scan",
    "during_facts",
    "after_stage",
    "after_facts",
    "after_quarantine",
    "in_commit",
    "after_commit",
    "archive_copied",
    "during_shutdown",
    "during_refresh",
    "release_claimed",
)
# What only the command `clean` passes through.
CLEAN_FAILPOINTS = ("clean_deleted",)
FAILPOINTS = (*RUN_FAILPOINTS, *CLEAN_FAILPOINTS)
ACTIONS = ("kill", "raise", "pause")

_hits: Counter[str] = Counter()
_guard = threading.Lock()


class InjectedFailure(TerminalError):
    """A fail point was told to raise."""

    code = "INJECTED"
    cause = "SALESTREAM_FAILPOINT asks for a failure at this point; it is for tests only."
    cure = "unset SALESTREAM_FAILPOINT"


def reset() -> None:
    """Forget all hits, so that nth counts from here; for tests that run several streams in one process."""
    with _guard:
        _hits.clear()


def parse(text: str) -> tuple[str, int, str]:
    """Split `name[:nth[:kill|raise|pause]]`; nth is 1 and the action kill where left out.

    Raises:
        UsageError: the name or the action is unknown, or nth is not a positive number.
    """
    name, _, rest = text.partition(":")
    nth, _, action = rest.partition(":")
    if name not in FAILPOINTS or (action or "kill") not in ACTIONS or not (nth or "1").isdecimal() or int(nth or "1") < 1:
        raise UsageError(f"SALESTREAM_FAILPOINT={text!r} is not name[:nth[:kill|raise|pause]]", cure=f"use one of {', '.join(FAILPOINTS)}")
    return name, int(nth or "1"), action or "kill"


def parse_failpoint() -> tuple[str, int, str] | None:
    """Return what SALESTREAM_FAILPOINT asks for, None when it asks for nothing.

    Raises:
        UsageError: it makes no sense.
    """
    wanted = os.environ.get("SALESTREAM_FAILPOINT")
    return parse(wanted) if wanted else None


def failpoint(name: str) -> None:
    """Pass through, or die, raise or wait here if the environment asks for it at this hit.

    Raises:
        InjectedFailure: the action is `raise`.
    """
    asked = parse_failpoint()
    if asked is None:
        return
    armed = os.environ.get("SALESTREAM_FAILPOINT_ARMED")
    if armed and not Path(armed).exists():
        return
    target, nth, action = asked
    with _guard:
        _hits[name] += 1
        due = name == target and _hits[name] == nth
    if not due:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "raise":
        raise InjectedFailure(f"fail point {name} hit {nth} raised")
    paused = os.environ.get("SALESTREAM_FAILPOINT_FILE", "")
    if paused:
        Path(paused).write_text(name)
    while not paused or Path(paused).exists():
        time.sleep(0.05)
