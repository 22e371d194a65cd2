"""Every operation, killed in the middle by SIGKILL: the next start ends it, and the result is that of an undisturbed run.

One home for all kills: each start first ends what the kill before it left, and is then killed itself inside the next operation.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from app import local
from scripts import generators
from tests.chaos.checks import Storage, verified
from tests.conftest import REPOSITORY
from tests.oracle import expected_marts
from tests.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

BAD = "5,121,sugar,never,1,50,1,50"
MENDED = "5,121,sugar,2024-01-09,1,50,1,50"


@pytest.fixture
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    home = tmp_path_factory.mktemp("home")
    conf = tmp_path_factory.mktemp("conf") / "conf"
    shutil.copytree(REPOSITORY / "conf", conf)
    contract = conf / "contract.yml"
    text = contract.read_text()
    assert "  redelivery: " in text
    contract.write_text("\n".join("  redelivery: replace" if line.startswith("  redelivery:") else line for line in text.splitlines()))
    local.up(home, die_with_parent=True)
    made = Product(home)
    made.environment["SALESTREAM_CONF_DIR"] = str(conf)
    made.call("init-db", "--seed")
    yield made
    local.down(home)


def write(path: Path, seed: int, *more: str) -> Path:
    rows = [",".join(row) for row in generators.standard_rows(random.Random(seed), 20, start=date(2024, 1, 1), end=date(2024, 2, 29))]
    path.write_text("\n".join([",".join(generators.SALES_HEADER), *rows, *more]) + "\n")
    return path


def killed_at(product: Product, point: str, nth: int) -> None:
    """Run once and die at the nth pass of a point; the passes before it are those of what the last kill left."""
    product.call("run", "--once", code=1, SALESTREAM_FAILPOINT=f"{point}:{nth}:kill")
    # It died in this operation or batch, and not before it.
    assert product.query("SELECT COUNT(*) FROM micro_batch WHERE state = 'STARTED'")[0][0] == (0 if point == "after_commit" else 1)


def test_whatever_operation_is_killed_the_next_start_ends_it(product: Product, tmp_path: Path) -> None:
    storage = Storage(product)
    one, two, three = (write(tmp_path / f"{n}.csv", n) for n in (1, 2, 3))
    four = write(tmp_path / "4.csv", 4, BAD)
    for path in (one, two, three, four):
        storage.put(path.name, path.read_bytes())
    product.call("run", "--once")

    product.call("retract", "1.csv")
    killed_at(product, "after_facts", 1)
    product.call("retract", "3.csv")
    killed_at(product, "in_commit", 2)
    product.call("replay", "3.csv")
    killed_at(product, "after_stage", 4)
    corrected = write(tmp_path / "2 again.csv", 5)
    storage.put("2.csv", corrected.read_bytes())
    killed_at(product, "during_facts", 2)
    mended = tmp_path / "mended.csv"
    product.call("quarantine", "export", "4.csv", "--lines", "--out", str(mended))
    mended.write_text(mended.read_text().replace("never", "2024-01-09"))
    product.call("quarantine", "replay", "4.csv", "--mended", str(mended))
    killed_at(product, "after_facts", 2)
    product.call("run", "--once")
    product.call("compact")
    killed_at(product, "after_commit", 1)
    product.call("run", "--once")

    counted = write(tmp_path / "4 mended.csv", 4, MENDED)
    wanted = expected_marts([corrected, three, counted])
    assert product.marts() == (wanted.customers, wanted.team)
    assert verified(product) == []
    operations = product.query("SELECT kind, state, COUNT(*) FROM file_operation GROUP BY kind, state ORDER BY kind")
    kinds = [("COMPACT", 1), ("MEND", 1), ("REPLACE", 1), ("REPLAY", 1), ("RETRACT", 2)]
    assert operations == [(kind, "DONE", count) for kind, count in kinds]
    assert product.query("SELECT COUNT(*) FROM batch_attempt WHERE state = 'OPEN'") == [(0,)]
    assert storage.uploads() == []
    # One part for each partition, as nothing came after the merge.
    parts = product.query("SELECT sales_month, store_id, COUNT(*) FROM fact_part WHERE state = 'LIVE' GROUP BY 1, 2")
    assert [count for _, _, count in parts] == [1] * len(parts)


def test_a_dry_run_of_a_real_command_shows_mart_rows_before_and_after(product: Product, tmp_path: Path) -> None:
    Storage(product).put("3.csv", write(tmp_path / "3.csv", 3).read_bytes())
    product.call("run", "--once")
    before = product.marts()
    said = product.call("retract", "3.csv", "--dry-run", "--json")
    found = json.loads(said.splitlines()[-1])
    assert [(file["key"], file["before"]["in_force"], file["after"]["in_force"]) for file in found["files"]] == [("sales_data/3.csv", 1, 0)]
    assert found["removed"]["rows"] == 20
    assert {change["mart"] for change in found["marts"]} == {"customers_data_mart", "sales_team_data_mart"}
    shown = product.call("retract", "3.csv", "--dry-run")
    assert "would take out 20 rows" in shown
    assert "sales_team_data_mart: " in shown
    assert product.marts() == before
