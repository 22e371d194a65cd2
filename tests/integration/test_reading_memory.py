"""Memory while reading: bounded by bytes, whatever a file holds, and however small it is packed."""

from __future__ import annotations

import gzip
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator

import pyarrow as pa
import pytest

from app.contract.contract import Column, Contract
from app.parsing.record_rules import Limits
from app.source.ranges import unzipped
from app.source.split_reader import BATCH_BYTES, CHUNK_BYTES, SplitReader
from app.source.splits import plan_splits
from tests.conftest import REPOSITORY
from tests.doubles import Bucket

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CONTRACT = Contract((Column("a", "string"), Column("b", "string"), Column("c", "string")))
# What a chunk and the rest of the last one can become: the text, its fields, their names.
MOST_BYTES = BATCH_BYTES + 8 * CHUNK_BYTES
MOST_IN_ALL = 6 * MOST_BYTES


def no_keys(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.append_column("_known", pa.nulls(rows.num_rows, pa.int8()))


def squeezed(pieces: Iterator[bytes]) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return b"".join([*map(packer.compress, pieces), packer.flush()])


def times(text: bytes, count: int) -> Iterator[bytes]:
    return (text for _ in range(count))


def read(name: str, data: bytes) -> tuple[int, int, int]:
    """Rows, and the most bytes that one batch and all of Arrow had at a time."""
    bucket = Bucket()
    splits = plan_splits([bucket.put(name, data)], 1 << 25)
    rows = most = most_in_all = 0
    before = pa.total_allocated_bytes()
    for batch in SplitReader(CONTRACT, Limits(), no_keys, bucket.factory).read(splits):
        rows += batch.num_rows
        most = max(most, batch.nbytes)
        most_in_all = max(most_in_all, pa.total_allocated_bytes() - before)
    return rows - 1, most, most_in_all


LONG = b"1,2," + b"x" * 100_000 + b"\n"
BAD_LONG = b"1,2,3," + b"x" * 100_000 + b"\n"
INVALID_LONG = b"1,2," + b"\xff" * 100_000 + b"\n"
MANY = b"a,b,c" + b"".join(b",%06d" % n for n in range(5000)) + b"\n"
LONG_NAMES = b"a,b,c" + b"".join(b",%s%03d" % (b"n" * 90, n) for n in range(600)) + b"\n"
NO_NAMES = b"a,b,c" + b"," * 60_000 + b"\n"


# What it is about -> header, row, how many. All of them are far below a megabyte of gzip.
FILES = {
    "rows of 100 KB": (b"a,b,c\n", LONG, 3000),
    "bad rows of 100 KB": (b"a,b,c\n", BAD_LONG, 1000),
    "undecodable rows of 100 KB": (b"a,b,c\n", INVALID_LONG, 200),
    "records of many lines": (b"a,b,c\n", b'1,2,"' + b"x\n" * 50 + b"x" * 100_000 + b'"\n', 300),
    "tiny bad rows": (b"a,b,c\n", b"x\n", 2_000_000),
    "open quotes": (b"a,b,c\n", b'"\n', 1_000_000),
    "blank lines": (b"a,b,c\n", b"\n", 20_000_000),
    "many columns": (MANY, b",,2" + b"," * 5000 + b"\n", 1000),
    "long names": (LONG_NAMES, b",,2" + b"," * 600 + b"\n", 5000),
    "long names, carefully": (LONG_NAMES, b',,"2"x' + b"," * 600 + b"\n" + b",,\r2" + b"," * 600 + b"\n", 1000),
    "60,000 columns": (NO_NAMES, b",,2" + b"," * 60_000 + b"\n", 50),
}


def file_of(about: str) -> bytes:
    header, row, count = FILES[about]
    together = max(1, 20_000 // len(row))
    return squeezed(times(header, 1)) + squeezed(times(row * together, -(-count // together)))


def grown(about: str) -> int:
    """How many bytes this process grows by when it reads a file; it must be a fresh one."""
    data = file_of(about)
    read("warm.csv", b"a,b,c\n1,2,3\n" * 1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read("a.csv.gz", data)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10


@pytest.mark.parametrize("about", FILES)
def test_half_a_megabyte_of_gzip_is_read_in_bounded_memory(about: str) -> None:
    data = file_of(about)
    assert len(data) < 1 << 19
    _, most, most_in_all = read("a.csv.gz", data)
    assert most <= MOST_BYTES
    assert most_in_all <= MOST_IN_ALL


@pytest.mark.parametrize("about", ["rows of 100 KB", "long names", "60,000 columns"])
def test_the_process_itself_stays_small(about: str) -> None:
    code = f"from tests.integration.test_reading_memory import grown; print(grown({about!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 150 << 20


def test_members_of_a_few_bytes_are_unpacked_in_time_and_go_on_together() -> None:
    member = gzip.compress(b"1,2,3\n", mtime=0)
    data = member * 40_000
    begin = time.process_time()
    pieces = list(unzipped(iter([data[: len(data) // 2], data[len(data) // 2 :]]), CHUNK_BYTES))
    # About 10 microseconds each. Copying what lies behind the end of each one took minutes.
    assert time.process_time() - begin < 5
    assert b"".join(pieces) == b"1,2,3\n" * 40_000
    assert len(pieces) == 1
