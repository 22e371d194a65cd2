"""The whole product as a user runs it: ./spark-submit.sh, real servers, real files, real kills."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from app import local
from tests.chaos import processes
from tests.conftest import REPOSITORY
from tests.oracle import expected_marts
from tests.product import PATIENCE, Product

# A start of the real job takes its time on a busy machine; what it does is under test, not how fast.
HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


def generate(script: str, *args: str) -> None:
    subprocess.run([str(REPOSITORY / ".venv/bin/python"), str(REPOSITORY / "scripts" / script), *args], check=True, capture_output=True)


def test_from_generator_to_marts_and_a_kill_in_the_middle_of_a_batch_changes_nothing(empty_product: Product, tmp_path: Path) -> None:
    product, drops = empty_product, tmp_path / "drops"
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
    assert product.keys("sales_facts/sales_month=") != []

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
    assert {key.rsplit("/", 1)[0] for key in product.keys("sales_facts/sales_month=")} == live
    assert product.keys("sales_data/") == []

    before = (product.marts(), product.keys(""))
    product.call("run", "--once")
    assert (product.marts(), product.keys("")) == before
    assert product.call("verify", "--deep").endswith(" 3 CSV files read again: 0 differences\n")


def test_the_running_stream_loads_a_drop_and_a_term_signal_lets_it_finish_its_batch(product: Product, tmp_path: Path) -> None:
    before = product.status()["files"].get("COMMITTED", 0)
    marker = tmp_path / "paused"
    running = product.start("run", SALESTREAM_FAILPOINT="after_facts:2:pause", SALESTREAM_FAILPOINT_FILE=str(marker))

    def wait_for(what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline, what
            time.sleep(0.3)

    def drop(name: str, month: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.csv").write_text(f"{HEADER}\n1,121,sugar,{month}-05,1,50,2,100\n")
        product.call("upload", str(tmp_path / name))

    drop("late", "2031-01")
    wait_for("the first batch", lambda: product.status()["files"].get("COMMITTED", 0) == before + 1)
    assert product.call("run", "--once", code=3) == ""
    drop("last", "2031-02")
    wait_for("the second batch", marker.exists)
    running.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(2)
    marker.unlink()
    out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, (out, err)
    assert "Traceback" not in err
    found = product.query("SELECT sales_date_month, total_sales FROM customers_data_mart WHERE sales_date_month LIKE '2031%'")
    assert sorted(found) == [("2031-01", Decimal(100)), ("2031-02", Decimal(100))]


def test_a_second_term_signal_stops_at_once_loses_nothing_and_leaves_no_temporary_file(product: Product, tmp_path: Path) -> None:
    (tmp_path / "drops").mkdir()
    (tmp_path / "drops" / "twice.csv").write_text(f"{HEADER}\n1,121,sugar,2034-01-05,1,50,2,100\n")
    product.call("upload", str(tmp_path / "drops"))
    marker, temporary = tmp_path / "paused", tmp_path / "temporary"
    temporary.mkdir()
    running = product.start("run", SALESTREAM_FAILPOINT="after_facts:1:pause", SALESTREAM_FAILPOINT_FILE=str(marker), TMPDIR=str(temporary))
    deadline = time.monotonic() + PATIENCE
    while not marker.exists():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    # Where Spark keeps the blocks of a batch.
    assert len(list(temporary.glob("*/blockmgr-*"))) == 1
    running.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(2)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM, (out, err)
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []
    product.call("run", "--once")
    assert product.query("SELECT total_sales FROM customers_data_mart WHERE sales_date_month = '2034-01'") == [(Decimal(100),)]
    assert product.found_by_verify() == []


def members_of(product: Product) -> dict[str, int]:
    return {one.role: one.pid for one in processes.members(product.home)}


def test_nothing_of_a_run_outlives_a_killed_script_and_the_next_start_takes_the_source_and_sweeps(product: Product, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    marker = tmp_path / "paused"
    drops = tmp_path / "drops"
    drops.mkdir()
    (drops / "killed.csv").write_text(f"{HEADER}\n1,121,sugar,2035-01-05,1,50,2,100\n")
    product.call("upload", str(drops))
    running = product.start("run", SALESTREAM_FAILPOINT="after_facts:1:pause", SALESTREAM_FAILPOINT_FILE=str(marker), TMPDIR=str(temporary))
    deadline = time.monotonic() + PATIENCE
    while not marker.exists():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert {"jvm", "driver", "planner"} <= set(members_of(product))
    assert product.status()["stream"]["running"]
    # Stopped processes cannot see anything for themselves.
    for role in ("planner", "worker"):
        if role in members_of(product):
            os.kill(members_of(product)[role], signal.SIGSTOP)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert processes.gone(product.home, 15) == []
    assert product.status()["stream"]["state"] == "dead"
    assert len(list(temporary.iterdir())) == 1
    product.call("run", "--once", TMPDIR=str(temporary))
    assert list(temporary.iterdir()) == []
    assert product.query("SELECT total_sales FROM customers_data_mart WHERE sales_date_month = '2035-01'") == [(Decimal(100),)]
    assert product.found_by_verify() == []


def test_stop_lets_the_stream_finish_its_batch_and_says_so(product: Product, tmp_path: Path) -> None:
    # Nothing runs: perhaps no other test has run anything before.
    assert re.match(r"stop: no stream (is running: the last one, of |has run yet)", product.call("stop"))
    marker = tmp_path / "paused"
    drops = tmp_path / "drops"
    drops.mkdir()
    (drops / "stopped.csv").write_text(f"{HEADER}\n1,121,sugar,2036-01-05,1,50,2,100\n")
    product.call("upload", str(drops))
    running = product.start("run", SALESTREAM_FAILPOINT="after_facts:1:pause", SALESTREAM_FAILPOINT_FILE=str(marker))
    deadline = time.monotonic() + PATIENCE
    while not marker.exists():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    product.call("stop", "--wait", "1", code=1)
    stream = product.status()["stream"]
    assert (stream["running"], stream["state"]) == (True, "stopping")
    assert stream["heartbeat_seconds_ago"] < 15
    assert "has asked it to stop" in product.call("status")
    marker.unlink()
    # It was asked already, and may be at its end by now.
    assert re.search("has stopped|, stopped at ", product.call("stop"))
    out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, (out, err)
    assert "stop requested by " in err
    assert product.query("SELECT total_sales FROM customers_data_mart WHERE sales_date_month = '2036-01'") == [(Decimal(100),)]
    assert product.status()["stream"]["state"] == "stopped"


def test_keys_come_from_an_aws_profile_where_the_configuration_has_none(product: Product, tmp_path: Path) -> None:
    env = local.read_env(product.home)
    assert env is not None
    profile = tmp_path / "credentials"
    profile.write_text(f"[tills]\naws_access_key_id = {env.access_key_id}\naws_secret_access_key = {env.secret_access_key}\n")
    chain = {
        "SALESTREAM__S3__ACCESS_KEY_ID": "",
        "SALESTREAM__S3__SECRET_ACCESS_KEY": "",
        "AWS_SHARED_CREDENTIALS_FILE": str(profile),
        "AWS_PROFILE": "tills",
    }
    assert "the AWS provider chain (shared-credentials-file)" in product.call("check", **chain)
    (tmp_path / "drops").mkdir()
    (tmp_path / "drops" / "chain.csv").write_text(f"{HEADER}\n1,121,sugar,2032-01-05,1,50,2,100\n")
    product.call("upload", str(tmp_path / "drops"), **chain)
    product.call("run", "--once", **chain)
    assert product.query("SELECT total_sales FROM customers_data_mart WHERE sales_date_month = '2032-01'") == [(Decimal(100),)]


def test_help_and_wrong_usage_start_no_jvm(product: Product) -> None:
    assert "Commands" in product.call(code=2) + product.call("--help")
    assert "trigger-once" in product.call("run", "--help")
    product.call("no-such-command", code=2)
    product.call("--master", "local[1]", "--", "status", code=2)
