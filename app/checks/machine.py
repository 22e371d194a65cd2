"""Checks of this machine: Java, Spark and its jars, room on the disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from app.config.load import Config
from app.errors import EnvironmentFault
from app.launch.user import without_a_name

OLDEST_JAVA = 17
FREE_BYTES = 512 << 20
GIGABYTE = 1 << 30


def checks(config: Config | None) -> dict[str, Callable[[], str]]:
    """Return the checks of the machine by name; those that depend on the configuration only when there is one."""
    found: dict[str, Callable[[], str]] = {"java": check_java, "spark": _spark}
    if config is not None:
        folder, scratch = config.checkpoint_root, _scratch(config)
        found["disk"] = lambda: check_disk(folder, scratch)
    return found


def check_java(environ: Mapping[str, str] | None = None) -> str:
    """Ask Java for its version.

    Raises:
        EnvironmentFault: there is none, or it is too old for Spark.
    """
    environ = os.environ if environ is None else environ
    home = environ.get("JAVA_HOME", "").strip()
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH"))
    cure = f"install Java {OLDEST_JAVA} or newer (for example default-jre-headless), or set JAVA_HOME to one"
    if java is None:
        raise EnvironmentFault("Java was not found on the PATH", cure=cure)
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        raise EnvironmentFault(f"Java was not found ({java})", cure=cure) from exc
    match = re.search(r'version "((?:1\.)?(\d+)[^"]*)"', done.stderr + done.stdout)
    if match is None or int(match[2]) < OLDEST_JAVA:
        shown = match[1] if match else (done.stderr + done.stdout).strip().partition("\n")[0]
        raise EnvironmentFault(f"Java {OLDEST_JAVA} or newer is needed, but {java} is {shown}", cure=cure)
    return f"{match[1]} ({java})"


def check_disk(checkpoints: Path, scratch: Path) -> str:
    """Look whether checkpoints and Spark's scratch files have room.

    Raises:
        EnvironmentFault: a folder cannot be written to, or its disk is nearly full.
    """
    return ", ".join(f"{name} {folder} {_free(name, folder) / GIGABYTE:.1f} GB free" for name, folder in _roomy(checkpoints, scratch))


def _roomy(checkpoints: Path, scratch: Path) -> list[tuple[str, Path]]:
    return [("checkpoints", checkpoints), ("scratch", scratch)]


def _free(name: str, folder: Path) -> int:
    cure = "free some space, or move it elsewhere (checkpoints: SALESTREAM_HOME, scratch: spark.local.dir in spark.conf)"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"salestream")
    except OSError as exc:
        raise EnvironmentFault(f"{name} {folder} cannot be written to: {exc.strerror}", cure=cure) from exc
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise EnvironmentFault(f"{name} {folder} has {free >> 20} MB left, {FREE_BYTES >> 20} MB are needed", cure=cure)
    return free


def _scratch(config: Config) -> Path:
    named = os.environ.get("SPARK_LOCAL_DIRS") or config.spark.conf.get("spark.local.dir") or tempfile.gettempdir()
    return Path(named.split(",")[0])


def _spark() -> str:
    import pyspark

    if nameless := without_a_name():
        what, cure = nameless
        raise EnvironmentFault(what, cure=cure)
    return f"{pyspark.__version__} ({Path(pyspark.__file__).parent})"
