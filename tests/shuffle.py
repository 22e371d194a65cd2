"""Tests in random order: `pytest --shuffle random`, and `--shuffle SEED` for the same order again.

Modules stay whole, so that what a module shares (servers, say) is made once: their order is drawn, then that of the tests in each.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeVar

import pytest


class HasPath(Protocol):
    """A test, as far as its place matters."""

    @property
    def path(self) -> Path: ...


Test = TypeVar("Test", bound=HasPath)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", metavar="SEED", help="run tests in an order drawn by this number; 'random' draws the number too")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.shuffle == "random":
        config.option.shuffle = str(random.SystemRandom().randrange(1, 1_000_000))


def shuffled(items: Iterable[Test], seed: str) -> list[Test]:
    """Return the tests in the order that a seed draws; those of a module stay together."""
    draw = random.Random(seed)
    modules = [list(tests) for _, tests in groupby(sorted(items, key=lambda item: str(item.path)), key=lambda item: item.path)]
    draw.shuffle(modules)
    for tests in modules:
        draw.shuffle(tests)
    return [test for tests in modules for test in tests]


# First, so that pytest then puts those together which share a costly parameter.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.shuffle is not None:
        items[:] = shuffled(items, config.option.shuffle)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.shuffle is not None:
        terminalreporter.write_line(f"shuffled; the same order again: --shuffle {config.option.shuffle}")
