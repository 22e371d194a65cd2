"""`--deep`: the archived CSV files read again by DuckDB, one file at a time, against what became of their rows.

A file's records must be its loaded, waiting and rejected rows together: as many, with the same sum, and with the same values
whatever their order. The quarantine keeps the text of a rejected row, which DuckDB reads like a file.
"""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb

from app.config.load import Config
from app.contract.contract import Column, Contract
from app.parsing.preamble import GZIP_MAGIC, FileFault, Preamble, read_preamble
from app.parsing.record_rules import REASONS as STRUCTURAL
from app.parsing.record_rules import Limits
from app.s3.read import S3Client, download
from app.verify.difference import REMARK, Difference, differs
from app.verify.parquet import print_of
from app.verify.scratch import Scratch

READER = "the archived CSV"
BLANKS = "chr(32) || chr(9) || chr(13) || chr(10) || chr(160)"
_DATE_LETTERS = {"yyyy": "%Y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%-m", "dd": "%d", "d": "%-d"}
Sums = tuple[int, Decimal, int]


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
        path = scratch.folder / "archived.csv"
        if not download(client, config.s3.bucket, archived_key, path):
            continue  # named by the comparison of the archive
        try:
            wanted = (file_id, read, (sums[0], sums[1], sums[2]))
            found = _file(config, contract, scratch, path, subject, wanted, broken)
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


def _file(
    config: Config, contract: Contract, scratch: Scratch, path: Path, subject: str, wanted: tuple[int, int, Sums], broken: int
) -> Iterator[Difference]:
    file_id, read, sums = wanted
    try:
        preamble = _open(config, contract, path)
        if isinstance(preamble, FileFault):
            yield Difference("csv", subject, f"the archived CSV is no sales file: {preamble.detail}")
            return
        found = _sums(contract, scratch, path, preamble, preamble.lines)
        rejected = _rejected(contract, scratch, preamble, file_id)
    except (duckdb.Error, UnicodeDecodeError, EOFError, OSError) as exc:
        # Where rows were rejected for their form, or the file is re-encoded, another reader may fail for a good reason.
        kind = REMARK if broken or contract.settings.encoding != "utf-8" else "csv"
        yield Difference(kind, subject, f"DuckDB cannot read {READER}: {type(exc).__name__}; only its Parquet was compared")
        return
    expected = (sums[0] + rejected[0], sums[1] + rejected[1], sums[2] + rejected[2])
    if broken and (found != expected or found[0] != read):
        text = f"not comparable: {broken} rows are no whole records, which DuckDB cuts in another way; only its Parquet was compared"
        yield Difference(REMARK, subject, text)
        return
    if found[0] != read:
        yield differs("csv", subject, "rows_read", read, found[0], READER)
    if found[1] != expected[1]:
        yield differs("csv", subject, "the sum of total_cost", expected[1], found[1], READER)
    if found[:2] == expected[:2] and found[2] != expected[2]:
        yield Difference("csv", subject, "rows and sum agree with the archived CSV, the values of some row do not")


def _open(config: Config, contract: Contract, path: Path) -> Preamble | FileFault:
    """Unpack and re-encode the copy where it needs it, and read what precedes its records."""
    _plain(path, contract.settings.encoding)
    limits = Limits(config.stream.max_record_lines, config.stream.max_record_bytes)
    with path.open("rb") as stream:
        head = stream.read(config.stream.max_header_bytes)
    is_all = path.stat().st_size == len(head)
    return read_preamble(head, is_all=is_all, contract=contract, encoding="utf-8", limits=limits)


def _plain(path: Path, encoding: str) -> None:
    """Make the copy uncompressed UTF-8, in place."""
    with path.open("rb") as stream:
        is_gzip = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if not is_gzip and encoding == "utf-8":
        return
    target = path.with_suffix(".plain")
    with gzip.open(path, "rb") if is_gzip else path.open("rb") as source, target.open("wb") as plain:
        if encoding == "utf-8":
            shutil.copyfileobj(source, plain)
        else:
            plain.writelines(line.decode(encoding).encode() for line in source)
    target.replace(path)


def _rejected(contract: Contract, scratch: Scratch, preamble: Preamble, file_id: int) -> Sums:
    """Read the kept text of a file's rejected rows as if it were a file."""
    path = scratch.folder / "rejected.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        for (raw,) in scratch.rows("SELECT raw FROM rejected WHERE file_id = ?", (file_id,)):
            stream.write(f"{raw}\n")
    return _sums(contract, scratch, path, preamble, 0) if path.stat().st_size else (0, Decimal(0), 0)


def _sums(contract: Contract, scratch: Scratch, path: Path, preamble: Preamble, skip: int) -> Sums:
    layout = preamble.layout
    names = {name: f"c{at}" for at, name in enumerate(layout.names)}
    columns = ", ".join(f"'{column}': 'VARCHAR'" for column in names.values())
    source = (
        f"read_csv('{path}', auto_detect = false, header = false, skip = {skip}, delim = '{layout.delimiter}', quote = '\"',"
        f" escape = '\"', strict_mode = false, null_padding = true, parallel = false, columns = {{{columns}}})"
    )
    typed = {column.name: typed_sql(column, names.get(column.name)) for column in contract.columns}
    sql = f"SELECT count(*), coalesce(sum({typed['total_cost']}), 0), coalesce({print_of(list(typed.values()))}, 0) FROM {source}"
    row = next(iter(scratch.rows(sql)))
    return int(row[0]), Decimal(row[1]), int(row[2])


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
