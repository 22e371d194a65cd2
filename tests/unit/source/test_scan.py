"""The scan of a task: rows, line numbers and markers of files of every kind, over a bucket in memory."""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from app.contract.contract import Contract
from app.model.dimensions import KnownKeys
from app.parsing.record_rules import Limits
from app.source.blocks import content_digests
from app.source.split_reader import SplitReader
from app.source.splits import Marker, broken_borders, bundle_splits, line_bases, plan_splits
from tests.doubles import Bucket
from tests.frames import known

NAMES = ("customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost")
HEADER = ",".join(NAMES).encode() + b"\n"
ROW = b"1,121,sugar,2024-01-31,1,50.00,2,100.00\n"
FIELDS = (1, 121, "sugar", date(2024, 1, 31), 1, Decimal("50.00"), 2, Decimal("100.00"))


@dataclass(frozen=True)
class Settings:
    split_bytes: int = 32 << 20
    max_header_bytes: int = 64 << 10
    max_record_lines: int = 100
    max_record_bytes: int = 1 << 20


@dataclass
class Scanned:
    """A scan, collected at once."""

    rows: list[dict[str, Any]]
    markers: dict[tuple[int, int], Marker]

    def outcomes(self) -> list[str]:
        return [marker.outcome for _, marker in sorted(self.markers.items())]


@pytest.fixture
def run(contract: Contract) -> Any:
    lookups = known()

    def run(bucket: Bucket, settings: Settings | None = None, whole: frozenset[int] = frozenset()) -> Scanned:
        settings = settings or Settings()
        limits = Limits(settings.max_record_lines, settings.max_record_bytes, settings.max_header_bytes)
        reader = SplitReader(contract, limits, KnownKeys(lookups).of, bucket.factory)
        splits = plan_splits(bucket.files, settings.split_bytes, whole, block_bytes=16)
        bundles = bundle_splits(splits, settings.split_bytes, parallelism=2)
        collected = [row for bundle in bundles for batch in reader.read(bundle) for row in batch.to_pylist()]
        markers = [Marker.from_json(row["_marker"]) for row in collected if row["_marker"] is not None]
        rows = [row for row in collected if row["_marker"] is None]
        assert len(markers) == len(splits)
        return Scanned(rows, {(marker.file_id, marker.split): marker for marker in markers})

    return run


def test_a_clean_file_gives_its_rows_with_lines_and_a_marker(run: Any) -> None:
    bucket = Bucket()
    data = HEADER + ROW + b"\n" + ROW.replace(b"sugar", b"")
    bucket.put("sales_data/a.csv", data)
    found = run(bucket)
    assert [tuple(row[name] for name in NAMES) for row in found.rows] == [FIELDS, (*FIELDS[:2], None, *FIELDS[3:])]
    # A value that is needed and not there.
    missing = {"code": "NULL_VALUE", "column": "product_name", "value": None}
    assert [row["_faults"] for row in found.rows] == [None, [missing]]
    assert [(row["_file_id"], row["_split"], row["_line"]) for row in found.rows] == [(1, 0, 2), (1, 0, 4)]
    assert {row[name] for row in found.rows for name in ("_extra", "_marker")} == {None}
    blocks = b"".join(hashlib.sha256(data[at : at + 16]).digest() for at in range(0, len(data), 16))
    assert found.markers == {
        (1, 0): Marker(1, 0, "OK", None, len(HEADER), len(data), 4, 2, len(data), blocks, NAMES, ",", HEADER.decode().strip())
    }


def test_columns_come_by_name_and_extra_ones_by_sorted_name(run: Any) -> None:
    bucket = Bucket()
    bucket.put(
        "a.csv",
        b"total_cost;Payment Mode;qty;price;Customer ID;store_id;product_name;sales_date;sales_person_id;area\n"
        b"1;UPI;2;3;4;5;6;2024-01-31;8;x\n",
    )
    found = run(bucket)
    (row,) = found.rows
    assert [row[name] for name in NAMES] == [4, 5, "6", date(2024, 1, 31), 8, Decimal(3), 2, Decimal(1)]
    assert row["_raw"] == "1;UPI;2;3;4;5;6;2024-01-31;8;x"
    assert row["_extra"] == [("Payment Mode", "UPI"), ("area", "x")]


# As text -> whether it is customer 1, who is known.
CUSTOMERS = {
    "1": True, " 1 ": True, "+1": True, "001": True, "1.": True, "1.00": True, "0" * 5000 + "1": True,
    "-1": False, "2.5": False, "1e0": False, "x": False, "": False, "\uff11": False, "3": False, "9" * 19: False, "1" * 5000: False,
}  # fmt: skip


def test_a_row_knows_its_customer_however_the_key_is_written(run: Any) -> None:
    bucket = Bucket()
    rows = [f"{key},121,sugar,2024-04-30,1,50,2,100\n" for key in CUSTOMERS]
    bucket.put("a.csv", HEADER + "".join(rows).encode())
    found = run(bucket, Settings(max_record_bytes=10_000))
    assert [bool(row["_known"] & 1) for row in found.rows] == list(CUSTOMERS.values())
    # Store 121, seller 1 and sugar are known in each of them.
    assert {row["_known"] & ~1 for row in found.rows} == {2 + 4 + 8}


def test_a_row_knows_its_product_letter_by_letter(run: Any) -> None:
    bucket = Bucket()
    products = {"sugar": True, " sugar ": True, "Sugar": False, "sugar.": False, "": False}
    # A price of +50 is not written plainly.
    rows = [f"1,121,{product},2024-04-30,1,{price},2,100\n" for price in ("50", "+50") for product in products]
    bucket.put("a.csv", HEADER + "".join(rows).encode())
    assert [bool(row["_known"] & 8) for row in run(bucket).rows] == [*products.values()] * 2


def test_structural_faults_stay_with_their_line(run: Any) -> None:
    bucket = Bucket()
    bucket.put("a.csv", HEADER + b'1,2,3\n2,121,"maida\n' + ROW + b"\xff" + ROW)
    rows = run(bucket).rows
    assert [(row["_line"], [fault["code"] for fault in row["_faults"] or []]) for row in rows] == [
        (2, ["TOO_FEW_FIELDS"]),
        (3, ["UNCLOSED_QUOTE"]),
        (4, []),
        (5, ["INVALID_ENCODING"]),
    ]
    assert rows[3]["_faults"] == [{"code": "INVALID_ENCODING", "column": "customer_id", "value": "\\xff1"}]


def test_every_record_keeps_its_text(run: Any) -> None:
    lines = [ROW.strip(), b"1,121,\xc3\xa9,,,,,", b'"1",121,"su""gar",2024-01-31,1,50.00,2,100.00', b"1,2"]
    bucket = Bucket()
    bucket.put("a.csv", HEADER + b"\r\n".join(lines) + b"\r\n")
    texts = [row["_raw"] for row in run(bucket).rows]
    assert texts == [line.decode() for line in lines]


def test_whole_files_are_rejected_with_their_reason_and_no_row(run: Any) -> None:
    bucket = Bucket()
    bucket.put("empty.csv", b"")
    bucket.put("blank.csv", b"\xef\xbb\xbf\n\n")
    bucket.put("zip.csv", b"PK\x03\x04")
    bucket.put("gzip.csv", gzip.compress(HEADER + ROW))
    bucket.put("missing.csv", b"customer_id,price\n1,2\n")
    bucket.put("twice.csv", HEADER.replace(b"\n", b",PRICE\n") + ROW)
    bucket.put("data.csv", ROW)
    bucket.put("mark.csv", HEADER.replace(b",", b"^") + ROW)
    bucket.put("damaged.csv.gz", gzip.compress(HEADER + ROW)[:-3])
    bucket.put("good.csv", HEADER)
    found = run(bucket)
    reasons = "EMPTY EMPTY NOT_CSV NOT_CSV MISSING_COLUMN DUPLICATE_COLUMN NO_HEADER WRONG_DELIMITER UNREADABLE OK"
    assert found.outcomes() == reasons.split()
    assert all(marker.detail for marker in found.markers.values() if marker.outcome != "OK")
    assert {row["_file_id"] for row in found.rows} <= {9}


def test_objects_that_changed_since_they_were_booked_are_not_read(run: Any) -> None:
    bucket = Bucket()
    for key in ("same.csv", "overwritten.csv", "gone.csv"):
        bucket.put(key, HEADER + ROW)
    bucket.overwrite("overwritten.csv", HEADER + ROW + ROW)
    bucket.remove("gone.csv")
    found = run(bucket)
    assert found.outcomes() == ["OK", "OVERWRITTEN", "GONE"]
    assert [row["_file_id"] for row in found.rows] == [1]


@pytest.mark.parametrize("key", ["sales_data//a.csv", "_hidden.csv", ".dot.csv", "[a]{b}*?.csv", "ü ö+%41'\".csv", "../up.csv", "a" * 1000])
def test_any_key_is_read(run: Any, key: str) -> None:
    bucket = Bucket()
    bucket.put(key, HEADER + ROW)
    assert len(run(bucket).rows) == 1


def test_gzip_is_read_and_its_lines_counted(run: Any) -> None:
    bucket = Bucket()
    data = gzip.compress(HEADER + ROW * 1000)
    bucket.put("a.csv.gz", data, etag="0123-2")
    found = run(bucket, Settings(split_bytes=100))
    assert [row["_line"] for row in found.rows] == list(range(2, 1002))
    (marker,) = found.markers.values()
    assert (marker.ended_at, marker.hashed) == (len(HEADER + ROW * 1000), len(data))


def test_one_content_has_one_digest_however_it_was_uploaded(run: Any) -> None:
    bucket = Bucket()
    data = HEADER + ROW
    bucket.put("plain.csv", data)
    bucket.put("parts.csv", data, etag="d41d8cd98f00b204e9800998ecf8427e-3")
    found = run(bucket)
    digests = content_digests(found.markers.values(), {1: len(data), 2: len(data)})
    assert digests[1] == digests[2]


def test_a_large_file_is_read_in_ranges_and_its_lines_add_up(run: Any) -> None:
    lines = [ROW.replace(b"1,", b"%d," % n, 1) for n in range(500)]
    bucket = Bucket()
    bucket.put("a.csv", HEADER + b"".join(lines))
    found = run(bucket, Settings(split_bytes=997))
    markers = list(found.markers.values())
    assert len(markers) > 10
    assert broken_borders(markers) == set()
    bases = line_bases(markers)
    absolute = {row["_line"] + bases.get((1, row["_split"]), 0): row["customer_id"] for row in found.rows}
    assert absolute == {n + 2: n for n in range(500)}
    assert sum(marker.rows for marker in markers) == 500
    assert sum(marker.lines for marker in markers) == 501


def test_ranges_smaller_than_a_line_and_than_the_header_lose_nothing(run: Any) -> None:
    bucket = Bucket()
    bucket.put("a.csv", b"\n\n" + HEADER + ROW * 3)
    found = run(bucket, Settings(split_bytes=16))
    assert broken_borders(found.markers.values()) == set()
    assert len(found.rows) == 3
    assert sum(marker.lines for marker in found.markers.values()) == 6


def test_a_quoted_line_break_across_a_border_is_noticed_and_mended_by_reading_the_file_whole(run: Any) -> None:
    record = b'1,121,"' + b"x\n" * 50 + b'",2024-01-31,1,50.00,2,100.00\n'
    bucket = Bucket()
    bucket.put("a.csv", HEADER + record * 5)
    bucket.put("b.csv", HEADER + ROW * 10)
    found = run(bucket, Settings(split_bytes=200))
    broken = broken_borders(found.markers.values())
    assert broken == {1}
    mended = run(bucket, Settings(split_bytes=200), frozenset(broken))
    assert broken_borders(mended.markers.values()) == set()
    assert Counter((row["_file_id"], bool(row["_faults"])) for row in mended.rows) == {(1, False): 5, (2, False): 10}


def test_a_line_longer_than_several_ranges_costs_one_row(run: Any) -> None:
    bucket = Bucket()
    bucket.put("a.csv", HEADER + ROW + b"x" * 5000 + b"\n" + ROW)
    found = run(bucket, Settings(split_bytes=400, max_record_bytes=1000))
    assert broken_borders(found.markers.values()) == set()
    assert Counter(tuple(fault["code"] for fault in row["_faults"] or []) for row in found.rows) == {(): 2, ("RECORD_TOO_LONG",): 1}


def test_many_small_files_are_all_read(run: Any) -> None:
    bucket = Bucket()
    for number in range(200):
        bucket.put(f"{number}.csv", HEADER + ROW * (number % 3))
    found = run(bucket)
    assert len(found.markers) == 200
    assert Counter(row["_file_id"] for row in found.rows) == {n + 1: n % 3 for n in range(200) if n % 3}


def test_no_files_are_no_rows(run: Any) -> None:
    assert run(Bucket()).rows == []
