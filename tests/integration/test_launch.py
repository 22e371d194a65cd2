"""Whatever process of a run dies, in whatever order, the others end by themselves, and nothing stays behind."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import pytest

from app.launch import scratch
from app.launch.members import members
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROLES = ("jvm", "driver", "planner", "daemon", "worker1", "worker2")
STAND_IN = Path(__file__).with_name("stand_in.py")
# app.launch with less patience: what it does is under test, not how long it waits.
LAUNCH = "import sys; import app.launch.__main__ as m; m.LINGER_SECONDS = 1.0; sys.exit(m.launch(sys.argv[1:]))"
END_SECONDS = 15.0


@dataclass
class Started:
    """One run of the stand-in."""

    folder: Path
    temporary: Path
    process: subprocess.Popen[str]
    pids: dict[str, int] = field(default_factory=dict)

    @classmethod
    def start(cls, folder: Path, temporary: Path) -> Started:
        folder.mkdir()
        temporary.mkdir(exist_ok=True)
        java = folder / "java"
        java.symlink_to(Path(sys.executable).resolve())
        environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])}
        words = ["--", str(java), str(STAND_IN), "jvm", str(folder), sys.executable, "--"]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *words],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            # Tests that run under nohup ignore it, and what is ignored stays so.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        return cls(folder, temporary, process)

    def up(self) -> Started:
        deadline = time.monotonic() + 60
        while not all((self.folder / role).exists() for role in ROLES):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.pids = {"script": self.process.pid} | {role: int((self.folder / role).read_text()) for role in ROLES}
        return self

    def left(self) -> list[str]:
        return [role for role, pid in self.pids.items() if is_there(pid)]

    def ended(self) -> bool:
        """Wait until nothing of the run is left."""
        deadline = time.monotonic() + END_SECONDS
        while self.left() and time.monotonic() < deadline:
            self.process.poll()
            time.sleep(0.02)
        return self.left() == []

    def folders(self) -> list[Path]:
        return list(self.temporary.iterdir())


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    run = Started.start(tmp_path / "run", tmp_path / "temporary").up()
    yield run
    for pid in run.pids.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.process.communicate()


def kill(run: Started, *roles: str, number: signal.Signals = signal.SIGKILL) -> None:
    for role in roles:
        with suppress(ProcessLookupError):
            os.kill(run.pids[role], number)


@pytest.mark.parametrize("roles", list(permutations(("script", "jvm", "driver"), 2)), ids=" then ".join)
def test_after_any_two_deaths_nothing_is_left(started: Started, roles: tuple[str, str]) -> None:
    kill(started, *roles)
    assert started.ended(), started.left()


@pytest.mark.parametrize("role", ["script", "jvm", "driver"])
def test_after_the_death_of_one_nothing_is_left_though_all_others_were_stopped(started: Started, role: str) -> None:
    others = [one for one in started.pids if one not in (role, "script")]
    kill(started, *others, number=signal.SIGSTOP)
    kill(started, role)
    if role == "script":
        # The planner and the workers' daemon are woken, see that the JVM is gone, and end.
        assert started.ended(), started.left()
        return
    assert started.ended(), started.left()
    assert started.folders() == []


def test_a_killed_script_takes_the_jvm_and_the_driver_along_at_once_and_the_next_start_sweeps_its_folder(
    started: Started, tmp_path: Path
) -> None:
    kill(started, "script")
    assert started.ended(), started.left()
    assert len(started.folders()) == 1
    living = Started.start(tmp_path / "next", started.temporary).up()
    assert len(started.folders()) == 1, "the dead run's folder is gone, the living one's is there"
    third = Started.start(tmp_path / "third", started.temporary).up()
    assert len(started.folders()) == 2, "a living run's folder is never swept"
    for run in (living, third):
        (run.folder / "finish").touch()
        assert run.process.wait(30) == 5
        run.process.communicate()
    assert started.folders() == []


def test_a_jvm_that_hangs_after_its_driver_has_ended_is_killed_and_the_drivers_code_counts(started: Started) -> None:
    (started.folder / "hang").touch()
    (started.folder / "finish").touch()
    assert started.process.wait(END_SECONDS) == 5
    assert started.ended(), started.left()
    assert started.folders() == []


@pytest.mark.parametrize(("code", "said"), [(1, "salestream: SPARK Spark ended with code 1 before the job did; "), (143, ""), (0, "")])
def test_a_spark_that_ends_before_the_driver_has_a_word_is_one_line(tmp_path: Path, code: int, said: str) -> None:
    """The first of Spark's two JVMs was killed, for one: its script then ends like any other. Who stops a run knows that it ends."""
    words = ["--", sys.executable, "-c", f"raise SystemExit({code})", "--"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])}
    done = subprocess.run([sys.executable, "-c", LAUNCH, *words], env=environment, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == bool(said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("role", ["jvm", "driver"])
def test_a_killed_jvm_or_driver_is_one_line_and_code_1(started: Started, role: str) -> None:
    kill(started, role)
    _, err = started.process.communicate(timeout=END_SECONDS)
    assert started.process.returncode == 1
    assert err.startswith("salestream: SPARK Spark's JVM or the Python driver was killed (code 137)")
    assert started.ended(), started.left()
    assert started.folders() == []


@pytest.mark.parametrize("role", ["planner", "daemon", "worker1"])
def test_a_dead_helper_ends_nobody_but_its_own_workers(started: Started, role: str) -> None:
    kill(started, role)
    deadline = time.monotonic() + 5
    gone = {"planner": ["planner"], "daemon": ["daemon", "worker1", "worker2"], "worker1": ["worker1"]}[role]
    while set(started.left()) & set(gone) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert started.left() == [one for one in started.pids if one not in gone]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_script_reaches_the_driver_alone(started: Started, number: signal.Signals) -> None:
    kill(started, "script", number=number)
    _, err = started.process.communicate(timeout=END_SECONDS)
    # The stand-in's driver does not catch SIGTERM, and its JVM hands the code on.
    assert started.process.returncode == 128 + signal.SIGTERM, err
    assert started.ended()


def test_a_number_given_to_another_process_is_never_signalled(started: Started) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    pid_file = next(started.temporary.iterdir()) / "driver.pid"
    pid_file.write_text(str(stranger.pid))
    kill(started, "script", number=signal.SIGTERM)
    started.process.communicate(timeout=END_SECONDS)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


# The scratch folder


def test_a_folder_is_swept_only_when_nobody_holds_its_lock(tmp_path: Path) -> None:
    alive, dead = scratch.make(tmp_path), scratch.make(tmp_path)
    (dead.folder / "blocks").mkdir()
    os.close(dead.lock)
    assert scratch.sweep(tmp_path) == [dead.folder]
    assert list(tmp_path.iterdir()) == [alive.folder]
    scratch.remove(alive)
    assert list(tmp_path.iterdir()) == []


def test_a_cleaner_of_old_temporary_files_that_asks_for_the_folders_lock_leaves_it_to_its_run(tmp_path: Path) -> None:
    """As systemd-tmpfiles does, which otherwise empties the scratch folder of a stream that has run for ten days."""

    def is_free() -> bool:
        ask = f"import fcntl, os; fcntl.flock(os.open({str(made.folder)!r}, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        return subprocess.run([sys.executable, "-c", ask], stderr=subprocess.DEVNULL, check=False).returncode == 0

    made = scratch.make(tmp_path)
    assert not is_free()
    os.close(made.held)
    assert is_free()
    os.close(made.lock)
    assert scratch.sweep(tmp_path) == [made.folder]


def test_a_folder_in_the_making_and_one_of_an_older_version_that_runs_are_left(tmp_path: Path) -> None:
    making, running, over = (tmp_path / f"{scratch.PREFIX}{name}" for name in ("making", "running", "over"))
    for folder in (making, running, over):
        folder.mkdir()
    process = subprocess.Popen(["sleep", "60"], env={scratch.MARK: str(running / "driver.pid")})
    long_ago = time.time() - 3600
    for folder in (running, over):
        os.utime(folder, (long_ago, long_ago))
    assert scratch.sweep(tmp_path) == [over]
    process.kill()
    process.wait()
    assert scratch.sweep(tmp_path) == [running]
    assert list(tmp_path.iterdir()) == [making]


def test_a_sweep_follows_no_link_and_touches_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "data"
    target.mkdir()
    (target / "keep").touch()
    (tmp_path / f"{scratch.PREFIX}link").symlink_to(target)
    (tmp_path / "salestream-runs").mkdir()
    (tmp_path / f"{scratch.PREFIX}file").touch()
    assert scratch.sweep(tmp_path) == []
    assert (target / "keep").exists()
    assert len(list(tmp_path.iterdir())) == 4


def test_two_sweeps_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    dead = scratch.make(tmp_path)
    os.close(dead.lock)
    other = os.open(dead.folder / scratch.ALIVE, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert scratch.sweep(tmp_path) == []
    os.close(other)
    assert scratch.sweep(tmp_path) == [dead.folder]


def test_what_is_left_of_a_dead_run_is_killed_with_its_folder_also_when_it_is_stopped(tmp_path: Path) -> None:
    dead = scratch.make(tmp_path)
    left = subprocess.Popen(["sleep", "60"], env={scratch.MARK: str(dead.pid_file)})
    left.send_signal(signal.SIGSTOP)
    os.close(dead.lock)
    assert members(dead.mark) == [left.pid]
    # This process is its parent and must reap it before it is gone.
    signal.signal(signal.SIGCHLD, lambda *_: left.poll())
    try:
        assert scratch.sweep(tmp_path) == [dead.folder]
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    assert left.wait(5) == -signal.SIGKILL
