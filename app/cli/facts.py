"""The command `facts list`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import Debug, Env, Json
from app.cli.request import open_database
from app.errors import UsageError
from app.views.facts_snippets import Engine

if TYPE_CHECKING:
    from app.views.facts import Listing

facts_app = typer.Typer(help="The committed facts on S3.", no_args_is_help=True)
EXIT_FAULTY = 1


@facts_app.command("list", epilog="Example: ./spark-submit.sh facts list --month 2024-05 --as duckdb")
def list_command(
    month: Annotated[str | None, typer.Option("--month", help="Only this month, such as 2024-05.")] = None,
    store: Annotated[int | None, typer.Option("--store", help="Only this store_id.")] = None,
    engine: Annotated[Engine | None, typer.Option("--as", help="duckdb, spark or athena: print what reads exactly these objects.")] = None,
    as_json: Json = False,
    env: Env = "dev",
    debug: Debug = False,
) -> None:
    """List the committed Parquet objects: those of the parts that are live at one moment, neither more nor fewer.

    Exit code 1 when a part has no object or not its rows; then no snippet is printed.
    """
    from app.views.facts import list_facts
    from app.views.facts_snippets import snippet
    from app.views.text import printable

    if engine is not None and as_json:
        raise typer.BadParameter("--json does not go with --as")
    config, db = open_database(env)
    found = list_facts(db, config, month, store)
    if as_json:
        print_json(config.s3.bucket, found)
    elif engine is None:
        print_listing(found)
    elif not found.parts:
        raise UsageError("no facts are committed here: there is nothing to read", cure="see ./spark-submit.sh facts list")
    elif not found.faults:
        print(snippet(engine, config.s3, found))
    for fault in found.faults:
        print(f"salestream: {printable(fault)}", file=sys.stderr)
    raise typer.Exit(EXIT_FAULTY if found.faults else 0)


def print_listing(found: Listing) -> None:
    """Print a line for each object, and what they are together."""
    from app.verify.difference import shown
    from app.views.text import aligned, moment

    names = ("month", "store", "batch", "rows", "size", "key")
    lines = [(p.sales_month, p.store_id, p.batch_key, one.rows, one.size, one.key) for p in found.parts for one in p.objects]
    if lines:
        print("\n".join(aligned([names, *lines])))
    print(f"{len(lines)} objects in {len(found.parts)} parts as of {moment(found.as_of)}: {found.rows} rows, {shown(found.amount)} in all")


def print_json(bucket: str, found: Listing) -> None:
    """Print everything as one JSON value."""
    from app.views.text import plain

    parts = [asdict(part) for part in found.parts]
    for part in parts:
        for one in part["objects"]:
            del one["columns"]  # a snippet's own concern
    whole = {"as_of": found.as_of, "bucket": bucket, "rows": found.rows, "amount": found.amount, "parts": parts, "faults": found.faults}
    print(json.dumps(whole, default=plain))
