"""Text for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from app.errors import printable

__all__ = ["aligned", "moment", "plain", "printable"]


def moment(value: datetime | None) -> str | None:
    """Return a moment of the ledger, which is UTC, as it is written."""
    return f"{value.isoformat()}Z" if value is not None else None


def plain(value: object) -> str:
    """Return what JSON has no form for: moments as UTC, decimals as they are."""
    return f"{value.isoformat()}Z" if isinstance(value, datetime) else str(value)


def aligned(rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a line for each row, its cells below each other and numbers to the right. Nothing is wrapped, nothing moves a cursor."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [any(isinstance(value, int | Decimal) for value in column) for column in zip(*rows, strict=True)]
    lines = [[text.rjust(w) if n else text.ljust(w) for text, w, n in zip(row, widths, numbers, strict=True)] for row in cells]
    return ["  ".join(line).rstrip() for line in lines]


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return "" if value is None else printable(str(value))
