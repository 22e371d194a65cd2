"""What a batch takes out again: files that are retracted, read anew or superseded, and the Parquet that is replaced for it.

Rows are taken out as they stand in the live facts, not as they would be read today. A part that holds some of them is written anew
without them; the marts get the negative of what was there (docs/decisions/0006-operations.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from app.batch.context import Job
from app.batch.stored_rows import Stored, facts_schema, read_facts, read_measures, stored_parts
from app.config.load import S3Config
from app.contract.contract import Contract
from app.errors import BatchFailed
from app.ledger.ledger import Ledger
from app.ledger.operations import (
    MOST_MERGED_BYTES,
    MOST_MERGED_PARTS,
    MOST_MERGED_ROWS,
    MOST_READ_PARTS,
    holding_parts,
    in_force,
    predecessors,
    small_parts,
    waiting_parts,
)
from app.ledger.types import Attempt, FactPart, LivePart, OperationKind
from app.model.dimensions import DIMENSIONS
from app.model.marts import MARTS
from app.model.totals import NOTHING, Totals
from app.mysql.database import Tx
from app.s3.prefixes import fact_part_prefix
from app.s3.read import S3Client, list_all
from app.sinks.part_writer import FILE_BYTES
from app.source.dimensions import DimensionSet

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
        stored: the parts that die, as they lie on S3.
        schema: columns and types that hold their rows and new ones; None where nothing is kept.
    """

    parts: tuple[LivePart, ...] = ()
    kept: tuple[FactPart, ...] = ()
    removed: Totals = NOTHING
    holders: tuple[int, ...] = ()
    left: tuple[tuple[str, int], ...] = ()
    stored: tuple[Stored, ...] = ()
    schema: T.StructType | None = None

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


def plan_rewrite(job: Job, attempt: Attempt, undo: Undo, dimensions: DimensionSet) -> Rewrite:
    """Find the live parts that hold rows to be taken out, or that are to be merged, and count what of them is kept; one Spark job.

    Raises:
        BatchFailed: the Parquet does not hold what the ledger says, or its columns cannot be written as one.
    """
    operation, config = attempt.operation, job.config.s3
    merging = is_merging(attempt)
    if not undo.files and not merging:
        return NOTHING_REWRITTEN
    merge = _merge(config, job.ledger, job.clients(), operation.partitions) if operation and merging else None
    parts = merge.parts if merge is not None else job.ledger.db.run(lambda tx: holding_parts(tx, undo.files))
    if not parts:
        _check_files(undo, {})
        return NOTHING_REWRITTEN
    prefixes = [_prefix(config, part) for part in parts]
    stored = dict(zip(parts, stored_parts(job.clients, config, prefixes), strict=True))
    by_part, by_file = _count_all(job.spark, config, [stored[part] for part in parts], undo)
    touched = []
    kept: dict[tuple[str, int], list[Totals]] = defaultdict(list)
    removed = []
    for part in parts:
        whole, out = by_part.get((part.batch_key, part.sales_month, part.store_id), (NOTHING, NOTHING))
        if whole != Totals(part.rows, part.amount):
            raise BatchFailed(f"the facts in {_name(config, part)} hold {whole}, the ledger says {Totals(part.rows, part.amount)}")
        if out.rows or merging:
            touched.append(part)
            removed.append(out)
            kept[part.sales_month, part.store_id].append(Totals(whole.rows - out.rows, whole.amount - out.amount))
    _check_files(undo, by_file)
    lying = tuple(stored[part] for part in touched)
    is_kept = any(total.rows for totals in kept.values() for total in totals)
    return Rewrite(
        parts=tuple(touched),
        kept=tuple(
            FactPart(month, store, rows, sum((t.amount for t in totals), Decimal(0)))
            for (month, store), totals in sorted(kept.items())
            if (rows := sum(t.rows for t in totals))
        ),
        removed=sum(removed, NOTHING),
        holders=tuple(sorted(by_file.keys() - undo.files.keys())),
        left=merge.left if merge is not None else (),
        stored=lying,
        schema=facts_schema(job.contract, _attributes(dimensions), lying, config) if is_kept else None,
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


def kept_rows(job: Job, rewrite: Rewrite, undo: Undo) -> DataFrame:
    """Return the rows of the replaced parts that stay, with the columns of `rewrite.schema` but for `batch_key`."""
    assert rewrite.schema is not None, "rows are kept"
    rows = read_facts(job.spark, job.config.s3, rewrite.stored, rewrite.schema, job.contract).drop("batch_key")
    return rows.where(~F.col("_file_id").isin(sorted(undo.files))) if undo.files else rows


def removed_rows(job: Job, rewrite: Rewrite, undo: Undo) -> DataFrame:
    """Return the rows of the replaced parts that are taken out, with the columns that the marts need."""
    wanted = dict.fromkeys(column for mart in MARTS for column in (*mart.grain.values(), *mart.measures.values()))
    rows = read_measures(job.spark, job.config.s3, rewrite.stored, ("_file_id", *wanted))
    return rows.where(F.col("_file_id").isin(sorted(undo.files)))


Counted = tuple[dict[tuple[str, str, int], tuple[Totals, Totals]], dict[int, int]]


def _count_all(spark: SparkSession, config: S3Config, parts: Sequence[Stored], undo: Undo) -> Counted:
    """Count parts, so many at a time as one job should read."""
    by_part: dict[tuple[str, str, int], tuple[Totals, Totals]] = {}
    by_file: dict[int, int] = defaultdict(int)
    for at in range(0, len(parts), MOST_READ_PARTS):
        of_parts, of_files = _count(read_measures(spark, config, parts[at : at + MOST_READ_PARTS], ("_file_id", "total_cost")), undo)
        by_part |= of_parts
        for file_id, rows in of_files.items():
            by_file[file_id] += rows
    return by_part, by_file


def _count(rows: DataFrame, undo: Undo) -> Counted:
    """Count by part (all rows, and those that are taken out) and by file. One row per part and one per file reach the driver."""
    out = F.col("_file_id").isin(sorted(undo.files)) if undo.files else F.lit(False)
    place = [F.col(name) for name in ("batch_key", "sales_month", "store_id")]
    file = F.col("_file_id")
    grouped = rows.select(*place, file, "total_cost", out.alias("_out")).groupingSets([place, [file]], *place, file)
    figures = grouped.agg(
        F.count(F.lit(1)).alias("rows"),
        F.sum("total_cost").alias("amount"),
        F.count(F.when(F.col("_out"), F.lit(1))).alias("out_rows"),
        F.sum(F.when(F.col("_out"), F.col("total_cost"))).alias("out_amount"),
    )
    by_part: dict[tuple[str, str, int], tuple[Totals, Totals]] = {}
    by_file: dict[int, int] = {}
    for row in figures.toLocalIterator():
        if row["_file_id"] is not None:
            by_file[row["_file_id"]] = row["rows"]
        else:
            whole = Totals(row["rows"], Decimal(row["amount"] or 0))
            key = (row["batch_key"], row["sales_month"], row["store_id"])
            by_part[key] = (whole, Totals(row["out_rows"], Decimal(row["out_amount"] or 0)))
    return by_part, by_file


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
