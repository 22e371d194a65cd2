"""Every fail point once, in the real job: a sudden death there, of the whole job or a part of it, loses and doubles nothing.

One home for all: each start recovers from the kill before it, is compared with the oracle, and is then killed itself.
`make chaos-matrix` runs every fail point with every victim and every kind of batch.
"""

from __future__ import annotations

import pytest

from tests.chaos.kills import Kill, kill_and_recover, one_kill_each, recover
from tests.chaos.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]


@pytest.mark.parametrize("kill", one_kill_each(), ids=str)
def test_a_kill_loses_and_doubles_nothing(site: Site, kill: Kill) -> None:
    kill_and_recover(site, kill)


def test_after_all_kills_the_next_start_has_everything(site: Site) -> None:
    recover(site)
