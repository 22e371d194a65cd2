"""Whatever Python's csv module writes comes back exactly through header matching and the parser; the stream does the same on S3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.parsing.preamble import Preamble, read_preamble
from app.parsing.record_rules import Limits
from app.parsing.records import RecordParser
from tests.shipped import shipped_contract
from tests.written import COLUMNS, DELIMITERS, ENDINGS, EXTRA_NAMES, QUOTINGS, write_csv

CONTRACT = shipped_contract()
# Control characters are left out, as a file of many of them is binary; csv does not take NUL at all.
LETTERS = st.sampled_from("abé\"',;\n\r\t |1. 😀\u00a0\u2028\ufeff\\") | st.characters(exclude_categories=["Cs", "Cc"])
TEXTS = st.text(LETTERS, max_size=6) | st.sampled_from(
    ["", '"', '""', "\r\n", "\n", "\r", "a\r", '"\n"', ",", " ", "NULL", "\\", "\\n", '\\"']
)
NUMBERS = st.integers(-(10**9), 10**9) | st.decimals(-(10**6), 10**6, places=4, allow_nan=False)
HEADERS = st.lists(st.sampled_from(EXTRA_NAMES), max_size=2, unique=True).flatmap(lambda extra: st.permutations([*COLUMNS, *extra]))


def read(data: bytes, small_bytes: int) -> list[dict[str, Any]]:
    """Read a file as a worker does, header first."""
    preamble = read_preamble(data, is_all=True, contract=CONTRACT, encoding="utf-8", limits=Limits())
    assert isinstance(preamble, Preamble), preamble
    parser = RecordParser(preamble.layout, Limits(), first_line=preamble.lines + 1, small_bytes=small_bytes)
    batches = [*parser.feed(data[preamble.size :]), *parser.feed(b"", is_last=True)]
    return pa.Table.from_batches(batches).to_pylist() if batches else []


# small_bytes: everything may go through Arrow, or nothing.
@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    data=st.data(),
    header=HEADERS,
    quoting=st.sampled_from(QUOTINGS),
    ending=st.sampled_from(ENDINGS),
    mark=st.sampled_from(DELIMITERS),
    small_bytes=st.sampled_from([0, 1 << 40]),
)
def test_rows_and_header_come_back_as_they_were_written(
    data: st.DataObject, header: Sequence[str], quoting: int, ending: str, mark: str, small_bytes: int
) -> None:
    rows = data.draw(st.lists(st.tuples(*[TEXTS | NUMBERS for _ in header]), max_size=6))
    written = write_csv(header, rows, quoting=quoting, ending=ending, delimiter=mark)
    found = read(written.data, small_bytes)
    assert [{name: row[name] for name in COLUMNS} | dict(row["_extra"] or ()) for row in found] == written.cells
    assert [row["_line"] for row in found] == written.lines
    assert [row["_faults"] for row in found] == [None] * len(rows)
