"""Pieces: few rows of one schema, which the JVM moves, holds and shuffles without ever looking into them. Pure.

A task that reads rows yields pieces of them: rows of one fact partition, rejected rows of one reason, waiting rows and deltas travel as a
blob, a batch of Arrow in the IPC format; counts, findings and markers are plain values (docs/decisions/0019-pieces.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

LOADED, WAITING, REJECTED = "loaded", "pending", "rejected"

# What a piece holds: rows of each file by outcome, findings, markers of splits; rows that become facts, and rows that were and stay some;
# rejected rows, waiting ones, lines of rows, and what waiting rows wait for. Of a part that is replaced: all of its rows, those that are
# taken out, and those of each file. Last the deltas: of the first mart of the kind DELTA, of the second DELTA + 1.
FILE, FAULT, WARNING, MARKER, FACTS, KEPT, REJECTS, WAITERS, LINES, MISSING, PART, OUT, HOLDER, DELTA = range(14)
AMOUNT = pa.decimal128(38, 4)
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.int8(), nullable=False),
        # An outcome, a month, a reason, a rule or a marker's text.
        pa.field("name", pa.string()),
        # The file; the store; the file and split of a fault or a warning; the bucket of deltas and missing keys.
        pa.field("keys", pa.list_(pa.int64())),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("amount", AMOUNT),
        # Of faults and warnings the first: its line in the split, and what a fault is about.
        pa.field("line", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("value", pa.string()),
        pa.field("blob", pa.binary()),
    ]
)
NAMES = tuple(SCHEMA.names)
# A blob is cut at about so many bytes of rows: one message between processes holds some of them.
BLOB_BYTES = 8 << 20
# Deltas of one grain key always meet in the same one of so many buckets, a power of two.
BUCKETS = 16


@dataclass(frozen=True)
class Piece:
    """One piece, as the fields of SCHEMA say."""

    kind: int
    name: str | None = None
    keys: tuple[int, ...] | None = None
    rows: int = 0
    amount: Decimal | None = None
    line: int | None = None
    column: str | None = None
    value: str | None = None
    blob: bytes | None = field(default=None, repr=False)

    @property
    def place(self) -> tuple[int, str | None, tuple[int, ...]]:
        """What pieces that belong together have in common."""
        return self.kind, self.name, self.keys or ()


def packed(rows: pa.RecordBatch) -> bytes:
    """Return rows as a blob."""
    sink = pa.BufferOutputStream()
    # Made here: options do not travel to the workers.
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(rows)
    return bytes(sink.getvalue().to_pybytes())


def unpacked(blob: bytes) -> pa.RecordBatch:
    """Return the rows of a blob."""
    with pa.ipc.open_stream(blob) as reader:
        return reader.read_next_batch()


def batch_of(pieces: Sequence[Piece]) -> pa.RecordBatch:
    """Return pieces as a batch of SCHEMA."""
    columns = [pa.array([getattr(piece, field.name) for piece in pieces], field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def pieces_of(batch: pa.RecordBatch) -> Iterator[Piece]:
    """Yield the pieces of a batch, one after the other."""
    for values in zip(*(batch.column(name) for name in NAMES), strict=True):
        yield piece_of([value.as_py() for value in values])


def piece_of(values: Sequence[Any]) -> Piece:
    """Return the piece whose fields have these values, in the order of SCHEMA."""
    kind, name, keys, *others = values
    return Piece(kind, name, tuple(keys) if keys is not None else None, *others)


def month_text(month: int) -> str:
    """Return the month of a number as yyyy-MM."""
    return f"{month // 12:04}-{month % 12 + 1:02}"
