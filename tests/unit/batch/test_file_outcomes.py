"""What becomes of whole files: too many bad rows, the same content again, and their counts."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest

from app.batch.counts import Census
from app.batch.file_outcomes import Plan, Scanned, file_results, headers_to_keep, note_duplicates, note_spoilt, note_unusable
from app.contract.contract import Column, Contract, Settings
from app.errors import LedgerError, S3Unavailable
from app.ledger.records import Attempt, FileState, SourceFile
from app.s3.read import ObjectVersion
from app.source.splits import Marker
from tests.doubles import FakeLedger

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def contract(limit: float = 1.0, duplicates: Any = "skip") -> Contract:
    return Contract((Column("a", "string"),), settings=Settings(max_reject_ratio=limit, duplicates=duplicates))


def scanned(*files: tuple[int, str, int, int]) -> Scanned:
    """Files as (id, content, rows, rejected rows)."""
    by_file = {number: defaultdict(int, rejected=bad, loaded=rows - bad) for number, _, rows, bad in files if rows}
    markers = [Marker(number, 0, rows=rows, header_text=f"header {number}") for number, _, rows, _ in files]
    digests = {number: content.encode() for number, content, _, _ in files}
    return Scanned(markers, Census(by_file=by_file), digests, {number: rows for number, _, rows, _ in files})


def attempt(*sizes: int) -> Attempt:
    files = [SourceFile(n, ObjectVersion("b", f"{n}.csv", "e", size, NOW)) for n, size in enumerate(sizes, 1)]
    return Attempt(1, "1-1-1", 1, NOW, tuple(files))


@pytest.mark.parametrize(
    ("limit", "rows", "bad", "detail"),
    [
        (0.5, 10, 7, "7 of 10 rows rejected, at most 0.50 allowed"),
        (0.5, 10, 5, None),
        (0.29, 100, 29, None),
        (0.0, 1000, 1, "1 of 1000 rows rejected, at most 0.00 allowed"),
        (0.0, 10, 0, None),
        (0.005, 100, 1, "1 of 100 rows rejected, at most 0.005 allowed"),
        (1.0, 10, 10, None),
        (0.0, 0, 0, None),
    ],
)
def test_a_file_is_rejected_above_the_limit_and_not_at_it(limit: float, rows: int, bad: int, detail: str | None) -> None:
    plan = Plan()
    found = note_spoilt(contract(limit), scanned((1, "x", rows, bad)), plan)
    assert found == ({1} if detail else set())
    if detail:
        result = plan.results[1]
        assert (result.state, result.reason_code, result.reason_detail) == ("REJECTED", "REJECT_RATIO", detail)
        assert (result.rows_read, result.rows_rejected, result.rows_loaded, result.rows_pending) == (rows, rows, 0, 0)


def test_what_counts_already_is_a_duplicate_however_bad_it_is() -> None:
    plan = Plan()
    files = scanned((5, "known", 10, 9))
    assert note_duplicates(FakeLedger(in_force={"known": 2}), contract(0.5), files, plan) == {5}
    assert note_spoilt(contract(0.5), files, plan) == set()
    assert (plan.results[5].state, plan.results[5].reason_detail) == (FileState.DUPLICATE, "same content as file 2")


def test_a_file_rejected_for_its_rows_is_nobodys_original() -> None:
    plan = Plan()
    files = scanned((1, "bad", 10, 9), (2, "bad", 10, 9), (3, "good", 1, 0), (4, "good", 1, 0))
    assert note_duplicates(FakeLedger(), contract(0.5), files, plan) == {4}
    assert note_spoilt(contract(0.5), files, plan) == {1, 2}


def test_files_without_rows_are_no_duplicates() -> None:
    assert note_duplicates(FakeLedger(), contract(), scanned((1, "header", 0, 0), (2, "header", 0, 0)), Plan()) == set()


def test_duplicates_may_be_wanted_or_rejected() -> None:
    files = scanned((1, "x", 1, 0), (2, "x", 1, 0))
    assert note_duplicates(FakeLedger(), contract(duplicates="process"), files, Plan()) == set()
    plan = Plan()
    note_duplicates(FakeLedger(), contract(duplicates="reject"), files, plan)
    assert plan.results[2].state == "REJECTED"


def test_an_unusable_file_is_noted_once_and_a_lost_one_is_lost() -> None:
    plan = Plan()
    markers = [Marker(1, 0, "NOT_CSV", "zip"), Marker(2, 0, "GONE", "gone"), Marker(3, 0)]
    assert note_unusable(markers, plan) == {1, 2}
    assert note_unusable(markers, plan) == set()
    assert (plan.results[1].reason_code, plan.lost) == ("NOT_CSV", {2: "GONE"})


def test_a_file_that_reported_nothing_stops_the_batch() -> None:
    with pytest.raises(LedgerError, match="file 2 '2.csv' was claimed but not scanned"):
        file_results(attempt(5, 5), scanned((1, "x", 1, 0)), Plan())


def test_a_file_of_which_bytes_are_missing_does_not_count() -> None:
    with pytest.raises(S3Unavailable, match="file 1: 4 of 5 bytes were read"):
        Scanned.of(attempt(5), [Marker(1, 0, hashed=4, blocks=b"h" * 32)], Census())


def test_headers_of_files_with_quarantined_rows_are_kept() -> None:
    assert headers_to_keep(scanned((1, "x", 5, 0), (2, "y", 5, 1), (3, "z", 0, 0))) == {2: "header 2"}
