"""Files that were not loaded as a whole are named in the log, a bounded number of them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from app.batch.outcome_log import MOST_LINES, log_outcomes
from app.ledger.types import FileResult, Outcome, Reject
from app.s3.read import ObjectVersion


def attempt(*keys: str) -> Any:
    when = datetime(2024, 5, 1, tzinfo=UTC)
    files = [SimpleNamespace(id=number, version=ObjectVersion("lake", key, "e", 1, when)) for number, key in enumerate(keys, 1)]
    return SimpleNamespace(batch_key="7-1-1", files=files)


def logged(caplog: pytest.LogCaptureFixture, made: Any, outcome: Outcome) -> list[str]:
    log_outcomes(made, outcome)
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    return caplog.messages


def test_a_file_that_was_loaded_whole_has_no_line(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, attempt("a.csv"), Outcome(files=(FileResult(1, rows_read=2, rows_loaded=2),))) == []


def test_a_rejected_and_a_skipped_file_are_named_with_code_and_detail(caplog: pytest.LogCaptureFixture) -> None:
    files = (
        FileResult(1, "REJECTED", reason_code="MISSING_COLUMN", reason_detail="store_id"),
        FileResult(2, "DUPLICATE", reason_code="DUPLICATE", reason_detail="same content as file 1"),
    )
    assert logged(caplog, attempt("a.csv", "b\x1b[2J.csv"), Outcome(files=files)) == [
        "batch=7-1-1 file=1 key='a.csv' state=REJECTED reason=MISSING_COLUMN detail='store_id'",
        "batch=7-1-1 file=2 key='b\\x1b[2J.csv' state=DUPLICATE reason=DUPLICATE detail='same content as file 1'",
    ]


def test_rejected_rows_are_named_with_the_first_of_them(caplog: pytest.LogCaptureFixture) -> None:
    rejects = (Reject(1, "TOO_LONG", 1, 9, "product_name", "x"), Reject(1, "INVALID_INT", 2, 4, "store_id", "1\n2"))
    outcome = Outcome(files=(FileResult(1, rows_read=5, rows_loaded=2, rows_rejected=3),), rejects=rejects)
    assert logged(caplog, attempt("a.csv"), outcome) == [
        "batch=7-1-1 file=1 key='a.csv' state=COMMITTED rows_read=5 rows_rejected=3"
        " reason=INVALID_INT first_line=4 column=store_id value='1\\n2'"
    ]


def test_many_bad_files_are_bounded_lines_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    files = tuple(FileResult(number, "REJECTED", reason_code="EMPTY_FILE") for number in range(1, 1001))
    found = logged(caplog, attempt(*[f"{number}.csv" for number in range(1, 1001)]), Outcome(files=files))
    assert len(found) == MOST_LINES + 1
    assert found[-1] == f"batch=7-1-1 {1000 - MOST_LINES} more files were rejected, skipped or loaded in part; see ./spark-submit.sh files"
