"""A short storm, as `make chaos` makes it, and the proof that its checks see what they are there for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.checks import differences
from tests.chaos.lines import lines
from tests.chaos.site import Site
from tests.chaos.storm import EVENTS, Storm
from tests.product import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

SECONDS = 45
# Less calm than `make chaos` is. A run that is frozen and taken over costs a minute of two cores: tests/e2e/test_zombie.py has three.
WEIGHTS = {**EVENTS, "drop": 24, "fault": 10, "silence": 6, "second": 3, "freeze": 0}
# Early in its sequence this seed has every kind of event.
SEED = 15036


@contextmanager
def changed(site: Site, there: str, back: str) -> Iterator[None]:
    """Change MySQL behind the job's back, and put it right again."""
    site.product.execute(there)
    yield
    site.product.execute(back)


@pytest.fixture
def loaded(site: Site) -> None:
    """Give the site some rows in its marts, whether the storm has been there or not."""
    if not site.storage.keys("sales_facts/sales_month="):
        site.drop(site.book.make("good"))
        running = site.start("--once")
        assert running.process.wait(PATIENCE) == 0, running.text()


def test_a_short_storm_loses_and_doubles_nothing(site: Site) -> None:
    said: list[str] = []
    with lines(site.product) as between:
        storm = Storm(site, between, random.Random(SEED), said.append, WEIGHTS)
        storm.rage(SECONDS)
    found = storm.finish()
    assert found == [], "\n".join([storm.summary(found), *said])
    assert site.book.rows > 0
    assert {"silent mysql", "silent s3", "contract"} <= storm.happened.keys(), said
    assert any(what.startswith("kill ") for what in storm.happened), said
    # Which requests they befall is a matter of milliseconds.
    assert {"404 NoSuchKey", "412 PreconditionFailed"} <= between.made, said
    assert between.s3.hits > 0, said
    assert storm.runs.counts()["second owners"] > 0, said


@pytest.mark.usefixtures("loaded")
def test_the_checks_see_a_loss(site: Site) -> None:
    key = site.storage.keys("sales_facts/sales_month=")[0]
    body = site.storage.client.get_object(Bucket=site.storage.bucket, Key=key)["Body"].read()
    site.storage.client.delete_object(Bucket=site.storage.bucket, Key=key)
    assert [found for found in differences(site.product, site.book) if "Parquet holds None" in found]
    site.storage.client.put_object(Bucket=site.storage.bucket, Key=key, Body=body)
    one = "rows_loaded > 0 ORDER BY id LIMIT 1"
    with changed(
        site,
        f"UPDATE source_file SET state = 'GONE' WHERE {one}",
        f"UPDATE source_file SET state = 'COMMITTED' WHERE state = 'GONE' AND {one}",
    ):
        assert [found for found in differences(site.product, site.book) if "LOST" in found]
    assert differences(site.product, site.book) == []


@pytest.mark.usefixtures("loaded")
def test_the_checks_see_what_counts_twice(site: Site) -> None:
    one = "ORDER BY customer_id, sales_date_month LIMIT 1"
    twice, once = (f"UPDATE customers_data_mart SET total_sales = total_sales {by} {one}" for by in ("* 2", "/ 2"))
    with changed(site, twice, once):
        assert [
            found for found in differences(site.product, site.book) if found.startswith("customers mart differs from the oracle in 1 rows")
        ]
    columns = (
        "bucket, object_key, etag, size_bytes, last_modified, state, rows_read, rows_loaded, rows_rejected, rows_pending, discovered_at"
    )
    copy = (
        f"INSERT INTO source_file (identity, {columns}) SELECT UNHEX(SHA2('twice', 256)), {columns} FROM source_file"
        " WHERE rows_loaded > 0 ORDER BY id LIMIT 1"
    )
    with changed(site, copy, "DELETE FROM source_file WHERE identity = UNHEX(SHA2('twice', 256))"):
        assert [found for found in differences(site.product, site.book) if "DOUBLED" in found]
    assert differences(site.product, site.book) == []
