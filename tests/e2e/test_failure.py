"""Files that kill the process that reads them: each start dies, until the file is known and out of the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.product import PATIENCE, Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
# Python loads it at its start. A worker that judges a row of this price ends the JVM, as the kernel does when memory runs out.
KILLS = """
import os, signal
from decimal import Decimal
from pathlib import Path

from app.contract.rules import CompiledRules

judge = CompiledRules.broken

def broken(self, rows, batch_date, product_known):
    if Decimal(666) in rows.column("price").to_pylist():
        process = os.getpid()
        while (Path("/proc") / str(process) / "comm").read_text().strip() != "java":
            process = int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
        os.kill(process, signal.SIGKILL)
    return judge(self, rows, batch_date, product_known)

CompiledRules.broken = broken
"""


def test_a_file_that_kills_every_run_is_found_and_the_rest_is_loaded(product: Product, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(KILLS)
    files = tmp_path / "files"
    files.mkdir()
    for number in range(1, 4):
        price = 666 if number == 2 else 50
        (files / f"{number}.csv").write_text(f"{HEADER}\n{number},121,sugar,2024-02-01,1,{price},1,{price}\n")
    product.call("upload", str(files))
    settings = {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}", "SALESTREAM__STREAM__MAX_ATTEMPTS": "1"}
    deaths = 0
    while True:
        run = product.start("run", "--once", **settings)
        _, err = run.communicate(timeout=PATIENCE)
        if run.returncode == 0:
            break
        assert "salestream: SPARK " in err, err
        deaths += 1
        assert deaths < 8, err
    states = product.query("SELECT SUBSTRING_INDEX(CONVERT(object_key USING utf8mb4), '/', -1) AS name, state FROM source_file ORDER BY id")
    assert states == [("1.csv", "COMMITTED"), ("2.csv", "FAILED"), ("3.csv", "COMMITTED")]
    # 1-3 twice, 2-3 once, 2 once: the first death of all is anybody's.
    assert deaths == 4
    assert product.keys("sales_data/") == []
    assert "no batches" in product.call("batch", "list")
    assert product.call("verify", "--deep")
