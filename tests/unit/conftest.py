"""What unit tests share: a small configuration of no real server."""

from pathlib import Path

import pytest

from app.config.load import Config, MySqlConfig, S3Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        env="test",
        s3=S3Config(bucket="lake"),
        mysql=MySqlConfig(host="db.example.com", user="job", password="not-to-be-seen", database="sales"),
        checkpoint_root=tmp_path / "checkpoints",
    )
