"""What the commands share: their common options, the configuration, and reading a secret."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from app import local
from app.config import Config, home_of, load_config

PROGRAM = "./spark-submit.sh"

Env = Annotated[str, typer.Option("--env", help="Which conf/<env>.yml: dev, qa or prod.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def configuration(env: str) -> Config:
    """Load a configuration, with the embedded servers' variables where the file asks for them."""
    found = local.read_env(home_of())
    return load_config(env, defaults=found.variables() if found else {})


def read_value(prompt: str) -> str:
    """Read a secret without showing it: from a prompt on a terminal, else the whole of standard input less its last line break."""
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(prompt)
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")
