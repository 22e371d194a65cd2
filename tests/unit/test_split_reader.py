"""The worker's part of the scan without Spark: however a file is cut, its rows are the same."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.contract import Column, Contract
from app.core.record_rules import Limits
from app.source.split_reader import BATCH_ROWS, SplitReader
from app.source.splits import Marker, ScanFile, broken_borders, line_bases, plan_splits
from tests.s3_fake import Bucket

CONTRACT = Contract((Column("a", "string"), Column("b", "string"), Column("c", "string")))
LIMITS = Limits(max_record_lines=3, max_record_bytes=60, max_header_bytes=100)
HEADERS = st.sampled_from([b"a,b,c\n", b"\n \na;b;c\r\n", b"\xef\xbb\xbfc,a,x,b\n", b'"a\n",b,c\n', b"a,b\n", b""])
PARTS = [b'"', b",", b"\n", b"\r\n", b"\r", b" ", b"\0", b"\xff", b"k" * 61, b"k" * 200]
LINES = [b"1,2,3\n", b"4;5;6\r\n", b'"x",y,z\n', b'"p\nq",y,z\n', b'"a"b,']
BODIES = st.lists(st.sampled_from(PARTS + LINES * 3), max_size=30).map(b"".join)


def read(bucket: Bucket, file: ScanFile, split_bytes: int, whole: bool) -> tuple[list[dict[str, Any]], list[Marker]]:
    splits = plan_splits([file], split_bytes, frozenset({file.file_id} if whole else ()))
    rows = [row for batch in SplitReader(CONTRACT, LIMITS, bucket.factory).read(splits) for row in batch.to_pylist()]
    markers = [Marker.from_json(row["_marker"]) for row in rows if row["_marker"]]
    return [row for row in rows if not row["_marker"]], markers


@settings(max_examples=60, deadline=None, derandomize=True)
@given(HEADERS, BODIES, st.integers(1, 60))
def test_any_cut_of_a_file_gives_its_rows_or_says_that_it_broke_one(header: bytes, body: bytes, split_bytes: int) -> None:
    bucket = Bucket()
    file = bucket.put("a.csv", header + body, etag="parts-2")
    expected, (marker,) = read(bucket, file, split_bytes, whole=True)
    rows, markers = read(bucket, file, split_bytes, whole=False)
    assert {part.outcome for part in markers} == {marker.outcome}
    if marker.outcome != "OK":
        assert not rows
        return
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
    reader = SplitReader(CONTRACT, LIMITS, lambda: client)
    list(reader.read([plan_splits([file], 303)[1]]))
    assert [request["Range"] for request in client.requests] == ["bytes=0-100", "bytes=302-605"]
    assert {request["IfMatch"] for request in client.requests} == {file.etag}


def test_a_header_must_end_within_its_limit() -> None:
    bucket = Bucket()
    file = bucket.put("a.csv", b"a,b,c," + b"x" * 100 + b"\n1,2,3,4\n")
    for whole in (True, False):
        _, markers = read(bucket, file, 90, whole)
        assert {marker.outcome for marker in markers} == {"NO_HEADER"}


def test_an_object_that_was_not_read_to_its_end_has_no_digest() -> None:
    bucket = Bucket()
    large = bucket.put("large.csv", b"PK\x03\x04" + b"x" * (3 << 20), etag="parts-2")
    small = bucket.put("small.csv", b"PK\x03\x04", etag="parts-1")
    assert [marker.digest for file in (large, small) for marker in read(bucket, file, 1 << 25, True)[1]] == [
        None,
        hashlib.md5(b"PK\x03\x04").digest(),
    ]


def test_rows_travel_in_batches_of_bounded_size() -> None:
    bucket = Bucket()
    files = [bucket.put(f"{n}.csv", b"a,b,c\n" + b"1,2,3\n" * rows) for n, rows in enumerate([10, 50_000, 10])]
    batches = list(SplitReader(CONTRACT, LIMITS, bucket.factory).read(plan_splits(files, 1 << 25)))
    assert max(batch.num_rows for batch in batches) <= BATCH_ROWS
    assert sum(batch.num_rows for batch in batches) == 50_020 + 3
    assert len(batches) <= 6
