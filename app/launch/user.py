"""The user that a run belongs to: Hadoop, which Spark reads files with, logs in as somebody with a name."""

from __future__ import annotations

import os
import pwd

CURE = (
    "add a line for it to /etc/passwd (salestream:x:{uid}:{gid}::/tmp:/bin/sh), or preload libnss_wrapper with one;"
    " containers that run under a random number need this"
)


def without_a_name() -> tuple[str, str] | None:
    """Say that the user of this process has only a number, and what to do about it; None where it has a name."""
    uid, gid = os.getuid(), os.getgid()
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return f"user {uid} has no name on this machine, and Spark does not start without one", CURE.format(uid=uid, gid=gid)
    return None
