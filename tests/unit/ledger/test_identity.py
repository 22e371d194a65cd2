"""An object version has one identity for ever, and no two versions share one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest

from app.ledger.types import identity_of
from app.s3.read import ObjectVersion

AT = datetime(2024, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)
VERSION = ObjectVersion("lake", "sales_data/a.csv", "e1", 3, AT)


def test_the_identity_is_a_fixed_hash() -> None:
    # Written out: were it ever computed differently, every file in the prefix would be loaded again.
    text = b'["lake", "sales_data/a.csv", "e1", 3, "1704067200123"]'
    assert identity_of(VERSION) == sha256(text).digest()
    assert len(identity_of(VERSION)) == 32


@pytest.mark.parametrize(
    "change",
    [
        {"bucket": "lake2"},
        {"key": "sales_data/b.csv"},
        {"key": "sales_data/A.csv"},
        {"key": "sales_data/á.csv"},
        {"key": "sales_data/a.csv "},
        {"etag": "e2"},
        {"size": 4},
        {"last_modified": AT + timedelta(milliseconds=1)},
        {"version_id": "v1"},
    ],
    ids=str,
)
def test_every_field_matters(change: dict[str, Any]) -> None:
    assert identity_of(replace(VERSION, **change)) != identity_of(VERSION)


def test_a_composed_and_a_decomposed_letter_are_two_keys() -> None:
    composed, decomposed = "\u00e9.csv", "e\u0301.csv"
    assert identity_of(replace(VERSION, key=composed)) != identity_of(replace(VERSION, key=decomposed))


def test_text_does_not_flow_from_one_field_into_the_next() -> None:
    assert identity_of(replace(VERSION, bucket="lak", key="esales_data/a.csv")) != identity_of(VERSION)
    assert identity_of(replace(VERSION, key='a", "b', etag="c")) != identity_of(replace(VERSION, key="a", etag='b", "c'))


def test_every_millisecond_of_a_second_is_another_version() -> None:
    versions = [replace(VERSION, last_modified=AT.replace(microsecond=1000 * ms)) for ms in range(1000)]
    assert len({identity_of(version) for version in versions}) == 1000


def test_the_time_zone_of_a_listing_does_not_matter() -> None:
    india = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert identity_of(replace(VERSION, last_modified=india)) == identity_of(VERSION)


def test_a_version_id_takes_the_place_of_the_time() -> None:
    one = replace(VERSION, version_id="v1")
    assert identity_of(one) == identity_of(replace(one, last_modified=AT + timedelta(days=1)))
    assert identity_of(one) != identity_of(replace(one, version_id="v2"))
