"""Moving a finished object: exactly the booked version, never over another object, safe to repeat after a crash."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.config.load import Config
from app.ledger.records import SourceFile
from app.s3.read import ObjectVersion
from app.sinks import archive
from app.sinks.archive import archive_due, archive_file
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
    client = FakeS3.with_versions(VERSION, stranger)
    ((_, key, _),) = move(client, config)
    assert key == "sales_data_processed/2024-05-01/42-2/a.csv"
    found = client.objects["lake", TARGET]
    assert (found.etag, len(found.body)) == (stranger.etag, stranger.size)


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
