"""What unit tests share: a small configuration of no real server."""

from pathlib import Path

import pytest

from app.config.load import Config
from tests.doubles import config_without_servers


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_without_servers(tmp_path)
