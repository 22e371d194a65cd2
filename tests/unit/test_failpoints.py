"""Fail points do nothing until they are asked for, and then exactly what they are told, once."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import failpoints
from app.errors import UsageError
from app.failpoints import FAILPOINTS, InjectedFailure, failpoint, parse
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SALESTREAM_FAILPOINT", raising=False)
    monkeypatch.delenv("SALESTREAM_FAILPOINT_FILE", raising=False)
    monkeypatch.delenv("SALESTREAM_FAILPOINT_ARMED", raising=False)
    failpoints.reset()
    yield
    failpoints.reset()


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("in_commit", ("in_commit", 1, "kill")),
        ("in_commit:3", ("in_commit", 3, "kill")),
        ("in_commit:2:raise", ("in_commit", 2, "raise")),
        ("in_commit::pause", ("in_commit", 1, "pause")),
        ("in_commit:", ("in_commit", 1, "kill")),
    ],
)
def test_a_wish_has_a_name_a_hit_and_an_action(text: str, parsed: tuple[str, int, str]) -> None:
    assert parse(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "nowhere", "in_commit:0", "in_commit:-1", "in_commit:x", "in_commit:²", "in_commit:1:explode", "in_commit:1:kill:2"]
)
def test_any_other_wish_is_refused_with_the_names(text: str) -> None:
    with pytest.raises(UsageError, match="in_commit, after_commit") as caught:
        parse(text)
    assert caught.value.exit_code == 2


def test_every_point_in_the_code_can_be_asked_for() -> None:
    used = {name for path in (REPOSITORY / "app").rglob("*.py") for name in re.findall(r'\bfailpoint\("(\w+)"\)', path.read_text())}
    assert {"after_begin", "in_commit"} <= used
    assert used <= set(FAILPOINTS)


def test_nothing_happens_unless_it_is_asked_for() -> None:
    for name in FAILPOINTS:
        failpoint(name)


def test_it_raises_at_the_wanted_hit_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "after_scan:2:raise")
    failpoint("after_scan")
    failpoint("in_commit")
    failpoint("in_commit")
    with pytest.raises(InjectedFailure, match="fail point after_scan hit 2 raised"):
        failpoint("after_scan")
    failpoint("after_scan")


def test_a_point_that_is_not_armed_does_nothing_and_counts_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    armed = tmp_path / "armed"
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "after_scan:2:raise")
    monkeypatch.setenv("SALESTREAM_FAILPOINT_ARMED", str(armed))
    for _ in range(5):
        failpoint("after_scan")
    armed.touch()
    failpoint("after_scan")
    armed.unlink()
    failpoint("after_scan")
    armed.touch()
    with pytest.raises(InjectedFailure):
        failpoint("after_scan")


def test_reset_counts_from_here_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "after_scan:1:raise")
    for _ in range(2):
        with pytest.raises(InjectedFailure):
            failpoint("after_scan")
        failpoints.reset()


def test_a_kill_ends_the_process_on_the_spot() -> None:
    code = "from app.failpoints import failpoint\ntry:\n    failpoint('in_commit')\nfinally:\n    print('went on')"
    environment = {"SALESTREAM_FAILPOINT": "in_commit", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout) == (-9, b"")


def test_a_pause_says_where_it_is_and_lasts_until_the_file_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marker = tmp_path / "paused"
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "after_facts:1:pause")
    monkeypatch.setenv("SALESTREAM_FAILPOINT_FILE", str(marker))
    paused = threading.Thread(target=failpoint, args=("after_facts",), daemon=True)
    paused.start()
    give_up = time.monotonic() + 10
    while not (marker.exists() and marker.read_text()) and time.monotonic() < give_up:
        time.sleep(0.01)
    assert marker.read_text() == "after_facts"
    assert paused.is_alive()
    marker.unlink()
    paused.join(10)
    assert not paused.is_alive()
