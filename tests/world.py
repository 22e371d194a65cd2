"""A world for one test: an empty bucket, an empty database with the schema and sample dimensions, and a configuration for both."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pymysql
import yaml
from pyspark.sql import SparkSession

from app.config.load import Config, MySqlConfig, load_config
from app.contract.contract import load_contract
from app.ledger.ownership import Ownership, owners_database
from app.local import LocalEnv
from app.mysql.database import Database, Row
from app.mysql.migrations import apply_migrations, seed_dimensions
from app.s3.read import ClientFactory, ObjectVersion, list_all
from app.spark.session import build_session
from app.stream.run import run_owned
from app.stream.supervise import StopRequest
from tests.conftest import REPOSITORY
from tests.shipped import SHIPPED_CONF

CustomerMart = dict[tuple[int, str], Decimal]
TeamMart = dict[tuple[int, int, str], tuple[Decimal, Decimal]]

ADMIN, JOB, READER = "salestream_admin", "salestream_job", "salestream_reader"
GRANTS = REPOSITORY / "scripts" / "sql" / "grants.sql"


_users: dict[tuple[str, int], dict[str, str]] = {}
_templates: dict[tuple[str, int], str] = {}


def make_users(root: pymysql.Connection) -> dict[str, str]:
    """Make the users of grants.sql, once for each server. Returns password by user."""
    server = (root.host, root.port)
    if server not in _users:
        _users[server] = {user: uuid.uuid4().hex for user in (ADMIN, JOB, READER)}
        with root.cursor() as cursor:
            for user, password in _users[server].items():
                cursor.execute(f"CREATE USER '{user}'@'%%' IDENTIFIED BY %s", (password,))
    return _users[server]


def grant(root: pymysql.Connection, database: str, *users: str) -> None:
    """Run the statements of grants.sql that are about these users, in this database."""
    statements = [line for line in GRANTS.read_text().splitlines() if line.startswith("GRANT")]
    with root.cursor() as cursor:
        cursor.execute(f"USE {database}")
        for statement in statements:
            if any(f"'{user}'@" in statement for user in users):
                cursor.execute(statement)


def make_tables(root: pymysql.Connection, config: MySqlConfig) -> None:
    """Give an empty database the schema: once for each server by the migrations, then as a copy, which takes a third of the time."""
    server = (root.host, root.port)
    with root.cursor() as cursor:
        if server not in _templates:
            name = f"template{uuid.uuid4().hex[:8]}"
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            grant(root, name, ADMIN)
            apply_migrations(config.model_copy(update={"database": name}))
            _templates[server] = name
        template = _templates[server]
        cursor.execute(f"SHOW FULL TABLES FROM {template}")
        tables = cursor.fetchall()
        cursor.execute(f"USE {config.database}")
        for table in (name for name, kind in tables if kind == "BASE TABLE"):
            cursor.execute(f"CREATE TABLE `{table}` LIKE {template}.`{table}`")
            cursor.execute(f"INSERT INTO `{table}` SELECT * FROM {template}.`{table}`")
        for view in (name for name, kind in tables if kind == "VIEW"):
            cursor.execute(f"SHOW CREATE VIEW {template}.`{view}`")
            cursor.execute(cursor.fetchall()[0][1].replace(f"`{template}`", f"`{config.database}`"))


def spark_session(env: LocalEnv) -> SparkSession:
    """Build a session like the job's, on the jars that set-up has fetched."""
    jars = ",".join(str(path) for path in sorted((REPOSITORY / ".cache/ivy/jars").glob("*.jar")))
    os.environ["SPARK_CONF_DIR"] = str(REPOSITORY / "conf")
    short = "--driver-java-options -XX:TieredStopAtLevel=1 --conf spark.python.daemon.module=app.spark.worker_daemon"
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--master local[2] --driver-memory 1g {short} --jars '{jars}' --conf spark.ui.enabled=false pyspark-shell"
    )
    return build_session(load_config("dev", environ={}, defaults=env.variables()))


@dataclass
class World:
    """One test's bucket, database and configuration."""

    config: Config
    env: LocalEnv
    folder: Path
    users: dict[str, str] = field(default_factory=dict, repr=False)
    root: pymysql.Connection | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._at_first = self.config

    @classmethod
    def make(cls, env: LocalEnv, root: pymysql.Connection, folder: Path, mysql: Mapping[str, str] | None = None) -> World:
        """Create an empty world; `mysql` are settings of that section which the configuration file has instead of variables."""
        name = f"w{uuid.uuid4().hex[:12]}"
        with root.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        users = make_users(root)
        tree = yaml.load((SHIPPED_CONF / "dev.yml").read_text(), Loader=yaml.BaseLoader)
        tree["s3"]["bucket"] = name
        tree["mysql"] |= {**(mysql or {}), "database": name, "user": JOB, "password": users[JOB]}
        # A test is about the failure that it makes; those about restarts ask for them.
        tree["stream"] |= {"settle_seconds": 0, "retry_seconds": 0}
        conf = folder / "conf"
        conf.mkdir()
        (conf / "dev.yml").write_text(yaml.safe_dump(tree))
        (conf / "contract.yml").write_bytes((SHIPPED_CONF / "contract.yml").read_bytes())
        world = cls(_load(env, folder), env, folder, users, root)
        world.client.create_bucket(Bucket=name)
        grant(root, name, ADMIN)
        make_tables(root, world.mysql_as(ADMIN))
        seed_dimensions(world.admin, name, tree["s3"]["source_prefix"])
        grant(root, name, JOB, READER)
        return world

    def destroy(self, root: pymysql.Connection) -> None:
        """Drop the database; the bucket goes with the servers' folder."""
        with root.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {self.config.mysql.database}")

    def set(self, section: str, **values: Any) -> None:
        """Change settings of this world's configuration file."""
        path = self.folder / "conf" / "dev.yml"
        tree = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
        tree[section] |= values
        path.write_text(yaml.safe_dump(tree))
        self.config = _load(self.env, self.folder)

    def undisturbed(self) -> Config:
        """Return the configuration of now with the servers of the beginning: without the proxies and short limits of a test."""
        servers = ("endpoint_url", "connect_timeout_seconds", "read_timeout_seconds", "least_bytes_per_second")
        s3 = self.config.s3.model_copy(update={name: getattr(self._at_first.s3, name) for name in servers})
        return self.config.model_copy(update={"mysql": self._at_first.mysql, "s3": s3})

    def has_batches(self) -> bool:
        """Tell whether anything was ever begun, asked as root and past every proxy."""
        assert self.root is not None
        with self.root.cursor() as cursor:
            cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {self._at_first.mysql.database}.micro_batch)")
            return bool(cursor.fetchall()[0][0])

    @property
    def client(self) -> Any:
        """The process's S3 client of the configuration; making one takes longer than most requests."""
        return ClientFactory(self.config.s3)()

    def mysql_as(self, user: str) -> MySqlConfig:
        """Return the configuration of the database for another user than the job's."""
        values = {name: getattr(self.config.mysql, name) for name in type(self.config.mysql).model_fields}
        return MySqlConfig.model_validate({**values, "user": user, "password": self.users[user]})

    @property
    def db(self) -> Database:
        """The world's database as the job's own user sees it."""
        return Database(self.config.mysql)

    @property
    def admin(self) -> Database:
        """The world's database as its administrator sees it; the job itself has only what grants.sql gives it."""
        return Database(self.mysql_as(ADMIN))

    @property
    def bucket(self) -> str:
        """The world's bucket."""
        return self.config.s3.bucket

    def rows(self, sql: str, *args: Any) -> list[Row]:
        """Run one SELECT."""
        return self.admin.run(lambda tx: tx.rows(sql, args))

    def execute(self, sql: str, *args: Any) -> int:
        """Run one statement."""
        return self.admin.run(lambda tx: tx.execute(sql, args))

    def through(self, url: str, spark: SparkSession) -> None:
        """Send all further S3 requests of the job and of Spark to another address."""
        self.set("s3", endpoint_url=url)
        hadoop = spark.sparkContext._jsc.hadoopConfiguration()
        hadoop.set(f"fs.s3a.bucket.{self.bucket}.endpoint", url)

    def as_root(self, *statements: str) -> None:
        """Run statements as the server's root."""
        assert self.root is not None
        with self.root.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def drop(self, name: str, body: bytes | str | Path) -> None:
        """Put one object below the source prefix."""
        data = body.read_bytes() if isinstance(body, Path) else body.encode() if isinstance(body, str) else body
        self.client.put_object(Bucket=self.bucket, Key=self.config.s3.source_prefix + name, Body=data)

    def keys(self, prefix: str) -> list[str]:
        """List the keys below a prefix."""
        return [version.key for version in self.objects(prefix)]

    def objects(self, prefix: str) -> list[ObjectVersion]:
        """List the objects below a prefix; S3Proxy shows folders as objects, which they are not."""
        return [version for version in list_all(self.client, self.bucket, prefix) if not version.key.endswith("/")]

    def run_once(self, spark: SparkSession) -> None:
        """Run the stream once, in this process, as `run --once` does."""
        self.run(spark, StopRequest(), once=True)

    def run(self, spark: SparkSession, stop: StopRequest, *, once: bool) -> None:
        """Run the stream in this process as the owner of the source."""
        with Ownership(owners_database(self.config), self.bucket, self.config.stream.takeover_seconds) as ownership:
            run_owned(spark, self.config, load_contract(self.config.contract_path), ownership, stop, once=once)

    def states(self) -> dict[str, str]:
        """Return file name -> state, in the order of discovery."""
        found = self.rows("SELECT object_key, state FROM source_file ORDER BY id")
        return {bytes(row["object_key"]).decode().removeprefix(self.config.s3.source_prefix): row["state"] for row in found}

    def customer_mart(self) -> CustomerMart:
        """Return the customer mart's totals by (customer, month)."""
        found = self.rows("SELECT customer_id, sales_date_month, total_sales FROM customers_data_mart")
        return {(row["customer_id"], row["sales_date_month"]): row["total_sales"] for row in found}

    def team_mart(self) -> TeamMart:
        """Return the team mart's (total, incentive) by (store, seller, month)."""
        found = self.rows("SELECT store_id, sales_person_id, sales_month, total_sales, incentive FROM sales_team_data_mart")
        return {(r["store_id"], r["sales_person_id"], r["sales_month"]): (r["total_sales"], r["incentive"]) for r in found}

    def live_parts(self) -> dict[tuple[str, int, str], tuple[int, Decimal]]:
        """Return (rows, amount) of each LIVE part by (month, store, batch key)."""
        found = self.rows("SELECT sales_month, store_id, batch_key, row_count, amount FROM fact_part WHERE state = 'LIVE'")
        return {(r["sales_month"], r["store_id"], r["batch_key"]): (r["row_count"], r["amount"]) for r in found}

    def parquet_parts(self) -> dict[tuple[str, int, str], tuple[int, Decimal]]:
        """Return (rows, amount) of each Parquet folder below the facts prefix, read by DuckDB, whatever the ledger says."""
        with duckdb.connect() as con:
            folder = self.download(self.config.s3.facts_prefix)
            if folder is None:
                return {}
            found = con.execute(
                "SELECT sales_month, store_id, batch_key, count(*), sum(total_cost) FROM read_parquet(?, hive_partitioning = true,"
                " hive_types = {'sales_month': VARCHAR, 'store_id': INTEGER, 'batch_key': VARCHAR}) GROUP BY ALL",
                [f"{folder}/**/*.parquet"],
            ).fetchall()
        return {(month, store, key): (rows, amount) for month, store, key, rows, amount in found}

    def download(self, prefix: str) -> Path | None:
        """Copy the objects below a prefix to a fresh local folder; None when there are none."""
        target = self.folder / f"download{time.monotonic_ns()}"
        found = self.objects(prefix)
        for version in found:
            path = target / version.key
            path.parent.mkdir(parents=True, exist_ok=True)
            self.client.download_file(self.bucket, version.key, str(path))
        return target / prefix if found else None


def _load(env: LocalEnv, folder: Path) -> Config:
    config = load_config("dev", conf_dir=folder / "conf", environ={}, defaults=env.variables())
    return config.model_copy(update={"home": folder / "home", "checkpoint_root": folder / "home" / "checkpoints" / "dev"})
