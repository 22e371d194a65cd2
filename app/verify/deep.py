"""`--deep`: the archived CSV files read again, one file at a time, against what became of their rows.

A file's records must be its loaded, waiting and rejected rows together: as many, with the same sum, and with the same values whatever
their order; and what is no whole record must be rejected as such, line by line. DuckDB reads first, as it is fast. Where it does not agree
(it knows other rules of quotes, line ends and damage than the ones we promise) csv_reader.py reads, whose word counts.
"""

from __future__ import annotations

import gzip
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from app.config.load import Config
from app.contract.contract import Column, Contract
from app.s3.read import S3Client, download
from app.verify.csv_reader import STRUCTURAL, CsvFile, CsvRecord, Header, NoSalesFile, values_of
from app.verify.difference import REMARK, Difference, differs
from app.verify.parquet import print_of
from app.verify.scratch_database import Scratch

READER = "the archived CSV"
BLANKS = "chr(32) || chr(9) || chr(13) || chr(10) || chr(160)"
_DATE_LETTERS = {"yyyy": "%Y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%-m", "dd": "%d", "d": "%-d"}
GZIP_MAGIC = b"\x1f\x8b"
# Rows that are summed up at a time, and their characters.
PAGE_ROWS = 2000
PAGE_CHARS = 4 << 20
SHOWN_LINES = 5


@dataclass(frozen=True)
class Sums:
    """Rows, their sum of total_cost, and the fingerprint of their values."""

    rows: int
    amount: Decimal
    mark: int

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.rows + other.rows, self.amount + other.amount, self.mark + other.mark)


@dataclass(frozen=True)
class _Booked:
    """What the ledger and the Parquet say of a file: rows read, the sums of its loaded and waiting rows, its rows of no whole record."""

    file_id: int
    subject: str
    read: int
    sums: Sums
    broken: int


def deep(client: S3Client, config: Config, contract: Contract, scratch: Scratch) -> Iterator[Difference | None]:
    """Read every archived file that is in force; yield its differences, and None behind each file."""
    sql = (
        "SELECT f.id, f.object_key, f.archived_key, f.rows_read, coalesce(c.row_count, 0), coalesce(c.amount, 0), coalesce(c.print, 0),"
        " coalesce(r.broken, 0), is_mended, is_cleaned, coalesce(f.contract_hash <> ?, FALSE) FROM file f"
        " LEFT JOIN (SELECT file_id, sum(row_count) AS row_count, sum(amount) AS amount,"
        " sum(print) AS print FROM calc_file WHERE kind IN ('facts', 'pending') GROUP BY file_id) c ON c.file_id = f.id"
        " LEFT JOIN (SELECT file_id,"
        f" count(*) FILTER (code IN ({', '.join(repr(code) for code in STRUCTURAL)})) AS broken FROM rejected GROUP BY file_id) r"
        " ON r.file_id = f.id WHERE f.in_force = 1 AND f.archived_key IS NOT NULL ORDER BY f.id"
    )
    for file_id, key, archived_key, read, *sums, broken, is_mended, is_cleaned, is_other in scratch.rows(sql, (contract.hash,)):
        subject = f"source_file id={file_id} {key!r}"
        if is_mended or is_cleaned:
            what = "rejected rows of it were mended" if is_mended else "clean has deleted its rejected rows"
            yield Difference(REMARK, subject, f"not comparable: {what}; only its Parquet was compared")
            continue
        booked = _Booked(file_id, subject, read, Sums(sums[0], sums[1], sums[2]), broken)
        path = scratch.folder / "archived.csv"
        if not download(client, config.s3.bucket, archived_key, path):
            continue  # named by the comparison of the archive
        try:
            found = _file(config, contract, scratch, path, booked)
            yield from (_excused(one) if is_other and one.field != "rows_read" else one for one in found)
        finally:
            path.unlink()
        yield None


def _excused(one: Difference) -> Difference:
    """Turn a difference of values into a remark: today's contract may read the file in another way than the one that loaded it."""
    return Difference(REMARK, one.subject, f"{one.text}; it was loaded under another contract than today's, and a replay reads it anew")


def column_types(contract: Contract) -> dict[str, str]:
    """Return the contract's columns with DuckDB's type of each."""
    types = {"int": "INTEGER", "bigint": "BIGINT", "string": "VARCHAR", "date": "DATE"}
    return {column.name: types.get(column.type, column.type.upper()) for column in contract.columns}


def _file(config: Config, contract: Contract, scratch: Scratch, path: Path, booked: _Booked) -> Iterator[Difference]:
    try:
        _unzip(path)
        with path.open("rb") as stream:
            found = CsvFile(stream, contract, config)
            header = found.header
            rejected = _rejected(contract, scratch, header, booked.file_id)
            if not booked.broken and _agrees(contract, scratch, path, header, booked, rejected):
                return
            sums, broken_lines = _read(contract, scratch, found.records())
    except NoSalesFile as exc:
        yield Difference("csv", booked.subject, f"the archived CSV is no sales file: {exc}")
        return
    except (EOFError, OSError, zlib.error) as exc:
        yield Difference("csv", booked.subject, f"{READER} cannot be read: {type(exc).__name__}: {exc}")
        return
    yield from _differences(scratch, booked, sums, booked.sums + rejected, broken_lines)


def _differences(scratch: Scratch, booked: _Booked, found: Sums, expected: Sums, broken_lines: Sequence[int]) -> Iterator[Difference]:
    subject = booked.subject
    rows = found.rows + len(broken_lines)
    if rows != booked.read:
        yield differs("csv", subject, "rows_read", booked.read, rows, READER)
    if found.amount != expected.amount:
        yield differs("csv", subject, "the sum of total_cost", expected.amount, found.amount, READER)
    codes = ", ".join(map(repr, STRUCTURAL))
    wanted = {line for (line,) in scratch.rows(f"SELECT line FROM rejected WHERE file_id = ? AND code IN ({codes})", (booked.file_id,))}
    if there := sorted(set(broken_lines) - wanted):
        yield Difference("csv", subject, f"no whole records in {READER}, and not rejected as such: {_named(there)}")
    if gone := sorted(wanted - set(broken_lines)):
        yield Difference("csv", subject, f"rejected for their form, and whole records in {READER} or not in it: {_named(gone)}")
    if (found.rows, found.amount) == (expected.rows, expected.amount) and found.mark != expected.mark:
        yield Difference("csv", subject, f"rows and sum agree with {READER}, the values of some row do not")


def _named(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:SHOWN_LINES]))
    return f"line {shown}" + (f" and {len(lines) - SHOWN_LINES} more" if len(lines) > SHOWN_LINES else "")


def _unzip(path: Path) -> None:
    """Make the copy uncompressed, in place."""
    with path.open("rb") as stream:
        is_gzip = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if is_gzip:
        target = path.with_suffix(".plain")
        with gzip.open(path, "rb") as source, target.open("wb") as plain:
            shutil.copyfileobj(source, plain)
        target.replace(path)


def _agrees(contract: Contract, scratch: Scratch, path: Path, header: Header, booked: _Booked, rejected: Sums) -> bool:
    """Tell whether DuckDB finds in the file just what is booked."""
    if header.encoding != "utf-8":
        return False
    columns = ", ".join(f"'f{at}': 'VARCHAR'" for at in range(header.width))
    source = (
        f"(SELECT {', '.join(f'f{place} AS c{at}' for at, place in enumerate(header.places) if place is not None)} FROM"
        f" read_csv('{path}', auto_detect = false, header = false, skip = {header.lines}, delim = '{header.mark.decode()}', quote = '\"',"
        f" escape = '\"', strict_mode = false, null_padding = true, parallel = false, columns = {{{columns}}}))"
    )
    try:
        found = _sums(contract, scratch, source, header)
    except duckdb.Error:
        return False
    return found == booked.sums + rejected and found.rows == booked.read


def _read(contract: Contract, scratch: Scratch, records: Iterator[CsvRecord]) -> tuple[Sums, list[int]]:
    """Return the sums of the whole records, and the lines of the others."""
    broken: list[int] = []

    def whole() -> Iterator[list[str | None]]:
        for record in records:
            if record.values is None:
                broken.append(record.line)
            else:
                yield record.values

    return _sums_of_values(contract, scratch, whole()), broken


def _rejected(contract: Contract, scratch: Scratch, header: Header, file_id: int) -> Sums:
    """Read the kept text of the rows that were rejected for their values."""
    codes = ", ".join(map(repr, STRUCTURAL))
    texts = scratch.rows(f"SELECT raw FROM rejected WHERE file_id = ? AND code NOT IN ({codes})", (file_id,))
    found = (values_of(raw.encode(header.encoding, "replace"), header) for (raw,) in texts)
    return _sums_of_values(contract, scratch, (values if values is not None else [None] * len(contract.columns) for values in found))


def _sums_of_values(contract: Contract, scratch: Scratch, rows: Iterator[list[str | None]]) -> Sums:
    """Sum rows up page by page."""
    scratch.run(f"CREATE OR REPLACE TABLE csv_row ({', '.join(f'c{at} VARCHAR' for at in range(len(contract.columns)))})")
    total = Sums(0, Decimal(0), 0)
    for page in _pages(rows):
        scratch.append("csv_row", page)
        total += _sums(contract, scratch, "csv_row", None)
        scratch.run("TRUNCATE csv_row")
    return total


def _pages(rows: Iterator[list[str | None]]) -> Iterator[list[list[str | None]]]:
    page: list[list[str | None]] = []
    size = 0
    for row in rows:
        page.append(row)
        size += sum(len(value) for value in row if value)
        if len(page) >= PAGE_ROWS or size >= PAGE_CHARS:
            yield page
            page, size = [], 0
    if page:
        yield page


def _sums(contract: Contract, scratch: Scratch, source: str, header: Header | None) -> Sums:
    """Return the sums of a table with the text of each column of the contract (of those that the header has) as c0, c1 and so on."""
    names = {column.name: None if header and header.places[at] is None else f"c{at}" for at, column in enumerate(contract.columns)}
    typed = {column.name: typed_sql(column, names[column.name]) for column in contract.columns}
    sql = f"SELECT count(*), coalesce(sum({typed['total_cost']}), 0), coalesce({print_of(list(typed.values()))}, 0) FROM {source}"
    row = next(iter(scratch.rows(sql)))
    return Sums(int(row[0]), Decimal(row[1]), int(row[2]))


def typed_sql(column: Column, name: str | None) -> str:
    """Return the SQL of a column's value from its text; NULL where the file has no such column or the text does not convert."""
    if name is None:
        return "NULL"
    text = f"nullif({f'trim({name}, {BLANKS})' if column.trim else name}, '')"
    if column.type == "string":
        return text
    if column.type == "date":
        tries = [f"CAST(try_strptime({text}, '{strptime_of(form)}') AS DATE)" for form in column.date_formats]
        return f"coalesce({', '.join(tries)})"
    if column.precision_scale is not None:
        precision, scale = column.precision_scale
        return f"TRY_CAST({text} AS DECIMAL({precision}, {scale}))"
    return f"TRY_CAST(split_part({text}, '.', 1) AS BIGINT)"


def strptime_of(form: str) -> str:
    """Turn a date format of the contract (Java's letters) into DuckDB's."""
    return re.sub(r"yyyy|M{1,4}|d{1,2}", lambda found: _DATE_LETTERS[found[0]], form)
