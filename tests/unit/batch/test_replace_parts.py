"""What one COMPACT merges: bounded, always something less, the rest is named; and what is kept and taken out of parts that are replaced."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.batch import gather, replace_parts
from app.batch.held_pieces import InDriver
from app.batch.mart_deltas import mart_deltas
from app.batch.replace_parts import ReadReplaced, plan_merge
from app.batch.stored_rows import stored_parts
from app.config.load import S3Config
from app.ledger.operations import MOST_MERGED_BYTES, MOST_MERGED_PARTS, MOST_MERGED_ROWS
from app.ledger.types import LivePart
from app.model.marts import CUSTOMERS, SALES_TEAM
from app.model.pieces import DELTA, HOLDER, KEPT, OUT, PART, Piece
from app.sinks.part_writer import FILE_BYTES
from tests.doubles import FakeFactory, FakeS3
from tests.frames import known, rows_in

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


# What a task reads of parts that may be replaced

STORED = pa.schema(
    [
        ("customer_id", pa.int32()),
        ("sales_person_id", pa.int32()),
        ("total_cost", pa.decimal128(18, 4)),
        ("first_name", pa.string()),
        ("more", pa.string()),
        ("_warnings", pa.list_(pa.string())),
        ("_file_id", pa.int64()),
        ("_line", pa.int64()),
    ]
)
# File, customer, seller, amount.
FIRST = [(1, 7, 1, "1.5"), (2, 7, 1, "-2.25"), (1, 8, 2, "0.0001"), (3, 7, 1, "4")]
SECOND = [(4, 7, 1, "10"), (5, 9, 1, "20")]
THIRD = [(2, 7, 1, "100"), (2, 8, 1, "0")]


def stored(*rows: tuple[int, int, int, str]) -> bytes:
    names = ("_file_id", "customer_id", "sales_person_id", "total_cost")
    made = [
        dict(zip(names, row, strict=True)) | {"total_cost": Decimal(row[3]), "_line": at, "more": f"m{at}"} for at, row in enumerate(rows)
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(made, STORED), sink)
    return sink.getvalue()


def read(out: set[int], *, is_merging: bool = False, tasks: Sequence[Sequence[int]] = ((0, 1, 2),)) -> list[Piece]:
    """Read three parts, of two objects the first, as tasks of the read job do."""
    rows = {"0/a": FIRST[:3], "0/b": FIRST[3:], "1/a": SECOND, "2/a": THIRD}
    objects = {f"{name}.parquet": stored(*some) for name, some in rows.items()}
    clients: Any = FakeFactory(FakeS3.holding(objects))
    places = [("2024-01", 121), ("2024-01", 122), ("2024-12", 121)]
    live = [LivePart(f"{at}-1-1", month, store, 1, Decimal(1)) for at, (month, store) in enumerate(places)]
    found = stored_parts(clients, S3Config(bucket="lake"), ["0/", "1/", "2/"])
    work = ReadReplaced(clients, tuple(zip(live, found, strict=True)), tasks, frozenset(out), is_merging)
    return [piece for task in range(len(tasks)) for piece in work(task)]


def totals(pieces: list[Piece], kind: int) -> dict[int, tuple[int, Decimal]]:
    return {piece.keys[0]: (piece.rows, piece.amount or Decimal(0)) for piece in pieces if piece.kind == kind and piece.keys is not None}


def kept(pieces: list[Piece]) -> list[tuple[str | None, tuple[int, ...] | None, int, Decimal | None, str | None]]:
    return [(piece.name, piece.keys, piece.rows, piece.amount, piece.value) for piece in pieces if piece.kind == KEPT]


@pytest.mark.parametrize("tasks", [((0, 1, 2),), ((2,), (0,), (1,)), ((1, 0), (), (2,))])
def test_rows_that_are_taken_out_are_counted_and_the_others_of_their_parts_are_kept(tasks: Sequence[Sequence[int]]) -> None:
    pieces = read({1, 2}, tasks=tasks)
    assert totals(pieces, PART) == {0: (4, Decimal("3.2501")), 1: (2, Decimal(30)), 2: (2, Decimal(100))}
    assert totals(pieces, OUT) == {0: (3, Decimal("-0.7499")), 1: (0, Decimal(0)), 2: (2, Decimal(100))}
    by_file: Counter[int] = Counter()
    for piece in pieces:
        if piece.kind == HOLDER and piece.keys is not None:
            by_file[piece.keys[0]] += piece.rows
    assert by_file == {1: 2, 2: 3, 3: 1, 4: 1, 5: 1}
    # The second part stays as it is, the third has no rows left.
    assert kept(pieces) == [("2024-01", (121,), 1, Decimal(4), "more")]
    [row] = rows_in(pieces, KEPT)
    assert row == dict.fromkeys(STORED.names) | {
        "customer_id": 7,
        "sales_person_id": 1,
        "total_cost": Decimal(4),
        "more": "m0",
        "_file_id": 3,
        "_line": 0,
    }


def test_what_is_taken_out_is_taken_out_of_the_marts_by_the_place_of_its_part() -> None:
    held, lookups = InDriver(read({1, 2})), known(7, 8, 9).value
    assert sorted(row[:2] + row[-2:] for row in mart_deltas(held, CUSTOMERS, lookups)) == [
        (7, "2024-01", Decimal("0.7500"), -2),
        (7, "2024-12", Decimal("-100.0000"), -1),
        (8, "2024-01", Decimal("-0.0001"), -1),
        (8, "2024-12", Decimal(0), -1),
    ]
    assert sorted(row[:3] + row[-2:] for row in mart_deltas(held, SALES_TEAM, lookups)) == [
        (121, 1, "2024-01", Decimal("0.7500"), -2),
        (121, 1, "2024-12", Decimal("-100.0000"), -2),
        (121, 2, "2024-01", Decimal("-0.0001"), -1),
    ]


def test_parts_that_are_merged_are_kept_whole_and_change_no_mart() -> None:
    pieces = read(set(), is_merging=True)
    assert {number: rows for number, (rows, _) in totals(pieces, OUT).items()} == {0: 0, 1: 0, 2: 0}
    assert sorted((name, keys, rows, amount) for name, keys, rows, amount, _ in kept(pieces)) == [
        ("2024-01", (121,), 4, Decimal("3.2501")),
        ("2024-01", (122,), 2, Decimal(30)),
        ("2024-12", (121,), 2, Decimal(100)),
    ]
    assert Counter((row["_file_id"], row["total_cost"]) for row in rows_in(pieces, KEPT)) == Counter(
        (file_id, Decimal(amount)) for file_id, _, _, amount in (*FIRST, *SECOND, *THIRD)
    )
    assert [piece for piece in pieces if piece.kind >= DELTA] == []


def test_parts_without_rows_of_the_files_are_only_counted() -> None:
    pieces = read({99})
    assert {piece.kind for piece in pieces} == {PART, OUT, HOLDER}
    assert {rows for rows, _ in totals(pieces, OUT).values()} == {0}


def test_kept_rows_are_cut_into_blobs_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace_parts, "BLOB_BYTES", 1)
    monkeypatch.setattr(gather, "BLOB_BYTES", 1)
    pieces = read({3}, is_merging=True)
    assert {rows for _, _, rows, _, _ in kept(pieces)} == {1}
    assert sorted(row["_file_id"] for row in rows_in(pieces, KEPT)) == [1, 1, 2, 2, 2, 4, 5]
    assert sum(amount or 0 for _, _, _, amount, _ in kept(pieces)) == Decimal("129.2501")
