"""A stand-in for Spark: a JVM that starts a driver, a planner and a daemon with two workers, each as the real ones hold together.

Run as `java stand_in.py ROLE FOLDER`; each role writes its process number into the folder.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app import lifeline


def here(folder: Path, role: str) -> None:
    (folder / f"{role}.new").write_text(str(os.getpid()))
    (folder / f"{role}.new").rename(folder / role)


def jvm(folder: Path) -> None:
    here(folder, "jvm")

    def start(role: str, **options: object) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYSPARK_GATEWAY_PORT": "1"}
        return subprocess.Popen([sys.argv[3], __file__, role, str(folder), sys.argv[3]], env=environment, **options)  # type: ignore[call-overload,no-any-return]

    start("planner")
    daemon = start("daemon", stdin=subprocess.PIPE)
    driver = start("driver")
    code = driver.wait()
    if (folder / "hang").exists():
        time.sleep(3600)
    assert daemon.stdin is not None
    daemon.stdin.close()
    sys.exit(code if code >= 0 else 128 - code)


def driver(folder: Path) -> None:
    lifeline.end_with_jvm()
    Path(os.environ["SALESTREAM_DRIVER_PID_FILE"]).write_text(str(os.getpid()))
    here(folder, "driver")
    while not (folder / "finish").exists():
        time.sleep(0.02)
    from app.main import leave_code

    leave_code(5)
    sys.exit(5)


def planner(folder: Path) -> None:
    lifeline.follow_jvm()
    here(folder, "planner")
    time.sleep(3600)


def daemon(folder: Path) -> None:
    os.setpgid(0, 0)
    lifeline.wake_with_jvm()
    lifeline.end_forks_with_this_process()
    for number in (1, 2):
        if os.fork() == 0:
            here(folder, f"worker{number}")
            time.sleep(3600)
    here(folder, "daemon")
    sys.stdin.buffer.read(1)


if __name__ == "__main__":
    {"jvm": jvm, "driver": driver, "planner": planner, "daemon": daemon}[sys.argv[1]](Path(sys.argv[2]))
