"""What becomes of whole files: too many bad rows, the same content again, and their counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batch.counts import Census
from app.batch.file_outcomes import Plan, Scanned, file_results, headers_to_keep, note_duplicates, note_spoilt, note_unusable
from app.contract.contract import Column, Contract, Settings
from app.errors import LedgerError, S3Unavailable
from app.ledger.types import Attempt, FileState, SourceFile
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


@dataclass
class ModelFile:
    name: str
    content: str
    counts: bool = False
    state: str = "CLAIMED"


class ModelLedger:
    """The ledger's files, and what the final transaction does to them, under `redelivery: replace`."""

    def __init__(self) -> None:
        self.files: dict[int, ModelFile] = {}
        self.promised: list[int] = []

    def files_in_force(self, digests: set[bytes], but: Collection[int]) -> dict[bytes, int]:
        counting = [number for number, file in self.files.items() if file.counts]
        return {self.files[n].content.encode(): n for n in reversed((*counting, *self.promised)) if n not in but}

    def earlier_versions(self, file_ids: Collection[int]) -> dict[int, list[tuple[int, bytes | None]]]:
        found: dict[int, list[tuple[int, bytes | None]]] = {}
        for old, file in self.files.items():
            new = max((n for n in file_ids if n > old and self.files[n].name == file.name), default=None)
            if file.counts and new is not None:
                found.setdefault(new, []).append((old, file.content.encode()))
        return found

    def skipped_files(self, contents: Mapping[bytes, Collection[int]]) -> dict[bytes, int]:
        found = {digest: self.heir(digest.decode(), {self.files[old].name for old in olds}) for digest, olds in contents.items()}
        return {digest: heir for digest, heir in found.items() if heir is not None}

    def heir(self, content: str, but: Collection[str] = ()) -> int | None:
        mine = (n for n, file in self.files.items() if file.content == content and file.state == "DUPLICATE" and file.name not in but)
        return next((n for n in mine if not self.is_superseded(n)), None)

    def is_superseded(self, number: int) -> bool:
        later = [file for n, file in self.files.items() if n > number and file.name == self.files[number].name]
        return any(file.state == "COMMITTED" for file in later)

    def load(self, numbers: Sequence[int], *, is_replay: bool = False) -> None:
        """Judge files as a batch does, and change everything as its transaction does."""
        names = {self.files[n].name for n in numbers}
        assert len(names) == len(numbers) or is_replay
        plan = Plan()
        loads = [
            n for n in numbers if not (is_replay and any(f.counts and f.name == self.files[n].name for m, f in self.files.items() if m > n))
        ]
        found = scanned(*((n, self.files[n].content, 1, 0) for n in loads))
        skipped = note_duplicates(self, REPLACING, found, plan, numbers if is_replay else ())  # type: ignore[arg-type]
        superseded = [old for new, olds in self.earlier_versions(loads).items() if new not in skipped for old, _ in olds]
        stake = {self.files[n].content for n in (*numbers, *superseded)}
        for n in superseded:
            self.files[n].counts = False
        for n in loads:
            self.files[n].counts, self.files[n].state = n not in skipped, "DUPLICATE" if n in skipped else "COMMITTED"
        self.promised = [n for n in self.promised if n not in numbers]
        held = self.files_in_force(set(), ())
        heirs = [self.heir(content) for content in stake if content.encode() not in held]
        self.promised += sorted(heir for heir in heirs if heir is not None)


REPLACING = Contract((Column("a", "string"),), settings=Settings(redelivery="replace"))


def counting_after(drops: Sequence[tuple[str, str]], sizes: Sequence[int]) -> list[int]:
    """Load drops in batches of these sizes, the last one over and over; return the files that count in the end."""
    ledger = ModelLedger()
    waiting = list(enumerate(drops, 1))
    turn = 0
    while waiting or ledger.promised:
        if ledger.promised:
            ledger.load(ledger.promised[:1], is_replay=True)
            continue
        batch: list[int] = []
        while waiting and len(batch) < sizes[min(turn, len(sizes) - 1)] and waiting[0][1][0] not in {ledger.files[n].name for n in batch}:
            number, (name, content) = waiting.pop(0)
            ledger.files[number] = ModelFile(name, content)
            batch.append(number)
        ledger.load(batch)
        turn += 1
    return [number for number, file in ledger.files.items() if file.counts]


@settings(max_examples=300, deadline=None)
@given(
    drops=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("WXYZ")), max_size=12),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6),
)
def test_which_files_count_does_not_depend_on_how_they_fall_into_batches(drops: list[tuple[str, str]], sizes: list[int]) -> None:
    assert counting_after(drops, sizes) == counting_after(drops, [1])


def test_a_file_whose_original_is_superseded_in_the_same_batch_is_loaded() -> None:
    assert counting_after([("a", "X"), ("a", "Y"), ("b", "X")], [1, 2]) == [2, 3]


def test_an_older_skipped_file_goes_before_a_new_one() -> None:
    assert counting_after([("a", "X"), ("c", "X"), ("a", "Y"), ("b", "X")], [1, 1, 2]) == [2, 3]


def test_a_file_that_turns_out_unusable_is_no_original_any_more() -> None:
    plan = Plan()
    note_duplicates(FakeLedger(), contract(), scanned((1, "x", 1, 0), (2, "x", 1, 0)), plan)
    assert (plan.is_open(2), plan.forget_duplicates(), plan.is_open(2), plan.forget_duplicates()) == (False, True, True, False)


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
