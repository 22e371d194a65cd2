"""Lanes do a suite side by side: each module in one of them, whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.lanes import LONG, Lane, begun_first


def test_each_module_is_taken_once_and_stays_with_its_lane(tmp_path: Path) -> None:
    lanes = [Lane(tmp_path) for _ in range(3)]
    taken = [[lane.takes(f"test_{n % 10}.py") for lane in lanes] for n in range(40)]
    assert [sum(by_lane) for by_lane in taken] == [1] * 40
    assert taken[:10] == taken[10:20] == taken[20:30] == taken[30:]


def test_a_lane_that_comes_later_takes_what_is_left(tmp_path: Path) -> None:
    first = Lane(tmp_path)
    assert first.takes("a")
    second = Lane(tmp_path)
    assert [second.takes(name) for name in ("a", "b", "a", "b")] == [False, True, False, True]
    assert not first.takes("b")


def test_modules_that_take_minutes_are_begun_first_and_are_there() -> None:
    names = sorted({path.stem for path in (REPOSITORY / "tests").rglob("test_*.py")})
    assert begun_first(names)[: len(LONG)] == list(LONG)
    assert sorted(begun_first(names)) == names


def test_two_lanes_run_every_test_once(tmp_path: Path) -> None:
    taken, suite = tmp_path / "taken", tmp_path / "suite"
    taken.mkdir()
    suite.mkdir()
    for n in range(6):
        (suite / f"{n % 3}").mkdir(exist_ok=True)
        text = "import time\n\ndef test_one():\n    time.sleep(0.05)\n\ndef test_two():\n    pass\n"
        (suite / f"{n % 3}" / f"test_{n}.py").write_text(text)
    options = ["-p", "tests.lanes", "--lanes", str(taken), "-p", "no:cacheprovider", "-v", "--rootdir", str(suite)]
    command = [sys.executable, "-m", "pytest", *options, str(suite)]
    lanes = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [lane.communicate(timeout=60)[0] for lane in lanes]
    assert [lane.returncode for lane in lanes] == [0, 0], said
    ran = [sorted(re.findall(r"(test_\d\.py::test_\w+) PASSED", text)) for text in said]
    assert sorted(ran[0] + ran[1]) == [f"test_{n}.py::test_{name}" for n in range(6) for name in ("one", "two")]
    assert not set(ran[0]) & set(ran[1])


def test_a_folder_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "tests.lanes", "--lanes", str(tmp_path / "no"), "--collect-only", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "must be a folder" in done.stderr
