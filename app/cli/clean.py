"""The command `clean`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import Debug, Env, Json, configuration
from app.errors import printable

if TYPE_CHECKING:
    from app.clean import Removal

clean_app = typer.Typer()
SHOWN = 100


@dataclass
class Tally:
    """What went so far."""

    rows: int = 0
    objects: int = 0
    bytes: int = 0

    def add(self, one: Removal) -> None:
        """Count one removal."""
        self.rows += one.rows
        self.objects += one.objects
        self.bytes += one.size

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.objects:,} objects, {self.bytes:,} bytes"


@clean_app.command(epilog="Example: ./spark-submit.sh clean --dry-run")
def clean(
    env: Env = "dev",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only name what would go.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="With --dry-run: names shown of each kind.")] = SHOWN,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove what is over: replaced Parquet, leftovers, and what is older than `retention` says. Never anything that counts.

    It may run beside the stream, and again after it was cut off. Without its archived object a file cannot be replayed.
    """
    from app.clean import clean as remove
    from app.clean import kept_by
    from app.mysql.bucket_info import with_bucket
    from app.mysql.database import Database
    from app.mysql.migrations import require_current

    config = configuration(env)
    require_current(Database(config.mysql))
    config = with_bucket(config)
    total = Tally()
    for kind, removals in remove(config, dry_run=dry_run):
        tally = Tally()
        count = 0
        for count, one in enumerate(removals, start=1):
            tally.add(one)
            total.add(one)
            if dry_run and count <= limit:
                figures = {"rows": one.rows, "objects": one.objects, "bytes": one.size}
                print(json.dumps({"kind": kind, "name": one.name, **figures}) if as_json else printable(f"{kind}: {one.name}"))
        if dry_run and count > limit and not as_json:
            print(f"{kind}: and {count - limit:,} more")
        _report(kind, tally, kept_by(kind, config), as_json=as_json)
    _report("total", total, None, as_json=as_json, dry_run=dry_run)


def _report(kind: str, tally: Tally, kept: str | None, *, as_json: bool, dry_run: bool | None = None) -> None:
    if as_json:
        print(json.dumps({"kind": kind, **asdict(tally), **({} if dry_run is None else {"dry_run": dry_run})}), flush=True)
    elif dry_run is not None:
        print(f"clean: {tally} {'would be ' if dry_run else ''}removed", flush=True)
    else:
        print(f"{kind}: {tally}{f' ({kept} is 0: kept)' if kept else ''}", flush=True)
