"""The ledger: states of files, batches, attempts and parts, and every transition between them.

Each method is one transaction; the writing ones first prove our epoch. Work is found by state, never by position
(docs/decisions/0012-exactly-once.md, 0011-ledger-and-identity.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from app.ledger import attempt_plan, duplicates, file_claims, isolate, operations
from app.ledger.isolate import Failing
from app.ledger.memory import Memory
from app.ledger.ownership import check_epoch
from app.ledger.restore_guard import NotedOperation
from app.ledger.types import Attempt, FileState, Ignored, Outcome, SourceFile, identity_of
from app.mysql.database import Database, Row, Tx
from app.s3.read import ObjectVersion

log = logging.getLogger(__name__)

T = TypeVar("T")


class Ledger:
    """The ledger under one epoch."""

    def __init__(self, db: Database, epoch: int) -> None:
        self.db = db
        self.epoch = epoch
        self.memory = Memory()

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in one transaction that begins with the proof of our epoch; Transient errors are retried.

        Raises:
            OwnershipError: a newer instance has taken over; nothing was written.
            RestoredLedger: the ledger has lost what this process has committed; nothing was written.
        """

        def fenced(tx: Tx) -> T:
            check_epoch(tx, self.epoch)
            self.memory.check(tx)
            return work(tx)

        return self.db.run(fenced)

    def prove(self) -> None:
        """Prove that the ledger is still ours and has lost nothing of what this process has committed.

        Asked after a list of what is to be removed on S3 was read, and before anything of it is removed.

        Raises:
            OwnershipError: a newer instance has taken over.
            RestoredLedger: the ledger has gone back.
        """
        self.write(lambda _tx: None)

    # -- discovery and planning (the planner process) ---------------------------------------------------------------

    def discover(self, versions: Sequence[ObjectVersion]) -> int:
        """Insert the object versions that the ledger does not know yet, and discover those again that it took for lost.

        Returns how many files there are to claim more than before.
        """
        by_identity = {identity_of(version): version for version in versions}
        found = self.write(lambda tx: file_claims.insert_new(tx, by_identity)) if by_identity else file_claims.Discovered()
        if found.back:
            log.warning("files=%s are listed again that seemed to be missing or overwritten: they are loaded now", found.back)
        if found.strays:
            log.warning("files=%s are finished and still lie in the source prefix: they are moved away again", found.strays)
        return found.new + len(found.back)

    def retry_unreadable(self, limit: int) -> int:
        """Discover UNREADABLE files again whose pause is over, at most `limit`. Returns how many."""
        if not self._has_some("source_file WHERE state = 'UNREADABLE' AND retry_at <= UTC_TIMESTAMP(6)"):
            return 0
        return len(self.write(lambda tx: file_claims.retry_unreadable(tx, limit)))

    def retry_now(self) -> None:
        """End the pause of every file that was refused, and of every refused move to the archive."""
        self.write(file_claims.retry_now)

    def claimable(self, max_files: int) -> tuple[int, int]:
        """Count the discovered files (up to `max_files`) and their bytes."""
        sql = "SELECT size_bytes FROM source_file WHERE state = 'DISCOVERED' ORDER BY id LIMIT %s"
        rows = self.db.single(lambda tx: tx.rows(sql, (max_files,)))
        return len(rows), sum(int(row["size_bytes"]) for row in rows)

    def has_backlog(self, max_files: int) -> bool:
        """Tell whether files wait that no batch has claimed yet, or a batch of as many files as one may have is under way."""
        open_batch = "state IN ('PLANNED', 'STARTED') AND files >= %s"
        sql = (
            "SELECT EXISTS(SELECT 1 FROM source_file WHERE state = 'DISCOVERED')"
            f" OR EXISTS(SELECT 1 FROM micro_batch WHERE {open_batch}) AS found"
        )
        return bool(self.db.single(lambda tx: tx.scalar(sql, (max_files,))))

    def record_ignored(self, found: Mapping[str, Ignored]) -> None:
        """Replace what the ledger says of objects that are passed over: rule -> how many, and the first of them."""

        def replace(tx: Tx) -> None:
            tx.execute("DELETE FROM ignored_object")
            rows = [(rule, one.objects, one.example.encode(errors="surrogateescape")) for rule, one in sorted(found.items())]
            tx.executemany("INSERT INTO ignored_object (rule_name, objects, example, seen_at) VALUES (%s, %s, %s, UTC_TIMESTAMP(6))", rows)

        self.write(replace)

    def next_batch(self, after: int) -> int | None:
        """Return the first uncommitted batch behind `after` that was planned earlier but never handed out."""
        sql = "SELECT MIN(id) FROM micro_batch FORCE INDEX (by_state) WHERE id > %s AND state IN ('PLANNED', 'STARTED')"
        found = self.db.single(lambda tx: tx.scalar(sql, (after,)))
        return int(found) if found is not None else None

    def last_batch(self) -> int:
        """Return the newest batch number, 0 when there is none."""
        return int(self.db.single(lambda tx: tx.scalar("SELECT COALESCE(MAX(id), 0) FROM micro_batch")))

    def claim_files(self, max_files: int, max_bytes: int) -> int | None:
        """Plan a batch: claim discovered files of distinct keys, oldest first, bounded by files and bytes (at least one)."""
        if not self._has_some("source_file WHERE state = 'DISCOVERED'"):
            return None
        return self.write(lambda tx: file_claims.claim_files(tx, max_files, max_bytes))

    def claim_operation(self) -> int | None:
        """Plan a batch that executes the oldest requested operation."""
        if not self._has_some("file_operation WHERE state = 'REQUESTED'"):
            return None
        return self.write(file_claims.claim_operation)

    def _has_some(self, which: str) -> bool:
        """Tell by one round trip whether a look at `which` is worth a transaction: most looks of an idle stream are not."""
        return bool(self.db.single(lambda tx: tx.scalar(f"SELECT EXISTS(SELECT 1 FROM {which})")))

    # -- one batch --------------------------------------------------------------------------------------------------

    def unfinished(self) -> list[int]:
        """Return the numbers of all planned, uncommitted batches in order."""
        # Left to itself the optimizer may walk the history in the order of ids, while its statistics are older than the table.
        sql = "SELECT id FROM micro_batch FORCE INDEX (by_state) WHERE state IN ('PLANNED', 'STARTED') ORDER BY id"
        return [int(row["id"]) for row in self.db.single(lambda tx: tx.rows(sql))]

    def begin(self, batch_id: int, contract_hash: str) -> Attempt | None:
        """Start a new attempt at a batch. Returns None when the batch is already finished."""
        attempt = self.write(lambda tx: file_claims.begin(tx, batch_id, self.epoch, contract_hash))
        if attempt is not None:
            self.memory.begun(attempt.batch_key)
        return attempt

    def dead_attempts(self, alive: str | None) -> list[str]:
        """Return the keys of open attempts other than `alive`: their leftovers must go.

        Read as the owner: a zombie must not take its successor's attempt for a dead one and delete what that is writing.
        """
        sql = "SELECT batch_key FROM batch_attempt WHERE state = 'OPEN' AND batch_key <> %s"
        return [row["batch_key"] for row in self.write(lambda tx: tx.rows(sql, (alive or "",)))]

    def files_in_force(self, digests: set[bytes], but: Collection[int]) -> dict[bytes, int]:
        """Return which of these contents other files than `but` hold: digest -> the first file that counts, or is about to."""
        return self.db.single(lambda tx: duplicates.holders(tx, digests, but)) if digests else {}

    def skipped_files(self, contents: Mapping[bytes, Collection[int]]) -> dict[bytes, int]:
        """Return who takes over contents that their holders leave for another version: digest -> the oldest skipped file."""
        return self.db.single(lambda tx: duplicates.oldest_skipped(tx, contents, replaces=True)) if contents else {}

    def earlier_versions(self, file_ids: Collection[int]) -> dict[int, list[tuple[int, bytes | None]]]:
        """Return the earlier versions, in force, of the keys of files, with their contents."""
        return self.db.single(lambda tx: operations.earlier_versions(tx, file_ids))

    def has_loaded(self) -> bool:
        """Tell whether any file was ever loaded."""
        return self._has_some("source_file WHERE state = 'COMMITTED'")

    def drop_files(self, attempt: Attempt, states: Mapping[int, FileState], why: Mapping[int, str] = MappingProxyType({})) -> None:
        """Take files that cannot be read as booked out of a batch; nothing of them is loaded. `why` is what S3 said of those it refuses."""
        self.write(lambda tx: file_claims.drop_files(tx, attempt, states, why))

    def plan_outcome(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write down what the attempt is about to create on S3 and in the final transaction, so that leftovers are known by name."""
        self.write(lambda tx: attempt_plan.plan_outcome(tx, attempt, outcome))

    def fail(self, attempt: Attempt, error: str, *, is_counted: bool, is_unexplained: bool = False) -> int:
        """Note a failed attempt, and count it where the batch itself may be the cause. Returns how often it was counted.

        `is_unexplained`: it may be the batch's doing or the machine's, and counts from its second time on.
        """

        def count(tx: Tx) -> int:
            sql = "UPDATE micro_batch SET failures = failures + %s, error = %s WHERE id = %s"
            if is_unexplained:
                isolate.count_unexplained(tx, attempt.batch_id, error[:2000])
            else:
                tx.execute(sql, (int(is_counted), error[:2000], attempt.batch_id))
            tx.execute("UPDATE batch_attempt SET error = %s WHERE batch_key = %s", (error[:2000], attempt.batch_key))
            return int(tx.scalar("SELECT failures FROM micro_batch WHERE id = %s", (attempt.batch_id,)))

        return self.write(count)

    def isolate(self, batch_id: int, error: str, limit: int, *, replaces: bool = False) -> str | None:
        """Close in on what makes a batch fail, once it has failed `limit` times: see `isolate.isolate`."""
        return self.write(lambda tx: isolate.isolate(tx, batch_id, error[:2000], limit, replaces=replaces))

    def over_limit(self, limit: int) -> dict[int, str]:
        """Return unfinished batches that have failed as often as they may: batch -> its last error."""
        return self.db.single(lambda tx: isolate.over_limit(tx, limit))

    def failing_in_a_row(self) -> list[Failing]:
        """Return the files that failed since the last batch that loaded rows, those held back included."""
        return self.db.run(isolate.failing_in_a_row)

    def give_up(self, batch_ids: Collection[int]) -> list[int]:
        """Give the files of batches that are held back up as FAILED. Returns the files."""
        return self.write(lambda tx: isolate.give_up(tx, batch_ids))

    def try_again(self, limit: int, *, batch_id: int | None = None, explained: bool = False) -> int:
        """Let what is held back, or one batch that is at its limit, be tried once more. Returns how many batches these are."""
        return self.write(lambda tx: isolate.try_again(tx, limit, batch_id=batch_id, explained=explained))

    def count_silent(self) -> list[int]:
        """Count attempts of earlier epochs that ended without a word. Returns their batches."""
        return self.write(lambda tx: isolate.count_silent(tx, self.epoch))

    def note_open(self, words: str) -> int:
        """Say of our running attempts why they may end without a word of their own."""
        return self.write(lambda tx: isolate.note_open(tx, self.epoch, words))

    def note_attempts(self, words: Mapping[str, str]) -> None:
        """Say of attempts why they ended, where that could not be said at the time: batch key -> why."""
        sql = "UPDATE batch_attempt SET error = %s WHERE batch_key = %s AND state = 'OPEN' AND error IS NULL"
        self.write(lambda tx: [tx.execute(sql, (why[:2000], key)) for key, why in words.items()])

    def bury(self, batch_key: str) -> None:
        """Mark a dead attempt whose leftovers on S3 and in the stage tables are gone."""

        def mark(tx: Tx) -> None:
            sql = "UPDATE fact_part SET state = 'DELETED', dead_at = UTC_TIMESTAMP(6) WHERE batch_key = %s AND state = 'PLANNED'"
            tx.execute(sql, (batch_key,))
            for table in ("quarantine_part", "pending_part"):
                tx.execute(f"UPDATE {table} SET state = 'DEAD' WHERE batch_key = %s AND state = 'PLANNED'", (batch_key,))
            for table in ("batch_file", *attempt_plan.FINDINGS):
                tx.execute(f"DELETE FROM {table} WHERE batch_key = %s", (batch_key,))
            tx.execute(
                "UPDATE batch_attempt SET state = 'DEAD', ended_at = UTC_TIMESTAMP(6) WHERE batch_key = %s AND state = 'OPEN'", (batch_key,)
            )

        self.write(mark)

    def planned_parts(self, batch_key: str) -> dict[str, list[Row]]:
        """Return the parts that an attempt planned to write and that never became live, by table."""

        def read(tx: Tx) -> dict[str, list[Row]]:
            sql = "SELECT * FROM {} WHERE batch_key = %s AND state IN ('PLANNED', 'DEAD', 'DELETED')"
            return {table: tx.rows(sql.format(table), (batch_key,)) for table in attempt_plan.PARTS}

        return self.db.run(read)

    def staged_keys(self, tables: Sequence[str]) -> set[str]:
        """Return the batch keys that have rows in these stage tables."""
        sql = " UNION ".join(f"SELECT DISTINCT batch_key FROM {table}" for table in tables)
        return {row["batch_key"] for row in self.db.single(lambda tx: tx.rows(sql))}

    def dead_pending_keys(self) -> list[str]:
        """Return the dead attempts that have left keys of pending rows, which were locked when everything else of them was removed."""
        sql = (
            "SELECT k.batch_key FROM (SELECT DISTINCT batch_key FROM pending_key) k JOIN batch_attempt a ON a.batch_key = k.batch_key"
            " WHERE a.state = 'DEAD'"
        )
        return [row["batch_key"] for row in self.db.single(lambda tx: tx.rows(sql))]

    def asked_by_people(self, attempt: Attempt) -> NotedOperation | None:
        """Return what S3 must remember of an operation; None where the stream does it by itself."""
        return self.db.run(lambda tx: operations.asked_by_people(tx, attempt))

    # -- pending rows -----------------------------------------------------------------------------------------------

    def pending_parts(self, operation_id: int) -> list[str]:
        """Return the batch keys of the waiting parts that a RELEASE consumes."""
        sql = "SELECT batch_key FROM pending_part WHERE operation_id = %s AND state = 'WAITING' ORDER BY batch_key"
        return [row["batch_key"] for row in self.db.single(lambda tx: tx.rows(sql, (operation_id,)))]

    def consumed_parts(self, limit: int) -> list[str]:
        """Return the batch keys of pending parts whose rows were released and whose Parquet is still there."""
        sql = "SELECT batch_key FROM pending_part WHERE state = 'CONSUMED' AND deleted_at IS NULL ORDER BY batch_key LIMIT %s"
        found = [row["batch_key"] for row in self.db.single(lambda tx: tx.rows(sql, (limit,)))]
        if found:
            self.prove()
        return found

    def pending_part_deleted(self, batch_key: str) -> None:
        """Note that a consumed part's Parquet is gone."""
        self.write(lambda tx: tx.execute("UPDATE pending_part SET deleted_at = UTC_TIMESTAMP(6) WHERE batch_key = %s", (batch_key,)))

    def request_release(self, joins: Mapping[str, tuple[str, str]], max_parts: int, contract_hash: str = "") -> int | None:
        """Request a RELEASE of waiting parts of which a wanted key is in its dimension table by now; one at a time.

        Args:
            joins: dimension name -> (table, key column).
            max_parts: most parts that one RELEASE takes.
            contract_hash: today's contract; a part whose release failed under another one is tried again at once.
        """
        if not self._has_some("pending_part WHERE state = 'WAITING' AND operation_id IS NULL"):
            return None
        return self.write(lambda tx: file_claims.request_release(tx, joins, max_parts, contract_hash))

    # -- archive ----------------------------------------------------------------------------------------------------

    def archive_due(self, limit: int) -> list[SourceFile]:
        """Return finished files whose object still waits to be moved, oldest first; then those whose refused move may be tried again."""
        due = "SELECT id FROM source_file WHERE archive_due = 1 AND retry_at"
        sql = (
            f"SELECT {operations.PLACE} FROM (({due} IS NULL ORDER BY id LIMIT %s)"
            f" UNION ALL ({due} <= UTC_TIMESTAMP(6) ORDER BY retry_at LIMIT %s)) d STRAIGHT_JOIN source_file f ON f.id = d.id LIMIT %s"
        )
        found = [operations.current_object(row) for row in self.db.single(lambda tx: tx.rows(sql, (limit, limit, limit)))]
        if found:
            # The originals are about to be removed.
            self.prove()
        return found

    def has_unarchived(self) -> bool:
        """Tell whether any finished file still waits for its move to the archive, refused ones included."""
        return self._has_some("source_file WHERE archive_due = 1")

    def archive_refused(self, file_id: int) -> None:
        """Note that S3 refuses the move of an object: it stays due, and is tried again after a pause that grows."""
        sql = (
            f"UPDATE source_file SET retry_at = UTC_TIMESTAMP(6) + INTERVAL {file_claims.PAUSE} SECOND, retries = retries + 1 WHERE id = %s"
        )
        self.write(lambda tx: tx.execute(f"{sql} AND archive_due = 1", (file_id,)))

    def archived(self, file_id: int, key: str | None, etag: str | None) -> None:
        """Note that an object has been moved to `key`; None when its version was no longer there to be moved.

        Raises:
            OwnershipError: a newer instance has taken over; nothing was written.
        """
        # One statement with the proof of our epoch in it, as every object has one of its own.
        sql = (
            "UPDATE source_file SET archive_due = 0, retry_at = NULL, archived_at = IF(%s IS NULL, NULL, UTC_TIMESTAMP(6)),"
            " archived_key = %s, archived_etag = %s WHERE id = %s AND (SELECT epoch FROM stream_owner WHERE id = 1) = %s"
        )
        encoded = key.encode() if key else None
        if not self.db.single(lambda tx: tx.execute(sql, (encoded, encoded, etag, file_id, self.epoch))):
            self.prove()
