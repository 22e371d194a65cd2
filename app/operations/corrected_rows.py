"""Rejected rows on their way back: the CSV that holds them, each with the line it had, and the request to load them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from app.config.load import Config
from app.contract.contract import Contract
from app.errors import UsageError
from app.ledger.operations import in_force, request
from app.ledger.types import OperationKind
from app.mysql.database import Database, Tx
from app.parsing.header import LINE_COLUMN
from app.parsing.preamble import UTF8_BOM, FileFault, read_preamble
from app.parsing.record_rules import INVALID_ENCODING, RECORD_TOO_LONG, Limits
from app.s3.prefixes import mended_prefix
from app.s3.read import S3Client, head
from app.s3.write import upload_object
from app.views.quarantine import BookedFile, RejectedRow, export_rows, header_of, rejected_rows

# What the quarantine keeps of such a row is not what stood in the file.
NOT_AS_WRITTEN = frozenset({INVALID_ENCODING, RECORD_TOO_LONG})


@dataclass(frozen=True)
class Mended:
    """An object with mended rows of one file.

    Attributes:
        file_id: the file.
        key: the object's key.
        etag: its etag.
        size: its bytes.
        read_batch: the batch whose quarantine the rows were taken from; another one has read the file since: nothing is done.
        rows: how many rows it holds; None where somebody else wrote it.
        left_out: rejected rows that are not in it, as their text was not kept as it was written.
    """

    file_id: int
    key: str
    etag: str
    size: int
    read_batch: int
    rows: int | None = None
    left_out: int = 0


def delimiter_of(header: str, contract: Contract, limits: Limits) -> str:
    """Return the delimiter of a file's header.

    Raises:
        UsageError: the contract does not know the header any more.
    """
    # The mark says that it is UTF-8, whatever the contract says of files without one.
    text = UTF8_BOM + header.encode("utf-8", "backslashreplace") + b"\n"
    found = read_preamble(text, is_all=True, contract=contract, encoding=contract.settings.encoding, limits=limits)
    if isinstance(found, FileFault):
        raise UsageError(
            f"the contract does not fit the file's header any more: {found.code}, {found.detail}", cure="replay the whole file"
        )
    return found.layout.delimiter


def with_lines(rows: Iterable[RejectedRow], delimiter: str) -> Iterator[RejectedRow]:
    """Put each row's line and a delimiter before its text."""
    return (RejectedRow(row.line, f"{row.line}{delimiter}{row.raw}", row.reasons) for row in rows)


def as_written(rows: Iterable[RejectedRow], left_out: list[int]) -> Iterator[RejectedRow]:
    """Yield the rows whose text is what stood in the file; the lines of the others go into `left_out`."""
    for row in rows:
        if any(reason.code in NOT_AS_WRITTEN for reason in row.reasons):
            left_out.append(row.line)
        else:
            yield row


def upload_rejected(db: Database, client: S3Client, config: Config, contract: Contract, file: BookedFile) -> Mended:
    """Write the rejected rows of a file, as they stand in the quarantine, to an object that a MEND can read.

    Raises:
        UsageError: the file has none that could be read again.
    """
    batch = _read_batch(db, file)
    rows = rejected_rows(db, client, config.s3, file)
    first = next(rows)
    header = header_of(db, file)
    mark = delimiter_of(header, contract, limits_of(config))
    left_out: list[int] = []
    kept = with_lines(as_written((row for part in ((first,), rows) for row in part), left_out), mark)

    def write(target: BinaryIO) -> int:
        return export_rows(kept, f"{LINE_COLUMN}{mark}{header}", contract.settings.encoding, target).rows

    with tempfile.TemporaryDirectory(prefix="salestream-") as folder:
        path = Path(folder) / "mended.csv"
        with path.open("wb") as target:
            count = write(target)
        if not count:
            raise UsageError(
                f"no rejected row of file {file.id} was kept as it was written", cure=f"mend it: quarantine export {file.id} --lines"
            )
        return _upload(client, config, file, batch, path, rows=count, left_out=len(left_out))


def upload_mended(db: Database, client: S3Client, config: Config, file: BookedFile, path: Path) -> Mended:
    """Write rows that somebody has mended to an object that a MEND can read.

    Raises:
        UsageError: it is not what `quarantine export --lines` wrote.
    """
    batch = _read_batch(db, file)
    try:
        with path.open("rb") as source:
            begins = source.read(len(LINE_COLUMN) + 5)
    except OSError as exc:
        raise UsageError(f"{str(path)!r}: {exc.strerror}", cure="name the file that quarantine export --lines wrote, mended") from exc
    if not begins.removeprefix(b"\xef\xbb\xbf").lstrip(b'"').startswith(LINE_COLUMN.encode()):
        raise UsageError(f"{str(path)!r} has no first column {LINE_COLUMN}", cure=f"begin with quarantine export {file.id} --lines")
    return _upload(client, config, file, batch, path)


def limits_of(config: Config) -> Limits:
    """Return how far a record and a header may reach."""
    stream = config.stream
    return Limits(stream.max_record_lines, stream.max_record_bytes, stream.max_header_bytes)


def request_mend(tx: Tx, mended: Mended, requested_by: str) -> int:
    """Request MEND of a file. Returns the operation's number.

    Raises:
        UsageError: the file does not count in the marts.
    """
    if mended.file_id not in in_force(tx, [mended.file_id]):
        raise UsageError(f"file {mended.file_id} does not count in the marts", cure=f"see ./spark-submit.sh file {mended.file_id}")
    operation = request(tx, OperationKind.MEND, requested_by, "1 file")
    tx.execute(
        "INSERT INTO operation_file (operation_id, file_id, mended_key, mended_etag, mended_bytes, read_batch)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (operation, mended.file_id, mended.key.encode(), mended.etag, mended.size, mended.read_batch),
    )
    return operation


def _read_batch(db: Database, file: BookedFile) -> int:
    row = db.run(lambda tx: tx.row("SELECT in_force, batch_id FROM source_file WHERE id = %s", (file.id,)))
    if row is None or not row["in_force"]:
        raise UsageError(f"file {file.id} does not count in the marts ({file.state})", cure=f"see ./spark-submit.sh file {file.id}")
    return int(row["batch_id"])


def _upload(
    client: S3Client, config: Config, file: BookedFile, batch: int, path: Path, *, rows: int | None = None, left_out: int = 0
) -> Mended:
    key = f"{mended_prefix(config.s3)}{file.id}/{uuid4().hex}.csv"
    upload_object(client, config.s3.bucket, key, path)
    found = head(client, config.s3.bucket, key)
    assert found is not None, "it was written a moment ago, and nobody else knows its name"
    return Mended(file.id, key, found.etag, found.size, batch, rows, left_out)
