"""Two instances of the real job: one of two starts at once is turned away, and one that comes back from the dead changes nothing."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.chaos import processes
from tests.chaos.checks import differences, is_settled, verified
from tests.chaos.site import Running, Site
from tests.product import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]
TAKEOVER = {"SALESTREAM__STREAM__TAKEOVER_SECONDS": "2"}


def start_at_once(site: Site, paused: Path, count: int) -> list[Running]:
    """Start jobs at the same time. The one that gets the source pauses in its batch until all others have ended."""
    runs = [site.start("--once", SALESTREAM_FAILPOINT="after_facts:1:pause", SALESTREAM_FAILPOINT_FILE=str(paused)) for _ in range(count)]
    deadline = time.monotonic() + PATIENCE
    while not paused.exists() or sum(run.process.poll() is not None for run in runs) < count - 1:
        assert time.monotonic() < deadline, [run.text() for run in runs]
        time.sleep(0.1)
    paused.unlink()
    return runs


def test_of_two_jobs_started_at_once_exactly_one_runs(site: Site, tmp_path: Path) -> None:
    site.drop(site.book.make("good"))
    one, two = start_at_once(site, tmp_path / "paused", 2)
    codes = sorted(run.process.wait(PATIENCE) for run in (one, two))
    assert codes == [0, 3], (one.text(), two.text())
    turned_away = next(run.text() for run in (one, two) if run.process.returncode == 3)
    assert "salestream: OWNED the source is held by" in turned_away
    assert differences(site.product, site.book) == []
    assert site.product.found_by_verify() == []


def test_of_three_jobs_started_at_once_over_a_killed_one_exactly_one_runs_and_it_keeps_the_source(site: Site, tmp_path: Path) -> None:
    running = site.start()
    site.wait("the source", lambda: " owner epoch=" in running.text())
    processes.kill(site.product.home, "driver")
    assert running.process.wait(60) == 1
    before = site.product.query("SELECT epoch FROM stream_owner")[0][0]
    site.drop(site.book.make("good"))
    runs = start_at_once(site, tmp_path / "paused", 3)
    codes = sorted(run.process.wait(PATIENCE) for run in runs)
    assert codes == [0, 3, 3], [run.text() for run in runs]
    assert all("salestream: OWNED the source is held by" in run.text() for run in runs if run.process.returncode == 3)
    assert site.product.query("SELECT epoch FROM stream_owner") == [(before + 1,)]
    assert differences(site.product, site.book) == []
    assert site.product.found_by_verify() == []


def test_jobs_that_were_frozen_and_taken_over_end_with_3_and_change_nothing(site: Site, tmp_path: Path) -> None:
    """Three in a row, each frozen at another point of the same batch and taken over by the next one; then all of them come back."""
    home = site.product.home
    site.drop(site.book.make("rejects"))
    frozen: list[tuple[Running, list[processes.Member]]] = []
    asleep: set[processes.Member] = set()
    for point in ("during_facts", "after_facts", "in_commit"):
        paused = tmp_path / point
        running = site.start(**TAKEOVER, SALESTREAM_FAILPOINT=f"{point}:1:pause", SALESTREAM_FAILPOINT_FILE=str(paused))
        site.wait(f"the batch to reach {point}", paused.exists)
        own = [one for one in processes.members(home) if one not in asleep]
        assert {"jvm", "driver"} <= {one.role for one in own}
        processes.signal_all(own, signal.SIGSTOP)
        paused.unlink()
        time.sleep(3)  # more than takeover_seconds without a heartbeat
        frozen.append((running, own))
        asleep.update(own)

    taker = site.start("--once", **TAKEOVER)
    assert taker.process.wait(PATIENCE) == 0, taker.text()
    assert is_settled(site.product, site.book)
    assert differences(site.product, site.book) == []
    before = site.product.query("SELECT * FROM stream_owner")

    for running, own in frozen:
        processes.signal_all(own, signal.SIGCONT)
        assert running.process.wait(60) == 3, running.text()
        assert "salestream: OWNED " in running.text()
        assert differences(site.product, site.book) == [], running.text()
    assert processes.gone(home, 20) == []
    assert verified(site.product) == []
    assert site.product.query("SELECT * FROM stream_owner") == before
