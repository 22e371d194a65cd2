"""What the commands that ask for an operation share: show what it would change, say that it is requested, wait for its end."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from app.config.load import Config
from app.views.text import aligned, printable

if TYPE_CHECKING:
    from app.mysql.database import Database
    from app.operations.dry_run import Ask, MartChange, Preview

# Files and mart rows that a dry run shows, unless told otherwise.
SHOWN = 50
COUNTS = ("rows_read", "rows_loaded", "rows_rejected", "rows_pending")


def open_database(env: str) -> tuple[Config, Database]:
    """Return the configuration, with its bucket, and a database whose tables are current."""
    from app.cli.options import configuration
    from app.mysql.bucket_info import with_bucket
    from app.mysql.database import Database
    from app.mysql.migrations import require_current

    config = with_bucket(configuration(env))
    db = Database(config.mysql)
    require_current(db)
    return config, db


def requester() -> str:
    """Name who asks, for the ledger."""
    return f"{getpass.getuser()} on {socket.gethostname()}"


def rehearse(config: Config, ask: Ask, *, limit: int, as_json: bool) -> None:
    """Show what an operation would change."""
    from app.operations.dry_run import open_job, preview

    with open_job(config) as job:
        found = preview(job, ask)
    print(json.dumps(as_tree(found), default=str)) if as_json else show_preview(found, limit)


def tell(config: Config, db: Database, operations: Sequence[int], what: str, *, wait: float, as_json: bool) -> None:
    """Say what was requested and who will do it; wait for the end where that is asked for."""
    from app.operations.progress import progress_of, running_stream, wait_for

    holder = running_stream(db, config)
    if not as_json:
        who = f"the stream of {holder} does it now" if holder else "no stream is running: ./spark-submit.sh run --once does it"
        names = f"operation {operations[0]}" if len(operations) == 1 else f"operations {operations[0]} to {operations[-1]}"
        print(f"requested {names}: {what}; {who}", flush=True)
    found = wait_for(db, operations, wait) if wait else progress_of(db, operations)
    if as_json:
        print(json.dumps({"operations": [asdict(one) for one in found], "holder": holder}))
    elif wait:
        for one in found:
            print(f"operation {one.id} {one.kind} {one.state}{f': {printable(one.detail)}' if one.detail else ''}")
            for file_id, note in one.notes.items():
                print(f"  nothing was done to file {file_id}: {printable(note)}")
    if any(one.state in ("FAILED", "CANCELLED") for one in found) or (wait and not all(one.is_over for one in found)):
        raise typer.Exit(1)


def as_tree(found: Preview) -> dict[str, Any]:
    """Return a preview for machines."""
    return asdict(found)


def show_preview(found: Preview, limit: int) -> None:
    """Print a preview for people: totals, files, mart rows before and after, Parquet."""
    print(
        f"would take out {found.removed.rows:,} rows ({_money(found.removed.amount)}) and load"
        f" {found.added.rows:,} ({_money(found.added.amount)}); nothing was changed"
    )
    files = [(one.id, one.key, _file(one.before), _file(one.after)) for one in found.files]
    _print("Files", ("id", "file", "before", "after"), files, limit)
    for file_id, state in found.lost.items():
        print(f"nothing would be done to file {file_id}: its object is {state}")
    for mart in dict.fromkeys(change.mart for change in found.marts):
        _print_mart(mart, [change for change in found.marts if change.mart == mart], limit)
    dead = [(part.sales_month, part.store_id, part.batch_key, part.rows, _money(part.amount)) for part in found.dead_parts]
    _print("Parquet that would be replaced", ("month", "store", "batch_key", "rows", "amount"), dead, limit)
    new = [(part.sales_month, part.store_id, part.rows, _money(part.amount)) for part in found.new_parts]
    _print("Parquet that would be written", ("month", "store", "rows", "amount"), new, limit)


def _print_mart(mart: str, changes: Sequence[MartChange], limit: int) -> None:
    values = list(next(change.before or change.after or {} for change in changes))
    rows = [(*change.key.values(), *(_change(change.before, change.after, name) for name in values)) for change in changes]
    _print(mart, (*changes[0].key, *values), rows, limit)


def _change(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, name: str) -> str:
    one, other = (None if side is None else side[name] for side in (before, after))
    shown = ["-" if value is None else str(value) for value in (one, other)]
    return shown[0] if one == other else " -> ".join(shown)


def _file(values: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{name.removeprefix('rows_')} {values[name]:,}" for name in COUNTS)
    reason = f" {values['reason_code']}" if values["reason_code"] else ""
    return f"{values['state']}{reason}, {'counts' if values['in_force'] else 'does not count'}: {counts}"


def _money(amount: object) -> str:
    return f"{amount:,.2f}"


def _print(title: str, names: Iterable[str], rows: Sequence[Sequence[object]], limit: int) -> None:
    if not rows:
        return
    print(f"{title}: {len(rows):,}")
    print("\n".join(f"  {line}" for line in aligned([tuple(names), *rows[:limit]])))
    if len(rows) > limit:
        print(f"  and {len(rows) - limit:,} more: see --limit and --json")
