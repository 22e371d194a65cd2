"""Equal causes of failures are known as equal, whatever file, line or number they name; other causes stay others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ledger.failure_causes import LONGEST_CAUSE, cause_of

NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30).filter(lambda name: name.strip() and "/" not in name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("BATCH task 3 of stage 7 failed on 10.0.0.3:4040", "BATCH task 11 of stage 8 failed on 10.0.0.4:4040"),
        ("no s3://lake/sales_data/a.csv", "no s3://lake/sales_data/2024/b.csv"),
        ("file 12 has 3 rows in the facts, the ledger says 4", "file 7 has 0 rows in the facts, the ledger says 9"),
        ("object 0x7f3a9c at 2024-05-01T10:00:00Z", "object 0x7f3b00 at 2024-05-02T11:30:00Z"),
        ("Traceback   in\n  one place", "Traceback in one place"),
    ],
)
def test_numbers_places_and_ids_make_no_difference(one: str, other: str) -> None:
    assert cause_of(one, ()) == cause_of(other, ())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("BATCH [USER_RAISED_EXCEPTION] apple", "BATCH [USER_RAISED_EXCEPTION] pear"),
        ("ModuleNotFoundError: No module named 'zstd'", "ModuleNotFoundError: No module named 'lz'"),
        ("OutOfMemoryError: Java heap space", "OutOfMemoryError: GC overhead limit exceeded"),
    ],
)
def test_other_words_are_another_cause(one: str, other: str) -> None:
    assert cause_of(one, ()) != cause_of(other, ())


@given(NAMES, NAMES, st.integers(), st.integers())
def test_the_name_of_the_file_makes_no_difference(one: str, other: str, first: int, second: int) -> None:
    def failure(name: str, number: int) -> str:
        return cause_of(f"CODE could not take ({name}) of batch {number} in", (f"sales_data/{name}", name))

    # A name that is part of the words around it replaces these as well.
    around = "CODE could not take () of batch in <file> # "
    if not any(name.strip() in around or name in around for name in (one, other)):
        assert failure(one, first) == failure(other, second)


@given(st.text(max_size=5000), st.lists(NAMES, max_size=3))
def test_any_text_has_a_bounded_cause(text: str, names: list[str]) -> None:
    assert len(cause_of(text, names)) <= LONGEST_CAUSE
