"""A batch that fails again and again: cut it in halves until the file that makes it fail is alone, and hold that one back.

Whether such a file is given up, or is innocent of a fault that every file meets, is decided in app/batch/breaker.py
(docs/decisions/0005-poison-files.md).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.ledger.duplicates import request_heirs_of_failed
from app.ledger.failure_causes import cause_of
from app.ledger.operations import STREAM
from app.mysql.database import Row, Tx

FAILED_REASON = "FAILED"
# Until waiting rows whose release failed are tried again: the first pause, which doubles, and the longest.
FIRST_PAUSE_SECONDS = 30
LONGEST_PAUSE_SECONDS = 3600
# What the ledger says of an attempt that said nothing itself.
SILENT = "the attempt ended without a word: its process was killed, for example because memory ran out"
# Batches that are looked at for failures in a row; more of one kind stop the run long before.
RECENT_BATCHES = 100


@dataclass(frozen=True)
class Failing:
    """One file that makes its batch fail: held back, or given up already."""

    batch_id: int
    cause: str
    error: str
    is_held: bool


def isolate(tx: Tx, batch_id: int, error: str, limit: int, *, replaces: bool = False) -> str | None:
    """Take a batch that has failed `limit` times out of the way and say what became of its files; None when it has not failed that often.

    Several files: they are claimed again by two batches of half of them each. A half is tried once, then cut again; a single file has
    all its attempts before it is held back. An operation is given up at once: the waiting parts of a RELEASE are given back, and a
    skipped file that a REPLAY could not load leaves its content to the next one. `replaces` tells whether the contract lets a file take
    the place of an earlier one of its name.
    """
    batch = tx.row(
        "SELECT state, failures, operation_id, unexplained, contract_hash FROM micro_batch WHERE id = %s FOR UPDATE", (batch_id,)
    )
    if batch is None or batch["state"] != "STARTED" or batch["failures"] < limit:
        return None
    if batch["operation_id"] is not None:
        _close(tx, batch_id, "COMMITTED", error)
        return _give_up_operation(tx, int(batch["operation_id"]), batch["contract_hash"], error, replaces=replaces)
    files = claimed_files(tx, batch_id)
    if not files:
        _close(tx, batch_id, "COMMITTED", error)
        return "has no file left"
    if len(files) == 1:
        key = bytes(files[0]["object_key"]).decode()
        sql = "UPDATE micro_batch SET state = 'HELD', error = %s, cause = %s WHERE id = %s"
        tx.execute(sql, (error, cause_of(error, (key, key.rpartition("/")[2])), batch_id))
        return f"is held back with file {files[0]['id']}, which is left where it is"
    halves = split(tx, batch_id, files, error, failures=limit - 1, unexplained=int(batch["unexplained"]))
    return f"was split into batches {halves[0]} and {halves[1]}"


def split(tx: Tx, batch_id: int, files: Sequence[Row], error: str, *, failures: int, unexplained: int) -> tuple[int, int]:
    """Put two batches of half of the files in the place of a batch. Returns their numbers.

    `failures` and `unexplained` are those that a half of several files begins with: in company it is known that one of them is bad.
    """
    middle = len(files) // 2
    first, second = (
        _claim_again(tx, batch_id, part, failures=failures if len(part) > 1 else 0, unexplained=unexplained)
        for part in (files[:middle], files[middle:])
    )
    _close(tx, batch_id, "SPLIT", error)
    return first, second


def _give_up_operation(tx: Tx, operation_id: int, contract_hash: str | None, error: str, *, replaces: bool) -> str:
    """Give up an operation. What the stream does by itself with several parts or files it then does one by one; nothing is given up yet."""
    parts = _give_back(tx, operation_id, contract_hash)
    sql = (
        "SELECT COUNT(*) FROM operation_file o JOIN file_operation p ON p.id = o.operation_id"
        " WHERE p.id = %s AND p.kind = 'REPLAY' AND p.requested_by = %s AND o.note IS NULL"
    )
    is_cut = max(parts, int(tx.scalar(sql, (operation_id, STREAM)))) > 1
    state, detail = ("DONE", f"failed as a whole, so that it is done one by one: {error}") if is_cut else ("FAILED", error)
    sql = "UPDATE file_operation SET state = %s, finished_at = UTC_TIMESTAMP(6), detail = %s WHERE id = %s"
    tx.execute(sql, (state, detail[:2000], operation_id))
    request_heirs_of_failed(tx, operation_id, replaces=replaces)
    return f"cut operation {operation_id}" if is_cut else f"gave up operation {operation_id}"


def _give_back(tx: Tx, operation_id: int, contract_hash: str | None) -> int:
    """Free the waiting parts of a RELEASE. Of several each is tried alone at once; one that failed alone waits, longer each time.

    Returns how many they are.
    """
    parts = int(tx.scalar("SELECT COUNT(*) FROM pending_part WHERE operation_id = %s AND state = 'WAITING'", (operation_id,)))
    pause = f"LEAST({LONGEST_PAUSE_SECONDS}, {FIRST_PAUSE_SECONDS} * POW(2, LEAST(failures, 20)))" if parts == 1 else "0"
    # The failures last: a server may see them counted already in what follows.
    tx.execute(
        f"UPDATE pending_part SET operation_id = NULL, failed_contract = %s, not_before = UTC_TIMESTAMP(6) + INTERVAL {pause} SECOND,"
        " failures = failures + 1 WHERE operation_id = %s AND state = 'WAITING'",
        (contract_hash, operation_id),
    )
    return parts


def claimed_files(tx: Tx, batch_id: int) -> list[Row]:
    """Lock and return the files that a batch has claimed: id, size_bytes, object_key."""
    sql = "SELECT id, size_bytes, object_key FROM source_file WHERE batch_id = %s AND state = 'CLAIMED' ORDER BY id FOR UPDATE"
    return tx.rows(sql, (batch_id,))


def _claim_again(tx: Tx, batch_id: int, files: Sequence[Row], *, failures: int, unexplained: int) -> int:
    new = tx.insert(
        "INSERT INTO micro_batch (files, bytes, failures, unexplained, planned_at) VALUES (%s, %s, %s, %s, UTC_TIMESTAMP(6))",
        (len(files), sum(int(file["size_bytes"]) for file in files), failures, unexplained),
    )
    marks = ", ".join(["%s"] * len(files))
    sql = f"UPDATE source_file SET batch_id = %s WHERE id IN ({marks}) AND batch_id = %s AND state = 'CLAIMED'"
    tx.execute(sql, [new, *[file["id"] for file in files], batch_id])
    return new


def _close(tx: Tx, batch_id: int, state: str, error: str) -> None:
    tx.execute("UPDATE micro_batch SET state = %s, committed_at = UTC_TIMESTAMP(6), error = %s WHERE id = %s", (state, error, batch_id))


# -- files that are held back ---------------------------------------------------------------------------------------


def failing_in_a_row(tx: Tx) -> list[Failing]:
    """Return the files that failed since the last batch that loaded rows: those given up in between, and all that are held back."""
    sql = (
        "SELECT id, state, cause, error, rows_loaded, operation_id, committed_at FROM micro_batch"
        f" WHERE state IN ('COMMITTED', 'SPLIT') ORDER BY id DESC LIMIT {RECENT_BATCHES}"
    )
    given_up = []
    for row in sorted(tx.rows(sql), key=lambda row: row["committed_at"], reverse=True):
        if row["operation_id"] is None and row["rows_loaded"]:
            break
        if row["cause"] is not None:
            given_up.append(Failing(int(row["id"]), row["cause"], row["error"] or "", is_held=False))
    held = tx.rows("SELECT id, cause, error FROM micro_batch WHERE state = 'HELD' ORDER BY id")
    return [*given_up[::-1], *(Failing(int(row["id"]), row["cause"] or "", row["error"] or "", is_held=True) for row in held)]


def give_up(tx: Tx, batch_ids: Collection[int]) -> list[int]:
    """Give the files of batches that are held back up as FAILED, so that their objects move to the error prefix. Returns the files."""
    given_up = []
    for batch_id in batch_ids:
        batch = tx.row("SELECT state, error FROM micro_batch WHERE id = %s FOR UPDATE", (batch_id,))
        if batch is None or batch["state"] != "HELD":
            continue
        for file in claimed_files(tx, batch_id):
            tx.execute(
                "UPDATE source_file SET state = 'FAILED', reason_code = %s, reason_detail = %s, finished_at = UTC_TIMESTAMP(6),"
                " archive_due = 1 WHERE id = %s",
                (FAILED_REASON, batch["error"], file["id"]),
            )
            given_up.append(int(file["id"]))
        _close(tx, batch_id, "COMMITTED", batch["error"])
    return given_up


def try_again(tx: Tx, limit: int, *, batch_id: int | None = None, explained: bool = False) -> int:
    """Let batches be tried once more: those held back (`explained`: without those that may have killed a run), or one at its limit."""
    sql = "UPDATE micro_batch SET state = 'STARTED', failures = %s, cause = NULL WHERE "
    if batch_id is not None:
        return tx.execute(sql + "id = %s AND state IN ('STARTED', 'HELD')", (limit - 1, batch_id))
    return tx.execute(sql + "state = 'HELD'" + " AND unexplained = 0" * explained, (limit - 1,))


# -- attempts that ended without a word -----------------------------------------------------------------------------


def count_silent(tx: Tx, epoch: int) -> list[int]:
    """Count attempts of earlier epochs that neither committed nor said why they ended. Returns their batches.

    The first time may be anybody's doing. From the second on the batch is suspected, as by a failure of its own.
    """
    sql = (
        "SELECT a.batch_key, b.id FROM batch_attempt a JOIN micro_batch b ON b.id = a.batch_id"
        " WHERE a.state = 'OPEN' AND a.error IS NULL AND b.state = 'STARTED' AND b.batch_key = a.batch_key"
    )
    silent = {row["batch_key"]: int(row["id"]) for row in tx.rows(sql) if int(row["batch_key"].split("-")[1]) != epoch}
    for batch_key, batch_id in silent.items():
        tx.execute("UPDATE batch_attempt SET error = %s WHERE batch_key = %s", (SILENT, batch_key))
        count_unexplained(tx, batch_id, SILENT)
    return sorted(silent.values())


def count_unexplained(tx: Tx, batch_id: int, error: str) -> None:
    """Count an end that may be the batch's doing or the machine's: from the second time on as a failure."""
    sql = "UPDATE micro_batch SET failures = failures + (unexplained > 0), unexplained = unexplained + 1, error = %s WHERE id = %s"
    tx.execute(sql, (error, batch_id))


def was_alive(tx: Tx, batch_key: str) -> None:
    """Take a count of `count_silent` back: the attempt's process lives, and was only displaced."""
    words = "another instance has taken over"
    row = tx.row("SELECT batch_id, error FROM batch_attempt WHERE batch_key = %s FOR UPDATE", (batch_key,))
    if row is None:
        return
    if row["error"] == SILENT:
        tx.execute(
            "UPDATE micro_batch SET failures = failures - (unexplained > 1 AND failures > 0), unexplained = unexplained - 1"
            " WHERE id = %s AND unexplained > 0 AND state IN ('PLANNED', 'STARTED')",
            (row["batch_id"],),
        )
    tx.execute("UPDATE batch_attempt SET error = %s WHERE batch_key = %s AND (error IS NULL OR error = %s)", (words, batch_key, SILENT))


def note_open(tx: Tx, epoch: int, words: str) -> int:
    """Say of the running attempts of an epoch why they may end without a word of their own. Returns how many they are."""
    rows = tx.rows("SELECT batch_key FROM batch_attempt WHERE state = 'OPEN' AND error IS NULL")
    own = [row["batch_key"] for row in rows if int(row["batch_key"].split("-")[1]) == epoch]
    return sum(tx.execute("UPDATE batch_attempt SET error = %s WHERE batch_key = %s AND state = 'OPEN'", (words, key)) for key in own)


def over_limit(tx: Tx, limit: int) -> dict[int, str]:
    """Return unfinished batches that have failed as often as they may: batch -> its last error."""
    rows = tx.rows("SELECT id, error FROM micro_batch WHERE state = 'STARTED' AND failures >= %s ORDER BY id", (limit,))
    return {int(row["id"]): row["error"] or SILENT for row in rows}
