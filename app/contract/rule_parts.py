"""What a compiled rule is made of. It can be pickled, and computes its values without the parser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


class Refused(ValueError):
    """A rule cannot be used; the text says why, in one clause."""


@dataclass(frozen=True)
class Expression:
    """A part of a rule with its type. `digits`: how many an integer has that stands in the text; to Spark it is a decimal of that size."""

    kind: pa.DataType
    digits: int | None = None

    def evaluate(self, columns: Mapping[str, pa.Array], count: int) -> pa.Array:
        """Compute the values for so many rows."""
        raise NotImplementedError


@dataclass(frozen=True)
class ColumnPart(Expression):
    """A column of the rows."""

    name: str = ""

    def evaluate(self, columns: Mapping[str, pa.Array], count: int) -> pa.Array:
        """Return the column."""
        return columns[self.name]


@dataclass(frozen=True)
class Constant(Expression):
    """One value for all rows; it is held as an array of one, which can be pickled. `written`: it stands so in the text."""

    value: pa.Array = None
    written: bool = False

    def evaluate(self, columns: Mapping[str, pa.Array], count: int) -> pa.Array:
        """Repeat the value."""
        return pa.repeat(self.value[0], count)


@dataclass(frozen=True)
class Call(Expression):
    """A function of other parts."""

    function: Callable[..., pa.Array] = pc.coalesce
    inputs: tuple[Expression, ...] = ()

    def evaluate(self, columns: Mapping[str, pa.Array], count: int) -> pa.Array:
        """Compute the inputs and then the function."""
        return self.function(*(part.evaluate(columns, count) for part in self.inputs))
