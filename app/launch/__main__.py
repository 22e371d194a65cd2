"""Start spark-submit for spark-submit.sh and stay until the whole run has ended.

`python -P -m app.launch OPTIONS -- SPARK-SUBMIT ITS-OPTIONS -- MAIN.PY ARGUMENTS`

The JVM gets a session of its own, because SIGTERM or Ctrl-C to it would cut a running micro-batch short: signals go to the Python driver,
which finishes the batch first. However this process ends, the kernel ends the JVM with it, and the driver with the JVM.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.launch.members import MARK, end_members, open_member, signal_member
from app.launch.scratch import Scratch, make, remove, sweep
from app.launch.user import without_a_name
from app.lifeline import signal_with_parent

ROOT = Path(__file__).resolve().parents[2]
# What a JVM may take to end after its driver, and the rest of a run after its JVM, before it is killed. Only a JVM that was told to write
# something large at its end (a dump, an archive of its classes) needs more.
LINGER_SECONDS = float(os.environ.get("SALESTREAM_LINGER_SECONDS") or 10)
FILTER_SECONDS = 5.0
LOOK_SECONDS = 0.2
CODE_FILE = "SALESTREAM_DRIVER_CODE_FILE"
CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = tuple(128 + number for number in CAUGHT)
KILLED = (128 + signal.SIGABRT, 128 + signal.SIGKILL, 128 + signal.SIGSEGV)


@dataclass
class Run:
    """One run: its scratch folder, its JVM, and what is known of its driver."""

    scratch: Scratch
    jvm: subprocess.Popen[bytes]
    _driver: int | None = None
    _missed: int | None = None
    _ended_at: float | None = None

    def hand_on(self, _number: int, _frame: object) -> None:
        """Ask the driver to finish its micro-batch and stop; before there is a driver, the JVM is asked."""
        pid = self._driver_pid()
        if pid is None or not signal_member(pid, self.scratch.mark, signal.SIGTERM):
            with suppress(ProcessLookupError):
                self.jvm.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for the end of the JVM; a JVM that outlives its driver for too long is killed. Returns the exit code."""
        ended = os.pidfd_open(self.jvm.pid)
        try:
            while not select.select([ended], [], [], LOOK_SECONDS)[0]:
                if self._driver_has_ended() and self._ended_at is not None and time.monotonic() - self._ended_at > LINGER_SECONDS:
                    self.jvm.kill()
                    code = self.jvm.wait()
                    return self._code_of_driver(128 - code if code < 0 else code)
        finally:
            os.close(ended)
        code = self.jvm.wait()
        return 128 - code if code < 0 else code

    def _driver_pid(self) -> int | None:
        try:
            return int(self.scratch.pid_file.read_text())
        except (OSError, ValueError):
            return None

    def had_driver(self) -> bool:
        """Tell whether the driver has run, or has ended with a word of its own."""
        return self.scratch.pid_file.exists() or self.scratch.code_file.exists()

    def _driver_has_ended(self) -> bool:
        if self._ended_at is None and self._driver is None:
            pid = self._driver_pid()
            if pid is None:
                return False
            self._driver = open_member(pid, self.scratch.mark)
            if self._driver is None:
                # Looked at twice: the number may just be in the writing.
                self._ended_at = time.monotonic() if pid == self._missed else None
                self._missed = pid
        if self._driver is not None and select.select([self._driver], [], [], 0)[0]:
            os.close(self._driver)
            self._driver, self._ended_at = None, time.monotonic()
        return self._ended_at is not None

    def _code_of_driver(self, otherwise: int) -> int:
        """Return the exit code that the driver has left, where its JVM did not come to hand it on."""
        try:
            return int(self.scratch.code_file.read_text())
        except (OSError, ValueError):
            return otherwise


def start(scratch: Scratch, command: Sequence[str], out: int, err: int) -> subprocess.Popen[bytes]:
    """Start spark-submit in a session of its own; the kernel kills it when this process ends, whatever ends it."""
    parent = os.getpid()

    def before_exec() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
        signal_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    options = f'-Djava.io.tmpdir="{scratch.folder}" {os.environ.get("SPARK_SUBMIT_OPTS", "")}'.strip()
    environment = os.environ | {
        "TMPDIR": str(scratch.folder),
        "SPARK_SUBMIT_OPTS": options,
        MARK: str(scratch.pid_file),
        CODE_FILE: str(scratch.code_file),
    }
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env=environment,
        start_new_session=True,
        pass_fds=(scratch.lock,),
        preexec_fn=before_exec,  # noqa: PLW1509 - this process has one thread
    )


def package(target: Path) -> Path:
    """Put the code into one file: executors on other machines have no clone, and fetch it from the driver as long as it runs."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted((ROOT / "app").rglob("*.py")):
            packed.write(path, path.relative_to(ROOT))
    return target


def launch(arguments: Sequence[str]) -> int:
    """Run spark-submit to its end and return the exit code."""
    parser = argparse.ArgumentParser(prog="app.launch")
    parser.add_argument("--out", type=int, default=1, help="descriptor of the run's standard output")
    parser.add_argument("--err", type=int, default=2, help="descriptor of the run's standard error")
    parser.add_argument("--filter", type=int, help="process that reads the descriptors to their end")
    parser.add_argument("--py-files", help="send the code to other machines, with these further files")
    own = arguments.index("--")
    given = parser.parse_args(arguments[:own])
    submit = list(arguments[own + 1 :])
    middle = submit.index("--")
    before, after = submit[:middle], submit[middle + 1 :]

    if nameless := without_a_name():
        # Spark would say so in seventy lines of Java.
        sys.stderr.write(f"salestream: MACHINE {'; '.join(nameless)}\n")
        return 2
    parent = Path(tempfile.gettempdir())
    sweep(parent)
    scratch = make(parent)
    try:
        if given.py_files is not None:
            others = [given.py_files] if given.py_files else []
            before += ["--py-files", ",".join([str(package(scratch.folder / "salestream.zip")), *others])]
        # A signal between the start of the JVM and its handler waits for the handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
        try:
            jvm = start(scratch, [*before, *after], given.out, given.err)
        except OSError as exc:
            sys.stderr.write(f"salestream: MACHINE {before[0]} cannot be started: {exc.strerror or exc}; run make setup\n")
            return 2
        run = Run(scratch, jvm)
        for number in CAUGHT:
            # What nohup or a shell has this process ignore stays ignored.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, run.hand_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
        code = run.wait()
        end_members(scratch.mark, LINGER_SECONDS)
        had_driver = run.had_driver()
    finally:
        remove(scratch)
    for descriptor in {given.out, given.err} - {1, 2}:
        os.close(descriptor)
    _wait_for_filter(given.filter)
    if code in KILLED:
        # The driver's own words went through the JVM and are lost with it.
        sys.stderr.write(
            f"salestream: SPARK Spark's JVM or the Python driver was killed (code {code}); start again, what was running is done again;"
            " if it was the memory, raise spark.driver_memory\n"
        )
        return 1
    if code not in (0, *STOPPED) and not had_driver:
        sys.stderr.write(f"salestream: SPARK Spark ended with code {code} before the job did; see what it said above, and start again\n")
    return code


def _wait_for_filter(pid: int | None) -> None:
    """Wait until the last lines of the run have been printed."""
    deadline = time.monotonic() + FILTER_SECONDS
    while pid is not None and time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:
            return
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
