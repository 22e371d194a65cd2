"""One writer at a time: the lock turns a second instance away, the epoch fences one that did not notice."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from app.errors import OwnershipError
from app.ledger import Ledger
from app.owner import Ownership
from tests.world import World

pytestmark = pytest.mark.integration


def wait_until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_second_instance_is_turned_away_and_told_who_holds_the_source(world: World) -> None:
    with Ownership(world.db, "s3://a/b/", 15) as first:
        assert first.epoch == 1
        with pytest.raises(OwnershipError, match=r"the source is held by \S+ pid \d+ \(epoch 1, heartbeat"):
            Ownership(world.db, "s3://a/b/", 15)


def test_a_source_given_back_is_taken_at_once_under_a_new_epoch(world: World) -> None:
    with Ownership(world.db, "x", 15):
        pass
    with Ownership(world.db, "x", 15) as again:
        assert again.epoch == 2


def test_an_instance_whose_heartbeat_has_stopped_is_taken_over_and_its_writes_fail(world: World) -> None:
    with Ownership(world.db, "x", 3600) as silent:
        world.execute("UPDATE stream_owner SET heartbeat_at = heartbeat_at - INTERVAL 1 HOUR")
        with Ownership(world.db, "x", 15) as successor:
            assert successor.epoch == silent.epoch + 1
            with pytest.raises(OwnershipError, match="epoch 1 is over: the ledger has epoch 2"):
                Ledger(world.db, silent.epoch).write(
                    lambda tx: tx.execute("INSERT INTO micro_batch (planned_at) VALUES (UTC_TIMESTAMP(6))")
                )
        assert world.rows("SELECT id FROM micro_batch") == []


def test_the_heartbeat_notices_a_takeover(world: World) -> None:
    with Ownership(world.db, "x", 0.5) as old:
        world.execute("UPDATE stream_owner SET epoch = epoch + 1")

        def is_noticed() -> bool:
            try:
                old.check()
            except OwnershipError:
                return True
            return False

        wait_until("the takeover is noticed", is_noticed)


def test_a_lock_whose_connection_was_killed_is_taken_again(world: World) -> None:
    with Ownership(world.db, "x", 0.5) as held:
        lock = "SELECT IS_USED_LOCK(CONCAT('salestream.', LEFT(SHA2(DATABASE(), 256), 32))) AS id"
        before = world.rows(lock)[0]["id"]
        assert before is not None
        world.as_root(f"KILL {before}")
        wait_until("the lock is held again", lambda: world.rows(lock)[0]["id"] not in (None, before))
        held.check()
        with pytest.raises(OwnershipError, match="held by"):
            Ownership(world.db, "x", 15)
