"""Real servers for the whole session, and for each test a world of its own: a bucket, a database, a configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest
from pyspark.sql import SparkSession

from app import failpoints, local
from app.local import LocalEnv
from tests.verified import found_by_verify
from tests.world import World, spark_session


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def servers(home: Path) -> Iterator[LocalEnv]:
    env = local.up(home, die_with_parent=True)
    yield env
    local.down(home)


@pytest.fixture(scope="session")
def spark(servers: LocalEnv) -> Iterator[SparkSession]:
    # The planner process inherits the JVM's environment and finds the secrets there, as under spark-submit.
    os.environ.update(servers.variables())
    session = spark_session(servers)
    yield session
    session.stop()


@pytest.fixture
def world(servers: LocalEnv, home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with pymysql.connect(**local.root_connection_args(home), autocommit=True) as root:
        made = World.make(servers, root, tmp_path)
        yield made
        made.destroy(root)


@pytest.fixture
def verified(world: World) -> Iterator[None]:
    """Whatever a test has done to the servers: at its end `verify --deep` finds nothing that is lost, doubled or stranded."""
    yield
    if world.has_batches():
        assert found_by_verify(world.undisturbed()) == []


@pytest.fixture
def pause_at(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make the stream pause at a fail point; the file that comes back exists while it does, and deleting it lets it go on."""

    def pause(name: str) -> Path:
        marker = world.folder / "paused"
        monkeypatch.setenv("SALESTREAM_FAILPOINT", f"{name}:1:pause")
        monkeypatch.setenv("SALESTREAM_FAILPOINT_FILE", str(marker))
        failpoints.reset()
        return marker

    return pause
