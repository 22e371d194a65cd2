"""The command line: one verb per command, one call each; errors become one line and an exit code."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app import local, logs
from app.cli.batches import batch_app, operation_app
from app.cli.clean import clean_app
from app.cli.facts import facts_app
from app.cli.files import files_app
from app.cli.operations import operations_app
from app.cli.options import PROGRAM, Debug, Env, Json, configuration
from app.cli.quarantine import quarantine_app
from app.cli.secrets import keys_app
from app.cli.stop import stop_app
from app.cli.verify import verify_app
from app.config.load import LoggingConfig, describe, home_of
from app.errors import AttemptStuck, PipelineError
from app.version import VERSION
from app.views.text import aligned, printable

EXIT_FAILED = 1
EXIT_USAGE = 2


class LogFormat(StrEnum):
    """How log lines look."""

    text = "text"
    json = "json"


app = typer.Typer(
    name=PROGRAM,
    help="Salestream: CSV files of sales dropped into S3 become marts in MySQL and partitioned Parquet on S3, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
local_app = typer.Typer(help="The embedded S3 and MySQL servers.", no_args_is_help=True)
config_app = typer.Typer(help="The configuration.", no_args_is_help=True)
app.add_typer(keys_app)
app.add_typer(verify_app)
app.add_typer(operations_app)
app.add_typer(files_app)
app.add_typer(facts_app, name="facts")
app.add_typer(clean_app)
app.add_typer(stop_app)
app.add_typer(local_app, name="local")
app.add_typer(config_app, name="config")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(batch_app, name="batch")
app.add_typer(operation_app, name="operation")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"salestream {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Take the options that belong to no command."""


@app.command(epilog="Example: ./spark-submit.sh run --env dev --once")
def run(
    env: Env = "dev",
    once: Annotated[bool, typer.Option("--once", "--trigger-once", help="Load everything that is there now, then exit.")] = False,
    fail_on_rejected: Annotated[
        bool, typer.Option("--fail-on-rejected", help="With --once: exit code 1 if rows or files were rejected.")
    ] = False,
    log_format: Annotated[LogFormat | None, typer.Option("--log-format", help="text for people, json for machines.")] = None,
    debug: Debug = False,
) -> None:
    """Run the stream: for ever, or once to catch up on a backlog. The checks of `check` come first."""
    from app.stream.run import run as run_stream

    if fail_on_rejected and not once:
        raise typer.BadParameter("--fail-on-rejected goes with --once")
    if log_format is not None:
        # Already now, so that a fault of the configuration is JSON as well.
        logs.set_up(LoggingConfig(format=log_format.value))
    config = configuration(env)
    logs.set_up(config.logging if log_format is None else config.logging.model_copy(update={"format": log_format.value}))
    run_stream(config, once=once, fail_on_rejected=fail_on_rejected)


@app.command(epilog="Example: ./spark-submit.sh check --env prod")
def check(env: Env = "dev", as_json: Json = False, debug: Debug = False) -> None:
    """Check everything that a run needs, a line each: configuration, keys, S3, MySQL, dimensions, Java, disk. Exit code 2 if one fails."""
    from app.checks import check_all, lines

    findings = check_all(lambda: configuration(env))
    if as_json:
        print(json.dumps([{"check": f.name, "ok": f.ok, "warning": f.is_caution, "detail": f.detail} for f in findings]))
    else:
        print("\n".join(lines(findings)))
    raise typer.Exit(0 if all(found.ok for found in findings) else EXIT_USAGE)


@app.command(epilog="Example: ./spark-submit.sh status --json")
def status(
    env: Env = "dev",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show whether a stream runs, files by state, rows by outcome, the last batch and the backlog."""
    from app.mysql.database import Database
    from app.mysql.migrations import require_current
    from app.views.status import read_status

    config = configuration(env)
    db = Database(config.mysql)
    require_current(db)
    found = read_status(db, config.stream.takeover_seconds)
    if as_json:
        print(json.dumps(found, default=str))
    else:
        print_status(found)


@app.command("init-db", epilog="Example: ./spark-submit.sh init-db --seed")
def init_db(
    env: Env = "dev",
    seed: Annotated[bool, typer.Option("--seed", help="Also load the sample dimensions.")] = False,
    debug: Debug = False,
) -> None:
    """Create or update the tables; safe to run again."""
    from app.mysql.database import Database
    from app.mysql.migrations import apply_migrations, seed_dimensions

    config = configuration(env)
    applied = apply_migrations(config.mysql)
    print(f"init-db: applied {', '.join(applied)}" if applied else "init-db: the database is up to date")
    if seed:
        seed_dimensions(Database(config.mysql), config.s3.bucket, config.s3.source_prefix)
        print("init-db: sample dimensions are in place")


@app.command(epilog="Example: ./spark-submit.sh upload ./my-csv-files")
def upload(
    folder: Annotated[Path, typer.Argument(help="The local folder; its files keep their relative names.")],
    env: Env = "dev",
    threads: Annotated[int, typer.Option("--threads", min=1, max=64, help="Uploads at the same time.")] = 8,
    debug: Debug = False,
) -> None:
    """Upload a local folder below the source prefix."""
    from app.mysql.bucket_info import with_bucket
    from app.s3.read import make_client
    from app.s3.upload import upload_folder
    from app.source.object_names import DONE_MARKER, NameRules

    config = with_bucket(configuration(env))
    names = NameRules.of(config)

    def rule(key: str) -> str | None:
        broken = names.rule(key)
        return None if broken == DONE_MARKER else broken

    summary = upload_folder(
        make_client(config.s3),
        config.s3.bucket,
        config.s3.source_prefix,
        folder,
        threads=threads,
        progress=True,
        rule=rule,
        marker=names.done_marker,
    )
    print("\n".join(summary.lines()))
    raise typer.Exit(summary.exit_code)


@config_app.command("show", epilog="Example: ./spark-submit.sh config show --env prod")
def config_show(env: Env = "dev", debug: Debug = False) -> None:
    """Show every effective value and where it came from; secrets are hidden."""
    print("\n".join(aligned([("key", "value", "from"), *describe(configuration(env, servers=False))])))


@local_app.command("up", epilog="Example: ./spark-submit.sh local up")
def local_up(debug: Debug = False) -> None:
    """Start the embedded servers; does nothing when they run."""
    started = local.up(home_of()).variables()
    print(f"S3 at {started['AWS_ENDPOINT_URL_S3']}, MySQL at {started['SALESTREAM_MYSQL_HOST']}:{started['SALESTREAM_MYSQL_PORT']}")


@local_app.command("down", epilog="Example: ./spark-submit.sh local down")
def local_down(debug: Debug = False) -> None:
    """Stop the embedded servers; their data stays."""
    print("embedded servers stopped" if local.down(home_of()) else "embedded servers were not running")


@local_app.command("env", epilog='Example: eval "$(./spark-submit.sh local env)"')
def local_env(debug: Debug = False) -> None:
    """Print export lines for the embedded servers, with their random passwords."""
    import shlex

    found = local.read_env(home_of())
    if found is None:
        raise typer.BadParameter("the embedded servers were never started; run ./spark-submit.sh local up")
    for name, value in found.variables().items():
        print(f"export {name}={shlex.quote(value)}")


def print_status(found: dict[str, Any]) -> None:
    """Print the status for people."""
    from app.views.status import stream_line

    console = Console()
    if "stream" in found:
        console.print(stream_line(found["stream"]), highlight=False, markup=False, soft_wrap=True)
    files = Table("state", "files", title="Files", title_justify="left")
    for state, count in found["files"].items():
        files.add_row(state, str(count))
    console.print(files)
    rows = Table(*found["rows"], title="Rows", title_justify="left")
    rows.add_row(*[str(count) for count in found["rows"].values()])
    console.print(rows)
    last = found["last_batch"]
    if last:
        console.print(
            f"Last batch {last['id']} {last['state']} at {last['committed_at'] or last['planned_at']}: {last['rows_loaded']} rows loaded"
        )
    console.print(f"Backlog {found['backlog_files']} files, {found['backlog_bytes']} bytes; waiting to be archived {found['archive_due']}")
    if found.get("held_files"):
        console.print(f"{found['held_files']} files fail again and again and are held back: ./spark-submit.sh batch list says why")
    for one in found["failed_operations"]:
        print(printable(f"operation {one['id']} {one['kind']} was given up: {one['detail']}"))
    for one in found["ignored_objects"]:
        print(f"{one['objects']} objects are not loaded by the rule {one['rule']}, first of them {printable(one['example'])}")
    if found.get("unreadable_files"):
        console.print(f"{found['unreadable_files']} files are refused by S3 and stay in place: ./spark-submit.sh files --state UNREADABLE")
    if found.get("archive_refused"):
        console.print(f"{found['archive_refused']} loaded files stay in the source prefix, as S3 refuses their move: see the log")
    for rule, count in found["warnings"].items():
        console.print(f"{count} accepted rows break the rule {rule}")
    for key in found["pending_keys"]:
        console.print(f"{key['rows']} rows wait for {key['dimension']} {key['key']}")
    for line in stranded_lines(found):
        print(line)


def stranded_lines(found: dict[str, Any]) -> Iterator[str]:
    """Say which waiting rows could not be released, and when they are tried again."""
    stranded = found.get("stranded") or {"parts": 0}
    if stranded["parts"]:
        yield f"{stranded['rows']} waiting rows in {stranded['parts']} parts could not be released:"
        for part in stranded["newest"]:
            when = f"tried again after {part['next_try']}" if part["next_try"] else "tried again at once"
            yield f"  part {part['batch_key']}: {part['rows']} rows, {part['failures']} failures, {when}"


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 ok, 1 failed, 2 bad usage or configuration, 3 not ours to write."""
    args = sys.argv[1:] if argv is None else argv
    try:
        # Named, or the usage lines would show the file that spark-submit runs.
        app(args=args, prog_name=PROGRAM)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else EXIT_FAILED if exc.code else 0
    except AttemptStuck as exc:
        code = report(exc, exc, "--debug" in args)
        # Python would wait for the threads of the attempt that cannot be ended.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    except PipelineError as exc:
        return report(exc, exc, "--debug" in args)
    except Exception as exc:  # noqa: BLE001 - the last resort: a user gets one line, a developer asks for the trace
        return report(PipelineError(f"{type(exc).__name__}: {exc}".splitlines()[0]), exc, "--debug" in args)
    return 0


def report(error: PipelineError, raised: Exception, debug: bool) -> int:
    """Say in one line what ended a command, with the trace only on request; return the exit code."""
    if debug:
        traceback.print_exception(raised)
    if logs.is_json():
        logging.getLogger("app.cli.app").error("%s", error)
    else:
        print(f"salestream: {error}", file=sys.stderr)
    return error.exit_code
