"""The streaming source hands out batch numbers that only grow."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from app.errors import RestoredLedger
from app.source.inbox import InboxReader


def reader(batch: int | None) -> InboxReader:
    made = InboxReader("dev", "conf", "conf/dev.yml", 1, 7)
    made.__dict__["planner"] = SimpleNamespace(next_batch=lambda _after: batch)
    return made


def test_the_offset_is_the_number_of_the_planned_batch_or_stays() -> None:
    rows, offset = reader(9).read({"batch": 7})
    assert (list(rows), offset) == ([(9,)], {"batch": 9})
    rows, offset = reader(None).read({"batch": 7})
    assert (list(rows), offset) == ([], {"batch": 7})


@pytest.mark.parametrize("batch", [7, 3])
def test_a_ledger_that_gives_out_a_batch_again_has_gone_back(batch: int) -> None:
    with pytest.raises(RestoredLedger, match=f"gives out batch {batch} again, after batch 7"):
        reader(batch).read({"batch": 7})
