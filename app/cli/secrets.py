"""Commands for secrets in conf/: encrypt, decrypt, rotate-key. No secret is ever an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Debug, conf_folder, read_value
from app.config import credentials
from app.config.reading import show_path

keys_app = typer.Typer()


@keys_app.command(epilog="Example: ./spark-submit.sh encrypt < secret.txt")
def encrypt(debug: Debug = False) -> None:
    """Encrypt a value for conf/: read from standard input or a prompt, printed as an enc:v1: token. The key is SALESTREAM_KEY's."""
    print(credentials.encrypt(read_value("value: ")))


@keys_app.command(epilog="Example: ./spark-submit.sh decrypt < token.txt")
def decrypt(debug: Debug = False) -> None:
    """Decrypt an enc:v1: token: read from standard input or a prompt. The key is SALESTREAM_KEY's."""
    print(credentials.decrypt(read_value("token: ")))


@keys_app.command("rotate-key", epilog="Example: SALESTREAM_NEW_KEY_FILE=new.key ./spark-submit.sh rotate-key")
def rotate_key(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files, or folders with *.yml; conf/ where left out.")] = None,
    debug: Debug = False,
) -> None:
    """Re-encrypt every enc:v1: token in place, from SALESTREAM_KEY to SALESTREAM_NEW_KEY (or their _FILE); all other text stays."""
    old, new = credentials.load_key(), credentials.load_key(name=credentials.NEW_KEY)
    renewed = credentials.rotate_files(paths or [conf_folder()], old, new)
    for path, count in renewed.items():
        print(f"{show_path(path.absolute())}: {count} values have the new key")
    if not renewed:
        print("no value has the old key; nothing was changed")
