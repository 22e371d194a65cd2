"""A process that lives is told from one that has ended, and nobody is judged that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from app import lifeline
from app.lifeline import Life, life_of, this_process
from tests.conftest import REPOSITORY


def named(body: str = "") -> subprocess.Popen[str]:
    code = f"from app.lifeline import this_process; print(this_process(), flush=True); {body}"
    return subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def test_a_process_lives_until_it_is_killed_also_while_nobody_has_reaped_it() -> None:
    child = named("import time; time.sleep(60)")
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    assert life_of(name) == Life.ALIVE
    child.kill()
    deadline = time.monotonic() + 10
    while life_of(name) == Life.ALIVE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert life_of(name) == Life.DEAD, "a zombie is dead"
    child.communicate()
    assert life_of(name) == Life.DEAD
    assert life_of(this_process()) == Life.ALIVE


def test_a_number_that_another_process_has_by_now_is_not_the_process() -> None:
    boot, namespace, pid, started = this_process().split()
    assert life_of(f"{boot} {namespace} {pid} {int(started) - 1}") == Life.DEAD


@pytest.mark.parametrize(
    "name",
    ["", "x", "other-boot pid:[4026531836] 1 1", " ".join([*this_process().split()[:2], "no-number", "1"])],
    ids=["empty", "one word", "another machine", "no number"],
)
def test_what_cannot_be_judged_is_unknown(name: str) -> None:
    assert life_of(name) == Life.UNKNOWN


def test_a_process_of_another_user_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert life_of(this_process()) == Life.ALIVE
    monkeypatch.setattr(lifeline, "_started", lambda _pid: (_ for _ in ()).throw(PermissionError))
    assert life_of(this_process()) == Life.UNKNOWN


def test_only_what_spark_submit_has_started_ends_with_a_jvm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(lifeline, "signal_with_parent", asked.append)
    monkeypatch.setattr(lifeline, "is_child_of_jvm", lambda: True)
    monkeypatch.delenv(lifeline.GATEWAY, raising=False)
    lifeline.end_with_jvm()
    assert asked == []
    monkeypatch.setenv(lifeline.GATEWAY, "1")
    lifeline.end_with_jvm()
    assert len(asked) == 1
