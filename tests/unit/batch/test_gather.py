"""What a task makes of its rows: pieces of bounded size that add up to the rows, however these are cut."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batch import gather
from app.batch.classify import Classified
from app.batch.counts import Census
from app.batch.gather import Gatherer
from app.batch.held_pieces import InDriver
from app.batch.mart_deltas import mart_deltas, missing_keys
from app.ledger.types import FactPart
from app.model.findings import Finding, Place
from app.model.marts import CUSTOMERS, MARTS, SALES_TEAM
from app.model.pieces import (
    DELTA,
    FACTS,
    FAULT,
    FILE,
    LINES,
    MARKER,
    MISSING,
    REJECTS,
    SCHEMA,
    WAITERS,
    WARNING,
    Piece,
    batch_of,
    pieces_of,
    unpacked,
)
from app.source.splits import Marker
from tests.frames import classified, gathered, known, rows_in

Row = Mapping[str, Any]
LOADED = {"outcome": "loaded", "month": "2024-02", "total_cost": Decimal("1.5000")}
FEB = LOADED | {"_line": 15, "note": "feb"}
ODD = LOADED | {"_file_id": 2, "customer_id": 8, "total_cost": Decimal("-2.2500"), "_line": 3, "_warnings": ["odd", "late"], "note": "odd"}
MAR = {**LOADED, "month": "2024-03", "store_id": 122, "sales_person_id": 4, "total_cost": Decimal("0.0001"), "_split": 1, "_line": 2}
PENDING = LOADED | {"outcome": "pending", "store_id": 999, "_split": 1, "_line": 9, "_warnings": ["odd"], "_known": 12}
NO_INT, NO_DATE = ("INVALID_INT", "price", "x"), ("INVALID_DATE", "sales_date", "y")
BAD_INT = {"outcome": "rejected", "_file_id": 2, "_line": 4, "_faults": [NO_INT, NO_DATE]}
BAD_DATE = {"outcome": "rejected", "_file_id": 2, "_line": 2, "_faults": [NO_DATE]}
MARKED = {"outcome": "marker", "marker": '{"file_id": 1}'}


def said(pieces: Iterable[Piece]) -> Counter[tuple[Any, ...]]:
    """Return what pieces say beside their blobs, without the fields that say nothing at the end."""
    found = []
    for piece in pieces:
        values = [piece.kind, piece.name, piece.keys, piece.rows, piece.amount, piece.line, piece.column, piece.value]
        while values[-1] is None:
            values.pop()
        found.append(tuple(values))
    return Counter(found)


def sums(pieces: Iterable[Piece], kind: int) -> list[tuple[Any, ...]]:
    """Return the keys, amount and rows of all sums of a kind."""
    return sorted(tuple(row.values()) for row in rows_in(pieces, kind))


def test_rows_are_counted_by_file_and_outcome_partition_and_reason() -> None:
    found = said(gathered(classified(FEB, ODD, MAR, PENDING, BAD_INT, BAD_INT, BAD_DATE, MARKED), marts=()))
    assert Counter({row: times for row, times in found.items() if row[0] != MISSING}) == Counter(
        [
            (FILE, "loaded", (1,), 2),
            (FILE, "loaded", (2,), 1),
            (FILE, "pending", (1,), 1),
            (FILE, "rejected", (2,), 3),
            (FACTS, "2024-02", (121,), 2, Decimal("-0.7500")),
            (FACTS, "2024-03", (122,), 1, Decimal("0.0001")),
            (REJECTS, "INVALID_INT", None, 2),
            (REJECTS, "INVALID_DATE", None, 1),
            (WAITERS, None, None, 1),
            (FAULT, "INVALID_INT", (2, 0), 2, None, 4, "price", "x"),
            (FAULT, "INVALID_DATE", (2, 0), 3, None, 2, "sales_date", "y"),
            (WARNING, "odd", (1, 1), 1, None, 9),
            (WARNING, "odd", (2, 0), 1, None, 3),
            (WARNING, "late", (2, 0), 1, None, 3),
            (MARKER, '{"file_id": 1}', None, 0),
        ]
    )


def test_blobs_hold_the_rows_with_all_their_columns() -> None:
    rows = [FEB, ODD, MAR, PENDING, BAD_INT, BAD_DATE]
    found = gathered(classified(*rows))
    facts = {(piece.name, piece.keys): unpacked(piece.blob or b"").to_pylist() for piece in found if piece.kind == FACTS}
    assert {place: [row["note"] for row in part] for place, part in facts.items()} == {
        ("2024-02", (121,)): ["feb", "odd"],
        ("2024-03", (122,)): [None],
    }
    assert facts["2024-02", (121,)][1] == {
        "customer_id": 8,
        "store_id": 121,
        "sales_person_id": 1,
        "total_cost": Decimal("-2.2500"),
        "note": "odd",
        "_warnings": ["odd", "late"],
        "_file_id": 2,
        "_split": 0,
        "_line": 3,
    }
    [waiter] = rows_in(found, WAITERS)
    assert (waiter["store_id"], waiter["_line"], waiter["_month"], "_known" in waiter) == (999, 9, 12 * 2024 + 1, False)
    rejected = {piece.name: unpacked(piece.blob or b"").to_pylist() for piece in found if piece.kind == REJECTS}
    assert rejected["INVALID_INT"] == [
        {
            "_file_id": 2,
            "_split": 0,
            "_line": 4,
            "_raw": "the text",
            "_faults": [dict(zip(("code", "column", "value"), fault, strict=True)) for fault in (NO_INT, NO_DATE)],
            "_reason": "INVALID_INT",
        }
    ]
    assert [row["_line"] for row in rejected["INVALID_DATE"]] == [2]


def test_lines_of_all_rows_are_told_when_asked_for() -> None:
    rows = classified(FEB, ODD, PENDING, BAD_INT, MARKED)
    assert rows_in(gathered(rows), LINES) == []
    found = sorted((row["_file_id"], row["_line"]) for row in rows_in(gathered(rows, with_lines=True), LINES))
    assert found == [(1, 9), (1, 15), (2, 3), (2, 4)]


def test_loaded_rows_are_summed_by_the_grain_of_each_mart_that_is_asked_for() -> None:
    rows = classified(FEB, ODD, MAR, FEB, PENDING, BAD_INT, MARKED)
    february, march = 12 * 2024 + 1, 12 * 2024 + 2
    found = gathered(rows, marts=MARTS)
    assert sums(found, DELTA) == [
        (7, february, Decimal("3.0000"), 2),
        (7, march, Decimal("0.0001"), 1),
        (8, february, Decimal("-2.2500"), 1),
    ]
    team = [(121, 1, february, Decimal("0.7500"), 3), (122, 4, march, Decimal("0.0001"), 1)]
    assert sums(found, DELTA + 1) == team
    # A piece says what its blob adds up to.
    assert sum(piece.rows for piece in found if piece.kind == DELTA) == 4
    assert sum(piece.amount or 0 for piece in found if piece.kind == DELTA) == Decimal("0.7501")
    alone = gathered(rows, marts=(SALES_TEAM,))
    assert (sums(alone, DELTA), sums(alone, DELTA + 1)) == (team, [])
    assert [sums(gathered(rows, marts=()), DELTA + at) for at in range(2)] == [[], []]


def test_rows_that_are_taken_out_count_below_nothing() -> None:
    gatherer = Gatherer((CUSTOMERS,))
    gatherer.add_deltas(classified(FEB, ODD).loaded, 1)
    gatherer.add_deltas(classified(FEB, FEB, MAR).loaded, -1)
    assert sums(gatherer.rest(), DELTA) == [
        (7, 12 * 2024 + 1, Decimal("-1.5000"), -1),
        (7, 12 * 2024 + 2, Decimal("-0.0001"), -1),
        (8, 12 * 2024 + 1, Decimal("-2.2500"), 1),
    ]


def test_what_pending_rows_wait_for_is_counted_by_file_and_key() -> None:
    other_file, only_store = PENDING | {"_file_id": 2}, PENDING | {"_known": 1 + 4}
    found = gathered(classified(FEB, PENDING, PENDING, other_file, only_store, BAD_INT, MARKED))
    assert sorted(missing_keys(InDriver(found))) == [
        (1, "customer", 7, 2),
        (1, "store", 999, 3),
        (2, "customer", 7, 1),
        (2, "store", 999, 1),
    ]


@pytest.mark.parametrize("cut", range(1, 7))
def test_batches_add_up_wherever_they_are_cut(cut: int) -> None:
    rows = (FEB, BAD_INT, ODD, PENDING, MARKED, FEB, BAD_INT)
    parts, whole = gathered(classified(*rows[:cut]), classified(*rows[cut:])), gathered(classified(*rows))
    assert said(parts) == said(whole)
    for kind in (DELTA, DELTA + 1, MISSING):
        assert sums(parts, kind) == sums(whole, kind)


def test_amounts_are_exact_up_to_the_widest_there_are() -> None:
    found = gathered(classified(*[FEB | {"total_cost": Decimal("99999999999999.9999")}] * 3))
    assert (FACTS, "2024-02", (121,), 3, Decimal("299999999999999.9997")) in said(found)
    assert sums(found, DELTA) == [(7, 12 * 2024 + 1, Decimal("299999999999999.9997"), 3)]
    assert [piece.amount for piece in pieces_of(batch_of(found)) if piece.kind == DELTA] == [Decimal("299999999999999.9997")]


@pytest.mark.parametrize("batches", [(), (classified(),)], ids=["none", "empty"])
def test_a_task_without_rows_yields_nothing(batches: tuple[Classified, ...]) -> None:
    assert gathered(*batches) == []


def test_pieces_travel_as_rows_of_their_schema() -> None:
    found = gathered(classified(FEB, ODD, MAR, PENDING, BAD_INT, MARKED), with_lines=True)
    batch = batch_of(found)
    assert batch.schema == SCHEMA
    assert list(pieces_of(batch)) == found


def test_no_two_partitions_are_taken_for_one() -> None:
    places = {(month, store) for month in ("2023-12", "2024-01", "2024-02") for store in (-(2**31), -4, -1, 0, 1, 4, 2**31 - 1)}
    found = gathered(classified(*(FEB | {"month": month, "store_id": store} for month, store in sorted(places))))
    assert sorted((piece.name, piece.keys) for piece in found if piece.kind == FACTS) == sorted(
        (month, (store,)) for month, store in places
    )


def test_a_key_is_in_the_same_bucket_whatever_else_a_task_has() -> None:
    def places(first: int) -> set[tuple[tuple[int, ...] | None, int]]:
        """Return bucket and customer of forty rows."""
        found = gathered(classified(*(FEB | {"customer_id": first + at, "_line": at} for at in range(40))), marts=(CUSTOMERS,))
        return {(piece.keys, row["customer_id"]) for piece in found if piece.kind == DELTA for row in rows_in([piece], DELTA)}

    one, other = places(0), places(20)
    assert len(one | other) == 60
    # They are spread.
    assert {len({bucket for bucket, _ in some}) > 8 for some in (one, other)} == {True}


# What a task holds is bounded


def many(count: int, text: str = "x" * 100, **changes: Any) -> list[Classified]:
    """Make batches of ten rows: of each ten, eight are loaded, one waits and one is rejected. Every row has a customer of its own."""
    made = []
    for first in range(0, count, 10):
        lines = range(first, first + 10)
        rows: list[Row] = [
            LOADED | {"_line": at, "customer_id": at, "note": text, "store_id": 122 if at % 8 == 0 else 121} | changes for at in lines[:8]
        ]
        rows.append(PENDING | {"_line": lines[8], "customer_id": lines[8], "note": text})
        rows.append(BAD_INT | {"_file_id": 1, "_line": lines[9], "_raw": text})
        made.append(classified(*rows))
    return made


def lines_of(pieces: Iterable[Piece]) -> list[int]:
    return sorted(row["_line"] for row in (row for kind in (FACTS, WAITERS, REJECTS) for row in rows_in(pieces, kind)))


def test_a_blob_is_cut_at_its_size_and_only_what_is_large_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gathered(*many(400))
    monkeypatch.setattr(gather, "BLOB_BYTES", 4000)
    gatherer = Gatherer(MARTS)
    early = [piece for batch in many(400) for piece in gatherer.add(batch)]
    late = list(gatherer.rest())
    blobs = {kind: [unpacked(p.blob or b"") for p in (*early, *late) if p.kind == kind] for kind in (FACTS, WAITERS, REJECTS)}
    assert all(rows.nbytes <= 4000 for found in blobs.values() for rows in found)
    # Of each ten rows of more than a hundred bytes eight are facts.
    assert len(blobs[FACTS]) >= 320 * 100 / 4000
    assert len(blobs[WAITERS]) >= 40 * 100 / 4000
    assert len(blobs[REJECTS]) >= 40 * 100 / 4000
    # Nothing is sent in crumbs: what goes on early had become large, and is at least half a blob.
    assert all(unpacked(piece.blob or b"").nbytes > 1900 for piece in early)
    assert early
    assert {piece.kind for piece in early} == {FACTS, WAITERS, REJECTS}
    assert lines_of([*early, *late]) == list(range(400))
    for kind in (DELTA, DELTA + 1, MISSING):
        assert sums([*early, *late], kind) == sums(whole, kind)
    assert {place: one.rows for place, one in Census.take([*early, *late]).faults.items()} == {
        Place(1, 0, "INVALID_INT"): 40,
        Place(1, 0, "INVALID_DATE"): 40,
    }


def test_a_row_longer_than_a_blob_is_a_blob_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "BLOB_BYTES", 4000)
    texts = ["y" * 5000 if at == 5 else "x" for at in range(8)]
    found = gathered(classified(*(FEB | {"_line": at, "note": text} for at, text in enumerate(texts))))
    blobs = [[row["_line"] for row in unpacked(piece.blob or b"").to_pylist()] for piece in found if piece.kind == FACTS]
    assert [5] in blobs
    assert [line for blob in blobs for line in blob] == list(range(8))


def test_what_is_large_only_together_goes_on_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many partitions of a few rows each: none of them ever becomes a blob."""
    monkeypatch.setattr(gather, "TASK_BYTES", 20_000)
    gatherer = Gatherer(())
    early: list[Piece] = []
    for batch in many(400):
        early += gatherer.add(batch)
        held = sum(pile.bytes for pile in (*gatherer._facts.values(), *gatherer._rejects.values(), gatherer._waiters))
        assert held < 20_000
    late = list(gatherer.rest())
    assert {piece.kind for piece in early} == {FACTS, WAITERS, REJECTS}
    assert len(early) >= 8
    assert sum(unpacked(piece.blob or b"").nbytes for piece in late if piece.kind in (FACTS, WAITERS, REJECTS)) < 20_000
    assert lines_of([*early, *late]) == list(range(400))


@pytest.mark.parametrize(("sum_rows", "most_keys"), [(16, 40), (16, 15), (1, 1), (1000, 5), (7, 10_000)])
def test_sums_of_too_many_keys_go_on_and_add_up(monkeypatch: pytest.MonkeyPatch, sum_rows: int, most_keys: int) -> None:
    whole = gathered(*many(200))
    monkeypatch.setattr(gather, "SUM_ROWS", sum_rows)
    monkeypatch.setattr(gather, "MOST_KEYS", most_keys)
    gatherer = Gatherer(MARTS)
    early = [piece for batch in many(200) for piece in gatherer.add(batch)]
    late = list(gatherer.rest())
    kinds = {piece.kind for piece in early}
    # 160 customers of loaded rows, 20 of waiting ones, two stores and a seller.
    wanted = {(16, 40): {DELTA}, (16, 15): {DELTA, MISSING}, (1, 1): {DELTA, DELTA + 1, MISSING}, (1000, 5): set(), (7, 10_000): set()}
    assert kinds == wanted[sum_rows, most_keys]
    if DELTA in kinds:
        assert len(sums(late, DELTA)) < most_keys + sum_rows + 8
    assert sums([*early, *late], DELTA) == sums(whole, DELTA)
    driver = InDriver([*early, *late])
    for mart in MARTS:
        again, once = (list(mart_deltas(pieces, mart, known().value)) for pieces in (driver, InDriver(whole)))
        assert sorted(again, key=str) == sorted(once, key=str)
    assert sorted(missing_keys(driver)) == sorted(missing_keys(InDriver(whole)))


# However rows are cut


@st.composite
def some_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    small = st.integers(0, 3)
    rows = []
    for line in range(draw(st.integers(0, 30))):
        outcome = draw(st.sampled_from(["loaded", "loaded", "pending", "rejected", "marker"]))
        row: dict[str, Any] = {"outcome": outcome, "_line": line, "_file_id": draw(small), "_split": draw(st.integers(0, 1))}
        if outcome in ("loaded", "pending"):
            row |= {
                "month": draw(st.sampled_from(["0001-01", "2024-01", "9999-12"])),
                "store_id": draw(st.sampled_from([0, 1, 2**31 - 1, -(2**31)])),
                "customer_id": draw(st.sampled_from([-7, 0, 1, 2, 3, 2**31 - 1])),
                "sales_person_id": draw(small),
                "total_cost": draw(st.decimals(-(10**14) + 1, 10**14 - 1, places=4)),
                "note": draw(st.text(max_size=40)),
                "_warnings": draw(st.sampled_from([None, None, ["odd"], ["odd", "late"]])),
            }
        if outcome == "pending":
            row["_known"] = draw(st.integers(0, 15).filter(lambda known: known & 7 != 7))
        if outcome == "rejected":
            row["_faults"] = draw(st.lists(st.sampled_from([NO_INT, NO_DATE, ("TOTAL", None, None)]), min_size=1, max_size=3, unique=True))
        if outcome == "marker":
            row["marker"] = Marker(row["_file_id"], line).to_json()
        rows.append(row)
    return rows


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=some_rows(),
    order=st.randoms(use_true_random=False),
    tasks=st.integers(1, 3),
    batch_rows=st.integers(1, 31),
    buckets=st.sampled_from([1, 2, 16]),
    bounds=st.tuples(
        st.sampled_from([1, 500, 1 << 20]), st.sampled_from([1, 800, 1 << 20]), st.sampled_from([1, 5, 100]), st.integers(1, 9)
    ),
)
def test_pieces_add_up_to_the_same_rows_sums_and_counts_however_rows_are_cut(
    rows: list[dict[str, Any]], order: Any, tasks: int, batch_rows: int, buckets: int, bounds: tuple[int, int, int, int]
) -> None:
    shuffled = list(rows)
    order.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("BLOB_BYTES", "TASK_BYTES", "SUM_ROWS", "MOST_KEYS"), bounds, strict=True):
            patch.setattr(gather, name, value)
        patch.setattr(gather, "BUCKETS", buckets)
        pieces: list[Piece] = []
        for task in range(tasks):
            own = shuffled[task::tasks]
            pieces += gathered(*(classified(*own[at : at + batch_rows]) for at in range(0, len(own), batch_rows)), with_lines=True)
    held = InDriver(pieces_of(batch_of(pieces)))
    loaded, waiting, rejected = ([row for row in rows if row["outcome"] == one] for one in ("loaded", "pending", "rejected"))

    # Rows are where they belong, each once.
    by_place = defaultdict(list)
    for piece in held.of({FACTS}):
        by_place[piece.name, piece.keys] += unpacked(piece.blob or b"").to_pylist()
    assert {place: sorted((row["_line"], row["note"]) for row in found) for place, found in by_place.items()} == {
        (month, (store,)): sorted((row["_line"], row["note"]) for row in loaded if (row["month"], row["store_id"]) == (month, store))
        for month, store in {(row["month"], row["store_id"]) for row in loaded}
    }
    assert sorted((row["_line"], row["note"]) for row in rows_in(pieces, WAITERS)) == [(row["_line"], row["note"]) for row in waiting]
    reasons = [(piece.name, row["_line"]) for piece in held.of({REJECTS}) for row in unpacked(piece.blob or b"").to_pylist()]
    assert sorted(reasons, key=lambda one: one[1]) == [(row["_faults"][0][0], row["_line"]) for row in rejected]
    assert sorted((row["_line"], row["_file_id"]) for row in rows_in(pieces, LINES)) == sorted(
        (row["_line"], row["_file_id"]) for row in (*loaded, *waiting, *rejected)
    )

    # Counts.
    census = Census.take(held.counts)
    assert {(file, outcome): count for file, counts in census.by_file.items() for outcome, count in counts.items()} == Counter(
        (row["_file_id"], row["outcome"]) for row in (*loaded, *waiting, *rejected)
    )
    amounts = summed_up((row["month"], row["store_id"], row["total_cost"]) for row in loaded)
    assert census.facts == [FactPart(*place, *amounts[place]) for place in sorted(amounts)]
    assert census.by_reason == Counter(row["_faults"][0][0] for row in rejected)
    assert census.faults == first_found((row, fault) for row in rejected for fault in row["_faults"])
    accepted = (row for row in (*loaded, *waiting))
    assert census.warnings == first_found((row, (name, None, None)) for row in accepted for name in row["_warnings"] or ())
    assert Counter(census.markers) == Counter(Marker.from_json(row["marker"]) for row in rows if row["outcome"] == "marker")

    # Sums: of each key exactly one row, in one bucket.
    for at, keys in enumerate((("customer_id",), ("store_id", "sales_person_id"))):
        mart = MARTS[at]
        wanted = summed_up((*(row[key] for key in keys), row["month"], row["total_cost"]) for row in loaded)
        found = list(mart_deltas(held, mart, known(*range(3, 30)).value))
        ends = [(*row[: len(mart.grain)], *row[-2:]) for row in found]
        assert sorted(ends) == sorted((*key, amount, count) for key, (count, amount) in wanted.items())
        deltas = [(piece.keys, row) for piece in held.of({DELTA + at}) for row in unpacked(piece.blob or b"").to_pylist()]
        assert len({(bucket, *list(row.values())[:-2]) for bucket, row in deltas}) == len(wanted)
        assert {bucket for bucket, _ in deltas} <= {(bucket,) for bucket in range(buckets)}
    wanted_keys = Counter(
        (row["_file_id"], table, row[column])
        for row in waiting
        for table, column, bit in (("customer", "customer_id", 1), ("store", "store_id", 2), ("sales_team", "sales_person_id", 4))
        if not row["_known"] & bit
    )
    assert sorted(missing_keys(held)) == sorted((*key, count) for key, count in wanted_keys.items())
    # Pieces of one kind and keys come one after the other.
    order_of = [key for key, _ in groupby(held.of(range(DELTA + 2)), lambda piece: piece.place)]
    assert len(order_of) == len(set(order_of))


def summed_up(rows: Iterable[Sequence[Any]]) -> dict[tuple[Any, ...], tuple[int, Decimal]]:
    """Return how many rows and which amount each key has; the amount stands last in a row."""
    found: dict[tuple[Any, ...], tuple[int, Decimal]] = {}
    for *key, amount in rows:
        count, total = found.get(tuple(key), (0, Decimal(0)))
        found[tuple(key)] = count + 1, total + amount
    return found


def first_found(said: Iterable[tuple[Row, tuple[str, str | None, str | None]]]) -> dict[Place, Finding]:
    """Return how many rows say what in which split, and what the first of them says."""
    found: dict[Place, Finding] = {}
    for row, (code, column, value) in said:
        place = Place(row["_file_id"], row["_split"], code)
        one = Finding(1, row["_line"], column, value)
        before = found.get(place)
        if before is not None:
            first = before if before.line < one.line else one
            one = Finding(before.rows + 1, first.line, first.column, first.value)
        found[place] = one
    return found


def test_a_few_rows_of_one_place_do_not_keep_the_batches_of_another_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are large go on; one row of each batch is of another store, and would keep the whole batch."""
    monkeypatch.setattr(gather, "TASK_BYTES", 4 << 20)
    monkeypatch.setattr(gather, "BLOB_BYTES", 1 << 20)
    gatherer = gather.Gatherer(())
    before = pa.total_allocated_bytes()
    most = 0
    for _ in range(60):
        rows = [FEB | {"store_id": 121 + (at == 0), "note": "x" * 1000} for at in range(500)]
        for _ in gatherer.add(classified(*rows)):
            pass
        most = max(most, pa.total_allocated_bytes() - before)
    # 30 MB went through it.
    assert most < 12 << 20
