"""On a standalone cluster, whose executors have neither this clone nor its working directory."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.oracle import expected_marts
from tests.product import Product

GENERATE = [str(REPOSITORY / ".venv/bin/python"), str(REPOSITORY / "scripts/generate_standard.py")]


@pytest.fixture
def master(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster = subprocess.Popen(
        [str(REPOSITORY / "scripts/cluster.sh"), str(port)], cwd="/", stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert cluster.stdout is not None
    assert f"spark://127.0.0.1:{port}, two workers" in cluster.stdout.readline()
    yield f"spark://127.0.0.1:{port}"
    cluster.send_signal(signal.SIGTERM)
    assert cluster.wait(60) == 0


@pytest.mark.timeout(600)
def test_a_cluster_without_a_shared_disk_gives_the_oracles_marts(product: Product, master: str, tmp_path: Path) -> None:
    drops = tmp_path / "drops"
    subprocess.run([*GENERATE, "--rows", "3000", "--files", "3", "--seed", "77", "--out", str(drops)], check=True, cwd="/")
    product.call("upload", str(drops))
    loopback = {"SPARK_LOCAL_IP": "127.0.0.1"}
    product.call("--master", master, "--conf", "spark.cores.max=2", "--", "run", "--once", **loopback)
    expected = expected_marts(sorted(drops.glob("*.csv")))
    assert product.marts() == (expected.customers, expected.team)
    product.call("verify")
