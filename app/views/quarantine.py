"""The quarantine for people: which rows were rejected, why, and their text to mend. Read by the ledger's list of parts, without Spark."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from heapq import nsmallest
from pathlib import Path
from typing import BinaryIO

from app.config.load import S3Config
from app.contract.masking import masked
from app.errors import S3Error, UsageError
from app.ledger.retention import refuse_deleted
from app.mysql.database import Database, Row
from app.parsing.preamble import UTF8_BOM
from app.parsing.record_rules import RECORD_TOO_LONG
from app.s3.prefixes import quarantine_part_prefix
from app.s3.read import S3Client, list_all, translated
from app.views.text import printable

# Rows of one read from Parquet.
READ_ROWS = 10_000
# Lines that an export names, of those it leaves out.
NAMED_LINES = 10
_FILE = "SELECT id, object_key, state, reason_code, reason_detail, archived_key FROM source_file"


@dataclass(frozen=True)
class BookedFile:
    """One object version, as the ledger knows it."""

    id: int
    key: str
    state: str
    reason: str | None
    archived_key: str | None


@dataclass(frozen=True)
class Finding:
    """Rows of one file that were rejected for one reason, and the first of them. A row with two reasons is in both."""

    file_id: int
    file: str
    state: str
    reason: str
    rows: int
    first_line: int | None
    first_column: str | None
    first_text: str | None
    load_date: date
    is_deleted: bool = False


@dataclass(frozen=True)
class Reason:
    """One reason against one row."""

    code: str
    column: str | None
    value: str | None


@dataclass(frozen=True)
class RejectedRow:
    """One row of the quarantine."""

    line: int
    raw: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Exported:
    """What an export wrote, and the first of the lines that it had to leave out."""

    rows: int
    left_out: int
    lines: tuple[int, ...]


def find_files(db: Database, source_prefix: str, name: str) -> list[BookedFile]:
    """Return the object versions of an id, a key, or a key below the source prefix; newest first.

    Raises:
        UsageError: there is none.
    """
    by_id = db.run(lambda tx: tx.rows(f"{_FILE} WHERE id = %s", (int(name),))) if name.isascii() and name.isdigit() else []
    keys = (name.encode(errors="surrogateescape"), (source_prefix + name).encode(errors="surrogateescape"))
    found = by_id or db.run(lambda tx: tx.rows(f"{_FILE} WHERE object_key IN (%s, %s) ORDER BY id DESC", keys))
    if not found:
        raise UsageError(f"no file has the id or key '{printable(name)}'", cure="see ./spark-submit.sh quarantine list")
    return [_booked(row) for row in found]


def find_file(db: Database, source_prefix: str, name: str) -> BookedFile:
    """Return the one object version of an id or key.

    Raises:
        UsageError: there is none, or the key has several versions; the error lists them.
    """
    found = find_files(db, source_prefix, name)
    if len(found) > 1:
        listed = ", ".join(f"{file.id} ({file.state})" for file in found[:20])
        raise UsageError(f"'{printable(name)}' was dropped {len(found)} times, as files {listed}", cure="give the id")
    return found[0]


def _booked(row: Row) -> BookedFile:
    reason = f"{row['reason_code']}: {row['reason_detail']}" if row["reason_code"] else None
    archived = bytes(row["archived_key"]).decode() if row["archived_key"] else None
    return BookedFile(int(row["id"]), bytes(row["object_key"]).decode(), row["state"], reason, archived)


def list_findings(
    db: Database, hidden: frozenset[str], *, files: Sequence[int] | None, reason: str | None, since: date | None, limit: int
) -> list[Finding]:
    """Return rejected rows by file and reason, newest files first; values of the columns `hidden` are masked."""
    conditions: list[str] = ["a.state = 'COMMITTED'"]
    values: list[object] = []
    if files is not None:
        conditions.append(f"r.file_id IN ({', '.join(['%s'] * len(files))})")
        values += files
    for condition, value in (("r.reason_code = %s", reason), ("b.planned_at >= %s", since)):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    sql = (
        "SELECT r.file_id, f.object_key, f.state, r.reason_code, r.row_count, r.first_line, r.first_column, r.first_text, b.planned_at,"
        " EXISTS (SELECT 1 FROM quarantine_part q WHERE q.batch_key = r.batch_key AND q.state = 'DELETED' AND f.state <> 'REJECTED')"
        " AS is_deleted"
        " FROM file_reject r JOIN batch_attempt a ON a.batch_key = r.batch_key JOIN micro_batch b ON b.id = a.batch_id"
        f" JOIN source_file f ON f.id = r.file_id WHERE {' AND '.join(conditions)}"
        " ORDER BY r.file_id DESC, r.row_count DESC, r.reason_code LIMIT %s"
    )
    return [
        Finding(
            file_id=int(row["file_id"]),
            file=bytes(row["object_key"]).decode(),
            state=row["state"],
            reason=row["reason_code"],
            rows=int(row["row_count"]),
            first_line=row["first_line"],
            first_column=row["first_column"],
            first_text=masked(row["first_text"], row["first_column"], hidden),
            load_date=row["planned_at"].date(),
            is_deleted=bool(row["is_deleted"]),
        )
        for row in db.run(lambda tx: tx.rows(sql, (*values, limit)))
    ]


def rejected_rows(db: Database, client: S3Client, config: S3Config, file: BookedFile) -> Iterator[RejectedRow]:
    """Yield the quarantined rows of a file, part by part; within a file they are not in the order of lines.

    Raises:
        UsageError: the file has none.
        S3Error: the quarantine on S3 no longer holds what the ledger says.
    """
    # A row lies in the part of its first reason, so only the parts of the file's own reasons can hold one.
    sql = (
        "SELECT q.batch_key, q.load_date, q.reason, q.row_count FROM file_reject r"
        " JOIN quarantine_part q ON q.batch_key = r.batch_key AND q.reason = r.reason_code"
        " WHERE r.file_id = %s AND q.state = 'LIVE' ORDER BY q.batch_key, q.reason"
    )
    parts = [] if file.state == "REJECTED" else db.run(lambda tx: tx.rows(sql, (file.id,)))
    if not parts:
        place = f"s3://{config.bucket}/{file.archived_key or file.key}"
        if file.state == "REJECTED":
            raise UsageError(f"file {file.id} was rejected as a whole, {file.reason}", cure=f"mend the file itself: {printable(place)}")
        db.run(lambda tx: refuse_deleted(tx, file.id, printable(place) if file.archived_key else None))
        raise UsageError(f"file {file.id} '{printable(file.key)}' has no rejected rows", cure="see ./spark-submit.sh quarantine list")
    for part in parts:
        yield from _rows_of_part(client, config, file.id, part)


def _rows_of_part(client: S3Client, config: S3Config, file_id: int, part: Row) -> Iterator[RejectedRow]:
    prefix = quarantine_part_prefix(config, part["load_date"], part["reason"], part["batch_key"])
    count = 0
    with tempfile.TemporaryDirectory(prefix="salestream-") as folder:
        local = Path(folder) / "part.parquet"
        for version in list_all(client, config.bucket, prefix):
            if version.key.endswith(".parquet"):
                with translated(f"s3://{config.bucket}/{version.key}"):
                    client.download_file(config.bucket, version.key, str(local))
                count += yield from _rows_of_object(local, file_id)
    if count != part["row_count"]:
        raise S3Error(
            f"s3://{config.bucket}/{prefix} holds {count} of {part['row_count']} rows",
            cure="restore it, or mend the archived file",
        )


def _rows_of_object(path: Path, file_id: int) -> Generator[RejectedRow, None, int]:
    """Yield the rows of one file; returns how many rows of any file there are."""
    import pyarrow.compute as pc  # here, as commands that read no Parquet need not wait for it
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    wanted = pc.field("_file_id") == file_id
    scanner = ds.dataset(path, format="parquet").scanner(columns=["_line", "_raw", "_reasons"], filter=wanted, batch_size=READ_ROWS)
    for batch in scanner.to_batches():
        for row in batch.to_pylist():
            yield RejectedRow(row["_line"], row["_raw"] or "", tuple(Reason(r["code"], r["column"], r["value"]) for r in row["_reasons"]))
    return int(pq.read_metadata(path).num_rows)


def first_rows(rows: Iterable[RejectedRow], limit: int, reason: str | None) -> list[RejectedRow]:
    """Return the first rows by line, of those that have the reason if one is given."""
    chosen = (row for row in rows if reason is None or any(one.code == reason for one in row.reasons))
    return nsmallest(limit, chosen, key=lambda row: row.line)


def header_of(db: Database, file: BookedFile) -> str:
    """Return a file's header as it is written there.

    Raises:
        UsageError: an earlier version loaded the file and kept no header.
    """
    header = db.run(lambda tx: tx.scalar("SELECT header FROM file_header WHERE file_id = %s ORDER BY batch_key DESC LIMIT 1", (file.id,)))
    if header is None:
        cure = f"take its first line from {printable(file.archived_key or file.key)}"
        raise UsageError(f"file {file.id} was loaded by an earlier version, which kept no header", cure=cure)
    return str(header)


def export_rows(rows: Iterable[RejectedRow], header: str, encoding: str, out: BinaryIO) -> Exported:
    """Write a header and the text of rejected rows in the order of lines, without those that were too long to be kept whole.

    They are sorted in a file, as there may be more of them than fit into memory. What the encoding has no characters for (the file had a
    byte order mark, which won over it) makes all of it UTF-8 with such a mark.
    """
    is_fit = _fits(header, encoding)
    left_out: list[int] = []
    count = lost = 0
    with tempfile.TemporaryDirectory(prefix="salestream-") as folder, sqlite3.connect(Path(folder) / "rows") as spool:
        spool.execute("CREATE TABLE rejected (line INTEGER, raw BLOB)")
        for row in rows:
            if any(reason.code == RECORD_TOO_LONG for reason in row.reasons):
                left_out = nsmallest(NAMED_LINES, [*left_out, row.line])
                lost += 1
                continue
            spool.execute("INSERT INTO rejected VALUES (?, ?)", (row.line, row.raw.encode("utf-8", "backslashreplace")))
            is_fit = is_fit and _fits(row.raw, encoding)
            count += 1
        written = encoding if is_fit else "utf-8"
        out.write((b"" if is_fit else UTF8_BOM) + header.encode(written, "backslashreplace") + b"\n")
        for (raw,) in spool.execute("SELECT raw FROM rejected ORDER BY line"):
            out.write((raw if written == "utf-8" else raw.decode().encode(written)) + b"\n")
        spool.rollback()
    return Exported(count, lost, tuple(left_out))


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return encoding == "utf-8"
    return True
