"""Rows that were stored under another contract: released, compacted, retracted, replayed and read by others under today's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import yaml
from pyspark.sql import SparkSession

from app.cli import app as cli
from app.config.load import Config
from app.ledger.types import OperationKind
from app.operations.compact import mergeable, request_merge
from app.operations.progress import progress_of
from app.stream.run import run
from app.stream.supervise import StopRequest
from app.verify import Verification, differences
from app.views.facts import list_facts
from app.views.facts_snippets import Engine, snippet
from app.views.status import read_status
from tests.integration.test_operations import ask, facts_of
from tests.verified import found_by_verify
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost,discount,zone"
KNOWN = "1,121,sugar,2024-02-01,1,50,2,100,12.5,north"
LATE = "901,121,maida,2024-02-01,1,50,2,100,7.5,south"
Tree = dict[str, Any]


def change(world: World, edit: Callable[[Tree], object]) -> None:
    """Edit the contract of a world."""
    path = world.folder / "conf" / "contract.yml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    edit(tree)
    path.write_text(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False), encoding="utf-8")


def column(tree: Tree, name: str) -> Tree:
    return next(one for one in tree["columns"] if one["name"] == name)


def with_discount(tree: Tree) -> None:
    tree["columns"].append({"name": "discount", "type": "decimal(5,2)", "required": False, "nullable": True})


def all_at_once(tree: Tree) -> None:
    """Every change that no stored row minds: wider types, a column more, one less, another order, another name for what is extra."""
    column(tree, "quantity")["type"] = "bigint"
    column(tree, "price")["type"] = "decimal(16,6)"
    column(tree, "total_cost")["type"] = "decimal(20,4)"
    column(tree, "product_name")["max_length"] = 3
    tree["columns"] = [one for one in reversed(tree["columns"]) if one["name"] != "discount"]
    tree["columns"].append({"name": "channel", "type": "string", "required": False, "nullable": True})
    tree["settings"]["extra_columns"] = "others"


def before_and_after(world: World, spark: SparkSession, edit: Callable[[Tree], object] = all_at_once) -> None:
    """Load a row and leave one waiting under the first contract, then a row under the second."""
    change(world, with_discount)
    world.drop("a.csv", f"{HEADER}\n{KNOWN}\n{LATE}\n")
    world.run_once(spark)
    change(world, edit)
    world.drop("b.csv", f"{HEADER},channel\n2,121,sug,2024-02-01,1,50,2,100,1,west,web\n")
    world.run_once(spark)


def know(world: World, *customers: int) -> None:
    for customer in customers:
        world.execute("INSERT INTO customer (customer_id, first_name) VALUES (%s, 'Late')", customer)


def said(world: World) -> list[str]:
    return found_by_verify(world.config, remarks=False)


def nothing_failed(world: World) -> None:
    assert world.rows("SELECT id, kind, detail FROM file_operation WHERE state <> 'DONE'") == []
    assert world.rows("SELECT batch_key FROM pending_part WHERE state = 'WAITING'") == []
    assert said(world) == []


def test_waiting_rows_are_released_under_a_contract_that_has_changed(world: World, spark: SparkSession) -> None:
    before_and_after(world, spark)
    know(world, 901)
    world.run_once(spark)
    nothing_failed(world)
    assert world.customer_mart() == {(n, "2024-02"): Decimal(100) for n in (1, 2, 901)}
    [released] = [row for row in facts_of(world, 1) if row["customer_id"] == 901]
    # The value of a column that the contract has no more is among the extra columns, as if the file had come today.
    assert (released["others"], released["channel"], released["product_name"]) == ('{"zone":"south","discount":"7.50"}', None, "maida")
    assert (released["quantity"], released["price"]) == (2, Decimal("50.000000"))


def test_one_optional_column_more_strands_no_row(world: World, spark: SparkSession) -> None:
    world.drop("a.csv", f"{HEADER}\n{LATE}\n")
    world.run_once(spark)
    change(world, with_discount)
    know(world, 901)
    world.run_once(spark)
    nothing_failed(world)
    assert world.customer_mart() == {(901, "2024-02"): Decimal(100)}


@pytest.mark.parametrize("kind", [OperationKind.COMPACT, OperationKind.RETRACT, OperationKind.REPLAY])
def test_operations_read_parts_of_two_contracts(world: World, spark: SparkSession, kind: OperationKind) -> None:
    before_and_after(world, spark)
    # Both contracts' rows in one part, so that what is taken out leaves some of each.
    world.drop("c.csv", f"{HEADER}\n3,121,sug,2024-02-02,1,50,2,100,1,east\n")
    world.run_once(spark)
    request_merge(world.db, mergeable(world.db, None), "test")
    world.run_once(spark)
    [(_, (rows, amount))] = world.live_parts().items()
    assert (rows, amount) == (3, Decimal(300))
    if kind != OperationKind.COMPACT:
        ask(world, kind, "c.csv")
        world.run_once(spark)
    left = (1, 2) if kind == OperationKind.RETRACT else (1, 2, 3)
    assert world.customer_mart() == {(n, "2024-02"): Decimal(100) for n in left}
    # The row of the first contract keeps the column that the second one does not have.
    [old] = facts_of(world, 1)
    assert (old["discount"], old["others"], old["quantity"], old["price"]) == (Decimal("12.50"), '{"zone":"north"}', 2, Decimal(50))
    know(world, 901)
    world.run_once(spark)
    nothing_failed(world)


def test_waiting_rows_of_others_survive_a_retraction_under_another_contract(world: World, spark: SparkSession) -> None:
    change(world, with_discount)
    world.drop("a.csv", f"{HEADER}\n{LATE}\n")
    world.drop("b.csv", f"{HEADER}\n902,121,sugar,2024-02-01,1,50,2,100,7.5,east\n{KNOWN}\n")
    world.run_once(spark)
    change(world, all_at_once)
    ask(world, OperationKind.RETRACT, "b.csv")
    world.run_once(spark)
    assert world.rows("SELECT file_id, key_value FROM pending_key") == [{"file_id": 1, "key_value": 901}]
    know(world, 901, 902)
    world.run_once(spark)
    nothing_failed(world)
    assert world.customer_mart() == {(901, "2024-02"): Decimal(100)}


def test_a_type_that_does_not_hold_what_waits_is_refused_in_plain_words_and_tried_again(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cli.app.configuration", lambda _env: world.config)
    world.set("stream", max_attempts=1)
    change(world, lambda tree: (with_discount(tree), column(tree, "quantity").update(type="bigint")))
    world.drop("a.csv", f"{HEADER}\n{LATE}\n")
    world.run_once(spark)
    change(world, lambda tree: column(tree, "quantity").update(type="int"))
    # Another part, of today's contract: it is not held up by the one that cannot be read.
    world.drop("b.csv", f"{HEADER}\n902,121,sugar,2024-02-01,1,50,2,100,7.5,east\n")
    world.run_once(spark)
    know(world, 901, 902)
    world.run_once(spark)
    assert world.customer_mart() == {(902, "2024-02"): Decimal(100)}
    found = read_status(world.db)
    assert (found["stranded"]["parts"], found["stranded"]["rows"]) == (1, 1)
    # First with the other one, which is no failure yet, then alone; from then on it waits, and a restart does not change that.
    assert [one["failures"] for one in found["stranded"]["newest"]] == [2]
    assert len(found["failed_operations"]) == 1
    world.run_once(spark)
    assert len(read_status(world.db)["failed_operations"]) == 1
    pause = "TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), not_before) BETWEEN 1 AND 60"
    assert world.rows(f"SELECT {pause} AS soon FROM pending_part WHERE state = 'WAITING'") == [{"soon": 1}]
    world.execute("UPDATE pending_part SET not_before = UTC_TIMESTAMP(6) WHERE failures > 0")
    world.run_once(spark)
    assert len(read_status(world.db)["failed_operations"]) == 2
    capsys.readouterr()
    assert cli.main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "1 waiting rows in 1 parts could not be released:" in shown
    assert "column quantity of the waiting rows in s3://" in shown
    assert "is bigint, and the contract says int, which does not hold all its values" in shown
    assert said(world) == []
    # Under another contract it is tried at once.
    change(world, lambda tree: column(tree, "quantity").update(type="bigint"))
    world.run_once(spark)
    assert world.customer_mart() == {(n, "2024-02"): Decimal(100) for n in (901, 902)}
    assert read_status(world.db)["stranded"] == {"parts": 0, "rows": 0, "newest": []}
    assert said(world) == []


def test_rows_whose_part_could_not_be_read_for_a_moment_are_released_later(world: World, spark: SparkSession) -> None:
    world.set("stream", max_attempts=1)
    world.drop("a.csv", f"{HEADER}\n{LATE}\n")
    world.run_once(spark)
    [key] = world.keys("sales_pending/")
    body = world.client.get_object(Bucket=world.bucket, Key=key)["Body"].read()
    world.client.delete_object(Bucket=world.bucket, Key=key)
    know(world, 901)
    world.run_once(spark)
    assert world.rows("SELECT state, failures, operation_id FROM pending_part") == [
        {"state": "WAITING", "failures": 1, "operation_id": None}
    ]
    world.client.put_object(Bucket=world.bucket, Key=key, Body=body)
    world.execute("UPDATE pending_part SET not_before = UTC_TIMESTAMP(6)")
    world.run_once(spark)
    assert world.customer_mart() == {(901, "2024-02"): Decimal(100)}
    assert said(world) == []


def test_other_engines_read_parts_of_two_contracts(world: World, spark: SparkSession) -> None:
    before_and_after(world, spark)
    found = list_facts(world.db, world.config, None, None)
    assert found.faults == []
    spaces: dict[str, Any] = {"spark": spark}
    exec(snippet(Engine.spark, world.config.s3, found), spaces)  # what a user pastes
    rows = {row["customer_id"]: row.asDict() for row in spaces["facts"].collect()}
    assert sorted(rows) == [1, 2]
    assert (rows[1]["discount"], rows[1]["additional_column"], rows[1]["channel"]) == (Decimal("12.50"), '{"zone":"north"}', None)
    assert (rows[2]["discount"], rows[2]["channel"]) == (None, "web")
    assert dict(spaces["facts"].dtypes)["quantity"] == "bigint"
    assert dict(spaces["facts"].dtypes)["price"] == "decimal(16,6)"
    world.download(world.config.s3.facts_prefix)
    copy = max(world.folder.glob("download*"))
    with duckdb.connect() as con:
        con.execute(snippet(Engine.duckdb, world.config.s3, found).replace(f"s3://{world.bucket}/", f"{copy}/"))
        assert con.execute("SELECT count(*), sum(quantity), sum(total_cost) FROM facts").fetchall() == [(2, 4, Decimal(200))]
    assert "  `quantity` bigint" in snippet(Engine.athena, world.config.s3, found)


def test_edits_between_the_reading_and_the_start_of_the_stream_are_said_and_change_nothing(
    world: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def session(_config: Config) -> SparkSession:
        # A JVM takes seconds to start, and the wait for the source as long.
        change(world, with_discount)
        path = world.folder / "conf" / "dev.yml"
        path.write_text(path.read_text().replace("source_prefix: sales_data/", "source_prefix: elsewhere/"))
        return spark

    monkeypatch.setattr("app.stream.run.build_session", session)
    monkeypatch.setattr(spark, "stop", lambda: None)
    monkeypatch.setattr(StopRequest, "install", lambda _self: None)
    world.drop("a.csv", f"{HEADER}\n{KNOWN}\n")
    with caplog.at_level(logging.WARNING, "app"):
        run(world.config, once=True)
    said = [record.getMessage() for record in caplog.records]
    edited = [text.split(" was edited: the stream goes on with what it has read")[0] for text in said if " was edited: " in text]
    assert [name.rsplit("/", 1)[-1] for name in edited] == ["contract.yml", "dev.yml"]
    # Also what the planner's process has read, which starts last, and again whenever it has ended.
    assert world.states() == {"a.csv": "COMMITTED"}
    assert '"discount":"12.5"' in facts_of(world, 1)[0]["additional_column"]


def test_corrected_rows_come_back_under_a_contract_that_has_changed(world: World, spark: SparkSession) -> None:
    from app.contract.contract import load_contract
    from app.operations.corrected_rows import request_mend, upload_rejected
    from app.views.quarantine import find_file

    change(world, with_discount)
    world.drop("a.csv", f"{HEADER}\n{KNOWN}\n{KNOWN.replace(',2,100', ',3000000000,100')}\n")
    world.run_once(spark)
    assert world.rows("SELECT rows_loaded, rows_rejected FROM source_file") == [{"rows_loaded": 1, "rows_rejected": 1}]
    change(world, all_at_once)
    contract = load_contract(world.config.contract_path)
    mended = upload_rejected(world.db, world.client, world.config, contract, find_file(world.db, "sales_data/", "1"))
    operation = world.db.run(lambda tx: request_mend(tx, mended, "test"))
    world.run_once(spark)
    # Not one of the reasons is about the change itself: the name of the product is too long by now.
    assert progress_of(world.db, [operation])[0].state == "DONE"
    assert world.rows("SELECT reason_code FROM file_reject") == [{"reason_code": "TOO_LONG"}]
    assert [str(one) for one in differences(world.config, Verification()) if one.counts] == []
