"""A contract or configuration that is edited under a running stream is named once in the log, and used from the next start on."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from app.config.load import Config
from app.stream.edited_files import EditedFiles

CONTRACT = "columns:\n  - {name: customer_id, type: int}\n"


@pytest.fixture
def watched(config: Config, tmp_path: Path) -> Config:
    (tmp_path / "contract.yml").write_text(CONTRACT)
    (tmp_path / "test.yml").write_text("logging: {level: INFO}\n")
    return config.model_copy(update={"conf_dir": tmp_path, "contract_path": tmp_path / "contract.yml"})


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_an_edit_is_told_once(watched: Config, caplog: pytest.LogCaptureFixture) -> None:
    files = EditedFiles(watched)
    files.look()
    assert warnings(caplog) == []
    watched.contract_path.write_text(CONTRACT.replace("int}", "bigint}"))
    files.look()
    (told,) = warnings(caplog)
    assert "contract.yml was edited: the stream goes on with what it has read; start it again" in told
    files.look()
    assert warnings(caplog) == []


def test_a_contract_that_cannot_be_used_is_told_with_its_fault(watched: Config, caplog: pytest.LogCaptureFixture) -> None:
    files = EditedFiles(watched)
    watched.contract_path.write_text("columns: [{name: customer_id, type: number}]\n")
    files.look()
    assert "the next start would refuse it: CONTRACT" in warnings(caplog)[0]


def test_an_edit_of_the_environments_file_and_its_removal_are_told(watched: Config, caplog: pytest.LogCaptureFixture) -> None:
    files = EditedFiles(watched)
    path = watched.conf_dir / "test.yml"
    path.write_text("logging: {level: DEBUG}\n")
    files.look()
    path.unlink()
    files.look()
    assert [text.split(" was edited")[0].rsplit("/", 1)[-1] for text in warnings(caplog)] == ["test.yml", "test.yml"]


def test_a_touch_without_a_change_says_nothing(watched: Config, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    files = EditedFiles(watched)
    os.utime(watched.contract_path, ns=(1, 1))
    files.look()
    assert warnings(caplog) == []
