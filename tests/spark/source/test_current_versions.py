"""The last look at many objects, by the executors: which are gone, which are another version by now."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession

from app.ledger.types import FileState
from app.s3.read import ObjectVersion
from app.source import current_versions
from tests.doubles import FakeFactory, FakeS3

COUNT = 250
VERSIONS = [(n, ObjectVersion("lake", f"sales_data/{n}.csv", f"e{n}", 3, datetime(2024, 1, 1, tzinfo=UTC))) for n in range(1, COUNT + 1)]


def bucket_of(versions: Iterable[ObjectVersion]) -> FakeFactory:
    return FakeFactory(FakeS3.with_versions(*versions))


def changed_bucket() -> FakeFactory:
    there = {version.key: version for _, version in VERSIONS}
    del there["sales_data/7.csv"]
    there["sales_data/249.csv"] = replace(there["sales_data/249.csv"], etag="other")
    there["sales_data/8.csv"] = replace(there["sales_data/8.csv"], size=4)
    return bucket_of(there.values())


@pytest.mark.parametrize("most", [COUNT, COUNT - 1], ids=["driver", "executors"])
def test_what_changed_or_is_gone_is_found_among_many(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(current_versions, "DRIVER_HEADS", most)
    expected = {7: FileState.GONE, 8: FileState.OVERWRITTEN, 249: FileState.OVERWRITTEN}
    assert current_versions.changed_files(spark, VERSIONS, changed_bucket(), 4) == expected


def test_nothing_is_found_where_nothing_changed(spark: SparkSession) -> None:
    assert current_versions.changed_files(spark, VERSIONS, bucket_of(version for _, version in VERSIONS), 4) == {}
