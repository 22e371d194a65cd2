"""The command `verify`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import Debug, Env, Json, configuration
from app.errors import printable

if TYPE_CHECKING:
    from app.verify import Difference, Verification

verify_app = typer.Typer()
EXIT_DIFFERENT = 1
SHOWN = 100


@verify_app.command(epilog="Example: ./spark-submit.sh verify --env prod")
def verify(
    env: Env = "dev",
    deep: Annotated[bool, typer.Option("--deep", help="Also read the archived CSV files again and compare rows and totals.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Set right what a MySQL restored from an older backup does not know.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --repair: only say what it would do.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Differences shown of each kind.")] = SHOWN,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Recompute marts and counts from the Parquet on S3, and compare with MySQL; find orphans. Exit code 1 on any difference."""
    from app.mysql.bucket_info import with_bucket
    from app.verify import Verification, differences
    from app.verify.repair import plan
    from app.verify.repair import repair as set_right

    if dry_run and not repair:
        raise typer.BadParameter("--dry-run goes with --repair")
    config = with_bucket(configuration(env))
    if repair:
        for line in plan(config) if dry_run else set_right(config):
            print(json.dumps({"kind": "repair", "line": line}) if as_json else printable(line), flush=True)
        return
    seen = Verification()
    raise typer.Exit(report(differences(config, seen, deep=deep), seen, limit=limit, as_json=as_json))


def report(found: Iterable[Difference], seen: Verification, *, limit: int, as_json: bool) -> int:
    """Print differences as they come, at most `limit` of each kind, and a summary. Returns the exit code."""
    counts: Counter[str] = Counter()
    for one in found:
        counts[one.kind] += 1
        if counts[one.kind] <= limit:
            print(json.dumps({**asdict(one), "line": str(one)}) if as_json else printable(str(one)))
    different = sum(count for kind, count in counts.items() if kind != "remark")
    if as_json:
        print(json.dumps({"kind": "summary", **asdict(seen), "differences": different, "by_kind": counts}))
    else:
        for kind, count in counts.items():
            if count > limit:
                print(f"and {count - limit:,} more of kind {kind}")
        print(f"verify: {seen.summary()}: {different:,} differences")
    return EXIT_DIFFERENT if different else 0
