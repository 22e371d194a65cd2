"""The whole product as a user runs it: ./spark-submit.sh, real servers, real files, real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pymysql
import pytest

from app import local
from app.config import load_config
from app.s3 import list_all, make_client
from tests.conftest import REPOSITORY
from tests.oracle import expected_marts

# A start of the real job takes its time on a busy machine; what it does is under test, not how fast.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

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
        # Runs of seconds do not pay back what the JVM's second compiler costs.
        self.environment["SPARK_SUBMIT_OPTS"] = "-XX:TieredStopAtLevel=1"

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
        return json.loads(self.call("status", "--json"))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask MySQL directly, with what `local env` hands out."""
        env = local.read_env(self.home)
        assert env is not None
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
        env = local.read_env(self.home)
        assert env is not None
        config = load_config("dev", environ={}, defaults=env.variables())
        return [v.key for v in list_all(make_client(config.s3), config.s3.bucket, prefix) if not v.key.endswith("/")]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    home = tmp_path_factory.mktemp("home with blank")
    local.up(home, die_with_parent=True)
    made = Product(home)
    made.call("init-db", "--seed")
    yield made
    local.down(home)


@pytest.fixture(scope="module")
def drops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drops")


def generate(script: str, *args: str) -> None:
    subprocess.run([str(REPOSITORY / ".venv/bin/python"), str(REPOSITORY / "scripts" / script), *args], check=True, capture_output=True)


def test_from_generator_to_marts_and_a_kill_in_the_middle_of_a_batch_changes_nothing(product: Product, drops: Path) -> None:
    generate("generate_standard.py", "--rows", "300", "--files", "3", "--seed", "11", "--out", str(drops))
    assert "3 uploaded" in product.call("upload", str(drops))
    # The driver dies while the facts are being written: the first attempt leaves Parquet, stage rows and a claimed batch behind.
    killed = product.start("run", "--once", SALESTREAM_FAILPOINT="after_facts")
    assert killed.wait(PATIENCE) != 0
    killed.communicate()
    assert product.marts() == ({}, {})
    assert product.status()["files"] == {"CLAIMED": 3}
    assert product.query("SELECT state, COUNT(*) FROM fact_part GROUP BY state") == [
        ("PLANNED", product.query("SELECT COUNT(*) FROM fact_part")[0][0])
    ]
    assert product.keys("sales_facts/") != []

    product.call("--master", "local[2]", "--", "run", "--trigger-once")
    wanted = expected_marts(sorted(drops.glob("*.csv")))
    assert product.marts() == (wanted.customers, wanted.team)
    found = product.status()
    assert found["files"] == {"COMMITTED": 3}
    assert found["rows"] == {"read": 900, "loaded": 900, "rejected": 0, "pending": 0}
    assert (found["backlog_files"], found["backlog_bytes"], found["failed_files"], found["last_batch"]["state"]) == (0, 0, 0, "COMMITTED")
    live = {
        f"sales_facts/sales_month={m}/store_id={s}/batch_key={k}"
        for m, s, k in product.query("SELECT sales_month, store_id, batch_key FROM fact_part WHERE state = 'LIVE'")
    }
    assert {key.rsplit("/", 1)[0] for key in product.keys("sales_facts/")} == live
    assert product.keys("sales_data/") == []

    before = (product.marts(), product.keys(""))
    product.call("run", "--once")
    assert (product.marts(), product.keys("")) == before


def test_the_running_stream_loads_a_drop_and_a_term_signal_lets_it_finish(product: Product, drops: Path, tmp_path: Path) -> None:
    before = product.status()["files"]["COMMITTED"]
    running = product.start("run")
    second = tmp_path / "late.csv"
    second.write_text(
        "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost\n1,121,sugar,2031-01-05,1,50,2,100\n"
    )
    product.call("upload", str(tmp_path))
    deadline = time.monotonic() + PATIENCE
    while product.status()["files"].get("COMMITTED", 0) == before:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert product.call("run", "--once", code=3) == ""
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, (out, err)
    assert "Traceback" not in err
    assert product.query("SELECT total_sales FROM customers_data_mart WHERE sales_date_month = '2031-01'") == [(Decimal(100),)]


def test_help_and_wrong_usage_start_no_jvm(product: Product) -> None:
    assert "Commands" in product.call(code=2) + product.call("--help")
    assert "trigger-once" in product.call("run", "--help")
    product.call("no-such-command", code=2)
    product.call("--master", "local[1]", "--", "status", code=2)
