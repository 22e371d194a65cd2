"""A share of the test files, so that several pytest processes do one suite side by side: `pytest -p tests.shares --share 1/2 tests/unit`.

The shares of a suite hold each of its files once. They take about equally long: files are dealt out from the longest to the shortest.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

# What a file takes is estimated from its text, so that all processes agree: a process that it starts, and a property test, take as long as
# so many characters of other tests (measured; a wrong guess costs some seconds of waiting, never a test).
PROCESS, PROPERTY = 5_000, 20_000


def weight(path: Path) -> int:
    """Estimate how long the tests of a file take."""
    text = path.read_text(encoding="utf-8")
    return len(text) + PROCESS * (text.count("subprocess.") + text.count("sys.executable")) + PROPERTY * text.count("@given")


def share_of(weights: Iterable[tuple[str, int]], number: int, count: int) -> set[str]:
    """Return the names in share `number` (from 1) of `count`: each file goes to the share that is the lightest so far."""
    shares: list[set[str]] = [set() for _ in range(count)]
    totals = [0] * count
    for name, heavy in sorted(weights, key=lambda file: (-file[1], file[0])):
        lightest = totals.index(min(totals))
        shares[lightest].add(name)
        totals[lightest] += heavy
    return shares[number - 1]


def parsed(share: str) -> tuple[int, int]:
    """Return number and count of a share that is written as 1/2."""
    number, _, count = share.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise pytest.UsageError(f"--share {share}: must be a number of a count, such as 1/2")
    return int(number), int(count)


class Share:
    """Ignores the files of the other shares before they are imported."""

    def __init__(self, folders: Iterable[Path], number: int, count: int) -> None:
        files = {path for folder in folders for path in folder.rglob("test_*.py")}
        self.known = {str(path) for path in files}
        self.own = share_of(((str(path), weight(path)) for path in files), number, count)

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if str(collection_path) in self.known - self.own else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", default="1/1", help="this share of the test files only, such as 1/2")


def pytest_configure(config: pytest.Config) -> None:
    folders = [(config.invocation_params.dir / name).resolve() for name in config.args]
    config.pluginmanager.register(Share(folders, *parsed(config.getoption("--share"))))
