"""Pieces in this process, and what goes to it: in order, and in messages of bounded size."""

from __future__ import annotations

import pytest

from app.batch import held_pieces
from app.batch.held_pieces import InDriver, _messages
from app.model.pieces import FACTS, KEPT, MARKER, SCHEMA, WAITERS, Piece, pieces_of


def test_few_pieces_come_in_the_order_in_which_parts_are_written() -> None:
    pieces = [
        Piece(KEPT, "2024-02", (1,)),
        Piece(FACTS, "2024-02", (2,)),
        Piece(FACTS, "2024-01", (3,)),
        Piece(FACTS, "2024-02", (1,)),
        Piece(WAITERS),
        Piece(KEPT, "2024-02", (1,), 7),
    ]
    assert [(piece.name, piece.keys, piece.kind) for piece in InDriver(pieces).of({FACTS, KEPT, WAITERS})] == [
        (None, None, WAITERS),
        ("2024-01", (3,), FACTS),
        ("2024-02", (1,), FACTS),
        ("2024-02", (1,), KEPT),
        ("2024-02", (1,), KEPT),
        ("2024-02", (2,), FACTS),
    ]


def test_few_pieces_and_few_more_are_few_pieces() -> None:
    one = InDriver([Piece(FACTS, "2024-02", (1,), 1), Piece(MARKER, "b")])
    other = InDriver([Piece(KEPT, "2024-02", (1,), 2), Piece(MARKER, "a")])
    both = one.plus(other)
    assert isinstance(both, InDriver)
    assert [piece.rows for piece in both.of({FACTS, KEPT})] == [1, 2]
    assert [piece.name for piece in both.counts] == ["2024-02", "2024-02", "a", "b"]
    assert len(one.counts) == len(other.counts) == 2


@pytest.mark.parametrize(("sizes", "messages"), [([], [0]), ([5, 4], [2]), ([6, 5, 1], [2, 1]), ([10, 10], [1, 1, 0]), ([0] * 9, [9])])
def test_a_message_holds_so_many_bytes_of_blobs_and_one_blob_more(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], messages: list[int]
) -> None:
    monkeypatch.setattr(held_pieces, "MESSAGE_BYTES", 10)
    pieces = [Piece(FACTS, "2024-02", (at,), 1, blob=b"x" * size) for at, size in enumerate(sizes)]
    found = list(_messages(iter(pieces)))
    assert [batch.num_rows for batch in found] == messages
    assert {batch.schema for batch in found} == {SCHEMA}
    assert [piece for batch in found for piece in pieces_of(batch)] == pieces
