"""What an operation would change, worked out by the very code that would do it, in a transaction that is rolled back.

Nothing is written to S3, and what MySQL is told is taken back before anybody can see it.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from app.batch.context import Job
from app.batch.evaluate import evaluate
from app.batch.mart_deltas import mart_deltas
from app.batch.process import change_everything
from app.batch.replace_parts import total_of
from app.batch.result import Evaluation
from app.config.load import Config
from app.contract.contract import load_contract
from app.ledger.attempt_plan import plan_outcome
from app.ledger.file_claims import begin, plan_operation
from app.ledger.ledger import Ledger
from app.ledger.operations import marks, pages
from app.ledger.types import Attempt, FactPart, FileState, LivePart
from app.model.marts import MARTS, Mart
from app.model.totals import Totals
from app.mysql.database import Database, Row, Tx
from app.sinks.marts import STAGE_ROWS, put_rows
from app.source.dimensions import Dimensions
from app.spark.session import build_session

Ask = Callable[[Tx], int]
Values = dict[str, Any]
# Epochs begin with 1.
NO_EPOCH = 0


@dataclass(frozen=True)
class FileChange:
    """One file: its state, counts and whether it counts in the marts, before and after."""

    id: int
    key: str
    before: Values
    after: Values


@dataclass(frozen=True)
class MartChange:
    """One mart row that comes, goes or changes: its measures and incentive before and after; None where there is no row."""

    mart: str
    key: Values
    before: Values | None
    after: Values | None


@dataclass(frozen=True)
class Preview:
    """All that an operation would change.

    Attributes:
        files: the files, in the order of their ids.
        added: rows and amount that facts and marts get.
        removed: rows and amount that are taken out of them.
        marts: every mart row that would change.
        new_parts: Parquet that would be written, rows kept of replaced parts included.
        dead_parts: Parquet that it would replace.
        lost: files whose object is not there any more, so that nothing would be done to them.
    """

    files: tuple[FileChange, ...]
    added: Totals
    removed: Totals
    marts: tuple[MartChange, ...]
    new_parts: tuple[FactPart, ...]
    dead_parts: tuple[LivePart, ...]
    lost: Mapping[int, FileState]


def preview(job: Job, ask: Ask) -> Preview:
    """Work out what an operation would change.

    Args:
        job: an open session and the configuration; its ledger needs no epoch, as nothing is committed.
        ask: inserts the request, as the real command would, and returns its number.

    Raises:
        BatchFailed: the operation would fail, and why.
    """
    attempt = job.ledger.db.rehearse(lambda tx: _begin(tx, job, ask))
    evaluation = evaluate(job, attempt)
    try:
        # The transaction at the end only reads files: while it is open, others may wait for the rows it has changed.
        with _deltas(evaluation) as deltas:
            return job.ledger.db.rehearse(lambda tx: _rehearse(tx, job, ask, evaluation, deltas))
    finally:
        evaluation.release()


@contextmanager
def open_job(config: Config) -> Iterator[Job]:
    """Give a job that may look at everything and change nothing: its ledger has no epoch that would be let write.

    Raises:
        EnvironmentFault: Spark does not start.
    """
    spark = build_session(config)
    try:
        dimensions = Dimensions(spark, config, lambda: int(time.time() * 1000))
        yield Job(spark, config, load_contract(config.contract_path), Ledger(Database(config.mysql), NO_EPOCH), dimensions)
    finally:
        spark.stop()


def _begin(tx: Tx, job: Job, ask: Ask) -> Attempt:
    attempt = begin(tx, plan_operation(tx, ask(tx)), job.ledger.epoch, job.contract.hash)
    assert attempt is not None, "a batch that was planned in this transaction is open"
    return attempt


@contextmanager
def _deltas(evaluation: Evaluation) -> Iterator[Mapping[str, Spool]]:
    """Compute the deltas of each mart into a file of their own: a transaction that is tried again reads them again."""
    wanted = MARTS if evaluation.rows_loaded or evaluation.rewrite.removed.rows else ()
    with ExitStack() as files:
        spools = {}
        for mart in wanted:
            rows = mart_deltas(evaluation.pieces, mart, evaluation.dimensions.lookups.value)
            spools[mart.table] = Spool(files.enter_context(tempfile.TemporaryFile(prefix="salestream-")), rows)
        yield spools


class Spool:
    """Rows that were computed once and are kept in a file, however many they are."""

    def __init__(self, file: IO[bytes], rows: Iterator[tuple[object, ...]]) -> None:
        self._file = file
        for row in rows:
            pickle.dump(tuple(row), file)
        self._end = file.tell()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Read the rows from the first one on."""
        self._file.seek(0)
        while self._file.tell() < self._end:
            yield pickle.load(self._file)  # noqa: S301 - a file without a name that we have written ourselves


def _rehearse(tx: Tx, job: Job, ask: Ask, evaluation: Evaluation, deltas: Mapping[str, Spool]) -> Preview:
    attempt = _begin(tx, job, ask)
    outcome = evaluation.outcome()
    plan_outcome(tx, attempt, outcome)
    touched = [mart for mart in MARTS if mart.table in deltas]
    for mart in touched:
        left = iter(deltas[mart.table])
        while page := list(islice(left, STAGE_ROWS)):
            put_rows(tx, mart.stage_table, mart.columns, attempt.batch_key, page)
    ids = sorted({*(file.file_id for file in outcome.files), *(one.file_id for one in outcome.withdrawn)})
    files_before = _files(tx, ids)
    marts_before = [_mart_rows(tx, mart, attempt.batch_key) for mart in touched]
    change_everything(tx, job, attempt, evaluation, outcome)
    files_after = _files(tx, ids)
    marts_after = [_mart_rows(tx, mart, attempt.batch_key) for mart in touched]
    return Preview(
        files=tuple(FileChange(i, files_before[i][0], files_before[i][1], files_after[i][1]) for i in ids),
        added=total_of(evaluation.loaded),
        removed=evaluation.rewrite.removed,
        marts=tuple(
            change
            for mart, before, after in zip(touched, marts_before, marts_after, strict=True)
            for change in _differences(mart, before, after)
        ),
        new_parts=outcome.facts,
        dead_parts=outcome.dead_parts,
        lost=evaluation.lost,
    )


def _files(tx: Tx, ids: list[int]) -> dict[int, tuple[str, Values]]:
    sql = (
        "SELECT id, object_key, state, in_force, rows_read, rows_loaded, rows_rejected, rows_pending, reason_code, archive_due"
        " FROM source_file WHERE id IN ({})"
    )
    rows = [row for page in pages(ids) for row in tx.rows(sql.format(marks(page)), page)]
    return {int(row.pop("id")): (bytes(row.pop("object_key")).decode(), row) for row in rows}


def _mart_rows(tx: Tx, mart: Mart, batch_key: str) -> dict[tuple[Any, ...], Row]:
    """Return the mart rows that the staged deltas touch: of a ranked mart all of each touched group, as the incentive may move."""
    group = mart.ranked_within or tuple(mart.grain)
    values = [*mart.measures, "row_count", *(["incentive"] if mart.ranked_within else [])]
    on_group = " AND ".join(f"g.{column} = m.{column}" for column in group)
    sql = (
        f"SELECT {', '.join(f'm.{column}' for column in (*mart.grain, *values))} FROM {mart.table} m"
        f" JOIN (SELECT DISTINCT {', '.join(group)} FROM {mart.stage_table} WHERE batch_key = %s) g ON {on_group}"
    )
    return {tuple(row.pop(column) for column in mart.grain): row for row in tx.rows(sql, (batch_key,))}


def _differences(mart: Mart, before: dict[tuple[Any, ...], Row], after: dict[tuple[Any, ...], Row]) -> Iterator[MartChange]:
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if one != other:
            yield MartChange(mart.table, dict(zip(mart.grain, key, strict=True)), one, other)
