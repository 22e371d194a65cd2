"""Two instances of the real job: one of two starts at once is turned away, and one that comes back from the dead changes nothing."""

from __future__ import annotations

import signal
import time

import pytest

from tests.chaos import processes
from tests.chaos.checks import differences, is_settled, verified
from tests.chaos.site import Site
from tests.product import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]
TAKEOVER = {"SALESTREAM__STREAM__TAKEOVER_SECONDS": "2"}


def test_of_two_jobs_started_at_once_exactly_one_runs(site: Site) -> None:
    site.drop(site.book.make("good"))
    one, two = site.start("--once"), site.start("--once")
    codes = sorted(run.process.wait(PATIENCE) for run in (one, two))
    assert codes == [0, 3], (one.text(), two.text())
    turned_away = next(run.text() for run in (one, two) if run.process.returncode == 3)
    assert "salestream: OWNED the source is held by" in turned_away
    assert differences(site.product, site.book) == []


@pytest.mark.parametrize("point", ["during_facts", "after_facts", "in_commit"])
def test_a_job_that_was_frozen_and_taken_over_ends_with_3_and_changes_nothing(site: Site, point: str) -> None:
    site.drop(site.book.make("rejects"))
    pause = {"SALESTREAM_FAILPOINT": f"{point}:1:pause", "SALESTREAM_FAILPOINT_FILE": str(site.paused)}
    frozen = site.start(**TAKEOVER, **pause)
    site.wait("the batch", site.paused.exists)
    asleep = processes.members(site.product.home)
    processes.signal_all(asleep, signal.SIGSTOP)
    site.paused.unlink()
    time.sleep(3)  # more than takeover_seconds without a heartbeat

    taker = site.start("--once", **TAKEOVER)
    assert taker.process.wait(PATIENCE) == 0, taker.text()
    assert is_settled(site.product, site.book)
    assert differences(site.product, site.book) == []
    before = site.product.query("SELECT * FROM stream_owner")

    processes.signal_all(asleep, signal.SIGCONT)
    assert frozen.process.wait(60) == 3, frozen.text()
    assert "salestream: OWNED " in frozen.text()
    assert processes.gone(site.product.home, 20) == []
    assert differences(site.product, site.book) == []
    assert verified(site.product) == []
    assert site.product.query("SELECT * FROM stream_owner") == before
