"""What the commands share: their common options, the configuration, and reading a secret."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app import local
from app.config.load import Config, home_of, load_config
from app.config.reading import LOCAL_UP, REPOSITORY
from app.errors import LocalServerError

PROGRAM = "./spark-submit.sh"

Env = Annotated[str, typer.Option("--env", help="Which conf/<env>.yml: dev, qa or prod.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change: rows, mart keys before and after, Parquet.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Wait so many seconds for it to be done; exit code 1 if it is not.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

# A day, a moment as MySQL and JSON write it, or one with an offset.
_DAY, _TIMES = "%Y-%m-%d", ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S%z", "%H:%M:%S.%f%z")
MOMENTS = [_DAY, *(f"{_DAY}{between}{time}" for between in ("T", " ") for time in _TIMES)]


def utc(moment: datetime | None) -> datetime | None:
    """Return a moment as the ledger has it: UTC, without saying so. One without an offset is UTC already."""
    return moment if moment is None or moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def conf_folder() -> Path:
    """Give the folder of the configuration files: $SALESTREAM_CONF_DIR, or `conf` in the repository."""
    name = os.environ.get("SALESTREAM_CONF_DIR", "").strip()
    return Path(name).expanduser().absolute() if name else REPOSITORY / "conf"


def configuration(env: str, *, servers: bool = True) -> Config:
    """Load a configuration, with the embedded servers' variables where the file asks for them.

    Args:
        env: the environment.
        servers: whether the command needs S3 or MySQL: embedded ones must then be running.

    Raises:
        ConfigError: the configuration cannot be used.
        LocalServerError: it names the embedded servers, and they do not run.
    """
    found = local.read_env(home_of())
    config = load_config(env, conf_dir=conf_folder(), defaults=found.variables() if found else {})
    is_embedded = any(config.origins.get(key, "").find("embedded $") >= 0 for key in ("s3.endpoint_url", "mysql.host", "mysql.port"))
    if servers and is_embedded and not local.greet(home_of()):
        raise LocalServerError("the embedded servers do not run", cure=LOCAL_UP)
    return config


def read_value(prompt: str) -> str:
    """Read a secret without showing it: from a prompt on a terminal, else the whole of standard input less its last line break."""
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(prompt)
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")
