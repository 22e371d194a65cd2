"""Requests: how they are cut, what is said of what nobody can do, how long is waited, and the CSV that brings rejected rows back."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.config.load import Config
from app.contract.contract import Contract
from app.errors import UsageError
from app.ledger.file_search import Choice
from app.ledger.operations import MOST_READ_PARTS, parts_by_batch
from app.ledger.types import OperationKind
from app.model.marts import CUSTOMERS
from app.operations.compact import MOST_MERGED_ROWS, Merge, request_merge
from app.operations.corrected_rows import as_written, delimiter_of, upload_mended, with_lines
from app.operations.dry_run import MartChange, Spool, _differences
from app.operations.progress import wait_for
from app.operations.select_files import Chosen, choose, request_files
from app.parsing.record_rules import Limits
from app.views.quarantine import BookedFile, Reason, RejectedRow
from tests.doubles import FakeDatabase


def files_of(db: FakeDatabase) -> dict[int, list[int]]:
    """The files of each operation that was asked for."""
    assert all("INSERT INTO file_operation" in sql for sql, values in db.tx.changes if isinstance(values, tuple))
    found: dict[int, list[int]] = {}
    for operation, file_id in itertools.chain(*db.tx.changed("INSERT INTO operation_file")):
        found.setdefault(operation, []).append(file_id)
    return found


def chosen(*sizes: int) -> list[Chosen]:
    return [Chosen(number, f"sales_data/{number}.csv", size, 1, 0) for number, size in enumerate(sizes, start=1)]


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([10, 10, 10, 10], [[1, 2], [3, 4]]),
        ([60, 50, 10], [[1], [2, 3]]),
        # A file above the limit goes by itself: at least one is taken.
        ([500, 10], [[1], [2]]),
        ([10], [[1]]),
    ],
)
def test_a_request_is_cut_as_micro_batches_are(config: Config, sizes: list[int], groups: list[list[int]]) -> None:
    limits = config.stream.model_copy(update={"max_files_per_trigger": 2, "max_bytes_per_trigger": 100})
    db: Any = FakeDatabase()
    numbers = request_files(db, config.model_copy(update={"stream": limits}), OperationKind.REPLAY, chosen(*sizes), "test")
    assert [files_of(db)[number] for number in numbers] == groups


@pytest.mark.parametrize("state", ["GONE", "OVERWRITTEN", "UNREADABLE"])
def test_a_file_that_was_taken_for_lost_or_refused_may_be_replayed(config: Config, state: str) -> None:
    row = {"id": 7, "object_key": b"sales_data/a.csv", "state": state, "in_force": 0, "size_bytes": 9, "rows_loaded": 0, "rows_pending": 0}
    row |= {"archived_key": None, "archived_at": None, "archive_due": 0, "batch_id": None, "is_skipped": 0}
    db: Any = FakeDatabase(found={"SELECT f.id, f.object_key": [row], "SELECT": []})
    (file,) = choose(db, config, OperationKind.REPLAY, Choice(names=("7",)), replaces=False)
    assert (file.id, file.key) == (7, "sales_data/a.csv")
    with pytest.raises(UsageError, match=rf"file 7 does not count in the marts \({state}\)"):
        choose(db, config, OperationKind.RETRACT, Choice(names=("7",)), replaces=False)


def test_partitions_are_merged_so_many_at_a_time_as_a_batch_may_write() -> None:
    db: Any = FakeDatabase()
    rows = (MOST_MERGED_ROWS - 1, 1, 1, MOST_MERGED_ROWS + 1)
    merges = [Merge("2024-01", store, 2, count) for store, count in enumerate(rows, start=121)]
    numbers = request_merge(db, merges, "test")
    asked = db.tx.changed("INSERT INTO operation_partition")
    assert [[store for operation, _, store in asked if operation == number] for number in numbers] == [[121, 122], [123], [124]]


def test_waiting_ends_with_the_operations_or_with_the_time() -> None:
    states = iter(["REQUESTED", "CLAIMED", "DONE", "DONE"])
    now = [0.0]

    found = {
        "SELECT operation_id": [{"operation_id": 7, "file_id": 3, "note": "it is gone"}],
        "SELECT id": lambda: [{"id": 7, "kind": "REPLAY", "state": next(states), "detail": None}],
    }

    def sleep(seconds: float) -> None:
        now[0] += seconds

    db: Any = FakeDatabase(found=found)
    [progress] = wait_for(db, [7], 60, clock=lambda: now[0], sleep=sleep)
    assert (progress.state, progress.is_over, progress.notes) == ("DONE", True, {3: "it is gone"})
    states = iter(["REQUESTED"] * 1000)
    [progress] = wait_for(db, [7], 1, clock=lambda: now[0], sleep=sleep)
    assert (progress.state, progress.is_over) == ("REQUESTED", False)
    assert 1 < now[0] < 2


# Mended rows


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_header_is_that_of_the_file(contract: Contract, mark: str) -> None:
    assert delimiter_of(mark.join([*contract.names, "note"]), contract, Limits()) == mark


def test_a_header_that_the_contract_does_not_know_any_more_is_refused(contract: Contract) -> None:
    with pytest.raises(UsageError, match="MISSING_COLUMN, .*store_id.*; replay the whole file"):
        delimiter_of(",".join(name for name in contract.names if name != "store_id"), contract, Limits())


def test_rows_come_back_with_their_lines_and_without_those_that_were_not_kept_as_written() -> None:
    rows = [
        RejectedRow(3, "1,2", (Reason("INVALID_INT", "a", "x"),)),
        RejectedRow(4, "caf\\xe9", (Reason("INVALID_ENCODING", None, None), Reason("TOO_FEW_FIELDS", None, "1"))),
        RejectedRow(9, "long", (Reason("RECORD_TOO_LONG", None, "2000000"),)),
    ]
    left_out: list[int] = []
    assert [row.raw for row in with_lines(as_written(rows, left_out), ";")] == ["3;1,2"]
    assert left_out == [4, 9]


@pytest.mark.parametrize("text", ["customer_id,store_id\n1,2\n", ""])
def test_a_mended_file_without_lines_is_refused_before_it_is_uploaded(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mend.csv"
    path.write_text(text)
    db: Any = FakeDatabase({"in_force": 1, "batch_id": 5})
    client: Any = None
    config: Any = None
    with pytest.raises(UsageError, match="has no first column _line; begin with quarantine export 17 --lines"):
        upload_mended(db, client, config, BookedFile(17, "sales_data/a.csv", "COMMITTED", None, None), path)


@pytest.mark.parametrize("row", [None, {"in_force": 0, "batch_id": 5}])
def test_rows_of_a_file_that_does_not_count_cannot_be_mended(tmp_path: Path, row: dict[str, int] | None) -> None:
    db: Any = FakeDatabase(row)
    client: Any = None
    config: Any = None
    with pytest.raises(UsageError, match=r"file 17 does not count in the marts \(REJECTED\)"):
        upload_mended(db, client, config, BookedFile(17, "sales_data/a.csv", "REJECTED", None, None), tmp_path / "none.csv")


# What a dry run shows


def test_mart_rows_that_come_go_or_change_are_shown_and_no_others() -> None:
    before = {(1, "2024-01"): {"total_sales": 5}, (2, "2024-01"): {"total_sales": 7}, (3, "2024-01"): {"total_sales": 1}}
    after = {(1, "2024-01"): {"total_sales": 6}, (3, "2024-01"): {"total_sales": 1}, (4, "2024-02"): {"total_sales": 2}}
    keys = [{"customer_id": number, "sales_date_month": month} for number, month in ((1, "2024-01"), (2, "2024-01"), (4, "2024-02"))]
    assert list(_differences(CUSTOMERS, before, after)) == [
        MartChange("customers_data_mart", keys[0], {"total_sales": 5}, {"total_sales": 6}),
        MartChange("customers_data_mart", keys[1], {"total_sales": 7}, None),
        MartChange("customers_data_mart", keys[2], None, {"total_sales": 2}),
    ]


def test_a_partition_of_very_many_parts_takes_several_operations() -> None:
    db: Any = FakeDatabase()
    numbers = request_merge(db, [Merge("2024-01", 121, 86_400, 86_400), Merge("2024-01", 122, 2, 10)], "test")
    # 86,399 parts fewer, at most 999 by each.
    asked = db.tx.changed("INSERT INTO operation_partition")
    assert [[store for operation, _, store in asked if operation == number] for number in numbers] == [[121]] * 87 + [[122]]


def test_files_whose_rows_lie_in_very_many_parts_are_cut_into_several_operations(config: Config) -> None:
    half = MOST_READ_PARTS // 2
    own = [{f"{number}-1-1": half} for number in range(1, 5)] + [{"5-1-1": half, "4-1-1": half}]
    files = [Chosen(number, f"{number}.csv", 1, 1, 0, parts) for number, parts in enumerate(own, start=1)]
    db: Any = FakeDatabase()
    numbers = request_files(db, config, OperationKind.RETRACT, files, "test")
    assert [files_of(db)[number] for number in numbers] == [[1, 2], [3, 4], [5]]


def test_the_parts_of_a_file_are_those_of_all_batches_that_may_hold_its_rows() -> None:
    found = {
        "SELECT f.id AS file_id": [{"file_id": 1, "batch_key": "1-1-1"}, {"file_id": 1, "batch_key": "7-1-1"}],
        "SELECT batch_key": [{"batch_key": "7-1-1", "n": 3}],
    }
    tx: Any = FakeDatabase(found=found).tx
    assert parts_by_batch(tx, [1, 2]) == {1: {"1-1-1": 0, "7-1-1": 3}}


def test_what_was_computed_once_is_read_again_by_a_transaction_that_is_tried_again(tmp_path: Path) -> None:
    with (tmp_path / "spool").open("w+b") as file:
        rows = Spool(file, iter([(1, Decimal("1.50"), "Müller"), (2, None, "")]))
        assert list(rows) == [(1, Decimal("1.50"), "Müller"), (2, None, "")]
        assert next(iter(rows))[0] == 1
        assert len(list(rows)) == 2
