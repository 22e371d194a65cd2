"""One small Spark session for all tests of this folder, with the settings of the product's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from app.spark.session import settings
from tests.doubles import config_without_servers

# What makes a session cheap, and no result another. One core keeps the rows of a small frame in their order.
CHEAP = {
    "spark.ui.enabled": "false",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "1",
}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session with one core, as little of everything else as Spark allows, and the product's settings."""
    folder = tmp_path_factory.mktemp("spark")
    places = {"spark.sql.warehouse.dir": str(folder / "warehouse"), "spark.local.dir": str(folder / "local")}
    builder = SparkSession.builder.master("local[1]").appName("salestream-tests")
    for name, value in (settings(config_without_servers(folder)) | CHEAP | places).items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
