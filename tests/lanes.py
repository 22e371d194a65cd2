"""Lanes: several pytest processes do one suite side by side, each module in one of them: `pytest -p tests.lanes --lanes FOLDER tests/unit`.

Whoever is free takes the next module that nobody has taken, so that all lanes end at about the same time, however long a module takes. What
is taken is noted in the folder, an empty one that is the same for all lanes of a suite.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

# Modules that take minutes: they are begun first, or a lane would end with one while the others have nothing left to do.
LONG = ("test_kill_points", "test_storm", "test_silence", "test_failure", "test_operations_property", "test_shipped_conf", "test_upgrade")


def begun_first(names: Iterable[str]) -> list[str]:
    """Return modules with those that take minutes before all others."""
    return sorted(names, key=lambda name: LONG.index(name) if name in LONG else len(LONG))


class Lane:
    """Runs the tests of modules that no other lane has taken."""

    def __init__(self, folder: Path, names: Iterable[str] = ()) -> None:
        self._folder = folder
        self._own = set(names)
        self._others: set[str] = set()

    def takes(self, module: str) -> bool:
        """Tell whether a module is this lane's, and take it if it is nobody's yet."""
        if module in self._own or module in self._others:
            return module in self._own
        try:
            os.close(os.open(self._folder / module, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            self._others.add(module)
            return False
        self._own.add(module)
        return True

    # In the place of pytest's own loop.
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        if session.config.option.collectonly:
            return True
        left = (item for item in session.items if self.takes(_name(item)))
        item = next(left, None)
        while item is not None:
            # What comes next is taken before, as pytest keeps what both have in common.
            following = next(left, None)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
            item = following
        return True

    # Last, when the order has been drawn.
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        order = {name: at for at, name in enumerate(begun_first(dict.fromkeys(item.path.stem for item in items)))}
        items.sort(key=lambda item: order[item.path.stem])


def _name(item: pytest.Item) -> str:
    return item.path.relative_to(item.config.rootpath).as_posix().replace("/", "+")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lanes", metavar="FOLDER", help="run what other lanes with this folder have not taken")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--lanes")
    if folder is not None:
        if not Path(folder).is_dir():
            raise pytest.UsageError(f"--lanes {folder}: must be a folder")
        config.pluginmanager.register(Lane(Path(folder)))
