"""The tests' session decides as the product's does: one source of the settings that change results."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from app.spark.session import STREAM_SETTINGS, settings
from tests.doubles import config_without_servers
from tests.spark.conftest import CHEAP

pytestmark = pytest.mark.spark


def test_the_tests_session_has_every_setting_of_the_product_but_what_makes_it_cheap(spark: SparkSession, tmp_path: Path) -> None:
    wanted = settings(config_without_servers(tmp_path))
    conf = spark.sparkContext.getConf()
    differ = {name for name, value in wanted.items() if conf.get(name) != value}
    assert differ == {"spark.sql.shuffle.partitions"}
    in_force = {name: spark.conf.get(name) for name in STREAM_SETTINGS if name.startswith("spark.sql.")}
    assert in_force == {name: value for name, value in STREAM_SETTINGS.items() if name.startswith("spark.sql.")}


def test_nothing_that_changes_results_is_overridden_to_make_it_cheap() -> None:
    assert set(CHEAP) & set(STREAM_SETTINGS) == set()
