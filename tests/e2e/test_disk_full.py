"""A disk that fills up under a running batch: one line, nothing half done, and the next run loads everything."""

from __future__ import annotations

import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from tests.product import PATIENCE, SUBMIT, Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
# A small disk of its own needs no root inside a user namespace. It is filled while the batch waits at the fail point.
SCRIPT = """
mount -t tmpfs -o size=700m tmpfs "$SCRATCH" || exit 99
"$SUBMIT" run --once &
job=$!
while [ ! -e "$SALESTREAM_FAILPOINT_FILE" ]; do kill -0 "$job" 2>/dev/null || break; sleep 0.2; done
dd if=/dev/zero of="$SCRATCH/filler" bs=1M 2>/dev/null
rm -f "$SALESTREAM_FAILPOINT_FILE"
wait "$job"
"""


def in_a_namespace(*command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *command], env=environment, text=True, capture_output=True, timeout=PATIENCE
    )


def test_a_disk_that_fills_up_stops_the_run_with_one_line_and_loses_nothing(product: Product, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    if in_a_namespace("mount", "-t", "tmpfs", "tmpfs", str(scratch), environment=product.environment).returncode:
        pytest.skip("this machine gives no user namespace to mount a small disk in")
    (tmp_path / "drops").mkdir()
    (tmp_path / "drops" / "full.csv").write_text(f"{HEADER}\n1,121,sugar,2033-01-05,1,50,2,100\n")
    product.call("upload", str(tmp_path / "drops"))
    environment = product.environment | {
        "SUBMIT": SUBMIT,
        "SCRATCH": str(scratch),
        "SPARK_LOCAL_DIRS": str(scratch),
        "SALESTREAM_FAILPOINT": "after_begin:1:pause",
        "SALESTREAM_FAILPOINT_FILE": str(tmp_path / "paused"),
    }
    done = in_a_namespace("bash", "-c", SCRIPT, environment=environment)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("salestream: MACHINE ")
    assert "No space left on device" in last
    assert "free space" in last
    assert "Traceback" not in done.stderr
    assert product.marts() == ({}, {})

    product.call("run", "--once")
    assert product.query("SELECT total_sales FROM customers_data_mart WHERE sales_date_month = '2033-01'") == [(Decimal(100),)]
    assert product.found_by_verify() == []
