"""The archive gives way to the loading while more files wait than a batch takes, but not for ever."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.stream import housekeeping
from app.stream.housekeeping import YIELD_SECONDS, Housekeeper


class Site:
    """A ledger with or without a backlog, and an archive that moves whatever it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.backlog = False
        self.time = 1000.0
        self.asked: list[int] = []
        stream = SimpleNamespace(max_files_per_trigger=50)
        job = SimpleNamespace(ledger=self, clients=lambda: None, config=SimpleNamespace(stream=stream))
        monkeypatch.setattr(housekeeping, "archive_due", lambda *_args: int(_args[-1]()))
        ownership: Any = SimpleNamespace(check=lambda: None)
        self.keeper = Housekeeper(job, ownership, lambda: True, lambda: self.time, _last_look=float("inf"))  # type: ignore[arg-type]

    def has_backlog(self, max_files: int) -> bool:
        self.asked.append(max_files)
        return self.backlog

    def moves(self) -> bool:
        return bool(self.keeper.tick())


def test_the_archive_works_while_no_backlog_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch)
    assert site.moves()
    assert site.asked == [50]


def test_it_gives_way_during_the_first_minutes_of_a_backlog_and_then_goes_on_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch)
    site.backlog = True
    assert not site.moves()
    site.time += YIELD_SECONDS - 1
    assert not site.moves()
    site.time += 1
    assert site.moves()
    site.time += 1
    assert site.moves()


def test_each_backlog_has_its_own_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch)
    site.backlog = True
    assert not site.moves()
    site.time += YIELD_SECONDS
    site.backlog = False
    assert site.moves()
    site.backlog = True
    assert not site.moves()


def test_a_stop_ends_the_archive_whatever_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch)
    site.keeper.wanted = lambda: False
    assert not site.moves()


def test_a_look_asks_whether_a_file_of_the_configuration_was_edited(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch)
    looks: list[str] = []
    site.keeper.edited = SimpleNamespace(look=lambda: looks.append("edited"))  # type: ignore[assignment]
    # The rest of a look needs a ledger.
    site.prove = lambda: looks.append("ledger")  # type: ignore[attr-defined]
    for name in ("clear_stage", "clear_consumed", "clear_replaced", "clear_mended"):
        monkeypatch.setattr(housekeeping, name, lambda *_: 0)
    monkeypatch.setattr(site.keeper, "request_release", lambda: 0)
    assert site.keeper.look() == 0
    assert looks == ["edited", "ledger"]
