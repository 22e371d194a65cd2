"""The product with a home of its own: embedded servers, and ./spark-submit.sh as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pymysql

from app import local
from app.config.load import Config, load_config
from app.s3.read import list_all, make_client
from tests import class_archive
from tests.conftest import REPOSITORY
from tests.verified import found_by_verify

SUBMIT = str(REPOSITORY / "spark-submit.sh")
PATIENCE = 400


class Product:
    """The product with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SALESTREAM", "AWS_", "SPARK_", "PYSPARK_"))
        }
        self.environment["SALESTREAM_HOME"] = str(home)
        self.environment |= class_archive.environment()

    def start(self, *args: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command from a foreign working directory."""
        return subprocess.Popen(
            [SUBMIT, *args],
            cwd="/",
            env=self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def call(self, *args: str, code: int = 0, **environment: str) -> str:
        """Run a command to its end and return its standard output."""
        process = self.start(*args, **environment)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, f"{args} ended with {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return out

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says."""
        status: dict[str, Any] = json.loads(self.call("status", "--json"))
        return status

    def environment_of_servers(self) -> local.LocalEnv:
        """Return how to reach the embedded servers."""
        env = local.read_env(self.home)
        assert env is not None
        return env

    def execute(self, sql: str, *args: Any) -> None:
        """Change something in MySQL directly."""
        env = self.environment_of_servers()
        with (
            pymysql.connect(
                host=env.mysql_host,
                port=env.mysql_port,
                user=env.mysql_user,
                password=env.mysql_password,
                database=env.mysql_database,
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql, args)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask MySQL directly, with what `local env` hands out."""
        env = self.environment_of_servers()
        with (
            pymysql.connect(
                host=env.mysql_host, port=env.mysql_port, user=env.mysql_user, password=env.mysql_password, database=env.mysql_database
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return list(cursor.fetchall())

    def marts(self) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Return both marts in the oracle's form."""
        customers = {(c, m): t for c, m, t in self.query("SELECT customer_id, sales_date_month, total_sales FROM customers_data_mart")}
        team = self.query("SELECT store_id, sales_person_id, sales_month, total_sales, incentive FROM sales_team_data_mart")
        return customers, {(s, p, m): (t, i) for s, p, m, t, i in team}

    def keys(self, prefix: str) -> list[str]:
        """List the objects below a prefix."""
        config = self._config()
        return [v.key for v in list_all(make_client(config.s3), config.s3.bucket, prefix) if not v.key.endswith("/")]

    def found_by_verify(self) -> list[str]:
        """Return what `verify --deep` finds, asked in this process, which is sooner there than a command."""
        return found_by_verify(self._config())

    def _config(self) -> Config:
        return load_config("dev", environ={}, defaults=self.environment_of_servers().variables())
