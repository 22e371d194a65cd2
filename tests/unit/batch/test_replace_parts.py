"""What one COMPACT merges: bounded by parts, rows and bytes, always something less, and the rest is named."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.batch.replace_parts import plan_merge
from app.ledger.operations import MOST_MERGED_BYTES, MOST_MERGED_PARTS, MOST_MERGED_ROWS
from app.ledger.types import LivePart
from app.sinks.part_writer import FILE_BYTES

SMALL = 1000


def parts(count: int, store: int = 121, rows: int = 1) -> list[LivePart]:
    return [LivePart(f"{number}-1-1", "2024-01", store, rows, Decimal(1)) for number in range(1, count + 1)]


def test_a_partition_of_more_parts_than_one_operation_takes_is_left_for_another() -> None:
    found = parts(MOST_MERGED_PARTS + 1)
    merge = plan_merge(found, dict.fromkeys(found, SMALL))
    assert merge.parts == tuple(found[:MOST_MERGED_PARTS])
    assert merge.left == (("2024-01", 121),)


def test_bytes_bound_it_as_well() -> None:
    found = parts(40)
    merge = plan_merge(found, dict.fromkeys(found, FILE_BYTES - 1))
    assert len(merge.parts) == MOST_MERGED_BYTES // (FILE_BYTES - 1)
    assert merge.left == (("2024-01", 121),)


def test_rows_bound_it_but_two_parts_are_merged_at_least() -> None:
    found = parts(5, rows=MOST_MERGED_ROWS - 1)
    merge = plan_merge(found, dict.fromkeys(found, SMALL))
    assert (merge.parts, merge.left) == (tuple(found[:2]), (("2024-01", 121),))


def test_a_part_alone_and_a_part_of_full_size_are_left_in_peace() -> None:
    alone, large = parts(1, 121), parts(2, 122)
    merge = plan_merge(alone + large, {alone[0]: SMALL, large[0]: SMALL, large[1]: FILE_BYTES})
    assert (merge.parts, merge.left) == ((), ())


@given(st.lists(st.tuples(st.integers(121, 124), st.integers(1, 3_000_000), st.integers(1, 2 * FILE_BYTES)), max_size=60))
def test_every_operation_leaves_fewer_parts_until_nothing_is_left_to_merge(made: list[tuple[int, int, int]]) -> None:
    sizes = {LivePart(f"{at}-1-1", "2024-01", store, rows, Decimal(1)): size for at, (store, rows, size) in enumerate(made)}
    for turn in range(len(sizes) + 1):
        candidates = sorted(sizes, key=lambda part: (part.store_id, part.rows, part.batch_key))
        merge = plan_merge(candidates, sizes)
        assert len(merge.parts) <= MOST_MERGED_PARTS
        by_store = {store: [part for part in merge.parts if part.store_id == store] for store in {part.store_id for part in merge.parts}}
        assert all(len(merged) > 1 for merged in by_store.values())
        if not merge.left:
            return
        assert merge.parts, "another operation is asked for, and this one has done nothing"
        for store, merged in by_store.items():
            whole = LivePart(f"m{turn}-1-1", "2024-01", store, sum(part.rows for part in merged), Decimal(1))
            sizes[whole] = sum(sizes.pop(part) for part in merged)
    raise AssertionError("it does not end")
