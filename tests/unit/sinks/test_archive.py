"""Moving a finished object: exactly the booked version, never over another object, safe to repeat after a crash."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.config.load import Config
from app.ledger.types import SourceFile
from app.s3.read import ObjectVersion
from app.sinks import archive
from app.sinks.archive import archive_due, archive_file, find_archived, finish_move
from tests.doubles import FakeLedger, FakeS3

KEY = "sales_data/a.csv"
TARGET = "sales_data_processed/2024-05-01/42/a.csv"
VERSION = ObjectVersion("lake", KEY, "e1", 3, datetime(2024, 1, 1, tzinfo=UTC))
FILE = SourceFile(42, VERSION, "COMMITTED", datetime(2024, 5, 1))


def move(client: Any, config: Config) -> list[tuple[int, str | None, str | None]]:
    ledger = FakeLedger(due=[FILE])
    archive_file(client, config, ledger, FILE)
    return ledger.noted


def test_an_object_is_copied_then_deleted_and_noted(config: Config) -> None:
    client = FakeS3.with_versions(VERSION)
    ((file_id, key, _),) = move(client, config)
    assert (file_id, key) == (42, TARGET)
    assert [request["CopySourceIfMatch"] for request in client.requests("copy_object")] == ["e1"]
    assert [request["Key"] for request in client.requests("delete_object")] == [KEY]


def test_a_move_that_was_cut_off_after_the_copy_is_finished_without_another_copy(config: Config) -> None:
    client = FakeS3.with_versions(VERSION, replace(VERSION, key=TARGET))
    assert move(client, config) == [(42, TARGET, "e1")]
    assert client.requests("copy_object") == []
    assert [request["Key"] for request in client.requests("delete_object")] == [KEY]


@pytest.mark.parametrize(
    "stranger", [replace(VERSION, key=TARGET, etag="e2"), replace(VERSION, key=TARGET, size=4)], ids=["content", "size"]
)
def test_another_object_in_the_archive_is_never_overwritten(config: Config, stranger: ObjectVersion) -> None:
    client = FakeS3.with_versions(VERSION)
    client.store("lake", TARGET, b"y" * stranger.size, etag=stranger.etag)
    ((_, key, _),) = move(client, config)
    assert key == "sales_data_processed/2024-05-01/42-2/a.csv"
    found = client.objects["lake", TARGET]
    assert (found.etag, len(found.body)) == (stranger.etag, stranger.size)


@pytest.mark.parametrize("prefix", ["sales_data_processed", "sales_data_error"], ids=["loaded", "rejected"])
@pytest.mark.parametrize("days", [0, 1, 6])
def test_an_object_that_the_ledger_thinks_is_in_its_place_is_found_in_the_archive(config: Config, prefix: str, days: int) -> None:
    claimed = replace(FILE, state="CLAIMED", finished_at=None)
    day = (datetime.now(UTC) - timedelta(days=days)).date()
    key = f"{prefix}/{day}/42/a.csv"
    assert find_archived(FakeS3.with_versions(replace(VERSION, key=key)), config, claimed) == key
    # Beside another object that has taken the first place, as an id was handed out twice.
    second = f"{prefix}/{day}/42-2/a.csv"
    stranger = replace(VERSION, key=key, etag="e2")
    assert find_archived(FakeS3.with_versions(stranger, replace(VERSION, key=second)), config, claimed) == second


@pytest.mark.parametrize(
    "other",
    [{"etag": "e2"}, {"size": 4}, {"key": "sales_data_processed/{day}/43/a.csv"}, {"key": "sales_data_processed/2024-01-01/42/a.csv"}],
    ids=["another content", "another size", "of another file", "long ago"],
)
def test_another_object_is_not_taken_for_a_missing_file(config: Config, other: dict[str, Any]) -> None:
    day = str(datetime.now(UTC).date())
    claimed = replace(FILE, state="CLAIMED", finished_at=None)
    there = replace(VERSION, **({"key": f"sales_data_processed/{day}/42/a.csv"} | other))
    assert find_archived(FakeS3.with_versions(replace(there, key=there.key.format(day=day))), config, claimed) is None


def test_a_move_that_was_not_noted_is_noted_only_where_the_copy_is_there(config: Config) -> None:
    moved = replace(FILE, origin=KEY)
    ledger = FakeLedger()
    assert finish_move(FakeS3.with_versions(replace(VERSION, key=TARGET)), config, ledger, moved)  # type: ignore[arg-type]
    assert ledger.noted == [(42, TARGET, "e1")]
    for client, file in (
        (FakeS3(), moved),
        (FakeS3.with_versions(replace(VERSION, key=TARGET)), replace(moved, finished_at=None)),
        (FakeS3.with_versions(replace(VERSION, key=TARGET)), replace(moved, version=replace(VERSION, key=TARGET))),
    ):
        nothing = FakeLedger()
        assert not finish_move(client, config, nothing, file)  # type: ignore[arg-type]
        assert nothing.noted == []


def test_a_version_that_is_gone_is_noted_as_not_moved(config: Config) -> None:
    client = FakeS3.with_versions(replace(VERSION, etag="newer"))
    assert move(client, config) == [(42, None, None)]
    assert client.requests("delete_object") == []


def test_all_that_is_due_is_moved_while_it_is_wanted(config: Config) -> None:
    files = [SourceFile(n, replace(VERSION, key=f"sales_data/{n}.csv"), "COMMITTED", datetime(2024, 5, 1)) for n in range(5)]
    ledger = FakeLedger(due=files)
    assert archive_due(FakeS3.with_versions(*[file.version for file in files]), config, ledger, lambda: True) == 5
    assert sorted(file_id for file_id, _, _ in ledger.noted) == [0, 1, 2, 3, 4]
    assert archive_due(FakeS3(), config, FakeLedger(due=files), lambda: False) == 0


def test_between_two_pages_it_asks_whether_it_is_still_wanted(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "QUEUE_PAGE", 2)
    files = [SourceFile(n, replace(VERSION, key=f"sales_data/{n}.csv"), "COMMITTED", datetime(2024, 5, 1)) for n in range(5)]
    answers = [True, True, False]
    assert archive_due(FakeS3.with_versions(*[file.version for file in files]), config, FakeLedger(due=files), lambda: answers.pop(0)) == 4
    assert answers == []


def test_where_nothing_is_due_nobody_is_asked(config: Config) -> None:
    assert archive_due(FakeS3(), config, FakeLedger(), lambda: pytest.fail("asked")) == 0
