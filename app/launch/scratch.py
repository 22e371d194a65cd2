"""The scratch folder of one run: made with a lock that lives as long as the run, and swept by a later start when the run could not."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.launch.members import MARK, end_members, members

PREFIX = "salestream-run."
ALIVE = "alive"
# A folder without its lock may just be in the making.
MAKING_SECONDS = 60.0


@dataclass(frozen=True)
class Scratch:
    """A scratch folder and the descriptor of its lock. Whoever inherits the descriptor keeps the folder alive as well.

    `held` is the folder itself, locked too: systemd-tmpfiles leaves a locked folder alone. Any other one it removes when it is
    some days old, also from under a stream.
    """

    folder: Path
    lock: int
    held: int

    @property
    def pid_file(self) -> Path:
        """Where the Python driver writes its process number."""
        return self.folder / "driver.pid"

    @property
    def code_file(self) -> Path:
        """Where the Python driver writes its exit code."""
        return self.folder / "driver.code"

    @property
    def mark(self) -> str:
        """What every process of the run has in its environment, and no other process."""
        return f"{MARK}={self.pid_file}"


def make(parent: Path) -> Scratch:
    """Make a scratch folder and lock it. The lock has its name only after it is held: no sweep sees it free."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = os.open(folder / f"{ALIVE}.new", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / f"{ALIVE}.new").rename(folder / ALIVE)
    os.set_inheritable(lock, True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(held, fcntl.LOCK_EX)
    return Scratch(folder, lock, held)


def remove(scratch: Scratch) -> None:
    """Remove a scratch folder, and its lock last."""
    shutil.rmtree(scratch.folder, ignore_errors=True)
    os.close(scratch.held)
    os.close(scratch.lock)


def sweep(parent: Path) -> list[Path]:
    """Remove the scratch folders of runs that are over, and end what is left of their processes. Returns the folders that went."""
    return [folder for folder in sorted(parent.glob(f"{PREFIX}*")) if _is_ours(folder) and _sweep(folder)]


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _sweep(folder: Path) -> bool:
    try:
        lock = os.open(folder / ALIVE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return _sweep_without_lock(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        end_members(f"{MARK}={folder / 'driver.pid'}", 0)
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        os.close(lock)


def _sweep_without_lock(folder: Path) -> bool:
    """Remove a folder of a run that was killed while it made its lock, or of an older version, which knew no lock."""
    with suppress(OSError):
        if time.time() - folder.stat().st_mtime > MAKING_SECONDS and not members(f"{MARK}={folder / 'driver.pid'}"):
            shutil.rmtree(folder, ignore_errors=True)
            return not folder.exists()
    return False
