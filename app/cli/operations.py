"""The commands `retract`, `replay` and `compact`: each asks for operations that the running stream, or the next run, carries out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import MOMENTS, Debug, DryRun, Env, Json, Wait, utc
from app.cli.request import SHOWN, open_database, rehearse, requester, tell
from app.config.load import Config
from app.errors import UsageError
from app.ledger.types import FileState, OperationKind
from app.views.text import printable

if TYPE_CHECKING:
    from app.ledger.duplicates import Heir
    from app.ledger.file_search import Choice
    from app.mysql.database import Database
    from app.operations.select_files import Chosen

operations_app = typer.Typer()

Names = Annotated[list[str] | None, typer.Argument(metavar="FILE...", help="Files: an id, a key, or a key below the source prefix.")]
Since = Annotated[
    datetime | None,
    typer.Option("--since", formats=MOMENTS, metavar="T", help="All files that were finished since this day or moment (UTC)."),
]
Like = Annotated[str | None, typer.Option("--like", help="Only keys below the source prefix that match this SQL pattern: % and _.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="With --dry-run: most lines of each table.")]


@operations_app.command(epilog="Example: ./spark-submit.sh retract shop7/2024-05-03.csv --dry-run")
def retract(
    files: Names = None,
    since: Since = None,
    like: Like = None,
    dry_run: DryRun = False,
    wait: Wait = 0,
    limit: Limit = SHOWN,
    as_json: Json = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """Take the rows of files out of marts and facts again, and work the incentives out anew. The files stay in the archive.

    A duplicate of such a file, skipped because that counted, is loaded in its place, unless it is retracted as well.
    """
    from app.ledger.file_search import Choice

    choice = Choice(names=tuple(files or ()), since=utc(since), like=like)
    _request(OperationKind.RETRACT, choice, env, dry_run=dry_run, wait=wait, limit=limit, as_json=as_json)


@operations_app.command(epilog="Example: ./spark-submit.sh replay --rejected --since 2024-05-01")
def replay(
    files: Names = None,
    rejected: Annotated[bool, typer.Option("--rejected", help="All files that were rejected as a whole.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="All files that were given up as FAILED.")] = False,
    since: Since = None,
    like: Like = None,
    dry_run: DryRun = False,
    wait: Wait = 0,
    limit: Limit = SHOWN,
    as_json: Json = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """Read files again from the archive, by today's contract and dimensions; what they had loaded before is taken out first.

    What was retracted or superseded comes back only when it is named.
    """
    from app.ledger.file_search import Choice

    states = [FileState.REJECTED] * rejected + [FileState.FAILED] * failed
    choice = Choice(names=tuple(files or ()), states=tuple(states), since=utc(since), like=like)
    _request(OperationKind.REPLAY, choice, env, dry_run=dry_run, wait=wait, limit=limit, as_json=as_json)


@operations_app.command(epilog="Example: ./spark-submit.sh compact --month 2024-05")
def compact(
    month: Annotated[str | None, typer.Option("--month", help="Only this month, as YYYY-MM.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the partitions that would be merged.")] = False,
    wait: Wait = 0,
    as_json: Json = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """Merge the small Parquet parts of each fact partition; marts and rows stay as they are."""
    from app.operations.compact import mergeable, request_merge

    config, db = open_database(env)
    merges = mergeable(db, month)
    parts = sum(merge.parts for merge in merges)
    what = f"merge {parts:,} parts of {len(merges):,} partitions into one each"
    if dry_run:
        if as_json:
            print(json.dumps([vars(merge) for merge in merges]))
            return
        for merge in merges:
            print(f"{merge.sales_month} store {merge.store_id}: {merge.parts} parts, {merge.rows:,} rows")
        print(f"would {what}; nothing was changed")
        return
    if not merges:
        print(json.dumps({"operations": []}) if as_json else "no partition has several small parts: nothing to merge")
        return
    tell(config, db, request_merge(db, merges, requester()), what, wait=wait, as_json=as_json)


def _request(kind: OperationKind, choice: Choice, env: str, *, dry_run: bool, wait: float, limit: int, as_json: bool) -> None:
    from app.contract.contract import load_contract
    from app.ledger.operations import request_for_files
    from app.operations.select_files import heirs, request_files

    config, db = open_database(env)
    replaces = load_contract(config.contract_path).replaces
    chosen = _choose(db, config, kind, choice, replaces=replaces)
    if not chosen:
        print(json.dumps({"operations": []}) if as_json else f"no file fits: nothing to {kind.lower()}")
        return
    ids = [file.id for file in chosen]
    if kind == OperationKind.RETRACT and not as_json:
        for line in heir_lines(heirs(db, chosen, replaces=replaces), limit):
            print(line)
    if dry_run:
        rehearse(config, lambda tx: request_for_files(tx, kind, ids, requester()), limit=limit, as_json=as_json)
        return
    counted = f"{len(chosen):,} files" if len(chosen) > 1 else f"file {chosen[0].id}"
    what = f"{kind.lower()} {counted} with {sum(file.rows_loaded for file in chosen):,} loaded rows"
    tell(config, db, request_files(db, config, kind, chosen, requester()), what, wait=wait, as_json=as_json)


def heir_lines(found: Sequence[Heir], limit: int) -> Iterator[str]:
    """Say of each skipped duplicate, of at most `limit`, that it takes over, or why it cannot."""
    for heir in found[:limit]:
        name = f"file {heir.file_id} '{printable(heir.key)}'"
        if heir.has_object:
            yield f"{name} was skipped as a duplicate and is loaded in its original's place; retract it as well to take the content out"
        else:
            yield f"{name} was skipped as a duplicate and cannot be read again: the content counts nowhere then; drop it again to load it"
    if len(found) > limit:
        yield f"and {len(found) - limit:,} more such duplicates"


def _choose(db: Database, config: Config, kind: OperationKind, choice: Choice, *, replaces: bool) -> list[Chosen]:
    from app.operations.select_files import choose

    if choice.names and (choice.states or choice.since or choice.like):
        raise UsageError("files are named, and chosen by an option as well", cure="name files, or choose them by options")
    if not (choice.names or choice.states or choice.since or choice.like):
        raise UsageError("no file is named and none is chosen by an option", cure=f"see ./spark-submit.sh {kind.lower()} --help")
    return choose(db, config, kind, choice, replaces=replaces and kind == OperationKind.REPLAY)
