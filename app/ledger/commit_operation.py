"""The final transaction's share for files that were loaded before: released, withdrawn, read anew, mended.

Every statement here runs in the one transaction that also changes the marts, and must hit exactly the files of the batch. The batch's stage
rows come first in each join (STRAIGHT_JOIN), or the optimizer may begin with the history while its statistics are old.
"""

from __future__ import annotations

from app.errors import LedgerError
from app.ledger.commit import add_warnings
from app.ledger.operations import IS_SKIPPED, marks, pages, request_for_files, request_rest
from app.ledger.types import MOVED_STATES, Attempt, Change, FileState, OperationKind, Outcome, Withdrawn
from app.mysql.database import Tx

PROCESSED = ", ".join(f"'{state}'" for state in (FileState.COMMITTED, FileState.DUPLICATE))
MOVED = ", ".join(f"'{state}'" for state in MOVED_STATES)


def book_operation(tx: Tx, attempt: Attempt, outcome: Outcome) -> None:
    """Give every file of an operation its new counts, and mark the operation DONE.

    Raises:
        LedgerError: a file is not as the attempt found it, or its rows would not add up.
    """
    assert attempt.operation is not None, "only operations change files that were loaded"
    read = [file.file_id for file in outcome.files if file.state not in tuple(Change)]
    hits = _release(tx, attempt) + _mend(tx, attempt) + _read_anew(tx, attempt, read)
    if hits != len(outcome.files):
        raise LedgerError(f"batch {attempt.batch_key}: changed {hits} of {len(outcome.files)} files")
    withdraw_files(tx, attempt, outcome.withdrawn)
    if attempt.operation.kind == OperationKind.RETRACT:
        _leave_skipped(tx, attempt, sorted(set(attempt.operation.file_ids) - {one.file_id for one in outcome.withdrawn}))
    if outcome.warnings:
        add_warnings(tx, attempt)
    tx.execute("UPDATE file_operation SET state = 'DONE', finished_at = UTC_TIMESTAMP(6) WHERE id = %s", (attempt.operation.id,))
    if outcome.left_to_merge:
        request_rest(tx, attempt.operation.id, outcome.left_to_merge)


def book_superseded(tx: Tx, attempt: Attempt, outcome: Outcome) -> None:
    """Take out the earlier versions whose place this batch's files take, move rows that were waiting beside theirs, and note a REPLACE.

    Raises:
        LedgerError: a file is not as the attempt found it.
    """
    released = [file for file in outcome.files if file.state == Change.RELEASED]
    if _release(tx, attempt) != len(released):
        raise LedgerError(f"batch {attempt.batch_key}: waiting rows of {len(released)} files did not move")
    if not outcome.withdrawn:
        return
    withdraw_files(tx, attempt, outcome.withdrawn)
    new = sorted({one.superseded_by for one in outcome.withdrawn if one.superseded_by is not None})
    operation = request_for_files(tx, OperationKind.REPLACE, new, "redelivery: replace")
    tx.execute(
        "UPDATE file_operation SET state = 'DONE', claimed_at = requested_at, finished_at = requested_at, detail = %s WHERE id = %s",
        (f"batch {attempt.batch_id}", operation),
    )


def _release(tx: Tx, attempt: Attempt) -> int:
    """Move rows from pending to loaded, of files that are otherwise left alone."""
    return tx.execute(
        "UPDATE stage_file s STRAIGHT_JOIN source_file f ON f.id = s.file_id"
        " SET f.rows_loaded = f.rows_loaded + s.rows_loaded, f.rows_pending = f.rows_pending - s.rows_loaded"
        " WHERE s.batch_key = %s AND s.state = %s AND f.in_force = 1 AND f.rows_pending >= s.rows_loaded + s.rows_pending",
        (attempt.batch_key, Change.RELEASED),
    )


def _mend(tx: Tx, attempt: Attempt) -> int:
    """Move rows from rejected to loaded and pending. The batch becomes the one whose quarantine counts for the file."""
    mended = f"s.state = '{Change.MENDED}'"
    _remember_readers(tx, attempt, mended)
    # The rows that are still rejected are this batch's findings now; header and warnings of the file itself stay true.
    tx.execute(
        "DELETE r FROM stage_file s STRAIGHT_JOIN file_reject r ON r.file_id = s.file_id"
        f" WHERE s.batch_key = %s AND {mended} AND r.batch_key <> %s",
        (attempt.batch_key, attempt.batch_key),
    )
    return tx.execute(
        "UPDATE stage_file s STRAIGHT_JOIN source_file f ON f.id = s.file_id SET f.rows_loaded = f.rows_loaded + s.rows_loaded,"
        " f.rows_pending = f.rows_pending + s.rows_pending, f.rows_rejected = s.rows_rejected, f.batch_id = %s"
        " WHERE s.batch_key = %s AND s.state = %s AND f.in_force = 1 AND f.rows_rejected = s.rows_read",
        (attempt.batch_id, attempt.batch_key, Change.MENDED),
    )


def _read_anew(tx: Tx, attempt: Attempt, file_ids: list[int]) -> int:
    """Replace state and counts of files that were read again, forget what earlier batches found in them, and move their objects."""
    if not file_ids:
        return 0
    _forget_findings(tx, attempt, file_ids)
    anew = f"s.state NOT IN ('{Change.RELEASED}', '{Change.MENDED}')"
    _remember_readers(tx, attempt, anew)
    # A file that is loaded now leaves the error prefix, and the other way round; one that could not be read so far leaves the source
    # prefix. Before the states change, as it compares them.
    tx.execute(
        f"UPDATE stage_file s STRAIGHT_JOIN source_file f ON f.id = s.file_id SET f.archive_due = 1, f.retry_at = NULL"
        f" WHERE s.batch_key = %s AND {anew} AND s.state IN ({MOVED})"
        f" AND ((f.state IN ({PROCESSED})) <> (s.state IN ({PROCESSED})) OR f.state NOT IN ({MOVED}))",
        (attempt.batch_key,),
    )
    return tx.execute(
        "UPDATE stage_file s STRAIGHT_JOIN source_file f ON f.id = s.file_id"
        " SET f.state = s.state, f.in_force = IF(s.state = 'COMMITTED', 1, 0), f.reason_code = s.reason_code,"
        " f.reason_detail = s.reason_detail, f.rows_read = s.rows_read, f.rows_loaded = s.rows_loaded,"
        " f.rows_rejected = s.rows_rejected, f.rows_pending = s.rows_pending, f.content_digest = s.content_digest,"
        f" f.finished_at = UTC_TIMESTAMP(6), f.batch_id = %s WHERE s.batch_key = %s AND {anew}"
        " AND f.state NOT IN ('DISCOVERED', 'CLAIMED') AND s.rows_read = s.rows_loaded + s.rows_rejected + s.rows_pending",
        (attempt.batch_id, attempt.batch_key),
    )


def _remember_readers(tx: Tx, attempt: Attempt, condition: str) -> None:
    """Keep the batch that has read a file so far as one that may hold rows of it."""
    tx.execute(
        "INSERT INTO batch_file (file_id, batch_key) SELECT f.id, b.batch_key FROM stage_file s"
        " STRAIGHT_JOIN source_file f ON f.id = s.file_id"
        " STRAIGHT_JOIN micro_batch b FORCE INDEX (PRIMARY) ON b.id = f.batch_id"
        f" WHERE s.batch_key = %s AND {condition} AND b.batch_key IS NOT NULL AND b.id <> %s"
        " ON DUPLICATE KEY UPDATE file_id = batch_file.file_id",
        (attempt.batch_key, attempt.batch_id),
    )


def withdraw_files(tx: Tx, attempt: Attempt, withdrawn: tuple[Withdrawn, ...]) -> None:
    """Note that the rows of some files do not count any more; their outcome and counts stay on record.

    Raises:
        LedgerError: one of them is not in force.
    """
    if not withdrawn:
        return
    tx.executemany(
        "INSERT INTO file_withdrawal (file_id, batch_id, superseded_by, rows_loaded, rows_pending, withdrawn_at)"
        " VALUES (%s, %s, %s, 0, 0, UTC_TIMESTAMP(6))",
        [(one.file_id, attempt.batch_id, one.superseded_by) for one in withdrawn],
    )
    tx.execute(
        "UPDATE file_withdrawal w STRAIGHT_JOIN source_file f ON f.id = w.file_id"
        " SET w.rows_loaded = f.rows_loaded, w.rows_pending = f.rows_pending WHERE w.batch_id = %s",
        (attempt.batch_id,),
    )
    ids = pages([one.file_id for one in withdrawn])
    hit = sum(tx.execute(f"UPDATE source_file SET in_force = 0 WHERE in_force = 1 AND id IN ({marks(page)})", page) for page in ids)
    if hit != len(withdrawn):
        raise LedgerError(f"batch {attempt.batch_key}: {hit} of {len(withdrawn)} files that were to be withdrawn are in force")
    _forget_warnings(tx, attempt, [one.file_id for one in withdrawn])


def _leave_skipped(tx: Tx, attempt: Attempt, file_ids: list[int]) -> None:
    """Note of skipped duplicates that they were retracted, so that none of them comes back by itself.

    Raises:
        LedgerError: one of them is not skipped any more.
    """
    sql = (
        "INSERT INTO file_withdrawal (file_id, batch_id, superseded_by, rows_loaded, rows_pending, withdrawn_at)"
        f" SELECT f.id, %s, NULL, 0, 0, UTC_TIMESTAMP(6) FROM source_file f WHERE f.id IN ({{}}) AND {IS_SKIPPED}"
    )
    hit = sum(tx.execute(sql.format(marks(page)), [attempt.batch_id, *page]) for page in pages(file_ids))
    if hit != len(file_ids):
        raise LedgerError(f"batch {attempt.batch_key}: {hit} of {len(file_ids)} files that were to be retracted are skipped duplicates")


def _forget_findings(tx: Tx, attempt: Attempt, file_ids: list[int]) -> None:
    _forget_warnings(tx, attempt, file_ids)
    for page in pages(file_ids):
        for table in ("file_reject", "file_header"):
            tx.execute(f"DELETE FROM {table} WHERE file_id IN ({marks(page)}) AND batch_key <> %s", [*page, attempt.batch_key])


def _forget_warnings(tx: Tx, attempt: Attempt, file_ids: list[int]) -> None:
    """Take the files' warnings out of the totals."""
    for page in pages(file_ids):
        old = f"w.file_id IN ({marks(page)}) AND w.batch_key <> %s"
        args = [*page, attempt.batch_key]
        tx.execute(
            "UPDATE warning_total t JOIN (SELECT w.rule_name, SUM(w.row_count) AS n FROM file_warning w"
            f" JOIN batch_attempt a ON a.batch_key = w.batch_key AND a.state = 'COMMITTED' WHERE {old} GROUP BY w.rule_name) s"
            " ON s.rule_name = t.rule_name SET t.row_count = t.row_count - s.n, t.updated_at = UTC_TIMESTAMP(6)",
            args,
        )
        tx.execute(f"DELETE w FROM file_warning w WHERE {old}", args)
