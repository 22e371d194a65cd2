"""What a batch adds to a mart and takes out of it: the partial sums of its tasks, added up bucket by bucket."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pyarrow as pa

from app.batch.gather import mart_keys, summed
from app.batch.held_pieces import HeldPieces
from app.model.lookup import Lookups
from app.model.marts import MARTS, Mart, lookup_column
from app.model.pieces import DELTA, MISSING, month_text, unpacked


def mart_deltas(pieces: HeldPieces, mart: Mart, lookups: Lookups) -> Iterator[tuple[object, ...]]:
    """Yield what a mart changes by, in the order of `mart.columns`: one row for each grain key that is touched.

    Measures are exact; they and `row_count` may be negative or zero where rows are taken out. Attributes are the dimension's current ones.
    """
    for rows in _by_bucket(pieces, DELTA + MARTS.index(mart), mart_keys(mart)):
        yield from _mart_rows(rows, mart, lookups)


def missing_keys(pieces: HeldPieces) -> Iterator[tuple[int, str, int, int]]:
    """Yield what waiting rows wait for: file, dimension, key and how many rows; a row may wait for several."""
    for dimension, found in groupby(pieces.of({MISSING}), lambda piece: piece.name):
        for _, bucket in groupby(found, lambda piece: piece.keys):
            rows = summed(pa.Table.from_batches([unpacked(piece.blob or b"") for piece in bucket]), ("_file_id", "key_value"))
            for file_id, key, count in zip(*(rows.column(n).to_pylist() for n in ("_file_id", "key_value", "row_count")), strict=True):
                yield file_id, dimension or "", key, count


def _by_bucket(pieces: HeldPieces, kind: int, keys: tuple[str, ...]) -> Iterator[pa.Table]:
    for _, bucket in groupby(pieces.of({kind}), lambda piece: piece.keys):
        yield summed(pa.Table.from_batches([unpacked(piece.blob or b"") for piece in bucket]), keys)


def _mart_rows(rows: pa.Table, mart: Mart, lookups: Lookups) -> Iterator[tuple[object, ...]]:
    rows = rows.combine_chunks()
    found = {column: rows.column(key).chunk(0) for column, key in zip(mart.grain, mart_keys(mart), strict=True)}
    for column, source in mart.grain.items():
        if source == "sales_month":
            month = found[column].dictionary_encode()
            found[column] = pa.array([month_text(one) for one in month.dictionary.to_pylist()]).take(month.indices)
    lookup = lookups[mart.dimension]
    at = lookup.find(found[mart.dimension_key])
    found |= {name: lookup.rows.column(lookup_column(mart, name)).take(at) for name in mart.attributes}
    found |= dict.fromkeys(mart.measures, rows.column("amount").chunk(0)) | {"row_count": rows.column("row_count").chunk(0)}
    yield from zip(*(found[name].to_pylist() for name in mart.columns), strict=True)
