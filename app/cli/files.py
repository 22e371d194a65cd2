"""The commands `files` and `file`: what became of every file, and the whole story of one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.options import MOMENTS, Debug, Env, Json, utc
from app.cli.request import open_database
from app.contract.contract import load_contract
from app.contract.masking import sensitive_columns
from app.errors import S3Error
from app.ledger.types import FileState

if TYPE_CHECKING:
    from app.config.load import Config
    from app.views.file_history import FileStory
    from app.views.file_mart_keys import Touched
    from app.views.files import ListedFile

files_app = typer.Typer()


FileName = Annotated[str, typer.Argument(metavar="FILE", help="A file's id, its key, or its key below the source prefix.")]
_STATES = f"Only this state: {', '.join(FileState)}. Repeatable."


@files_app.command("files", epilog="Example: ./spark-submit.sh files --state REJECTED --since 2024-05-01 --like '2024/%'")
def list_command(
    state: Annotated[list[FileState] | None, typer.Option("--state", case_sensitive=False, metavar="STATE", help=_STATES)] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=MOMENTS, metavar="T", help="Only what was finished since this day or moment (UTC), or is not yet."),
    ] = None,
    like: Annotated[str | None, typer.Option("--like", help="Only keys below the source prefix like this SQL pattern (% and _).")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most files, newest first.")] = 100,
    as_json: Json = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """List files, a line each, newest first: id, state and whether it counts, size, rows, when it was finished, reason, key."""
    from app.ledger.file_search import Choice
    from app.views.files import list_files
    from app.views.text import plain

    config, db = open_database(env)
    choice = Choice(states=tuple(state or ()), since=utc(since), like=like)
    found = list_files(db, config.s3.source_prefix, choice, limit)
    if as_json:
        print(json.dumps([asdict(file) for file in found], default=plain))
    else:
        print_files(found, is_cut=len(found) == limit)


def print_files(found: Sequence[ListedFile], *, is_cut: bool) -> None:
    """Print a line for each file and how many there are."""
    from app.views.text import aligned

    names = ("id", "state", "size", "read", "loaded", "rejected", "pending", "finished", "reason", "key")
    lines = [
        (f.id, f.outcome, f.size, f.rows_read, f.rows_loaded, f.rows_rejected, f.rows_pending, f.finished, f.reason, f.key) for f in found
    ]
    if lines:
        print("\n".join(aligned([names, *lines])))
    print(f"{len(found)} files{', perhaps more: see --limit' if is_cut else ''}" if found else "no files")


@files_app.command("file", epilog="Example: ./spark-submit.sh file 17")
def show_command(
    file: FileName,
    no_keys: Annotated[bool, typer.Option("--no-keys", help="Leave S3 alone: no mart keys, and parts that may hold rows of it.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most entries of each list, and keys of each mart.")] = 20,
    as_json: Json = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """Tell the whole story of a file: batches, attempts, counts, reasons, where it is, and which months and mart keys it is in.

    The mart keys are read from the live Parquet that may hold rows of the file, and only from that.
    """
    from app.mysql.snapshot import one_moment
    from app.views.file_history import read_story
    from app.views.text import plain, printable

    config, db = open_database(env)
    hidden = sensitive_columns(load_contract(config.contract_path))
    with one_moment(db) as tx:
        story = read_story(tx, config.s3.source_prefix, file, hidden, limit)
    touched = _touched(config, story, limit) if story.parts and not no_keys else None
    if as_json:
        print(json.dumps({**asdict(story), "touched": asdict(touched) if touched else None}, default=plain))
    else:
        print("\n".join(printable(line) for line in story_lines(story, touched, limit)))


def _touched(config: Config, story: FileStory, limit: int) -> Touched:
    """Read where the rows are.

    Raises:
        S3Error: the Parquet does not hold the rows that the ledger counts.
    """
    from app.views.file_mart_keys import find_keys

    found = find_keys(config, story.file.id, story.parts, limit)
    if found.rows != story.file.rows_loaded:
        raise S3Error(
            f"the live facts hold {found.rows} rows of file {story.file.id}, the ledger counts {story.file.rows_loaded}",
            cure="run ./spark-submit.sh verify; file --no-keys leaves the facts alone",
        )
    return found


def story_lines(story: FileStory, touched: Touched | None, limit: int) -> Iterator[str]:
    """Yield the story in lines for people."""
    file = story.file
    yield f"file {file.id} s3://{story.bucket}/{file.key}"
    yield f"  state       {file.outcome}"
    if file.reason:
        yield f"  reason      {file.reason}: {file.reason_detail or ''}"
    yield f"  rows        {file.rows_read} read, {file.rows_loaded} loaded, {file.rows_rejected} rejected, {file.rows_pending} pending"
    yield f"  object      {file.size} bytes, etag {story.etag}, last modified {_time(story.last_modified)}"
    yield f"  where       {story.place.text}{f': s3://{story.bucket}/{story.place.key}' if story.place.key else ''}"
    times = {"discovered": file.discovered, "claimed": story.claimed, "finished": file.finished, "archived": story.archived}
    yield from (f"  {name:<11} {_time(when)}" for name, when in times.items() if when)
    yield from _list("rejected rows", [_reason(row) for row in story.reasons], limit)
    yield from _list(
        "warnings", [f"{row['rule']}: {row['rows']} rows, the first in line {row['first_line']}" for row in story.warnings], limit
    )
    yield from _list("waits for", [f"{row['dimension']} {row['key']}: {row['rows']} rows" for row in story.waits_for], limit)
    yield from _list("listed again", [_return(row) for row in story.returns], limit)
    yield from _list("withdrawn", [_withdrawal(row) for row in story.withdrawals], limit)
    yield from _list("earlier versions of this key", [_version(row) for row in story.earlier], limit)
    yield from _list("later versions of this key", [_version(row) for row in story.later], limit)
    yield from _list("operations", [_operation(row) for row in story.operations], limit)
    yield from _list("batches", [line for row in story.batches for line in _batch(row)], None)
    yield from _where(story, touched, limit)


def _where(story: FileStory, touched: Touched | None, limit: int) -> Iterator[str]:
    """Yield the parts and mart keys; without a look at S3 only the parts that may hold rows are known."""
    from app.verify.difference import shown

    if not story.parts:
        return
    if touched is None:
        parts = [f"month {p.sales_month} store {p.store_id} batch {p.batch_key}" for p in story.parts]
        yield from _counted("parts of the facts that may hold rows of it", parts, len(parts), limit)
        return
    parts = [f"month {p.sales_month} store {p.store_id} batch {p.batch_key}: {p.rows} rows, {shown(p.amount)}" for p in touched.parts]
    yield from _counted("parts of the facts", parts, len(parts), limit)
    for mart in touched.marts:
        yield from _counted(f"keys of {mart.mart}", [_key(row) for row in mart.shown], mart.count, limit)


def _key(row: dict[str, Any]) -> str:
    from app.verify.difference import shown

    grain = [f"{name}={value}" for name, value in row.items() if name != "row_count" and not name.startswith("total_")]
    totals = [f"{name} {shown(value)}" for name, value in row.items() if name.startswith("total_")]
    return f"{' '.join(grain)}: {row['row_count']} rows, {', '.join(totals)}"


def _counted(title: str, lines: Sequence[str], count: int, limit: int) -> Iterator[str]:
    yield f"  {title}: {count}"
    yield from (f"    {line}" for line in lines[:limit])
    if count > limit:
        yield f"    and {count - limit} more: see --limit"


def _list(title: str, lines: Sequence[str], limit: int | None) -> Iterator[str]:
    if lines:
        yield f"  {title}"
        yield from (f"    {line}" for line in lines)
        if len(lines) == limit:
            yield "    perhaps more: see --limit"


def _reason(row: dict[str, Any]) -> str:
    value = f" = {row['first_text']}" if row["first_text"] is not None else ""
    where = f", the first in line {row['first_line']}" if row["first_line"] is not None else ""
    column = f" {row['first_column']}{value}" if row["first_column"] else value
    return f"{row['reason']}: {row['rows']} rows{where}{':' if column else ''}{column}"


def _return(row: dict[str, Any]) -> str:
    return f"{_time(row['at'])}, until then {row['state']} for batch {row['batch']}"


def _withdrawal(row: dict[str, Any]) -> str:
    by = f", its place went to file {row['superseded_by']}" if row["superseded_by"] is not None else ""
    operation = f" of operation {row['operation']}" if row["operation"] is not None else ""
    return f"{_time(row['at'])} by batch {row['batch']}{operation}: {row['rows_loaded']} rows, {row['rows_pending']} pending ones{by}"


def _version(row: dict[str, Any]) -> str:
    return f"file {row['id']} {row['state']}{', in force' if row['in_force'] else ''}"


def _operation(row: dict[str, Any]) -> str:
    end = f", finished {_time(row['finished'])}" if row["finished"] else ""
    notes = "".join(f"; {text}" for text in (row["detail"], row["note"]) if text)
    return f"{row['id']} {row['kind']} {row['state']}, asked for by {row['by']} {_time(row['requested'])}{end}{notes}"


def _batch(row: dict[str, Any]) -> Iterator[str]:
    operation = f" of operation {row['operation']}" if row["operation"] is not None else ""
    failures = f", {row['failures']} failures" if row["failures"] else ""
    yield f"{row['id']} {row['kind']}{operation} {row['state']}, planned {_time(row['planned'])}{failures}{_error(row)}"
    for one in row["attempts"]:
        end = f" to {_time(one['ended'])}" if one["ended"] else ""
        yield f"  attempt {one['key']} {one['state']}, {_time(one['started'])}{end}{_error(one)}"


def _error(row: dict[str, Any]) -> str:
    return f": {row['error']}" if row["error"] else ""


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"
