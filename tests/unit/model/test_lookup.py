"""A dimension in memory gives every key its own row, whatever its keys look like."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.model.lookup import ALWAYS, SPREAD, Lookup, doubled_keys

NUMBERS = st.one_of(st.integers(-50, 50), st.integers(-(1 << 62), 1 << 62))
WORDS = st.text(max_size=3)


def lookup(keys: list[int] | list[str], kind: pa.DataType) -> Lookup:
    return Lookup.of(pa.table({"id": pa.array(keys, kind), "name": [f"name of {key}" for key in keys]}), "id")


def names(held: Lookup, keys: list[int | None] | list[str | None], kind: pa.DataType) -> list[str | None]:
    found: list[str | None] = held.rows.column("name").take(held.find(pa.array(keys, kind))).to_pylist()
    return found


@settings(deadline=None)
@given(st.lists(NUMBERS, unique=True), st.lists(st.one_of(st.none(), NUMBERS)))
def test_numbers_are_found_and_no_others(keys: list[int], wanted: list[int | None]) -> None:
    looked = [*wanted, *keys]
    assert names(lookup(keys, pa.int64()), looked, pa.int64()) == [f"name of {key}" if key in keys else None for key in looked]


@settings(deadline=None)
@given(st.lists(WORDS, unique=True), st.lists(st.one_of(st.none(), WORDS)))
def test_texts_are_found_letter_by_letter(keys: list[str], wanted: list[str | None]) -> None:
    looked = [*wanted, *keys]
    assert names(lookup(keys, pa.string()), looked, pa.string()) == [f"name of {key}" if key in keys else None for key in looked]


@pytest.mark.parametrize("keys", [[1, 2, ALWAYS - 1], [5, 6, 5 + ALWAYS], [0, 1 << 40], [-(1 << 63), (1 << 63) - 1]])
def test_gaps_hold_nothing(keys: list[int]) -> None:
    between = [keys[0] + 7, keys[-1] - 1, 3]
    assert names(lookup(keys, pa.int64()), [*keys, *between], pa.int64())[len(keys) :] == [None, None, None]


@pytest.mark.parametrize("step", [SPREAD - 1, SPREAD + 1])
def test_many_numbers_with_gaps_are_found_with_and_without_a_table_of_places(step: int) -> None:
    keys = list(range(0, 20_000 * step, step))
    assert names(lookup(keys, pa.int64()), [0, step, step + 1, keys[-1], keys[-1] + 1], pa.int32()) == [
        "name of 0",
        f"name of {step}",
        None,
        f"name of {keys[-1]}",
        None,
    ]


def test_an_empty_dimension_knows_nothing() -> None:
    assert names(lookup([], pa.int64()), [1, None], pa.int32()) == [None, None]
    assert names(lookup([], pa.string()), ["a", None], pa.string()) == [None, None]


def test_the_rows_travel_and_the_index_does_not() -> None:
    held = lookup(list(range(1000)), pa.int64())
    size = len(pickle.dumps(held))
    assert names(held, [7], pa.int64()) == ["name of 7"]
    assert len(pickle.dumps(held)) == size
    assert names(pickle.loads(pickle.dumps(held)), [7, -1], pa.int64()) == ["name of 7", None]


def test_doubled_keys_are_named_in_order() -> None:
    rows = pa.table({"id": [9, 3, 9, 1, 3, 9, 5]})
    assert doubled_keys(rows, "id", limit=5) == [3, 9]
    assert doubled_keys(rows, "id", limit=1) == [3]
    assert doubled_keys(rows.slice(2, 3), "id", limit=5) == []
