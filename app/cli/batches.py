"""The commands `batch list`, `batch split`, `operation list` and `operation cancel`: what stands in the way, and a way around it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from app.cli.options import Debug, Env, Json
from app.cli.request import open_database, requester

batch_app = typer.Typer(help="Micro-batches that are not finished.", no_args_is_help=True)
operation_app = typer.Typer(help="Operations on files: what was asked for.", no_args_is_help=True)

# Of an error in a line; --json has all of it.
LONGEST_ERROR = 200
Everything = Annotated[bool, typer.Option("--all", help="Also those that are over.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Most lines, newest first.")]


@batch_app.command("list", epilog="Example: ./spark-submit.sh batch list --all --limit 20")
def list_batches(everything: Everything = False, limit: Limit = 100, as_json: Json = False, env: Env = "dev", debug: Debug = False) -> None:
    """List micro-batches, a line each: state, what it holds, attempts, failures, and the last error."""
    from app.ledger import manual_changes

    _, db = open_database(env)
    _show(db.run(lambda tx: manual_changes.list_batches(tx, limit, everything=everything)), "batches", as_json=as_json)


@batch_app.command("split", epilog="Example: ./spark-submit.sh batch split 17")
def split_batch(
    batch: Annotated[int, typer.Argument(metavar="N", help="The batch's number.")], env: Env = "dev", debug: Debug = False
) -> None:
    """Cut a batch in two halves, which the stream or the next run loads one after the other. Not while the stream is at it."""
    from app.ledger import manual_changes

    config, db = open_database(env)
    first, second = db.run(lambda tx: manual_changes.split_batch(tx, batch, config.stream.takeover_seconds, requester()))
    print(f"batch {batch} was split into batches {first} and {second}")


@operation_app.command("list", epilog="Example: ./spark-submit.sh operation list --all")
def list_operations(
    everything: Everything = False, limit: Limit = 100, as_json: Json = False, env: Env = "dev", debug: Debug = False
) -> None:
    """List operations, a line each: kind, state, who asked, its batch, attempts, failures, and the last error."""
    from app.ledger import manual_changes

    _, db = open_database(env)
    _show(db.run(lambda tx: manual_changes.list_operations(tx, limit, everything=everything)), "operations", as_json=as_json)


@operation_app.command("cancel", epilog="Example: ./spark-submit.sh operation cancel 5")
def cancel_operation(
    operation: Annotated[int, typer.Argument(metavar="N", help="The operation's number.")], env: Env = "dev", debug: Debug = False
) -> None:
    """Cancel an operation that is not over: nothing of it is done. Not while the stream is at it."""
    from app.ledger import manual_changes

    config, db = open_database(env)
    db.run(lambda tx: manual_changes.cancel_operation(tx, operation, config.stream.takeover_seconds, requester()))
    print(f"operation {operation} was cancelled")


def _show(found: Sequence[dict[str, Any]], what: str, *, as_json: bool) -> None:
    from app.views.text import aligned, plain

    if as_json:
        print(json.dumps(found, default=plain))
        return
    if found:
        rows = [{**row, "error": (row["error"] or "")[:LONGEST_ERROR]} for row in found]
        print("\n".join(aligned([list(rows[0]), *(list(row.values()) for row in rows)])))
    print(f"{len(found)} {what}" if found else f"no {what}")
