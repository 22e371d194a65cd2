"""Corrected rows: rejected rows that come back, each with the line it had, in the place of what was rejected.

The object that holds them is a CSV with the file's own header behind a first column LINE_COLUMN. Rejected rows of the file that are
not in it stay rejected as they are; they are written again with this batch, whose quarantine is the one that counts from then on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from app.batch.classify import Classified
from app.batch.context import Job
from app.batch.gather import Gatherer
from app.batch.held_pieces import HeldPieces, InDriver, InSpark, made_by
from app.batch.stored_rows import Stored, shared_parts, stored_batches, stored_parts
from app.errors import BatchFailed
from app.ledger.operations import rejected_parts
from app.ledger.types import Attempt
from app.model.pieces import LINES, Piece, unpacked
from app.parsing.header import LINE_COLUMN
from app.parsing.rows import EXTRA, FAULTS
from app.s3.prefixes import quarantine_part_prefix
from app.s3.read import ClientFactory

# What stands before a row's own text: the line, perhaps quoted, and a delimiter.
_PREFIX = re.compile(r'"?(\d{1,18})"?[,;\t|]')
_INTEGER = re.compile(r"\s*[-+]?\d{1,18}\s*")
# File and line.
Line = tuple[int, int]


def with_corrected_lines(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Take each row's line from its first column and that column away. Needs `_line`, `_extra`, `_raw`. Same rows."""
    lines, texts, extras = [], [], []
    for extra, raw in zip(rows.column("_extra").to_pylist(), rows.column("_raw").to_pylist(), strict=True):
        values = dict(extra or ())
        said = values.pop(LINE_COLUMN, None)
        before = _PREFIX.match(raw or "")
        if said is None and before is not None:
            # A row of the wrong form has no columns: its line is still the first thing in its text.
            said = before[1]
        lines.append(int(said) if said is not None and _INTEGER.fullmatch(said) else 0)
        texts.append(raw[before.end() :] if before is not None else raw)
        extras.append(list(values.items()) if extra is not None else None)
    columns = {"_line": pa.array(lines, pa.int64()), "_raw": pa.array(texts, pa.string()), "_extra": pa.array(extras, EXTRA)}
    for name, column in columns.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), column)
    return rows


def still_rejected(job: Job, attempt: Attempt, corrected: HeldPieces) -> HeldPieces:
    """Return the pieces of the rejected rows of the attempt's files that were not corrected.

    Raises:
        BatchFailed: a corrected row is none of the rejected ones, or comes twice.
    """
    config = job.config.s3
    ids = [file.id for file in attempt.files]
    parts = job.ledger.db.run(lambda tx: rejected_parts(tx, ids))
    if not parts:
        raise BatchFailed("the rejected rows of the files are not in the quarantine any more: clean has deleted them")
    prefixes = [quarantine_part_prefix(config, part["load_date"], part["reason"], part["batch_key"]) for part in parts]
    stored = stored_parts(job.clients, config, prefixes)
    lines = Counter(_lines(corrected))
    tasks = shared_parts(stored, job.config.stream.split_bytes, job.spark.sparkContext.defaultParallelism)
    frame = made_by(job.spark, ReadRejected(job.clients, stored, tasks, frozenset(ids), frozenset(lines)), len(tasks))
    rejected = InDriver.collected(frame) if isinstance(corrected, InDriver) else InSpark.held(frame)
    try:
        _check(lines, frozenset(_lines(rejected)))
    except BaseException:
        rejected.release()
        raise
    return rejected


def _lines(pieces: HeldPieces) -> Iterator[Line]:
    for piece in pieces.of({LINES}):
        rows = unpacked(piece.blob or b"")
        yield from zip(rows.column("_file_id").to_pylist(), rows.column("_line").to_pylist(), strict=True)


@dataclass(frozen=True)
class ReadRejected:
    """What a task does with parts of the quarantine: rows of `files` whose lines are not in `corrected` stay rejected.

    Of those that are only their lines are told, as pieces of kind LINES.
    """

    clients: ClientFactory
    parts: Sequence[Stored]
    tasks: Sequence[Sequence[int]]
    files: frozenset[int]
    corrected: frozenset[Line]

    def __call__(self, task: int) -> Iterator[Piece]:
        """Yield the pieces of a task."""
        gatherer = Gatherer(())
        for number in self.tasks[task]:
            for rows in stored_batches(self.clients(), self.parts[number], ("_file_id", "_line", "_raw", "_reasons")):
                own = rows.filter(pc.is_in(rows.column("_file_id"), pa.array(sorted(self.files), pa.int64())))
                places = zip(own.column("_file_id").to_pylist(), own.column("_line").to_pylist(), strict=True)
                is_corrected = pa.array([place in self.corrected for place in places], pa.bool_())
                gatherer.add_lines(own.filter(is_corrected).select(["_file_id", "_line"]))
                left = own.filter(pc.invert(is_corrected))
                if left.num_rows:
                    yield from gatherer.add(Classified(left.slice(0, 0), left.slice(0, 0), _as_rejected(left)))
        yield from gatherer.rest()


def _as_rejected(rows: pa.RecordBatch) -> pa.RecordBatch:
    faults = rows.column("_reasons").cast(FAULTS)
    columns = {
        "_file_id": rows.column("_file_id"),
        "_split": pa.nulls(rows.num_rows, pa.int32()),
        "_line": rows.column("_line"),
        "_raw": rows.column("_raw"),
        "_faults": faults,
        "_reason": pc.struct_field(pc.list_element(faults, 0), "code"),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _check(lines: Counter[Line], rejected: frozenset[Line]) -> None:
    wrong = min((place for place, times in lines.items() if times > 1 or place not in rejected), default=None)
    if wrong is not None:
        what = "comes twice" if lines[wrong] > 1 else "is none of its rejected rows"
        raise BatchFailed(f"mended rows of file {wrong[0]}: line {wrong[1]} {what}")
