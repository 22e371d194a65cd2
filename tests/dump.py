"""A world as files: its tables as plain SQL that pymysql can run, its configuration, and the objects of its bucket.

`tests/data/round1` was written this way by `tests.make_round1`; tests load it, migrate it, and go on from there.
"""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pymysql
import yaml

from app.ledger.types import identity_of
from app.s3.read import ObjectVersion, head
from tests.world import GRANTS, World, grant

ROUND1 = Path(__file__).parent / "data" / "round1"
# Whatever the world was called, the files name it so.
NAME = "round1"
ROWS_PER_INSERT = 200


def dump(world: World, folder: Path) -> None:
    """Write everything that a world holds below a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "conf").mkdir(parents=True)
    text = _database(world)
    (folder / "database.sql").write_text(text.replace(world.bucket, NAME).replace(socket.gethostname(), "somehost"))
    shutil.copy(world.folder / "conf" / "contract.yml", folder / "conf")
    tree = yaml.load((world.folder / "conf" / "dev.yml").read_text(), Loader=yaml.BaseLoader)
    tree["s3"]["bucket"] = NAME
    # No password goes into a file.
    tree["mysql"] |= {name: f"${{SALESTREAM_MYSQL_{name.upper()}}}" for name in ("database", "user", "password")}
    (folder / "conf" / "dev.yml").write_text(yaml.safe_dump(tree, sort_keys=False))
    for version in world.objects(""):
        path = folder / "s3" / _as_path(version.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        world.client.download_file(world.bucket, version.key, str(path))


def load(world: World, folder: Path, edit: Callable[[str], str] = lambda statement: statement) -> None:
    """Make a fresh world hold what was dumped: its tables are dropped, its bucket filled, its configuration replaced.

    Objects get new times here. The files whose objects still lie in the source prefix are booked under these times, as they would be
    where the dump was made.
    """
    statements = [edit(text.replace(NAME, world.bucket)) for text in (folder / "database.sql").read_text().split(";\n") if text.strip()]
    with world.admin.connect() as connection, connection.cursor() as cursor:
        for statement in ("SET FOREIGN_KEY_CHECKS = 0", *_drops(connection), *statements):
            cursor.execute(statement)
    for path in sorted((folder / "s3").rglob("*")):
        if path.is_file():
            key = unquote(path.relative_to(folder / "s3").as_posix())
            world.client.put_object(Bucket=world.bucket, Key=key, Body=path.read_bytes())
    _book_times(world)
    _configure(world, folder)


def grant_new_tables(world: World) -> None:
    """Give the job's users what grants.sql says today, as an administrator does after an update."""
    assert GRANTS.is_file()
    assert world.root is not None
    grant(world.root, world.config.mysql.database, *world.users)


def _database(world: World) -> str:
    connection = world.root
    assert connection is not None
    with connection.cursor() as cursor:
        cursor.execute(f"USE {world.config.mysql.database}")
        cursor.execute("SHOW FULL TABLES")
        tables = sorted(cursor.fetchall())
        parts: list[str] = []
        for name in (name for name, kind in tables if kind == "BASE TABLE"):
            cursor.execute(f"SHOW CREATE TABLE `{name}`")
            parts.append(cursor.fetchall()[0][1])
            cursor.execute(f"SELECT * FROM `{name}`")
            rows = list(cursor.fetchall())
            columns = ", ".join(f"`{column[0]}`" for column in cursor.description or ())
            for first in range(0, len(rows), ROWS_PER_INSERT):
                values = ",\n".join(
                    f"({', '.join(_literal(connection, value) for value in row)})" for row in rows[first : first + ROWS_PER_INSERT]
                )
                parts.append(f"INSERT INTO `{name}` ({columns}) VALUES\n{values}")
        for name in (name for name, kind in tables if kind == "VIEW"):
            cursor.execute(f"SHOW CREATE VIEW `{name}`")
            text = str(cursor.fetchall()[0][1])
            parts.append(re.sub(r"^CREATE .*? VIEW ", "CREATE VIEW ", text).replace(f"`{world.config.mysql.database}`.", ""))
    return "".join(f"{part};\n" for part in parts)


def _literal(connection: pymysql.Connection, value: object) -> str:
    if isinstance(value, bytes):
        text = value.decode("ascii", "replace")
        return f"_binary{connection.escape(text)}" if text.isprintable() and text.isascii() else f"X'{value.hex()}'"
    return str(connection.escape(value))


def _drops(connection: pymysql.Connection) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW FULL TABLES")
        rows: Any = cursor.fetchall()  # of a DictCursor: the stubs know plain ones only
        found = [tuple(row.values()) for row in rows]
    return [f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} `{name}`" for name, kind in found]


def _as_path(key: str) -> str:
    return "/".join(quote(part, safe="=-_.") for part in key.split("/"))


def _book_times(world: World) -> None:
    client = world.client
    for row in world.rows("SELECT id, object_key, etag, size_bytes FROM source_file ORDER BY id"):
        there = head(client, world.bucket, bytes(row["object_key"]).decode())
        if there is not None and (there.etag, there.size) == (row["etag"], row["size_bytes"]):
            listed = _listed(world, there.key)
            world.execute(
                "UPDATE source_file SET last_modified = %s, identity = %s WHERE id = %s",
                listed.last_modified.replace(tzinfo=None),
                identity_of(listed),
                row["id"],
            )


def _listed(world: World, key: str) -> ObjectVersion:
    """A listing has milliseconds where a HEAD has not; the ledger books what was listed."""
    return next(version for version in world.objects(key) if version.key == key)


def _configure(world: World, folder: Path) -> None:
    here = yaml.load((world.folder / "conf" / "dev.yml").read_text(), Loader=yaml.BaseLoader)
    tree = yaml.load((folder / "conf" / "dev.yml").read_text(), Loader=yaml.BaseLoader)
    tree["s3"]["bucket"] = world.bucket
    tree["mysql"] = here["mysql"]
    (world.folder / "conf" / "dev.yml").write_text(yaml.safe_dump(tree))
    shutil.copy(folder / "conf" / "contract.yml", world.folder / "conf" / "contract.yml")
    world.set("stream")
