"""Only the holder of the current epoch may write."""

from typing import Any

import pytest

from app.errors import OwnershipError
from app.ledger.ownership import check_epoch
from tests.doubles import FakeTx


def test_the_holder_of_the_epoch_passes_and_locks_the_row() -> None:
    tx = FakeTx({"epoch": 5, "holder": "host a pid 1"})
    check_epoch(tx, 5)
    [(sql, _)] = tx.asked
    assert sql.endswith("LOCK IN SHARE MODE")


@pytest.mark.parametrize(
    ("row", "now"),
    [
        ({"epoch": 6, "holder": "host b pid 9"}, "epoch 6 held by host b pid 9"),
        ({"epoch": 4, "holder": "host a pid 1"}, "epoch 4 held by host a pid 1"),
        (None, "no owner row"),
    ],
    ids=["taken over", "restored ledger", "no row"],
)
def test_anybody_else_is_stopped_and_told_who_holds_it(row: dict[str, Any] | None, now: str) -> None:
    with pytest.raises(OwnershipError, match=f"epoch 5 is over: the ledger has {now}"):
        check_epoch(FakeTx(row), 5)
