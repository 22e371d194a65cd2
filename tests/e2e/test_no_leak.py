"""No secret gets out: the real job runs with marked secrets, and everything that can be seen of it from outside is searched for them.

Searched: process arguments, output and logs, traces of provoked failures, Spark's web page and its REST answers, event logs,
checkpoints, and every table in MySQL.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app import local
from app.config.credentials import encrypt
from tests.conftest import REPOSITORY
from tests.product import PATIENCE, Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"


@dataclass
class Seen:
    """Everything that was seen, by where."""

    places: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, text: str) -> None:
        self.places[f"{len(self.places)} {place}"] = text

    def holding(self, text: str) -> list[str]:
        return [place for place, seen in self.places.items() if text in seen]


@dataclass(frozen=True)
class Marked:
    """A product whose secrets stand encrypted in a configuration of its own."""

    product: Product
    conf: Path
    secrets: dict[str, str]
    environment: dict[str, str]

    def call(self, *args: str, **environment: str) -> str:
        done = self.product.start(*args, **self.environment | environment)
        out, err = done.communicate(timeout=PATIENCE)
        return out + err


@pytest.fixture
def marked(product: Product, tmp_path: Path) -> Marked:
    env = local.read_env(product.home)
    assert env is not None
    key = f"marked{secrets.token_hex(12)}"
    conf = tmp_path / "conf"
    shutil.copytree(REPOSITORY / "conf", conf)
    text = (conf / "dev.yml").read_text()
    for name, value in (("AWS_SECRET_ACCESS_KEY", env.secret_access_key), ("SALESTREAM_MYSQL_PASSWORD", env.mysql_password)):
        assert f"${{{name}}}" in text
        text = text.replace(f"${{{name}}}", encrypt(value, key=key))
    (conf / "dev.yml").write_text(text + "  # end\n")
    return Marked(
        product,
        conf,
        {"key": key, "S3 secret": env.secret_access_key, "MySQL password": env.mysql_password},
        {"SALESTREAM_KEY": key, "SALESTREAM_CONF_DIR": str(conf)},
    )


def command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended meanwhile
    return "\n".join(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def wait_for(what: str, is_so: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert running.poll() is None, f"ended while waiting for {what}: {running.communicate()}"
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def look_at_the_web_page(port: int, seen: Seen) -> None:
    base = f"http://127.0.0.1:{port}"
    for page in ("environment", "jobs", "stages", "storage", "executors", "SQL", "StreamingQuery"):
        seen.add(f"web page {page}", fetch(f"{base}/{page}/"))
    app = json.loads(fetch(f"{base}/api/v1/applications"))[0]["id"]
    for part in ("environment", "jobs", "stages", "executors", "sql?details=true&planDescription=true&length=1000"):
        seen.add(f"REST {part}", fetch(f"{base}/api/v1/applications/{app}/{part}"))
    executions = json.loads(fetch(f"{base}/api/v1/applications/{app}/sql?length=1000"))
    for execution in executions:
        seen.add("web page of a query", fetch(f"{base}/SQL/execution/?id={execution['id']}"))
    assert executions


def look_into_files(folder: Path, seen: Seen) -> int:
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        seen.add(f"file {path}", path.read_bytes().decode(errors="replace"))
    return len(files)


def look_into_mysql(product: Product, seen: Seen) -> int:
    tables = [name for (name,) in product.query("SHOW TABLES")]
    for table in tables:
        seen.add(f"table {table}", repr(product.query(f"SELECT * FROM `{table}`")))
    return len(tables)


def provoke_failures(marked: Marked, seen: Seen) -> None:
    for args, environment in (
        (("status", "--debug"), {"SALESTREAM__MYSQL__PORT": "9"}),
        (("check", "--debug"), {"SALESTREAM__S3__ENDPOINT_URL": "http://127.0.0.1:9"}),
        (("check", "--debug"), {"SALESTREAM__S3__ACCESS_KEY_ID": "someone-else"}),
        (("check", "--debug"), {"SALESTREAM__MYSQL__USER": "someone-else"}),
        (("config", "show", "--debug"), {"SALESTREAM__MYSQL__TLS": "sometimes"}),
        (("run", "--once", "--debug"), {"SALESTREAM_FAILPOINT": "in_commit:1:raise"}),
    ):
        text = marked.call(*args, **environment)
        assert "Traceback" in text or args[0] == "check", text
        seen.add(f"failure of {' '.join(args)} with {environment}", text)


def test_marked_secrets_are_found_nowhere(marked: Marked, tmp_path: Path) -> None:
    seen, product = Seen(), marked.product
    for args in (("config", "show"), ("check",), ("check", "--json"), ("status",)):
        seen.add(f"output of {' '.join(args)}", marked.call(*args))
    drops = tmp_path / "drops"
    drops.mkdir()
    rows = ("1,121,sugar,2024-02-01,1,50,2,100", "x,121,sugar,2024-02-01,1,50,2,100", "9001,121,sugar,2024-02-01,1,50,2,100")
    (drops / "a.csv").write_text("\n".join((HEADER, *rows, "")))
    seen.add("output of upload", marked.call("upload", str(drops)))
    provoke_failures(marked, seen)

    port, pause, events, log = free_port(), tmp_path / "paused", tmp_path / "events", tmp_path / "log" / "salestream.log"
    events.mkdir()
    options = ["spark.ui.enabled=true", f"spark.ui.port={port}", "spark.eventLog.enabled=true", f"spark.eventLog.dir=file://{events}"]
    environment = {
        "SALESTREAM_FAILPOINT": "after_facts:1:pause",
        "SALESTREAM_FAILPOINT_FILE": str(pause),
        "SALESTREAM__LOGGING__LEVEL": "DEBUG",
        "SALESTREAM__LOGGING__FILE": str(log),
    }
    running = product.start(
        *[word for option in options for word in ("--conf", option)],
        "--",
        "run",
        **marked.environment | environment,
    )
    wait_for("the batch", pause.exists, running)
    seen.add("process arguments", command_lines())
    look_at_the_web_page(port, seen)
    pause.unlink()
    wait_for("the commit", lambda: product.status()["files"].get("COMMITTED") == 1, running)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, (out, err)
    seen.add("output of run", out + err)
    assert look_into_files(events, seen) > 0
    assert look_into_files(product.home / "checkpoints", seen) > 0
    assert look_into_files(log.parent, seen) > 0
    assert look_into_mysql(product, seen) > 15

    assert {name: seen.holding(secret) for name, secret in marked.secrets.items()} == {"key": [], "S3 secret": [], "MySQL password": []}
    # The search looked where secrets would have been: these places show the settings.
    shown = {place: text for place, text in seen.places.items() if re.search(r"web page environment|REST environment", place)}
    assert all("spark.eventLog.dir" in text for text in shown.values()), shown.keys()
    assert len(shown) == 2
    assert seen.holding("mysql.password")
    assert any("app/main.py" in text for place, text in seen.places.items() if "process arguments" in place)
