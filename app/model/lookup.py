"""A dimension in memory: finds the rows of keys, a column at a time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

# A table of places for all numbers between the least and the greatest key is kept when they are at most so many, for each key and in all.
SPREAD = 8
ALWAYS = 1 << 16


@dataclass(frozen=True)
class Lookup:
    """The rows of a dimension, unique on `key`, which is int64 or string. It is pickled to the workers."""

    rows: pa.RecordBatch
    key: str

    @classmethod
    def of(cls, rows: pa.Table, key: str) -> Lookup:
        """Make the lookup of a whole table."""
        columns = [column.combine_chunks() for column in rows.columns]
        return cls(pa.RecordBatch.from_arrays(columns, schema=rows.schema), key)

    def __reduce__(self) -> tuple[type[Lookup], tuple[pa.RecordBatch, str]]:
        """Leave the index to whoever needs one."""
        return Lookup, (self.rows, self.key)

    def find(self, keys: pa.Array) -> pa.Array:
        """Return for each key the number of its row (int32), NULL where there is none."""
        index = self._index
        if isinstance(index, _Numbered):
            return index.find(keys.cast(pa.int64()))
        distinct = keys.dictionary_encode()
        places = pa.array([index.get(key) for key in distinct.dictionary.to_pylist()], pa.int32())
        return places.take(distinct.indices)

    @cached_property
    def _index(self) -> _Numbered | dict[Any, int]:
        keys = self.rows.column(self.key)
        if pa.types.is_integer(keys.type) and len(keys):
            ends = pc.min_max(keys).as_py()
            if ends["max"] - ends["min"] < max(SPREAD * len(keys), ALWAYS):
                offsets = pc.subtract(keys, ends["min"])
                places = pc.inverse_permutation(offsets, max_index=ends["max"] - ends["min"], output_type=pa.int32())
                return _Numbered(ends["min"], ends["max"], places)
        return {key: at for at, key in enumerate(keys.to_pylist())}


@dataclass(frozen=True)
class _Numbered:
    """Places by key, for keys that lie close together: tables are mostly numbered."""

    first: int
    last: int
    places: pa.Array

    def find(self, keys: pa.Array) -> pa.Array:
        inside = pc.and_(pc.greater_equal(keys, self.first), pc.less_equal(keys, self.last))
        return self.places.take(pc.subtract(pc.if_else(inside, keys, pa.scalar(None, pa.int64())), self.first))


Lookups = Mapping[str, Lookup]


class LookupSource(Protocol):
    """Holds the lookups by dimension: a broadcast variable of Spark."""

    @property
    def value(self) -> Lookups:
        """The lookups, which a worker process loads once."""


def doubled_keys(rows: pa.Table, key: str, limit: int) -> list[Any]:
    """Return the first keys, in order, that occur more than once."""
    keys = rows.column(key)
    if len(pc.unique(keys)) == len(keys):
        return []
    counts = keys.value_counts()
    twice = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1))
    first: list[Any] = pc.struct_field(twice, "values").sort()[:limit].to_pylist()
    return first
