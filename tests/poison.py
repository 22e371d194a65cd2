"""Poison: values that no attempt at their batch survives, as if a library failed on them in a worker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from app.batch import read_files
from app.contract.contract import Contract
from app.contract.rules import CompiledRules


@dataclass(frozen=True)
class Poison:
    """A value from `least` to `most` in a column raises an error that says `message`, in which `{value}` is the value."""

    message: str
    column: str
    least: Any
    most: Any


@dataclass(frozen=True)
class _PoisonedRules:
    """Stands for the rules of a contract. It travels to the workers, as these do."""

    rules: CompiledRules
    poisons: tuple[Poison, ...]

    def broken(self, rows: pa.RecordBatch, batch_date: date, product_known: pa.BooleanArray) -> dict[str, pa.BooleanArray]:
        for poison in self.poisons:
            for value in rows.column(poison.column).drop_null().to_pylist():
                if poison.least <= value <= poison.most:
                    raise RuntimeError(poison.message.format(value=value))
        return self.rules.broken(rows, batch_date, product_known)


def poison(monkeypatch: pytest.MonkeyPatch, *poisons: Poison) -> None:
    """Poison what batches read from now on."""

    def of(contract: Contract) -> _PoisonedRules:
        return _PoisonedRules(CompiledRules.of(contract), poisons)

    monkeypatch.setattr(read_files, "CompiledRules", SimpleNamespace(of=of))
