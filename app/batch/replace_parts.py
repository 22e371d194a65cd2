"""What a batch takes out again: files that are retracted, read anew or superseded, and the Parquet that is replaced for it.

Rows are taken out as they stand in the live facts, not as they would be read today. A part that holds some of them is written anew
without them; the marts get the negative of what was there (docs/decisions/0006-operations.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from app.batch.context import Job
from app.batch.gather import AMOUNT_COLUMN, Gatherer, slices
from app.batch.held_pieces import HeldPieces, InDriver, InSpark, made_by
from app.batch.stored_rows import Stored, facts_schema, shared_parts, stored_batches, stored_parts
from app.config.load import S3Config
from app.contract.contract import Contract
from app.errors import BatchFailed
from app.ledger.ledger import Ledger
from app.ledger.operations import (
    MOST_MERGED_BYTES,
    MOST_MERGED_PARTS,
    MOST_MERGED_ROWS,
    holding_parts,
    in_force,
    predecessors,
    small_parts,
    waiting_parts,
)
from app.ledger.types import Attempt, FactPart, LivePart, OperationKind
from app.model.dimensions import DIMENSIONS
from app.model.marts import MARTS
from app.model.pieces import BLOB_BYTES, HOLDER, KEPT, OUT, PART, Piece, packed
from app.model.totals import NOTHING, Totals
from app.mysql.database import Tx
from app.s3.prefixes import fact_part_prefix
from app.s3.read import ClientFactory, S3Client, list_all
from app.sinks.part_writer import FILE_BYTES
from app.source.dimensions import DimensionSet

# Rows of parts that come to the driver as they are.
SMALL_ROWS = 20_000
UNDOING = (OperationKind.RETRACT, OperationKind.REPLAY)


@dataclass(frozen=True)
class Undo:
    """Which files' rows are taken out, and which waiting parts are read for it.

    Attributes:
        files: file id -> its loaded rows, as the ledger counts them.
        superseded: of these, the ones whose place another file takes -> that file.
        waiting: batch keys of the waiting parts whose rows are classified again, without those of `files`.
    """

    files: Mapping[int, int] = field(default_factory=dict)
    superseded: Mapping[int, int] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rewrite:
    """The live parts that are replaced, and what of them is kept.

    Attributes:
        parts: the parts that die.
        kept: rows and amount of each partition that go into the new parts.
        removed: rows and amount that are taken out.
        holders: files that have kept rows, or may.
        left: partitions (month, store) of a COMPACT that have more small parts than it merges.
        schema: columns and types that hold their rows and new ones; None where nothing is kept.
    """

    parts: tuple[LivePart, ...] = ()
    kept: tuple[FactPart, ...] = ()
    removed: Totals = NOTHING
    holders: tuple[int, ...] = ()
    left: tuple[tuple[str, int], ...] = ()
    schema: pa.Schema | None = None

    @property
    def kept_totals(self) -> Totals:
        """Rows and amount that are written again."""
        return total_of(self.kept)


def total_of(parts: Iterable[FactPart]) -> Totals:
    """Return rows and amount of some parts together."""
    return sum((Totals(part.rows, part.amount) for part in parts), NOTHING)


NOTHING_UNDONE = Undo()
NOTHING_REWRITTEN = Rewrite()


def plan_undo(ledger: Ledger, contract: Contract, attempt: Attempt, failed: frozenset[int]) -> Undo:
    """Find what an attempt takes out. `failed` are files that turned out not to be loaded, so that they replace nothing."""
    operation = attempt.operation
    if operation is not None and operation.kind == OperationKind.RELEASE:
        return Undo(waiting=tuple(ledger.pending_parts(operation.id)))
    replaces = contract.settings.redelivery == "replace" and not attempt.is_mending
    loaded = [file.id for file in attempt.files if file.id not in failed] if replaces else []
    if operation is None and not loaded:
        return NOTHING_UNDONE

    def look(tx: Tx) -> Undo:
        superseded = predecessors(tx, loaded)
        named = operation.file_ids if operation is not None and operation.kind in UNDOING else ()
        files = in_force(tx, {*superseded, *named})
        return Undo(files, superseded, waiting_parts(tx, files))

    return ledger.db.run(look)


def is_merging(attempt: Attempt) -> bool:
    """Tell whether the attempt merges parts."""
    return attempt.operation is not None and attempt.operation.kind == OperationKind.COMPACT


@dataclass(frozen=True)
class Merge:
    """The small parts that a COMPACT merges, and the partitions in which it leaves some to another one."""

    parts: tuple[LivePart, ...]
    left: tuple[tuple[str, int], ...]


def plan_merge(candidates: Sequence[LivePart], sizes: Mapping[LivePart, int]) -> Merge:
    """Choose what a COMPACT merges: of each partition the smallest parts, together no more parts, rows and bytes than one batch may have.

    A part of the size of a full object gains nothing; a part that would be merged with no other is left alone.
    """
    by_place: dict[tuple[str, int], list[LivePart]] = defaultdict(list)
    for part in candidates:
        if sizes[part] < FILE_BYTES:
            by_place[part.sales_month, part.store_id].append(part)
    chosen: list[LivePart] = []
    left = []
    rows = size = 0
    for place, parts in by_place.items():
        taken: list[LivePart] = []
        for part in parts:
            # Two parts are merged at least, or nothing would ever become less.
            is_more = len(chosen) + len(taken) + 1 > MOST_MERGED_PARTS
            if (is_more or rows + part.rows > MOST_MERGED_ROWS or size + sizes[part] > MOST_MERGED_BYTES) and (chosen or len(taken) > 1):
                break
            taken.append(part)
            rows, size = rows + part.rows, size + sizes[part]
        if len(taken) > 1:
            chosen += taken
        if len(taken) < len(parts) and len(parts) > 1:
            left.append(place)
    return Merge(tuple(chosen), tuple(left))


def _merge(config: S3Config, ledger: Ledger, client: S3Client, partitions: Sequence[tuple[str, int]]) -> Merge:
    candidates = ledger.db.run(lambda tx: small_parts(tx, partitions))

    def size_of(part: LivePart) -> int:
        return sum(found.size for found in list_all(client, config.bucket, _prefix(config, part)))

    with ThreadPoolExecutor(config.max_connections, thread_name_prefix="sizes") as pool:
        return plan_merge(candidates, dict(zip(candidates, pool.map(size_of, candidates), strict=True)))


def plan_rewrite(job: Job, attempt: Attempt, undo: Undo, dimensions: DimensionSet) -> tuple[Rewrite, HeldPieces]:
    """Find the live parts that hold rows to be taken out, or that are to be merged, and read them; one Spark job.

    Returns with the plan its pieces: rows that are kept, and deltas that take out the others.

    Raises:
        BatchFailed: the Parquet does not hold what the ledger says, or its columns cannot be written as one.
    """
    operation, config = attempt.operation, job.config.s3
    merging = is_merging(attempt)
    if not undo.files and not merging:
        return NOTHING_REWRITTEN, InDriver(())
    merge = _merge(config, job.ledger, job.clients(), operation.partitions) if operation and merging else None
    parts = merge.parts if merge is not None else job.ledger.db.run(lambda tx: holding_parts(tx, undo.files))
    if not parts:
        _check_files(undo, {})
        return NOTHING_REWRITTEN, InDriver(())
    stored = stored_parts(job.clients, config, [_prefix(config, part) for part in parts])
    pieces = _read(job, parts, stored, undo, merging=merging)
    try:
        return _planned(job, parts, stored, undo, dimensions, merge, pieces.counts), pieces
    except BaseException:
        pieces.release()
        raise


def _read(job: Job, parts: Sequence[LivePart], stored: Sequence[Stored], undo: Undo, *, merging: bool) -> HeldPieces:
    is_small = sum(part.rows for part in parts) <= SMALL_ROWS
    tasks = shared_parts(stored, job.config.stream.split_bytes, job.spark.sparkContext.defaultParallelism)
    work = ReadReplaced(job.clients, tuple(zip(parts, stored, strict=True)), tasks, frozenset(undo.files), merging)
    frame = made_by(job.spark, work, len(tasks))
    return InDriver.collected(frame) if is_small else InSpark.held(frame)


def _planned(
    job: Job,
    parts: Sequence[LivePart],
    stored: Sequence[Stored],
    undo: Undo,
    dimensions: DimensionSet,
    merge: Merge | None,
    counts: Iterable[Piece],
) -> Rewrite:
    whole, out = dict.fromkeys(range(len(parts)), NOTHING), dict.fromkeys(range(len(parts)), NOTHING)
    by_file: dict[int, int] = defaultdict(int)
    for piece in counts:
        if piece.kind in (PART, OUT) and piece.keys is not None:
            of_kind = whole if piece.kind == PART else out
            of_kind[piece.keys[0]] += Totals(piece.rows, piece.amount or Decimal(0))
        elif piece.kind == HOLDER and piece.keys is not None:
            by_file[piece.keys[0]] += piece.rows
    touched = []
    kept: dict[tuple[str, int], list[Totals]] = defaultdict(list)
    for number, part in enumerate(parts):
        if whole[number] != Totals(part.rows, part.amount):
            name = _name(job.config.s3, part)
            raise BatchFailed(f"the facts in {name} hold {whole[number]}, the ledger says {Totals(part.rows, part.amount)}")
        if out[number].rows or merge is not None:
            touched.append(number)
            left = Totals(whole[number].rows - out[number].rows, whole[number].amount - out[number].amount)
            kept[part.sales_month, part.store_id].append(left)
    _check_files(undo, by_file)
    is_kept = any(total.rows for totals in kept.values() for total in totals)
    lying = [stored[number] for number in touched]
    return Rewrite(
        parts=tuple(parts[number] for number in touched),
        kept=tuple(
            FactPart(month, store, rows, sum((t.amount for t in totals), Decimal(0)))
            for (month, store), totals in sorted(kept.items())
            if (rows := sum(t.rows for t in totals))
        ),
        removed=sum((out[number] for number in touched), NOTHING),
        holders=tuple(sorted(by_file.keys() - undo.files.keys())),
        left=merge.left if merge is not None else (),
        schema=facts_schema(job.contract, _attributes(dimensions), lying, job.config.s3) if is_kept else None,
    )


def _attributes(dimensions: DimensionSet) -> pa.Schema:
    """Return the fact columns that come from the dimensions."""
    return pa.schema(
        [
            pa.field(target, dimensions.schemas[dimension.table].field(source).type)
            for dimension in DIMENSIONS
            for source, target in dimension.fact_columns.items()
        ]
    )


@dataclass(frozen=True)
class ReadReplaced:
    """What a task does with parts that may be replaced: it counts all their rows, and where a part is, keeps some and takes out others."""

    clients: ClientFactory
    parts: Sequence[tuple[LivePart, Stored]]
    tasks: Sequence[Sequence[int]]
    out: frozenset[int]
    is_merging: bool

    def __call__(self, task: int) -> Iterator[Piece]:
        """Yield the pieces of a task: PART and OUT by the number of the part, HOLDER by file, KEPT by partition, and deltas."""
        gatherer = Gatherer(MARTS)
        by_file: dict[int, int] = defaultdict(int)
        for number in self.tasks[task]:
            part, stored = self.parts[number]
            whole, out = self._counted(stored, by_file)
            yield Piece(PART, None, (number,), whole.rows, whole.amount)
            yield Piece(OUT, None, (number,), out.rows, out.amount)
            if out.rows or self.is_merging:
                yield from self._rewritten(part, stored, gatherer)
        yield from (Piece(HOLDER, None, (file_id,), rows) for file_id, rows in by_file.items())
        yield from gatherer.rest()

    def _counted(self, stored: Stored, by_file: dict[int, int]) -> tuple[Totals, Totals]:
        whole = out = NOTHING
        for rows in stored_batches(self.clients(), stored, ("_file_id", AMOUNT_COLUMN)):
            whole += _totals(rows)
            out += _totals(rows.filter(self._is_out(rows)))
            for counted in rows.column("_file_id").value_counts().to_pylist():
                by_file[counted["values"]] += counted["counts"]
        return whole, out

    def _rewritten(self, part: LivePart, stored: Stored, gatherer: Gatherer) -> Iterator[Piece]:
        year, month = map(int, part.sales_month.split("-"))
        place = {"_month": pa.scalar(12 * year + month - 1, pa.int64()), "store_id": pa.scalar(part.store_id, pa.int64())}
        waiting: list[pa.RecordBatch] = []
        for rows in stored_batches(self.clients(), stored):
            is_out = self._is_out(rows)
            if is_out.true_count:
                removed = rows.filter(is_out)
                for name, value in place.items():
                    removed = removed.append_column(name, pa.repeat(value, removed.num_rows))
                gatherer.add_deltas(removed, -1)
                yield from gatherer.large()
            waiting.append(rows.filter(pc.invert(is_out)))
            if sum(one.nbytes for one in waiting) >= BLOB_BYTES:
                yield from _kept(part, stored, waiting)
                waiting = []
        yield from _kept(part, stored, waiting)

    def _is_out(self, rows: pa.RecordBatch) -> pa.BooleanArray:
        return pc.is_in(rows.column("_file_id"), pa.array(sorted(self.out), pa.int64()))


def _kept(part: LivePart, stored: Stored, waiting: Sequence[pa.RecordBatch]) -> Iterator[Piece]:
    for rows in slices(pa.concat_batches(waiting)) if waiting else ():
        if rows.num_rows:
            totals = _totals(rows)
            yield Piece(KEPT, part.sales_month, (part.store_id,), totals.rows, totals.amount, value=stored.extra, blob=packed(rows))


def _totals(rows: pa.RecordBatch) -> Totals:
    return Totals(rows.num_rows, pc.sum(rows.column(AMOUNT_COLUMN)).as_py() or Decimal(0))


def _check_files(undo: Undo, found: Mapping[int, int]) -> None:
    """Compare what is taken out with what the ledger counts.

    Raises:
        BatchFailed: a file has other rows in the facts.
    """
    for file_id, rows in undo.files.items():
        if found.get(file_id, 0) != rows:
            raise BatchFailed(f"file {file_id} has {found.get(file_id, 0)} rows in the facts, the ledger says {rows}")


def _name(config: S3Config, part: LivePart) -> str:
    return f"s3://{config.bucket}/{_prefix(config, part)}"


def _prefix(config: S3Config, part: LivePart) -> str:
    return fact_part_prefix(config, part.sales_month, part.store_id, part.batch_key)
