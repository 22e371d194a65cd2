"""verify's own reader of CSV files: the same records as the product's parser, which it shares no code with, and no text makes it slow."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from app.contract.contract import Column, Contract, Settings
from app.parsing.preamble import FileFault, read_preamble
from app.parsing.record_rules import REASONS, Limits
from app.parsing.records import RecordParser
from app.verify.csv_reader import STRUCTURAL, CsvFile, CsvRecord, NoSalesFile

CONTRACT = Contract(
    (Column("a", "string"), Column("b", "string", aliases=("Größe",)), Column("c", "string", required=False, nullable=True))
)
WINDOWS = Contract(CONTRACT.columns, settings=Settings(encoding="windows-1252"))
LIMITS = Limits(max_record_lines=3, max_record_bytes=60)


def config(limits: Limits) -> Any:
    return SimpleNamespace(stream=limits)


def read(data: bytes, contract: Contract = CONTRACT, limits: Limits = LIMITS) -> list[CsvRecord]:
    return list(CsvFile(io.BytesIO(data), contract, config(limits)).records())


def parsed(data: bytes, contract: Contract = CONTRACT, limits: Limits = LIMITS) -> list[CsvRecord] | None:
    """What the product's parser makes of it; None for no sales file."""
    preamble = read_preamble(data, is_all=True, contract=contract, encoding=contract.settings.encoding, limits=limits)
    if isinstance(preamble, FileFault):
        return None
    parser = RecordParser(preamble.layout, limits, first_line=preamble.lines + 1)
    batches = [*parser.feed(data[preamble.size :]), *parser.feed(b"", is_last=True)]
    rows = [row for batch in batches for row in batch.to_pylist()]
    return [CsvRecord(row["_line"], None if row["_faults"] else [row[name] for name in contract.names]) for row in rows]


def test_its_structural_reasons_are_those_of_the_parser() -> None:
    assert set(STRUCTURAL) == set(REASONS)


def test_records_are_read_by_the_names_of_the_header() -> None:
    data = b'\xef\xbb\xbf\n "GR\xc3\x96SSE" ;x;A\r\r\n"1;1";2;3\r\r\n\n4;5\n6;"7\n8";9\r\n'
    assert read(data) == [CsvRecord(3, ["3", "1;1", None]), CsvRecord(5, None), CsvRecord(6, ["9", "6", None])]


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "it holds no line"), (b"\n \n", "it holds no line"), (b"c,x\n1,2\n", "the header lacks a, b")]
)
def test_a_file_without_the_columns_is_no_sales_file(data: bytes, said: str) -> None:
    with pytest.raises(NoSalesFile, match=said):
        read(data)


TOKENS = [b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"a", b" ", b"\0", b"\xff", "é".encode(), b"\xef\xbb\xbf", b"\t", b"k" * 61, b"\r\r\n"]
LINES = [b"1,2,3\n", b'"x",y,z\r\n', b'"p\nq",y,z\n', b'x,y,"p\nq"\r\n', b'x,"y,y",""\n', b'"a"b,', b'1,"2,3\n', b'","']
BODIES = st.lists(st.sampled_from(TOKENS + LINES + LINES), max_size=25).map(b"".join)
HEADERS = [b"a,b,c\n", b"\xef\xbb\xbfc,b,a\r\n", b"\n \na,b,x\n", b'"a","b",c\r\r\n', b'"a\n",b,c\n', b"a;b;c\n", b"a\tb\tc\n"]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(HEADERS), BODIES, st.sampled_from([CONTRACT, WINDOWS]))
def test_both_readers_find_the_same_records(header: bytes, body: bytes, contract: Contract) -> None:
    expected = parsed(header + body, contract)
    # Most of it may be NULs, which is no text.
    assume(expected is not None)
    assert read(header + body, contract) == expected


PIECES = [b'"', b'""', b",", b"\n", b"\r", b"\0", b"\xff", "é".encode(), b"1", b'1","121","sugar","100\n', b'"' + b"x" * 300 + b"\n"]


def cpu(data: bytes) -> float:
    begin = time.process_time()
    read(b"a,b,c\n" + data, limits=Limits())
    return time.process_time() - begin


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=20).map(b"".join))
@example(b'1","121","sugar","2024-03-20","4","50","12","100\n')
@example(b'"' + b"x" * 300 + b"\n")
@example(b'","')
def test_no_text_takes_long(piece: bytes) -> None:
    size = 128 << 10
    data = (piece * (size // len(piece) + 1))[:size]
    # At most 10 microseconds a byte; 128 KB took twelve seconds in the parser that this rule was made for.
    assert min(cpu(data) for _ in range(2)) < 1.3
