"""Values of sensitive columns: what is shown in their place. Pure."""

from __future__ import annotations

from app.contract.contract import Contract

MASK = "***"


def sensitive_columns(contract: Contract) -> frozenset[str]:
    """Return the names of the contract's sensitive columns."""
    return frozenset(column.name for column in contract.columns if column.sensitive)


def masked(value: str | None, column: str | None, sensitive: frozenset[str]) -> str | None:
    """Return the value of a fault as it may be shown. A rule names several columns, `a,b`: one sensitive one hides all values."""
    is_hidden = value is not None and column is not None and not sensitive.isdisjoint(column.split(","))
    return MASK if is_hidden else value
