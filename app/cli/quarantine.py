"""The commands `quarantine list`, `show`, `export` and `replay`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from app.cli.options import Debug, DryRun, Env, Json, Wait
from app.cli.request import SHOWN, open_database, rehearse, requester, tell
from app.contract.contract import load_contract
from app.contract.masking import MASK, masked, sensitive_columns
from app.errors import UsageError

if TYPE_CHECKING:
    from app.views.quarantine import Exported, Finding, RejectedRow

quarantine_app = typer.Typer(help="Rejected rows: what they are, why, and their text to mend.", no_args_is_help=True)

FileName = Annotated[str, typer.Argument(metavar="FILE", help="A file's id, its key, or its key below the source prefix.")]
ReasonCode = Annotated[str | None, typer.Option("--reason", help="Only this reason, such as INVALID_DATE.")]


@quarantine_app.command("list", epilog="Example: ./spark-submit.sh quarantine list --since 2024-05-01")
def list_command(
    file: Annotated[str | None, typer.Option("--file", help="Only this file: its id, or its key with all its versions.")] = None,
    reason: ReasonCode = None,
    since: Annotated[datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Only what was loaded since this day.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most lines, newest files first.")] = 100,
    as_json: Json = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """List rejected rows by file and reason, with the first line, column and value of each. A row with two reasons counts in both."""
    from app.views.quarantine import find_files, list_findings

    config, db = open_database(env)
    hidden = sensitive_columns(load_contract(config.contract_path))
    files = [found.id for found in find_files(db, config.s3.source_prefix, file)] if file is not None else None
    day = since.date() if since else None
    found = list_findings(db, hidden, files=files, reason=reason.upper() if reason else None, since=day, limit=limit)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], default=str))
    else:
        _print_findings(found, is_cut=len(found) == limit)


def _print_findings(found: list[Finding], *, is_cut: bool) -> None:
    from app.views.text import aligned

    names = ("id", "state", "reason", "rows", "line", "loaded", "column", "value", "file")
    lines = []
    for f in found:
        rows = f"{f.rows} (deleted by clean)" if f.is_deleted else f.rows
        lines.append((f.file_id, f.state, f.reason, rows, f.first_line, f.load_date, f.first_column, f.first_text, f.file))
    if lines:
        print("\n".join(aligned([names, *lines])))
    print(f"{len(found)} lines{', perhaps more: see --limit' if is_cut else ''}" if found else "no rejected rows")


@quarantine_app.command("show", epilog="Example: ./spark-submit.sh quarantine show 17 --limit 5")
def show_command(
    file: FileName,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most rows, in the order of lines.")] = 20,
    reason: ReasonCode = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Also show values of sensitive columns, and the text of rows.")] = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """Show the rejected rows of a file: line, every reason with column and value, and the text.

    Where the contract has a sensitive column, its values and all texts are hidden unless --reveal is given.
    """
    from app.s3.read import make_client
    from app.views.quarantine import find_file, first_rows, rejected_rows
    from app.views.text import printable

    config, db = open_database(env)
    hidden = frozenset[str]() if reveal else sensitive_columns(load_contract(config.contract_path))
    booked = find_file(db, config.s3.source_prefix, file)
    rows = rejected_rows(db, make_client(config.s3), config.s3, booked)
    print(f"file {booked.id} {printable(booked.key)}")
    for row in first_rows(rows, limit, reason.upper() if reason else None):
        print("\n".join(_lines_of(row, hidden)))
    if hidden:
        print("texts are hidden, as the contract has sensitive columns; --reveal shows them", file=sys.stderr)


def _lines_of(row: RejectedRow, hidden: frozenset[str]) -> list[str]:
    """Show one row. Any text may hold a sensitive value, also one whose columns could not be told apart."""
    from app.views.text import printable

    lines = [f"line {row.line}"]
    for reason in row.reasons:
        value = masked(reason.value, reason.column, hidden)
        lines.append("  " + " ".join(text for text in (reason.code, reason.column, f"= {value}" if value is not None else None) if text))
    return [printable(line) for line in [*lines, f"  | {MASK if hidden else row.raw}"]]


@quarantine_app.command("export", epilog="Example: ./spark-submit.sh quarantine export 17 --out mend.csv")
def export_command(
    file: FileName,
    out: Annotated[str, typer.Option("--out", help="A new file; - for standard output.")] = "-",
    lines: Annotated[bool, typer.Option("--lines", help="Begin each row with its line, as `quarantine replay --mended` wants it.")] = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """Write the rejected rows of a file as a CSV to mend: its own header, then each row's text in the order of lines.

    It holds the real text, also of sensitive columns, in the encoding of the contract. Mended, it comes back by `quarantine replay
    --mended` (with --lines), or is dropped as a file of its own under a new name.
    """
    from app.operations.corrected_rows import delimiter_of, limits_of, with_lines
    from app.parsing.header import LINE_COLUMN
    from app.s3.read import make_client
    from app.views.quarantine import export_rows, find_file, header_of, rejected_rows
    from app.views.text import printable

    config, db = open_database(env)
    booked = find_file(db, config.s3.source_prefix, file)
    rows = rejected_rows(db, make_client(config.s3), config.s3, booked)
    contract = load_contract(config.contract_path)
    # Asked for first: a file without rejected rows has none either, and says so better.
    first = next(rows)
    header = header_of(db, booked)

    every: Iterator[RejectedRow] = (row for part in ((first,), rows) for row in part)
    if lines:
        mark = delimiter_of(header, contract, limits_of(config))
        header, every = f"{LINE_COLUMN}{mark}{header}", with_lines(every, mark)

    def write(target: BinaryIO) -> Exported:
        return export_rows(every, header, contract.settings.encoding, target)

    exported = write(sys.stdout.buffer) if out == "-" else _write_new(Path(out), write)
    print(f"{exported.rows} rows of file {booked.id} {printable(booked.key)} exported", file=sys.stderr)
    if exported.left_out:
        first_lines = ", ".join(str(line) for line in exported.lines)
        print(f"{exported.left_out} lines were too long to be kept and are left out, first of them {first_lines}", file=sys.stderr)


@quarantine_app.command("replay", epilog="Example: ./spark-submit.sh quarantine replay 17 --mended mend.csv")
def replay_command(
    file: FileName,
    mended: Annotated[
        Path | None, typer.Option("--mended", help="What `quarantine export --lines` wrote, mended; rows that are not in it stay rejected.")
    ] = None,
    dry_run: DryRun = False,
    wait: Wait = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="With --dry-run: most lines of each table.")] = SHOWN,
    as_json: Json = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """Send the rejected rows of a file through the pipeline again, mended or by a contract that has become wider, and count them once.

    They are counted for the original file: its rejected rows become loaded ones. What is still wrong stays rejected.
    """
    from app.operations.corrected_rows import request_mend, upload_mended, upload_rejected
    from app.s3.read import make_client
    from app.s3.write import delete_keys
    from app.views.quarantine import find_file

    config, db = open_database(env)
    client = make_client(config.s3)
    booked = find_file(db, config.s3.source_prefix, file)
    if mended is not None:
        found = upload_mended(db, client, config, booked, mended)
    else:
        found = upload_rejected(db, client, config, load_contract(config.contract_path), booked)
    if found.left_out:
        print(f"{found.left_out} rows were not kept as they were written and stay rejected; mend them, or replay the file", file=sys.stderr)
    if dry_run:
        try:
            rehearse(config, lambda tx: request_mend(tx, found, requester()), limit=limit, as_json=as_json)
        finally:
            delete_keys(client, config.s3.bucket, [found.key])
        return
    operation = db.run(lambda tx: request_mend(tx, found, requester()))
    rows = "the mended rows" if found.rows is None else f"{found.rows:,} rejected rows"
    tell(config, db, [operation], f"{rows} of file {booked.id}", wait=wait, as_json=as_json)


def _write_new(path: Path, write: Callable[[BinaryIO], Exported]) -> Exported:
    """Write a file that only its owner may read; none of it stays when that fails."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise UsageError(f"{str(path)!r}: {exc.strerror}", cure="name a new file in a folder that exists") from exc
    try:
        with os.fdopen(descriptor, "wb") as target:
            return write(target)
    except BaseException:
        path.unlink()
        raise
