"""The ledger's types refuse what does not add up; its claims are bounded; its writes prove the epoch first."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.errors import LedgerError, OwnershipError
from app.ledger.ledger import Ledger
from app.ledger.types import MOVED_STATES, Attempt, FactPart, FileResult, FileState, Outcome
from app.s3.read import ObjectVersion
from tests.doubles import FakeDatabase

VERSION = ObjectVersion("lake", "sales_data/é.csv", "e1", 3, datetime(2024, 1, 1, tzinfo=UTC))


def ledger_db(epoch: int | None = 5, matched: int | None = None, **answers: list[dict[str, Any]]) -> FakeDatabase:
    """A ledger of one epoch that finds these rows, by the first column of a query; an UPDATE finds what it names."""
    owner = [{"epoch": epoch, "holder": "host b pid 9"}] if epoch is not None else []
    found = {"SELECT epoch": owner} | {f"SELECT {name}": rows for name, rows in answers.items()}
    found |= {"SELECT EXISTS": [{"found": int(any(answers.values()))}]}
    return FakeDatabase(found=found, matched=matched if matched is not None else lambda args: len(args) - 1, number=41)


ATTEMPT = Attempt(41, "41-5-1", 1, datetime(2024, 1, 1, tzinfo=UTC), ())

# Types


@pytest.mark.parametrize(("read", "loaded", "rejected", "pending"), [(0, 0, 0, 0), (6, 1, 2, 3), (5, 5, 0, 0), (5, 0, 5, 0), (5, 0, 0, 5)])
def test_a_file_result_whose_rows_add_up_is_taken(read: int, loaded: int, rejected: int, pending: int) -> None:
    assert FileResult(1, rows_read=read, rows_loaded=loaded, rows_rejected=rejected, rows_pending=pending).rows_read == read


@pytest.mark.parametrize(("read", "loaded", "rejected", "pending"), [(6, 5, 0, 0), (5, 5, 1, 0), (5, 5, 0, 1), (0, 1, 0, 0), (3, 0, 0, 0)])
def test_a_file_result_whose_rows_do_not_add_up_is_refused(read: int, loaded: int, rejected: int, pending: int) -> None:
    with pytest.raises(LedgerError, match=rf"file 17: read {read} is not loaded {loaded} \+ rejected {rejected} \+ pending {pending}"):
        FileResult(17, rows_read=read, rows_loaded=loaded, rows_rejected=rejected, rows_pending=pending)


def test_an_outcome_loads_what_its_files_load() -> None:
    files = (FileResult(1, rows_read=3, rows_loaded=2, rows_rejected=1), FileResult(2, rows_read=5, rows_loaded=4, rows_pending=1))
    assert Outcome(files=files).rows_loaded == 6
    assert Outcome().rows_loaded == 0


def test_results_and_parts_cannot_be_changed_after_the_check() -> None:
    with pytest.raises(FrozenInstanceError):
        FileResult(1).rows_loaded = 1
    with pytest.raises(FrozenInstanceError):
        FactPart("2024-01", 121, 1, Decimal(1)).rows = 2


def test_only_what_still_lies_in_the_source_prefix_is_moved() -> None:
    assert set(MOVED_STATES) == {"COMMITTED", "REJECTED", "DUPLICATE", "FAILED"}
    assert set(FileState) - set(MOVED_STATES) == {"DISCOVERED", "CLAIMED", "OVERWRITTEN", "GONE", "UNREADABLE"}


# The epoch


def test_a_write_under_the_current_epoch_goes_through() -> None:
    assert Ledger(ledger_db(epoch=5), 5).write(lambda tx: "done") == "done"


@pytest.mark.parametrize(
    ("epoch", "text"), [(6, "epoch 5 is over: the ledger has epoch 6 held by host b pid 9"), (4, "has epoch 4"), (None, "no owner row")]
)
def test_a_write_under_another_epoch_does_nothing(epoch: int | None, text: str) -> None:
    db = ledger_db(epoch=epoch)
    with pytest.raises(OwnershipError, match=text):
        Ledger(db, 5).write(lambda tx: tx.execute("UPDATE micro_batch SET state = 'COMMITTED'"))
    assert db.tx.changes == []


# Discovery


def test_no_versions_are_no_transaction() -> None:
    db = ledger_db()
    assert Ledger(db, 5).discover([]) == 0
    assert db.transactions == 0


def test_a_new_version_is_booked_once_with_its_key_as_bytes() -> None:
    db = ledger_db(identity=[])
    assert Ledger(db, 5).discover([VERSION, VERSION]) == 1
    [(sql, rows)] = db.tx.changes
    assert sql.endswith("ON DUPLICATE KEY UPDATE id = id")
    assert "IGNORE" not in sql
    [(identity, *rest)] = rows
    assert len(identity) == 32
    assert rest == ["lake", "sales_data/é.csv".encode(), "e1", None, 3, datetime(2024, 1, 1)]


# Claims: size_bytes and keys of what is discovered, oldest first


def discovered(*files: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"id": at, "object_key": key.encode(), "size_bytes": size} for at, (key, size) in enumerate(files, 1)]


def claimed(db: FakeDatabase) -> list[int]:
    assert Ledger(db, 5).claim_files(10, 100) == 41
    [(insert, totals), (update, args)] = db.tx.changes
    assert insert.startswith("INSERT INTO micro_batch (files, bytes, planned_at)")
    assert "AND state = 'DISCOVERED' AND batch_id IS NULL" in update
    assert (args[0], totals[0]) == (41, len(args) - 1)
    return list(args[1:])


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        ([("a", 40), ("b", 60), ("c", 1)], [1, 2]),
        ([("a", 101), ("b", 1)], [1]),
        ([("a", 1), ("b", 100), ("c", 1)], [1]),
        ([("a", 0), ("b", 0)], [1, 2]),
        ([("a", 1), ("a", 1), ("b", 1), ("A", 1)], [1, 3, 4]),
    ],
    ids=["up to the bytes", "a larger one alone", "in order, no gaps", "empty ones", "one version of a key at a time"],
)
def test_a_claim_is_bounded_by_bytes_and_holds_distinct_keys(files: list[tuple[str, int]], ids: list[int]) -> None:
    assert claimed(ledger_db(id=discovered(*files))) == ids


def test_nothing_discovered_is_no_batch_and_no_transaction() -> None:
    db = ledger_db(id=[])
    assert Ledger(db, 5).claim_files(10, 100) is None
    assert (db.tx.changes, db.transactions) == ([], 0)


def test_nothing_requested_is_no_batch_and_no_transaction() -> None:
    db = ledger_db()
    assert Ledger(db, 5).claim_operation() is None
    assert Ledger(db, 5).request_release({}, 10) is None
    assert db.transactions == 0


def test_a_claim_that_misses_a_file_is_rolled_back() -> None:
    db = ledger_db(matched=1, id=discovered(("a", 1), ("b", 1)))
    with pytest.raises(LedgerError, match="batch 41: claimed 1 of 2 files"):
        Ledger(db, 5).claim_files(10, 100)


def test_a_file_taken_out_of_a_batch_must_have_been_claimed_by_it() -> None:
    db = ledger_db(matched=0, state=[{"state": "COMMITTED"}])
    with pytest.raises(LedgerError, match="batch 41: file 3 is not claimed by it"):
        Ledger(db, 5).drop_files(ATTEMPT, {3: FileState.GONE})


def test_a_file_taken_out_twice_after_a_lost_commit_is_no_fault() -> None:
    db = ledger_db(matched=0, state=[{"state": "GONE"}])
    Ledger(db, 5).drop_files(ATTEMPT, {3: FileState.GONE})
    assert db.transactions == 1


def test_a_row_of_the_ledger_becomes_the_version_that_was_booked() -> None:
    row = {
        "id": 3,
        "bucket": "lake",
        "object_key": "sales_data/é.csv".encode(),
        "etag": "e1",
        "version_id": None,
        "size_bytes": 3,
        "last_modified": datetime(2024, 1, 1),
        "state": "REJECTED",
        "finished_at": datetime(2024, 1, 2),
        "archived_key": None,
        "archived_etag": None,
    }
    [file] = Ledger(ledger_db(**{"f.id": [row]}), 5).archive_due(10)
    assert (file.id, file.version, file.state) == (3, VERSION, FileState.REJECTED)


@pytest.mark.parametrize("epoch", [5, 6], ids=["owner", "taken over"])
def test_a_move_is_noted_in_one_statement_by_the_owner_alone(epoch: int) -> None:
    db = ledger_db(epoch, matched=int(epoch == 5))
    ledger = Ledger(db, 5)
    if epoch == 5:
        ledger.archived(3, "done/é.csv", "e1")
        assert db.transactions == 0
    else:
        with pytest.raises(OwnershipError, match="epoch 5 is over"):
            ledger.archived(3, "done/é.csv", "e1")
    [(sql, args)] = db.tx.changes
    assert sql.endswith("WHERE id = %s AND (SELECT epoch FROM stream_owner WHERE id = 1) = %s")
    assert args == ("done/é.csv".encode(), "done/é.csv".encode(), "e1", 3, 5)
