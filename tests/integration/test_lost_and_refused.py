"""Objects that S3 denies: missing for a moment, of another version, refused for good. The rest flows, and nothing is stranded."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal

import pytest
from pyspark.sql import SparkSession

from app.errors import S3Error, S3Unavailable
from app.ledger.ledger import Ledger
from app.ledger.operations import request_for_files
from app.ledger.types import OperationKind
from app.views.status import read_status
from tests.fault_proxy import Fault, FaultProxy, Headers, Request, fault_proxy
from tests.integration.test_continuous import running, wait_until
from tests.integration.test_outages import row
from tests.integration.test_stream import assert_parts_agree
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("verified"), pytest.mark.timeout(600)]

PAUSE = "TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), retry_at) / 1000000"
READS_OF_A = r"^GET \S+/sales_data/a\.csv$"


@pytest.fixture
def proxy(world: World, spark: SparkSession) -> Iterator[FaultProxy]:
    """A proxy before the world's S3. Drops go to S3 directly."""
    with fault_proxy(world.config.s3.endpoint_url) as proxy:
        client = world.client
        world.through(proxy.url, spark)
        world.drop = lambda name, body: client.put_object(Bucket=world.bucket, Key=f"sales_data/{name}", Body=body.encode())
        yield proxy


def expected(*customers: int) -> dict[tuple[int, str], Decimal]:
    return {(customer, "2024-02"): Decimal(50) for customer in customers}


# Missing, or another version


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NoSuchBucket"), (404, "InjectedFault"), (404, "NoSuchKey"), (412, "PreconditionFailed"), (416, "InvalidRange")],
)
def test_an_object_that_get_denies_and_the_listing_shows_is_a_fault_of_s3_and_loaded_later(
    world: World, spark: SparkSession, proxy: FaultProxy, status: int, code: str
) -> None:
    world.drop("a.csv", row(1))
    proxy.faults.append(Fault(READS_OF_A, status=status, code=code))
    with pytest.raises(S3Unavailable, match=rf"^S3_UNAVAILABLE s3://\S+/sales_data/a\.csv: .*{status} {code}"):
        world.run_once(spark)
    assert world.states() == {"a.csv": "CLAIMED"}
    proxy.faults.clear()
    world.run_once(spark)
    assert world.states() == {"a.csv": "COMMITTED"}
    assert world.customer_mart() == expected(1)


def test_what_is_really_gone_or_overwritten_is_a_warning_with_the_name(
    world: World, spark: SparkSession, caplog: pytest.LogCaptureFixture, proxy: FaultProxy
) -> None:
    ledger = discovered(world, spark, proxy)
    world.client.delete_object(Bucket=world.bucket, Key="sales_data/a.csv")
    world.drop("b.csv", row(3))
    with caplog.at_level(logging.WARNING, "app"):
        world.run_once(spark)
    assert sorted(r["state"] for r in world.rows("SELECT state FROM source_file")) == ["COMMITTED", "GONE", "OVERWRITTEN"]
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("key='sales_data/a.csv' is not loaded: GONE" in line for line in said), said
    assert any("key='sales_data/b.csv' is not loaded: OVERWRITTEN" in line for line in said), said
    assert ledger.epoch


def discovered(world: World, spark: SparkSession, proxy: FaultProxy) -> Ledger:
    """Let a run discover a.csv and b.csv, and end before it reads them."""
    world.drop("a.csv", row(1))
    world.drop("b.csv", row(2))
    fault = Fault(r"^GET \S+/sales_data/[ab]\.csv$", status=403, code="InvalidAccessKeyId")
    proxy.faults.append(fault)
    with pytest.raises(S3Error):
        world.run_once(spark)
    proxy.faults.remove(fault)
    return Ledger(world.db, world.rows("SELECT epoch FROM stream_owner")[0]["epoch"])


def hidden(proxy: FaultProxy, name: str) -> list[Fault]:
    """Make an object vanish: for GET, HEAD and the look by a listing; the listing of the prefix shows it."""
    faults = [
        Fault(rf"^(GET|HEAD) \S+/sales_data/{name}$", status=404, code="NoSuchKey"),
        Fault(rf"^GET \S+/\?.*prefix=sales_data/{name}", rewrite=lambda _request, headers, body: (headers, without_contents(body))),
    ]
    proxy.faults += faults
    return faults


def without_contents(body: bytes) -> bytes:
    begin, end = body.find(b"<Contents>"), body.rfind(b"</Contents>")
    return body if begin < 0 else body[:begin] + body[end + len(b"</Contents>") :]


def test_a_file_that_is_listed_again_after_it_was_gone_is_loaded_and_its_story_is_kept(
    world: World, spark: SparkSession, proxy: FaultProxy
) -> None:
    world.drop("a.csv", row(1))
    world.drop("b.csv", row(2))
    world.drop("c.csv", row(3))
    hidden(proxy, "a.csv")
    hidden(proxy, "c.csv")
    world.run_once(spark)
    assert world.states() == {"a.csv": "GONE", "b.csv": "COMMITTED", "c.csv": "GONE"}
    # Another version was there for a while, and an undelete in a versioned bucket has brought the booked one back.
    world.execute("UPDATE source_file SET state = 'OVERWRITTEN' WHERE object_key = 'sales_data/c.csv'")
    # Again and again: each run lists it, and each finds nothing there.
    world.run_once(spark)
    assert world.states()["a.csv"] == "GONE"
    proxy.faults.clear()
    world.run_once(spark)
    assert world.states() == {"a.csv": "COMMITTED", "b.csv": "COMMITTED", "c.csv": "COMMITTED"}
    assert world.customer_mart() == expected(1, 2, 3)
    assert world.keys("sales_data/") == []
    returns = world.rows("SELECT r.state, r.batch_id, f.object_key FROM file_return r JOIN source_file f ON f.id = r.file_id ORDER BY r.id")
    assert [one["state"] for one in returns if one["object_key"].endswith(b"a.csv")] == ["GONE", "GONE"]
    assert [one["state"] for one in returns if one["object_key"].endswith(b"c.csv")] == ["OVERWRITTEN", "GONE"]
    assert len({one["batch_id"] for one in returns}) == 2
    assert_parts_agree(world)


def test_a_file_that_was_gone_may_be_replayed(world: World, spark: SparkSession, proxy: FaultProxy) -> None:
    world.drop("a.csv", row(1))
    world.drop("b.csv", row(2))
    faults = hidden(proxy, "a.csv")
    # The listing does not show it either.
    faults.append(Fault(r"^GET \S+/\?.*prefix=sales_data/(&|$)", rewrite=lambda _request, headers, body: (headers, without_contents(body))))
    world.run_once(spark)
    proxy.faults.append(faults[-1])
    number = world.rows("SELECT id FROM source_file WHERE object_key = 'sales_data/a.csv'")[0]["id"]
    for faults_now, state in ((proxy.faults[:], "GONE"), ([faults[-1]], "COMMITTED")):
        proxy.faults[:] = faults_now
        operation = world.db.run(lambda tx: request_for_files(tx, OperationKind.REPLAY, [number], "test"))
        world.run_once(spark)
        assert world.rows("SELECT state FROM file_operation WHERE id = %s", operation) == [{"state": "DONE"}]
        assert world.states()["a.csv"] == state
    assert world.customer_mart() == expected(1, 2)
    proxy.faults.clear()
    world.run_once(spark)
    assert world.keys("sales_data/") == []
    assert_parts_agree(world)


# Refused for good


def unpacked(_request: Request, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    """Give more bytes than are stored, as a server does that unpacks what was stored with Content-Encoding: gzip."""
    return [*headers, ("Content-Encoding", "gzip")], body + body.splitlines(keepends=True)[-1] * 3


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            Fault(READS_OF_A, 403, "InvalidObjectState", message="The operation is not valid for the object's storage class"),
            "403 InvalidObjectState",
        ),
        (
            Fault(READS_OF_A, 400, "InvalidRequest", message="The object was stored using a form of Server Side Encryption."),
            "400 InvalidRequest",
        ),
        (Fault(READS_OF_A, 403, "AccessDenied", message="User is not authorized to perform: kms:Decrypt"), "403 AccessDenied"),
        (Fault(READS_OF_A, 412, "PreconditionFailed", message="again and again"), "412 PreconditionFailed"),
        (Fault(READS_OF_A, rewrite=unpacked), "(stored with Content-Encoding gzip)"),
    ],
    ids=["GLACIER", "SSE-C", "KMS", "412", "unpacked on the way"],
)
def test_one_object_that_is_refused_stays_in_place_and_the_rest_flows(
    world: World, spark: SparkSession, proxy: FaultProxy, caplog: pytest.LogCaptureFixture, fault: Fault, says: str
) -> None:
    for customer, name in enumerate("abc", start=1):
        world.drop(f"{name}.csv", row(customer))
    proxy.faults.append(fault)
    with caplog.at_level(logging.WARNING, "app"):
        world.run_once(spark)
    assert world.states() == {"a.csv": "UNREADABLE", "b.csv": "COMMITTED", "c.csv": "COMMITTED"}
    assert world.customer_mart() == expected(2, 3)
    assert world.keys("sales_data/") == ["sales_data/a.csv"]
    assert read_status(world.db)["unreadable_files"] == 1
    assert any("key='sales_data/a.csv' is not loaded: UNREADABLE" in record.getMessage() for record in caplog.records)
    [file] = world.rows(f"SELECT reason_code, reason_detail, retries, {PAUSE} AS pause FROM source_file WHERE id = 1")
    assert (file["reason_code"], file["retries"]) == ("UNREADABLE", 1)
    assert 0 < file["pause"] <= 10
    assert says in file["reason_detail"]
    # Every start tries it once; a new file flows past it.
    world.drop("d.csv", row(4))
    world.run_once(spark)
    assert world.states() == {"a.csv": "UNREADABLE", "b.csv": "COMMITTED", "c.csv": "COMMITTED", "d.csv": "COMMITTED"}
    [file] = world.rows(f"SELECT retries, {PAUSE} AS pause FROM source_file WHERE id = 1")
    assert file["retries"] == 2
    assert 10 < file["pause"] <= 20
    proxy.faults.clear()
    world.run_once(spark)
    assert set(world.states().values()) == {"COMMITTED"}
    assert world.customer_mart() == expected(1, 2, 3, 4)
    assert world.keys("sales_data/") == []
    assert_parts_agree(world)


def test_a_refused_file_is_tried_again_by_the_running_stream_when_its_pause_is_over(
    world: World, spark: SparkSession, proxy: FaultProxy
) -> None:
    world.drop("a.csv", row(1))
    world.drop("b.csv", row(2))
    proxy.faults.append(Fault(READS_OF_A, status=403, code="AccessDenied"))
    with running(world, spark):
        wait_until("the other file", lambda: world.states() == {"a.csv": "UNREADABLE", "b.csv": "COMMITTED"})
        proxy.faults.clear()
        wait_until("the refused file", lambda: world.states() == {"a.csv": "COMMITTED", "b.csv": "COMMITTED"})
        wait_until("its move", lambda: world.keys("sales_data/") == [])
    assert world.customer_mart() == expected(1, 2)


def test_a_lone_object_that_is_refused_for_what_it_is_does_not_stop_the_run(world: World, spark: SparkSession, proxy: FaultProxy) -> None:
    world.drop("a.csv", row(1))
    proxy.faults.append(Fault(READS_OF_A, status=403, code="InvalidObjectState"))
    world.run_once(spark)
    assert world.states() == {"a.csv": "UNREADABLE"}
    # Deleted while it was refused: it is gone, and not refused for ever.
    world.client.delete_object(Bucket=world.bucket, Key="sales_data/a.csv")
    proxy.faults.clear()
    world.run_once(spark)
    assert world.states() == {"a.csv": "GONE"}


def test_a_lone_foreign_object_in_a_prefix_that_works_does_not_stop_the_run(world: World, spark: SparkSession, proxy: FaultProxy) -> None:
    world.drop("b.csv", row(2))
    world.run_once(spark)
    world.drop("a.csv", row(1))
    proxy.faults.append(Fault(READS_OF_A, status=403, code="AccessDenied"))
    world.run_once(spark)
    assert world.states() == {"b.csv": "COMMITTED", "a.csv": "UNREADABLE"}


def test_a_refused_prefix_stops_the_run_with_its_cause(world: World, spark: SparkSession, proxy: FaultProxy) -> None:
    world.drop("0.csv", row(9))
    world.run_once(spark)
    for customer, name in enumerate("abc", start=1):
        world.drop(f"{name}.csv", row(customer))
    proxy.faults.append(Fault(r"^GET \S+/sales_data/", status=403, code="AccessDenied"))
    with pytest.raises(S3Error, match=r"^S3 s3://\S+/sales_data/a\.csv: 403 AccessDenied"):
        world.run_once(spark)
    assert set(world.states().values()) == {"COMMITTED", "CLAIMED"}
    proxy.faults.clear()
    world.run_once(spark)
    assert world.customer_mart() == expected(1, 2, 3, 9)


def test_an_archive_move_that_is_refused_stays_due_while_loading_goes_on(world: World, spark: SparkSession, proxy: FaultProxy) -> None:
    world.drop("a.csv", row(1))
    world.drop("b.csv", row(2))
    proxy.faults.append(Fault(r"^PUT \S+/sales_data_processed/.*/a\.csv$", status=403, code="AccessDenied", message="s3:PutObjectTagging"))
    world.run_once(spark)
    assert world.states() == {"a.csv": "COMMITTED", "b.csv": "COMMITTED"}
    assert world.keys("sales_data/") == ["sales_data/a.csv"]
    assert (read_status(world.db)["archive_due"], read_status(world.db)["archive_refused"]) == (1, 1)
    proxy.faults.clear()
    world.run_once(spark)
    assert world.keys("sales_data/") == []
    assert (read_status(world.db)["archive_due"], read_status(world.db)["archive_refused"]) == (0, 0)
    assert world.customer_mart() == expected(1, 2)


def test_a_finished_file_that_is_listed_long_after_its_move_is_moved_again(world: World, spark: SparkSession, proxy: FaultProxy) -> None:
    world.drop("a.csv", row(1))
    world.drop("b.csv", row(2))
    # The one is not deleted although the server says so, the other seemed to be gone before it was copied.
    proxy.faults.append(Fault(r"^DELETE \S+/sales_data/a\.csv", status=200))
    proxy.faults.append(Fault(r"^PUT \S+/sales_data_processed/.*/b\.csv$", status=403, code="AccessDenied"))
    world.run_once(spark)
    assert world.keys("sales_data/") == ["sales_data/a.csv", "sales_data/b.csv"]
    world.execute("UPDATE source_file SET archive_due = 0, finished_at = finished_at - INTERVAL 2 MINUTE WHERE id = 2")
    world.execute("UPDATE source_file SET archived_at = archived_at - INTERVAL 2 MINUTE WHERE id = 1")
    proxy.faults.clear()
    world.run_once(spark)
    assert world.keys("sales_data/") == []
    assert len(world.keys("sales_data_processed/")) == 2
    assert world.customer_mart() == expected(1, 2)


def test_a_replay_leaves_a_file_alone_whose_archived_object_is_refused(world: World, spark: SparkSession, proxy: FaultProxy) -> None:
    world.drop("a.csv", row(1))
    world.drop("b.csv", row(2))
    world.run_once(spark)
    # A lifecycle rule moved one of the archived objects to GLACIER.
    proxy.faults.append(Fault(r"^GET \S+/sales_data_processed/.*/a\.csv$", status=403, code="InvalidObjectState"))
    operation = world.db.run(lambda tx: request_for_files(tx, OperationKind.REPLAY, [1, 2], "test"))
    world.run_once(spark)
    assert world.rows("SELECT state FROM file_operation WHERE id = %s", operation) == [{"state": "DONE"}]
    [note] = world.rows("SELECT note FROM operation_file WHERE operation_id = %s AND note IS NOT NULL", operation)
    assert "its object cannot be read: s3://" in note["note"]
    assert world.states() == {"a.csv": "COMMITTED", "b.csv": "COMMITTED"}
    assert world.customer_mart() == expected(1, 2)
    assert sum(rows for rows, _ in world.live_parts().values()) == 2


# Anything at any time


@pytest.mark.parametrize("seed", range(3))
def test_random_refusals_of_objects_lose_and_double_nothing(world: World, spark: SparkSession, proxy: FaultProxy, seed: int) -> None:
    chance = random.Random(seed)
    kinds = [(404, "NoSuchKey"), (404, "NoSuchBucket"), (412, "PreconditionFailed"), (403, "AccessDenied"), (503, "SlowDown"), (501, "No")]
    world.set("stream", retry_seconds=60, max_files_per_trigger=5)
    requests = r"^(GET|HEAD|PUT|DELETE) \S+/sales_data\w*/\S"
    # Drawn for every request, so that one object has many fates.
    proxy.faults += [Fault(requests, status=status, code=code, when=at_random(chance, 0.05)) for status, code in kinds]
    count = 24
    for customer in range(1, count + 1):
        world.drop(f"{customer:02}.csv", row(customer))
        if customer % 8 == 0:
            # A stop is one clear line, and the next start goes on from there.
            with suppress(S3Error, S3Unavailable):
                world.run_once(spark)
        named = {name: state for name, state in world.states().items() if state != "COMMITTED"}
        assert set(named.values()) <= {"DISCOVERED", "CLAIMED", "UNREADABLE", "GONE", "OVERWRITTEN"}
    assert proxy.hits > count / 2
    proxy.faults.clear()
    world.run_once(spark)
    assert world.states() == {f"{customer:02}.csv": "COMMITTED" for customer in range(1, count + 1)}
    # Customers beyond the sample dimensions have no row: their sales wait, and count as soon as they are known.
    known = {r["customer_id"] for r in world.rows("SELECT customer_id FROM customer")}
    assert world.customer_mart() == expected(*sorted(known & set(range(1, count + 1))))
    totals = world.rows("SELECT SUM(rows_read) AS n, SUM(rows_loaded + rows_pending) AS m, COUNT(*) AS files FROM source_file")[0]
    assert (totals["n"], totals["m"], totals["files"]) == (count, count, count)
    assert world.keys("sales_data/") == []
    assert len(world.keys("sales_data_processed/")) == count
    assert_parts_agree(world)


def at_random(chance: random.Random, share: float) -> Callable[[Request], bool]:
    return lambda _request: chance.random() < share
