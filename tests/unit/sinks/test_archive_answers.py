"""The archive on servers with habits: copies with another etag, refused moves, originals that come back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.config.load import Config
from app.ledger.types import SourceFile
from app.s3.read import ObjectVersion
from app.sinks.archive import archive_due, archive_file
from tests.doubles import FakeLedger, PliantS3, refused

KEY = "sales_data/a.csv"


TARGET = "sales_data_processed/2024-05-01/42/a.csv"


VERSION = ObjectVersion("lake", KEY, "e1", 3, datetime(2024, 1, 1, tzinfo=UTC))


FILE = SourceFile(42, VERSION, "COMMITTED", datetime(2024, 5, 1))


def move(client: Any, config: Config) -> list[tuple[int, str | None, str | None]]:
    ledger = FakeLedger(FILE)
    archive_file(client, config, ledger, FILE)
    return ledger.noted


COPY = replace(VERSION, key=TARGET, etag="as-no-md5")


def test_a_copy_with_another_etag_is_known_by_its_bytes(config: Config) -> None:
    client = PliantS3(VERSION, COPY)
    client.bodies = {KEY: b"abc", TARGET: b"abc"}
    assert move(client, config) == [(42, TARGET, "as-no-md5")]
    assert client.copied == []
    client.bodies[TARGET] = b"abd"
    ((_, key, _),) = move(client, config)
    assert key == "sales_data_processed/2024-05-01/42-2/a.csv"


def test_a_copy_whose_original_is_gone_already_is_known_by_its_time(config: Config) -> None:
    made = datetime(2024, 5, 1, 0, 0, 1, tzinfo=UTC)
    assert move(PliantS3(replace(COPY, last_modified=made)), config) == [(42, TARGET, "as-no-md5")]


def test_a_move_that_is_refused_stays_due_and_the_others_go_on(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    files = [SourceFile(n, replace(VERSION, key=f"sales_data/{n}.csv"), "COMMITTED", datetime(2024, 5, 1)) for n in range(3)]
    ledger, client = FakeLedger(due=files), PliantS3(*[file.version for file in files])
    copy, denied = client.copy_object, refused(403, "AccessDenied", "GetObjectTagging")
    client.copy_object = lambda **request: client.refuse(denied) if request["Key"].endswith("/1.csv") else copy(**request)
    ledger.archive_due = lambda limit: [f for f in files if f.id not in [*ledger.refused, *(noted[0] for noted in ledger.noted)]]
    assert archive_due(client, config, ledger, lambda: True) == 2
    assert ledger.refused == [1]
    assert "file=1 key='sales_data/1.csv' stays due, its move is refused: S3 s3://lake/sales_data/1.csv" in caplog.text


MOVED = SourceFile(42, replace(VERSION, key=TARGET), "COMMITTED", datetime(2024, 5, 1), origin=KEY, dropped=VERSION)


@pytest.mark.parametrize("is_archived", [True, False], ids=["archived", "the archived object is gone"])
def test_an_original_that_came_back_is_deleted_again_and_never_the_only_copy(config: Config, is_archived: bool) -> None:
    client, ledger = PliantS3(VERSION, *([MOVED.version] if is_archived else [])), FakeLedger()
    assert archive_file(client, config, ledger, MOVED)
    assert [request["Key"] for request in client.copied] == ([] if is_archived else [TARGET])
    assert [request["Key"] for request in client.deleted] == [KEY]
    assert [noted[:2] for noted in ledger.noted] == [(42, TARGET)]
