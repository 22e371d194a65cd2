"""The servers that every contender gets: the embedded S3 and MySQL, emptied before each round, with the same dimension rows."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from app import local
from app.config.load import Config, load_config
from app.mysql.migrations import apply_migrations
from app.s3.read import S3Client, make_client
from scripts.bench.data import CACHE, CUSTOMERS, PRODUCTS, SELLERS, STORES, WIDE, DataSet

REPOSITORY = Path(__file__).resolve().parents[2]
DROPS = "sales_data/"
SECRETS = ("SALESTREAM", "AWS_", "SPARK_", "PYSPARK_")


@dataclass
class Site:
    """The servers, and what is done to them between rounds."""

    home: Path
    config: Config
    client: S3Client
    variables: dict[str, str]

    @property
    def bucket(self) -> Path:
        """The folder that is the bucket."""
        return self.home / "s3" / self.config.s3.bucket

    @property
    def environment(self) -> dict[str, str]:
        """What a contender finds in its environment; no secret is ever an argument."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(SECRETS)}
        return kept | self.variables | {"SALESTREAM_HOME": str(self.home), "PYTHONPATH": str(REPOSITORY), "SPARK_LOCAL_IP": "127.0.0.1"}

    def connect(self) -> pymysql.Connection[Any]:
        """Open a connection as the job's user."""
        c = self.config.mysql
        return pymysql.connect(
            host=c.host,
            port=c.port,
            user=c.user,
            password=c.password.get_secret_value(),
            database=c.database,
            autocommit=True,
            init_command="SET time_zone = '+00:00'",
        )

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Ask MySQL."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, args or None)
            return list(cursor.fetchall())

    def reset(self) -> None:
        """Empty the bucket and the database, and load the dimensions."""
        for path in self.bucket.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(self.home / "staged", ignore_errors=True)
        (self.home / "staged").mkdir()
        (self.bucket / DROPS).mkdir()
        name = self.config.mysql.database
        with pymysql.connect(**local.root_connection_args(self.home)) as root, root.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
            cursor.execute(f"CREATE DATABASE `{name}`")
        apply_migrations(self.config.mysql)
        with self.connect() as connection, connection.cursor() as cursor:
            for sql, rows in dimension_rows():
                cursor.executemany(sql, rows)

    def drop_mart_keys(self) -> None:
        """Let the marts have several rows of a key."""
        for mart in ("customers_data_mart", "sales_team_data_mart"):
            self.query(f"ALTER TABLE {mart} DROP PRIMARY KEY")

    def stage(self, data: DataSet, name: str) -> None:
        """Get a data set ready beside the bucket."""
        folder = self.home / "staged" / name
        folder.mkdir()
        for path in data.paths:
            # As if uploaded now: some contenders know new files by their time.
            os.utime(path)
            os.link(path, folder / path.name)

    def drop(self, name: str) -> float:
        """Put a staged data set below the source prefix, all files at one moment. Returns that moment."""
        # An emptied folder goes away with its last object.
        (self.bucket / DROPS).mkdir(exist_ok=True)
        (self.home / "staged" / name).rename(self.bucket / DROPS / name)
        return time.time()

    def put(self, key: str, body: bytes) -> float:
        """Upload one object. Returns the moment at which it was there."""
        self.client.put_object(Bucket=self.config.s3.bucket, Key=key, Body=body)
        return time.time()


def dimension_rows() -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yield an INSERT for each dimension table, with its rows."""
    yield (
        "INSERT INTO customer (customer_id, first_name, last_name, address, pincode, phone_number) VALUES (%s, %s, %s, %s, %s, %s)",
        [
            (n, f"First{n}", f"Last{n % 977}", f"{n % 211} Station Road", str(400_000 + n % 999), f"9{n:09}")
            for n in range(1, CUSTOMERS + 1)
        ],
    )
    yield "INSERT INTO store (id, address, store_manager_name) VALUES (%s, 'Ring Road', %s)", [(n, f"Manager {n}") for n in STORES]
    yield (
        "INSERT INTO product (id, name, current_price) VALUES (%s, %s, %s)",
        [
            (n, name + more, price)
            for n, (name, price, more) in enumerate(
                ((name, price, more) for more in ("", WIDE) for name, price in PRODUCTS.items()), start=1
            )
        ],
    )
    yield (
        "INSERT INTO sales_team (id, first_name, last_name, manager_id, is_manager, address, pincode) VALUES (%s, %s, %s, 10, 'N', %s, %s)",
        [(n, f"Seller{n}", f"Of{n}", f"{n} Lake View", str(411_000 + n)) for n in SELLERS],
    )


@contextmanager
def open_site(home: Path = CACHE / "home") -> Iterator[Site]:
    """Start the servers in a home of their own, and stop them in the end."""
    env = local.up(home, die_with_parent=True)
    try:
        variables = env.variables()
        config = load_config("dev", environ={}, defaults=variables)
        yield Site(home, config, make_client(config.s3), variables)
    finally:
        local.down(home)
