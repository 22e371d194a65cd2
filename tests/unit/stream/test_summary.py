"""The end of `run --once`: one line of figures, and an error where something was given up or may not be rejected."""

from __future__ import annotations

import logging

import pytest

from app.errors import DataRejected, OperationFailed
from app.stream.summary import Summary, tell

ROWS = {"read": 10, "loaded": 8, "rejected": 2, "pending": 0}
CLEAN = {"read": 10, "loaded": 10, "rejected": 0, "pending": 0}


def test_the_line_has_files_by_state_and_rows_by_outcome(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app")
    tell(Summary({"COMMITTED": 2, "REJECTED": 1}, ROWS, []), fail_on_rejected=False)
    assert caplog.messages == [
        "summary files=3 committed=2 rejected=1 rows_read=10 rows_loaded=8 rows_rejected=2 rows_pending=0 failed_operations=0"
    ]


def test_an_operation_that_was_given_up_is_named_and_ends_the_run_with_1(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(OperationFailed, match=r"1 operations were given up: 7 \(RELEASE\)") as caught:
        tell(Summary({}, CLEAN, [(7, "RELEASE", "no such column")]), fail_on_rejected=False)
    assert caught.value.exit_code == 1
    assert "operation=7 RELEASE was given up: no such column" in caplog.messages


@pytest.mark.parametrize(
    ("files", "rows"),
    [({"COMMITTED": 1}, ROWS), ({"REJECTED": 1}, CLEAN), ({"FAILED": 1}, CLEAN), ({"GONE": 1}, CLEAN)],
    ids=["rows", "rejected", "failed", "gone"],
)
def test_what_was_not_loaded_is_an_error_where_that_is_asked_for(files: dict[str, int], rows: dict[str, int]) -> None:
    with pytest.raises(DataRejected) as caught:
        tell(Summary(files, rows, []), fail_on_rejected=True)
    assert caught.value.exit_code == 1
    tell(Summary(files, rows, []), fail_on_rejected=False)


def test_duplicates_and_pending_rows_are_no_error() -> None:
    tell(Summary({"COMMITTED": 1, "DUPLICATE": 2}, CLEAN | {"loaded": 4, "pending": 6}, []), fail_on_rejected=True)
