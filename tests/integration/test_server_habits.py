"""Habits of S3 servers that are not AWS, and of AWS buckets that are not plain: each works, and `check` says what it costs.

The server is the embedded one; a proxy before it has the habit. docs/servers.md lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote

import pytest
from pyspark.sql import SparkSession

from app import failpoints
from app.batch.cleanup import clear_leftovers
from app.checks import check_all
from app.failpoints import InjectedFailure
from app.ledger.ledger import Ledger
from app.s3.read import list_all
from tests.fault_proxy import Fault, FaultProxy, Headers, Request, fault_proxy
from tests.integration.test_lost_and_refused import expected
from tests.integration.test_outages import row
from tests.integration.test_stream import assert_parts_agree
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(600)]

A_LISTING = r"^GET [^/]+/\?.*list-type=2"
CONTENTS = rb"<Contents>.*?<Key>(?P<key>[^<]*)</Key>.*?</Contents>"


def backwards(_request: Request, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    """Turn the order of a listing round."""
    blocks = [found[0] for found in re.finditer(CONTENTS, body, re.DOTALL)]
    begin, end = body.find(b"<Contents>"), body.rfind(b"</Contents>") + len(b"</Contents>")
    return (headers, body[:begin] + b"".join(reversed(blocks)) + body[end:]) if blocks else (headers, body)


@dataclass
class IgnoresStart:
    """Answers a listing from its beginning whatever StartAfter says, two keys at a time; its page tokens work."""

    client: Any
    bucket: str

    def __call__(self, request: Request, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        found = list_all(self.client, self.bucket, request.query["prefix"])
        at = int(request.query.get("continuation-token", "0"))
        shown = list(found)
        page = "".join(
            f"<Contents><Key>{quote(one.key)}</Key><LastModified>{one.last_modified.isoformat()}</LastModified>"
            f"<ETag>&quot;{one.etag}&quot;</ETag><Size>{one.size}</Size></Contents>"
            for one in shown[at : at + 2]
        )
        more = at + 2 < len(shown)
        token = f"<NextContinuationToken>{at + 2}</NextContinuationToken>" if more else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{token}{page}</ListBucketResult>"
        )
        return headers, text.encode()


def a_second_later(_request: Request, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    """Round the time up where the listing rounds down."""

    def later(value: str) -> str:
        return format_datetime(parsedate_to_datetime(value) + timedelta(seconds=1), usegmt=True)

    return [(name, later(value) if name == "Last-Modified" else value) for name, value in headers], body


@dataclass
class OtherEtags:
    """Shows other ETags, of copies alone or of everything: SSE-KMS has others for a copy."""

    only_copies: bool = True
    copies: set[str] = field(default_factory=set)

    def __call__(self, request: Request, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        if request.copied is not None:
            self.copies.add(request.key)
        if request.key and self.only_copies and request.key not in self.copies:
            return headers, body
        shown = [(name, turned(value) if name.lower() == "etag" else value) for name, value in headers]
        return shown, re.sub(rb"<CopyObjectResult.*|" + CONTENTS, self._turn_block, body, flags=re.DOTALL)

    def _turn_block(self, found: re.Match[bytes]) -> bytes:
        block = found[0].decode()
        key = unquote(found["key"].decode()) if found["key"] else None
        if key is not None and self.only_copies and key not in self.copies:
            return found[0]
        return re.sub("<ETag>[^<]*</ETag>", lambda etag: turned(etag[0]), block).encode()


def turned(etag: str) -> str:
    return re.sub(r"[0-9a-f]{32}", lambda found: found[0][::-1], etag)


@dataclass(frozen=True)
class Habit:
    """What the proxy does, which check says something of it, and what it says."""

    name: str
    faults: Callable[[World], list[Fault]]
    check: str
    says: str


HABITS = [
    Habit(
        "a bulk delete wants Content-MD5",
        lambda _world: [Fault(r"^POST .*\?.*delete", *_refused(400, "MissingContentMD5"), when=lambda r: "content-md5" not in r.headers)],
        "s3 listing",
        "bulk delete works",
    ),
    Habit(
        "a bulk delete wants SHA-256 and nothing else",
        lambda _world: [
            Fault(r"^POST .*\?.*delete", *_refused(400, "InvalidRequest"), when=lambda r: "x-amz-checksum-sha256" not in r.headers)
        ],
        "s3 listing",
        r"bulk delete is refused \(400 InvalidRequest\): objects are deleted one by one, a request each",
    ),
    Habit(
        "there is no bulk delete",
        lambda _world: [Fault(r"^POST .*\?.*delete", *_refused(501, "NotImplemented"))],
        "s3 listing",
        r"bulk delete is refused \(501 NotImplemented\)",
    ),
    Habit(
        "a PUT without a checksum is refused (Object Lock)",
        lambda _world: [
            Fault(
                r"^PUT ",
                *_refused(400, "InvalidRequest"),
                when=lambda r: not r.copied and "content-md5" not in r.headers and not any("checksum" in name for name in r.headers),
            )
        ],
        "s3 processed",
        "list, read, write, delete",
    ),
    Habit(
        "a conditional DELETE is not implemented",
        lambda _world: [Fault(r"^DELETE ", *_refused(501, "NotImplemented"), when=lambda r: "if-match" in r.headers)],
        "s3 condition",
        r"not known \(501 NotImplemented\) by this server: the archive looks right before it deletes",
    ),
    Habit("listings are out of key order", lambda _world: [Fault(A_LISTING, rewrite=backwards)], "s3 listing", "listings do not go by key"),
    Habit(
        "listings ignore StartAfter",
        lambda world: [Fault(A_LISTING, rewrite=IgnoresStart(world.direct, world.bucket))],
        "s3 listing",
        "listings do not go by key: each look for new files walks the whole prefix",
    ),
    Habit(
        "HEAD and listing round times differently",
        lambda _world: [Fault(r"^HEAD ", rewrite=a_second_later)],
        "s3 versions",
        "HEAD and listing show different times: each file costs one listing more",
    ),
]


def _refused(status: int, code: str) -> tuple[int, str]:
    return status, code


@pytest.fixture
def proxy(world: World, spark: SparkSession) -> Iterator[FaultProxy]:
    with fault_proxy(world.config.s3.endpoint_url) as proxy:
        client = world.client
        world.direct = client
        world.through(proxy.url, spark)
        world.drop = lambda name, body: client.put_object(Bucket=world.bucket, Key=f"sales_data/{name}", Body=body.encode())
        yield proxy


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.name)
def test_a_server_with_a_habit_works_and_check_says_what_it_costs(
    world: World, spark: SparkSession, proxy: FaultProxy, habit: Habit, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.faults += habit.faults(world)
    found = {one.name: one for one in check_all(lambda: world.config)}
    assert [one.detail for one in found.values() if not one.ok] == []
    assert re.search(habit.says, found[habit.check].detail), found[habit.check].detail
    assert "\n" not in found[habit.check].detail
    for customer in range(1, 6):
        world.drop(f"day={customer}.csv", row(customer))
    # An attempt that dies leaves Parquet to be deleted, in bulk where there is such a thing.
    leave_an_attempt_behind(world, spark, monkeypatch)
    world.run_once(spark)
    assert set(world.states().values()) == {"COMMITTED"}
    assert len(world.states()) == 5
    assert world.customer_mart() == expected(1, 2, 3, 4, 5)
    proxy.faults.clear()
    assert world.keys("sales_data/") == []
    assert len(world.keys("sales_data_processed/")) == 5
    assert_parts_agree(world)


def leave_an_attempt_behind(world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "after_facts:1:raise")
    failpoints.reset()
    with pytest.raises(InjectedFailure):
        world.run_once(spark)
    monkeypatch.delenv("SALESTREAM_FAILPOINT")


def test_a_crash_between_copy_and_note_makes_no_second_copy_where_copies_have_another_etag(
    world: World, spark: SparkSession, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.faults.append(Fault(rf"^(PUT|GET|HEAD) \S+/sales_data_processed/|{A_LISTING}", rewrite=OtherEtags()))
    found = {one.name: one.detail for one in check_all(lambda: world.config)}
    assert found["s3 copy"] == "a copy has another ETag than its original: a move that was cut off reads both again"
    world.drop("a.csv", row(1))
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "archive_copied:1:raise")
    failpoints.reset()
    with pytest.raises(InjectedFailure):
        world.run_once(spark)
    monkeypatch.delenv("SALESTREAM_FAILPOINT")
    failpoints.reset()
    assert len(world.keys("sales_data_processed/")) == 1
    world.run_once(spark)
    assert len(world.keys("sales_data_processed/")) == 1
    assert world.keys("sales_data/") == []
    assert world.rows("SELECT archive_due FROM source_file") == [{"archive_due": 0}]


def test_a_server_whose_get_knows_another_etag_than_its_listing_fails_the_check(world: World, proxy: FaultProxy) -> None:
    proxy.faults.append(Fault(A_LISTING, rewrite=OtherEtags(only_copies=False)))
    [versions] = [one for one in check_all(lambda: world.config) if one.name == "s3 versions"]
    assert not versions.ok
    assert re.search(
        r"^S3 s3://\S+: HEAD shows etag \w+ and 10 bytes, the listing etag \w+ and 10 bytes; no file could be", versions.detail
    )


def test_a_server_that_ignores_ranges_is_named_by_the_check(world: World, proxy: FaultProxy) -> None:
    def whole(request: Request, headers: Headers, _body: bytes) -> tuple[Headers, bytes]:
        stored = world.direct.get_object(Bucket=request.bucket, Key=request.key)["Body"].read()
        return [(name, value) for name, value in headers if name.lower() != "content-range"], stored

    proxy.faults.append(Fault(r"^GET ", rewrite=whole, when=lambda request: "range" in request.headers))
    [versions] = [one for one in check_all(lambda: world.config) if one.name == "s3 versions"]
    assert versions.ok
    assert versions.detail.endswith("; ranges are ignored by this server: a file that is read in more than one of them is UNREADABLE"), (
        versions.detail
    )


def test_more_than_a_page_of_keys_with_equal_signs_is_listed_whole(world: World) -> None:
    """The embedded server loses its place in such listings when it is paged by its own tokens."""
    keys = [f"sales_facts/sales_month=2024-{month:02}/store_id={store}/x.parquet" for month in range(1, 12) for store in range(100)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: world.client.put_object(Bucket=world.bucket, Key=key, Body=b"x"), keys))
    seen = [version.key for version in list_all(world.client, world.bucket, "sales_facts/") if not version.key.endswith("/")]
    assert seen == sorted(keys)


def test_leftovers_are_gone_after_single_deletes(
    world: World, spark: SparkSession, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.faults.append(Fault(r"^POST .*\?.*delete", status=501, code="NotImplemented"))
    world.drop("a.csv", row(1))
    leave_an_attempt_behind(world, spark, monkeypatch)
    assert world.keys("sales_facts/sales_month")
    ledger = Ledger(world.db, world.rows("SELECT epoch FROM stream_owner")[0]["epoch"])
    assert clear_leftovers(ledger, world.config, world.client, alive=None) == 1
    assert world.keys("sales_facts/sales_month") == []
