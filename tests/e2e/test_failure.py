"""Files that kill the process that reads them: each start dies, until the file is known and out of the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.product import PATIENCE, Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
# Ends the JVM that reads such a row at once, as the kernel does when memory runs out.
KILLS = "isnotnull(if(price = 666, java_method('java.lang.System', 'exit', 137), 'fine'))"


def test_a_file_that_kills_every_run_is_found_and_the_rest_is_loaded(product: Product, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(REPOSITORY / "conf", conf)
    contract = conf / "contract.yml"
    rule = f"  - name: kills\n    expression: {KILLS}\n    columns: [price]\n    on_fail: reject\n"
    contract.write_text(contract.read_text() + rule)
    files = tmp_path / "files"
    files.mkdir()
    for number in range(1, 4):
        price = 666 if number == 2 else 50
        (files / f"{number}.csv").write_text(f"{HEADER}\n{number},121,sugar,2024-02-01,1,{price},1,{price}\n")
    product.call("upload", str(files))
    settings = {"SALESTREAM_CONF_DIR": str(conf), "SALESTREAM__STREAM__MAX_ATTEMPTS": "1"}
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
