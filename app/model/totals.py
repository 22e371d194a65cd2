"""Control figures: how many rows, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Totals:
    """Control figures of what is about to be committed."""

    rows: int
    amount: Decimal

    def __add__(self, other: Totals) -> Totals:
        """Add rows and amount."""
        return Totals(self.rows + other.rows, self.amount + other.amount)


NOTHING = Totals(0, Decimal(0))
