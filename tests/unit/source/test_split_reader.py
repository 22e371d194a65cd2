"""The worker's part of the scan without Spark: however a file is cut, its rows are the same."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.contract.contract import Column, Contract
from app.errors import S3Error, S3Unavailable
from app.parsing.record_rules import Limits
from app.source.blocks import content_digests
from app.source.split_reader import BATCH_ROWS, CHUNK_BYTES, SplitReader
from app.source.splits import Marker, ScanFile, broken_borders, line_bases, plan_splits
from tests.doubles import Bucket, refused

CONTRACT = Contract((Column("a", "string"), Column("b", "string"), Column("c", "string")))
LIMITS = Limits(max_record_lines=3, max_record_bytes=60, max_header_bytes=100)
HEADERS = st.sampled_from([b"a,b,c\n", b"\n \na;b;c\r\n", b"\xef\xbb\xbfc,a,x,b\n", b'"a\n",b,c\n', b"a,b\n", b""])
PARTS = [b'"', b",", b"\n", b"\r\n", b"\r", b" ", b"\0", b"\xff", b"k" * 61, b"k" * 200]
LINES = [b"1,2,3\n", b"4;5;6\r\n", b'"x",y,z\n', b'"p\nq",y,z\n', b'"a"b,']
BODIES = st.lists(st.sampled_from(PARTS + LINES * 3), max_size=30).map(b"".join)


def no_keys(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.append_column("_known", pa.nulls(rows.num_rows, pa.int8()))


def read(bucket: Bucket, file: ScanFile, split_bytes: int, whole: bool, block_bytes: int = 1) -> tuple[list[dict[str, Any]], list[Marker]]:
    splits = plan_splits([file], split_bytes, frozenset({file.file_id} if whole else ()), block_bytes)
    rows = [row for batch in SplitReader(CONTRACT, LIMITS, no_keys, bucket.factory).read(splits) for row in batch.to_pylist()]
    markers = [Marker.from_json(row["_marker"]) for row in rows if row["_marker"]]
    return [row for row in rows if not row["_marker"]], markers


def digest_of(data: bytes, block_bytes: int) -> bytes:
    """What docs/decisions/0004 says the digest is."""
    blocks = [hashlib.sha256(data[at : at + block_bytes]).digest() for at in range(0, len(data), block_bytes)]
    return hashlib.sha256(len(data).to_bytes(8, "big") + b"".join(blocks)).digest()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(HEADERS, BODIES, st.integers(1, 60), st.sampled_from([1, 7, 16]))
def test_any_cut_of_a_file_gives_its_rows_or_says_that_it_broke_one(header: bytes, body: bytes, split_bytes: int, block_bytes: int) -> None:
    bucket = Bucket()
    file = bucket.put("a.csv", header + body, etag="parts-2")
    expected, (marker,) = read(bucket, file, split_bytes, True, block_bytes)
    rows, markers = read(bucket, file, split_bytes, False, block_bytes)
    assert {part.outcome for part in markers} == {marker.outcome}
    if marker.outcome != "OK":
        assert not rows
        return
    sizes = {file.file_id: file.size}
    assert content_digests(markers, sizes) == content_digests([marker], sizes) == {1: digest_of(header + body, block_bytes)}
    broken = broken_borders(markers)
    # Only a quoted line break can lie across a border.
    assert not broken or b'"' in header + body
    if not broken:
        bases = line_bases(markers)
        absolute = [row | {"_line": row["_line"] + bases.get((1, row["_split"]), 0), "_split": 0} for row in rows]
        assert sorted(absolute, key=lambda row: row["_line"]) == expected
        assert sum(part.lines for part in markers) == marker.lines
        assert sum(part.rows for part in markers) == marker.rows == len(expected)


def test_a_split_in_the_middle_reads_the_header_and_its_own_bytes() -> None:
    bucket = Bucket()
    file = bucket.put("a.csv", b"a,b,c\n" + b"1,2,3\n" * 100)
    client = bucket.client
    reader = SplitReader(CONTRACT, LIMITS, no_keys, lambda: client)
    list(reader.read([plan_splits([file], 303, block_bytes=1)[1]]))
    assert [request["Range"] for request in client.requests("get_object")] == ["bytes=0-100", "bytes=302-605"]
    assert {request["IfMatch"] for request in client.requests("get_object")} == {file.etag}


def test_a_header_must_end_within_its_limit() -> None:
    bucket = Bucket()
    file = bucket.put("a.csv", b"a,b,c," + b"x" * 100 + b"\n1,2,3,4\n")
    for whole in (True, False):
        _, markers = read(bucket, file, 90, whole)
        assert {marker.outcome for marker in markers} == {"NO_HEADER"}


def test_every_byte_is_hashed_also_where_a_split_ends_with_a_chunk_and_no_line_begins() -> None:
    bucket = Bucket()
    # Splits 1 to 3 hold nothing but the inside of one line.
    data = b"a,b,c\n" + b"x" * (4 * CHUNK_BYTES) + b"\n1,2,3\n"
    file = bucket.put("a.csv", data)
    _, markers = read(bucket, file, CHUNK_BYTES, False, CHUNK_BYTES)
    assert [(part.began_at is None, part.hashed) for part in markers] == [
        (False, CHUNK_BYTES),
        (True, CHUNK_BYTES),
        (True, CHUNK_BYTES),
        (True, CHUNK_BYTES),
        (False, 13),
    ]
    assert content_digests(markers, {1: len(data)}) == {1: digest_of(data, CHUNK_BYTES)}


def test_gzip_is_known_by_its_bytes_as_stored() -> None:
    bucket = Bucket()
    data = gzip.compress(b"a,b,c\n" + b"1,2,3\n" * 1000, mtime=0)
    _, markers = read(bucket, bucket.put("a.csv.gz", data), 100, False, 16)
    assert content_digests(markers, {1: len(data)}) == {1: digest_of(data, 16)}


def test_the_etag_is_no_part_of_the_content() -> None:
    bucket = Bucket()
    etags = [None, "0123456789abcdef0123456789abcdef-2", "0123456789abcdef0123456789abcdef"]
    files = [bucket.put(f"{n}.csv", b"a,b,c\n1,2,3\n", etag) for n, etag in enumerate(etags)]
    digests = [content_digests(read(bucket, file, 100, True)[1], {file.file_id: file.size})[file.file_id] for file in files]
    assert digests == [digest_of(b"a,b,c\n1,2,3\n", 1)] * 3


def test_a_file_that_is_rejected_by_its_beginning_has_no_digest() -> None:
    bucket = Bucket()
    file = bucket.put("large.csv", b"PK\x03\x04" + b"x" * (3 << 20))
    assert content_digests(read(bucket, file, 1 << 25, True, block_bytes=1 << 12)[1], {1: file.size}) == {}


def test_a_file_of_which_bytes_are_missing_never_counts() -> None:
    markers = [Marker(1, 0, hashed=256, blocks=b"a" * 32), Marker(1, 1, hashed=10, blocks=b"b" * 32)]
    assert len(content_digests(markers, {1: 266})) == 1
    with pytest.raises(S3Unavailable, match="file 1: 266 of 267 bytes were read"):
        content_digests(markers, {1: 267})


def test_the_header_travels_as_it_is_written_on_the_first_split_only() -> None:
    bucket = Bucket()
    file = bucket.put("a.csv", b'\xef\xbb\xbf\n C ;"b";a;\xff\r\n' + b"1;2;3;4\n" * 10)
    _, markers = read(bucket, file, 30, False)
    assert [part.header_text for part in markers] == [' C ;"b";a;\\xff', None, None, None]


def test_rows_travel_in_batches_of_bounded_size() -> None:
    bucket = Bucket()
    files = [bucket.put(f"{n}.csv", b"a,b,c\n" + b"1,2,3\n" * rows) for n, rows in enumerate([10, 50_000, 10])]
    batches = list(SplitReader(CONTRACT, LIMITS, no_keys, bucket.factory).read(plan_splits(files, 1 << 25)))
    assert max(batch.num_rows for batch in batches) <= BATCH_ROWS
    assert sum(batch.num_rows for batch in batches) == 50_020 + 3
    assert len(batches) <= 6


# Objects that S3 does not give


def denied(bucket: Bucket, answers: dict[str, tuple[int, str]]) -> Any:
    """A factory of clients to which S3 denies some keys."""

    def factory() -> Any:
        client = bucket.client
        real = client.get_object

        def get_object(**request: Any) -> Any:
            if request["Key"] in answers:
                raise refused(*answers[request["Key"]])
            return real(**request)

        client.get_object = get_object
        return client

    return factory


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _seconds: None)
    monkeypatch.setattr("app.s3.read.time.sleep", lambda _seconds: None)


def outcomes(bucket: Bucket, answers: dict[str, tuple[int, str]]) -> list[tuple[str, int]]:
    reader = SplitReader(CONTRACT, LIMITS, no_keys, denied(bucket, answers))
    rows = [row for batch in reader.read(plan_splits(bucket.files, 1000)) for row in batch.to_pylist()]
    markers = [Marker.from_json(row["_marker"]) for row in rows if row["_marker"]]
    return [(marker.outcome, marker.rows) for marker in markers]


@pytest.mark.usefixtures("_no_waiting")
def test_a_refused_object_is_the_outcome_of_its_file_and_the_others_are_read() -> None:
    bucket = Bucket()
    for name in "abcde":
        bucket.put(name, b"a,b,c\n1,2,3\n")
    answers = {"a": (403, "AccessDenied"), "b": (403, "InvalidObjectState"), "c": (412, "PreconditionFailed"), "d": (503, "SlowDown")}
    assert outcomes(bucket, answers) == [("REFUSED", 0), ("OBJECT_REFUSED", 0), ("FAULT", 0), ("FAULT", 0), ("OK", 1)]


@pytest.mark.usefixtures("_no_waiting")
def test_a_server_that_gives_nothing_is_given_up_soon() -> None:
    bucket = Bucket()
    for number in range(100):
        bucket.put(f"{number:03}", b"a,b,c\n1,2,3\n")
    with pytest.raises(S3Unavailable, match="503 SlowDown"):
        outcomes(bucket, {file.key: (503, "SlowDown") for file in bucket.files})


def test_a_refusal_of_who_asks_ends_the_scan() -> None:
    bucket = Bucket()
    bucket.put("a", b"a,b,c\n1,2,3\n")
    with pytest.raises(S3Error, match="400 ExpiredToken"):
        outcomes(bucket, {"a": (400, "ExpiredToken")})
