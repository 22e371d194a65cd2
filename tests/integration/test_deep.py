"""`verify --deep` of one file, without servers: silent over the whole corpus, and every change of a file is named."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from app.contract.columns import typed_schema, with_types
from app.contract.contract import Contract, Settings, load_contract
from app.parsing.preamble import FileFault, read_preamble
from app.parsing.record_rules import REASONS, Limits
from app.parsing.records import RecordParser
from app.verify import deep
from app.verify.parquet import print_of
from app.verify.scratch_database import Scratch, open_scratch
from tests.conftest import REPOSITORY
from tests.corpus.build import body
from tests.corpus.expected import CASES, COMMITTED, Case

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LIMITS = Limits()
CONFIG: Any = SimpleNamespace(stream=LIMITS)
CONTRACT = load_contract(REPOSITORY / "conf" / "contract.yml")
WINDOWS = Contract(CONTRACT.columns, CONTRACT.rules, Settings(encoding="windows-1252"))
FILES = [case for case in CASES if case.state == COMMITTED and case.ignored_by is None]


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with open_scratch() as scratch:
        yield scratch


def load(scratch: Scratch, data: bytes, contract: Contract) -> deep._Booked | None:
    """What the product makes of a file, as verify finds it in ledger and Parquet; None for no sales file."""
    encoding, head = contract.settings.encoding, data[: LIMITS.max_header_bytes]
    preamble = read_preamble(head, is_all=True, contract=contract, encoding=encoding, limits=LIMITS)
    if isinstance(preamble, FileFault):
        return None
    parser = RecordParser(preamble.layout, LIMITS, first_line=preamble.lines + 1)
    batches = [*parser.feed(data[preamble.size :]), *parser.feed(b"", is_last=True)]
    rows = pa.Table.from_batches([with_types(batch, contract) for batch in batches], typed_schema(preamble.layout.schema, contract))
    scratch.run("CREATE OR REPLACE TABLE rejected (file_id BIGINT, line BIGINT, raw VARCHAR, code VARCHAR)")
    faults = rows.column("_faults").to_pylist()
    texts = zip(rows.column("_line").to_pylist(), rows.column("_raw").to_pylist(), faults, strict=True)
    bad = [(1, line, raw, fault[0]["code"]) for line, raw, fault in texts if fault]
    scratch.append("rejected", bad)
    scratch._db.register("facts", rows.filter(pa.array([not fault for fault in faults], pa.bool_())).select(list(contract.names)))
    mark = print_of([f'"{name}"' for name in contract.names])
    found = next(iter_rows(scratch, f"SELECT count(*), coalesce(sum(total_cost), 0), coalesce({mark}, 0) FROM facts"))
    scratch._db.unregister("facts")
    return deep._Booked(1, "a.csv", parser.rows, deep.Sums(*found), sum(code in REASONS for *_, code in bad))


def loaded(scratch: Scratch, data: bytes) -> deep._Booked:
    booked = load(scratch, data, CONTRACT)
    assert booked is not None
    return booked


def iter_rows(scratch: Scratch, sql: str) -> Iterator[tuple[Any, ...]]:
    return iter(scratch._db.execute(sql).fetchall())


def verify(scratch: Scratch, data: bytes, booked: deep._Booked, contract: Contract = CONTRACT) -> list[str]:
    path = Path(scratch.folder) / "archived.csv"
    path.write_bytes(data)
    return [one.text for one in deep._file(CONFIG, contract, scratch, path, booked)]


def unpacked(case: Case) -> bytes:
    data = body(case.name)
    return gzip.decompress(data) if data.startswith(deep.GZIP_MAGIC) else data


@pytest.mark.parametrize("case", FILES, ids=[case.name for case in FILES])
def test_no_file_of_the_corpus_is_read_otherwise(scratch: Scratch, case: Case) -> None:
    booked = loaded(scratch, unpacked(case))
    assert verify(scratch, body(case.name), booked) == []


@pytest.mark.parametrize("case", FILES, ids=[case.name for case in FILES])
def test_no_file_of_the_corpus_is_read_otherwise_under_windows_1252(scratch: Scratch, case: Case) -> None:
    booked = load(scratch, unpacked(case), WINDOWS)
    if booked is None:
        # Its header is other text by this encoding: in that both agree, too.
        (said,) = verify(scratch, body(case.name), deep._Booked(1, "a.csv", 0, deep.Sums(0, Decimal(0), 0), 0), WINDOWS)
        assert said.startswith("the archived CSV is no sales file: the header lacks ")
    else:
        assert verify(scratch, body(case.name), booked, WINDOWS) == []


HEADER = ",".join(CONTRACT.names).encode()
GOOD = b"%d,121,sugar,2024-03-20,1,1,1,1\n"
PLAIN = HEADER + b"\n" + b"".join(GOOD % n for n in range(1, 6))
# Each makes DuckDB read otherwise, or not at all.
ODD = {
    "plain": b"",
    "a lone CR": b"1,121,su\rgar,2024-03-20,1,1,1,1\n",
    "doubled CRs": b'"1","121","sugar","2024-03-20","1","1","1","1"\r\r\n',
    "an unclosed quote": b'1,121,"sugar,2024-03-20,1,1,1,1\n',
    "text behind a quote": b'1,121,"su"gar,2024-03-20,1,1,1,1\n',
    "a NUL": b"1,121,su\0gar,2024-03-20,1,1,1,1\n",
    "bytes that are no text": b"1,121,\xff,2024-03-20,1,1,1,1\n",
    "a line of blanks": b" \t\n",
    "a long line": b"x" * (LIMITS.max_record_bytes + 1) + b"\n",
    "a quoted line break": b'1,121,"su\ngar",2024-03-20,1,1,1,1\n',
    "a rejected value": b"x,121,su\rgar,2024-03-20,1,1,1,1\n",
}
VALUES = "rows and sum agree with the archived CSV, the values of some row do not"
SUM = "the sum of total_cost is {}.00, the archived CSV says {%s}.00"
CHANGES = {
    "a key": (GOOD % 3, GOOD % 7, [VALUES]),
    "a store": (b"4,121,sugar", b"4,122,sugar", [VALUES]),
    "a date": (b"5,121,sugar,2024-03-20", b"5,121,sugar,2024-03-21", [VALUES]),
    "an amount": (GOOD % 2, (GOOD % 2).replace(b"1,1\n", b"1,2\n"), [SUM % "+"]),
    "a row more": (GOOD % 3, GOOD % 3 * 2, ["rows_read is {r}, the archived CSV says {r+}", SUM % "+"]),
    "a bad quote": (
        GOOD % 3,
        (GOOD % 3).replace(b"sugar", b'"su"gar'),
        [SUM % "-", "no whole records in the archived CSV, and not rejected as such: line {3}"],
    ),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_named_whatever_else_the_file_holds(scratch: Scratch, odd: str, change: str) -> None:
    old, new, said = CHANGES[change]
    data = HEADER + b"\n" + ODD[odd] + PLAIN.split(b"\n", 1)[1]
    booked = loaded(scratch, data)
    assert verify(scratch, data, booked) == []
    rejected = int(next(iter_rows(scratch, f"SELECT count(*) FROM rejected WHERE code NOT IN {REASONS}"))[0])
    total, line = int(booked.sums.amount) + rejected, data[: data.index(old)].count(b"\n") + 1
    names = {"{}": total, "{+}": total + 1, "{-}": total - 1, "{r}": booked.read, "{r+}": booked.read + 1, "{3}": line}
    wanted = []
    for text in said:
        for name, number in names.items():
            text = text.replace(name, str(number))
        wanted.append(text)
    assert data.count(old) == 1
    assert verify(scratch, data.replace(old, new), booked) == wanted


def test_a_rejected_row_that_is_not_in_the_file_any_more_is_named(scratch: Scratch) -> None:
    data = HEADER + b"\n" + ODD["an unclosed quote"] + GOOD % 1
    booked = loaded(scratch, data)
    assert verify(scratch, data.replace(b'"', b""), booked)[1:] == [
        "rejected for their form, and whole records in the archived CSV or not in it: line 2"
    ]


@pytest.mark.parametrize("cut", [-3, 20])
def test_damaged_gzip_is_named(scratch: Scratch, cut: int) -> None:
    booked = loaded(scratch, PLAIN)
    assert verify(scratch, gzip.compress(PLAIN), booked) == []
    assert [text.split(":")[0] for text in verify(scratch, gzip.compress(PLAIN)[:cut], booked)] == ["the archived CSV cannot be read"]
