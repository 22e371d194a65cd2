"""The command `clean`: what it says of each kind, and which settings keep what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.clean import Removal, kept_by, old_records
from app.clean.sweep import Sweep
from app.cli import app as cli
from app.config.load import RetentionConfig

KEPT = SimpleNamespace(mysql=None, retention=RetentionConfig())


@pytest.fixture
def cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cleaning of three objects and one file, on no servers."""

    def clean(_config: Any, *, dry_run: bool) -> Iterator[tuple[str, Iterator[Removal]]]:
        yield "replaced facts", iter([Removal(f"s3://b/f/{n}/", objects=1, size=1500) for n in (1, 2, 3)])
        yield "archived files", iter([])
        yield "old files", iter([Removal("source_file id=7 sales_data/a\x1b[2J\n.csv", rows=1200)])

    monkeypatch.setattr("app.clean.clean", clean)
    monkeypatch.setattr("app.cli.clean.configuration", lambda _env: KEPT)
    monkeypatch.setattr("app.mysql.migrations.require_current", lambda _db: None)
    monkeypatch.setattr("app.mysql.bucket_info.with_bucket", lambda config: config)


@pytest.mark.usefixtures("cleaned")
def test_a_dry_run_names_what_would_go_up_to_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["clean", "--dry-run", "--limit", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "replaced facts: s3://b/f/1/",
        "replaced facts: s3://b/f/2/",
        "replaced facts: and 1 more",
        "replaced facts: 0 rows, 3 objects, 4,500 bytes",
        "archived files: 0 rows, 0 objects, 0 bytes (retention.archive_days is 0: kept)",
        "old files: source_file id=7 sales_data/a\\x1b[2J\\n.csv",
        "old files: 1,200 rows, 0 objects, 0 bytes (retention.ledger_days is 0: kept)",
        "clean: 1,200 rows, 3 objects, 4,500 bytes would be removed",
    ]


@pytest.mark.usefixtures("cleaned")
def test_a_cleaning_says_how_much_went_of_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["clean"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["replaced facts", "archived files", "old files", "clean"]
    assert said[-1] == "clean: 1,200 rows, 3 objects, 4,500 bytes removed"


@pytest.mark.usefixtures("cleaned")
def test_json_is_a_line_for_each_name_and_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["clean", "--dry-run", "--json", "--limit", "1"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[:2] == [
        {"kind": "replaced facts", "name": "s3://b/f/1/", "rows": 0, "objects": 1, "bytes": 1500},
        {"kind": "replaced facts", "rows": 0, "objects": 3, "bytes": 4500},
    ]
    assert said[-1] == {"kind": "total", "rows": 1200, "objects": 3, "bytes": 4500, "dry_run": True}


def test_a_kind_is_kept_for_ever_while_its_setting_is_0() -> None:
    some: Any = SimpleNamespace(retention=RetentionConfig(archive_days=1))
    assert kept_by("archived files", some) is None
    assert kept_by("rejected rows", some) == "retention.quarantine_days"
    assert kept_by("stage rows", some) is None


def test_ages_are_measured_by_the_clock_of_mysql() -> None:
    nothing: Any = None
    sweep = Sweep(nothing, nothing, nothing, datetime(2024, 5, 2, 12, tzinfo=UTC), timedelta(hours=1), dry_run=True)
    assert sweep.before(timedelta(days=1)) == datetime(2024, 5, 1, 12)
    assert sweep.before(timedelta(days=10**7)) == datetime(1970, 1, 1)
    assert sweep.safe_before == datetime(2024, 5, 2, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    "record",
    [old_records.BATCHES, old_records.OPERATIONS, old_records.ATTEMPTS, old_records.FACTS, old_records.PENDING, old_records.QUARANTINE],
    ids=lambda record: record.table,
)
def test_no_row_of_the_ledger_goes_without_an_age(record: old_records.Record) -> None:
    assert "_at <= %s" in record.condition
    assert "t.state" in record.condition
