"""Rows that earlier batches stored, read as today's contract has them, whatever the contract was when they were written.

Columns that are missing are NULL, types are widened, and the column of extra columns has today's name. What a type cannot hold is refused
before anything is written. The Python workers read them, as Arrow, part by part.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import types as T
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from app.batch.classify import classify_waiting, sales_columns
from app.batch.gather import Gatherer
from app.config.load import S3Config
from app.contract.contract import Contract
from app.errors import BatchFailed
from app.model.dimensions import fact_columns
from app.model.lookup import LookupSource
from app.model.marts import MARTS
from app.model.pieces import Piece
from app.s3.parquet_footer import read_footer
from app.s3.read import ClientFactory, S3Client, list_all
from app.sinks.parts import conformed
from app.source.ranges import FileLost, RangeReader
from app.source.splits import ScanFile, Split, bundle_splits
from app.spark.schema import sales_schema
from app.spark.widening import holds, widest

# Rows that are looked at together.
READ_ROWS = 20_000
# What the folders of a fact part say, and the objects do not hold.
PLACE = ("sales_month", "store_id", "batch_key")
LINEAGE = T.StructType(
    [
        T.StructField("_warnings", T.ArrayType(T.StringType())),
        T.StructField("_file_id", T.LongType()),
        T.StructField("_split", T.IntegerType()),
        T.StructField("_line", T.LongType()),
    ]
)


@dataclass(frozen=True)
class Stored:
    """One part on S3: its objects, and the columns that they hold."""

    prefix: str
    objects: tuple[ScanFile, ...]
    schema: T.StructType

    @property
    def extra(self) -> str | None:
        """The name that the column of extra columns had: it always stands before the warnings."""
        names = self.schema.names
        return names[names.index("_warnings") - 1] if "_warnings" in names[1:] else None

    @property
    def bytes(self) -> int:
        """The size of all objects."""
        return sum(one.size for one in self.objects)


def stored_parts(clients: ClientFactory, config: S3Config, prefixes: Sequence[str]) -> list[Stored]:
    """Look up the objects and columns of parts: one list and one small read for each, side by side.

    Raises:
        BatchFailed: a part has no object, or one that is no Parquet.
        S3Unavailable: S3 is out of reach.
    """
    with ThreadPoolExecutor(max(1, config.max_connections // 2), thread_name_prefix="stored") as pool:
        return list(pool.map(lambda prefix: _look(clients, config, prefix), prefixes))


def _look(clients: ClientFactory, config: S3Config, prefix: str) -> Stored:
    client = clients()
    found = [one for one in list_all(client, config.bucket, prefix) if one.key.endswith(".parquet")]
    if not found:
        raise BatchFailed(f"s3://{config.bucket}/{prefix} holds no Parquet, and the ledger counts on its rows")
    footer = read_footer(client, found[0])
    if footer is None:
        raise BatchFailed(f"s3://{config.bucket}/{found[0].key} is no Parquet, and the ledger counts on its rows")
    return Stored(prefix, tuple(ScanFile(0, one.bucket, one.key, one.etag, one.size) for one in found), from_arrow_schema(footer[1]))


def shared_parts(parts: Sequence[Stored], split_bytes: int, parallelism: int) -> list[list[int]]:
    """Share parts, by their numbers, among tasks of about equal work."""
    whole = [Split(ScanFile(number, "", part.prefix, "", part.bytes), 0, 0, part.bytes) for number, part in enumerate(parts)]
    return [[split.file.file_id for split in bundle] for bundle in bundle_splits(whole, split_bytes, parallelism)]


def stored_batches(client: S3Client, part: Stored, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part, or some columns of them.

    Raises:
        BatchFailed: an object is not there any more, or is not what was listed.
        S3Unavailable: S3 stays out of reach.
        S3Error: S3 refuses it.
    """
    for one in part.objects:
        name = f"s3://{one.bucket}/{one.key}"
        try:
            with pq.ParquetFile(pa.BufferReader(_body(client, one))) as parquet:
                yield from parquet.iter_batches(READ_ROWS, columns=columns, use_threads=False)
        except FileLost as lost:
            raise BatchFailed(f"{name}: {lost.detail}, and the ledger counts on its rows") from lost
        except (pa.ArrowException, OSError) as exc:
            raise BatchFailed(f"{name} cannot be read as Parquet: {exc}") from exc


def _body(client: S3Client, one: ScanFile) -> bytes:
    reader = RangeReader(client, one, 0, one.size)
    try:
        chunks = []
        while chunk := reader.read(one.size):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        reader.close()


def waiting_schema(config: S3Config, contract: Contract, parts: Sequence[Stored]) -> pa.Schema:
    """Return the columns and types of waiting rows, as sales rows of today's contract.

    Raises:
        BatchFailed: a column's stored values do not all fit its type of today.
    """
    extra = T.StructField(contract.settings.extra_columns, T.StringType())
    target = T.StructType([*sales_schema(contract).fields, extra, *LINEAGE.fields])
    for part in parts:
        for field in part.schema.fields:
            if field.name in contract.names and field.name != part.extra and not holds(target[field.name].dataType, field.dataType):
                raise BatchFailed(
                    f"column {field.name} of the waiting rows in s3://{config.bucket}/{part.prefix} is {field.dataType.simpleString()}, and"
                    f" the contract says {target[field.name].dataType.simpleString()}, which does not hold all its values",
                    cure="give the column a type that does in conf/contract.yml, or retract or replay their files",
                )
    return pa.schema(to_arrow_schema(target))


@dataclass(frozen=True)
class ReadWaiting:
    """What a task does with parts of waiting rows: it classifies them again. Those of `dropped` files are left out.

    What the contract does not name any more goes to the extra columns.
    """

    clients: ClientFactory
    contract: Contract
    lookups: LookupSource
    parts: Sequence[Stored]
    tasks: Sequence[Sequence[int]]
    target: pa.Schema
    dropped: frozenset[int]

    def __call__(self, task: int) -> Iterator[Piece]:
        """Yield the pieces of a task."""
        gatherer = Gatherer(MARTS)
        for number in self.tasks[task]:
            part = self.parts[number]
            for batch in stored_batches(self.clients(), part):
                rows = self._as_today(batch, part)
                if self.dropped:
                    rows = rows.filter(pc.invert(pc.is_in(rows.column("_file_id"), pa.array(sorted(self.dropped), pa.int64()))))
                if rows.num_rows:
                    yield from gatherer.add(classify_waiting(rows.select(sales_columns(self.contract)), self.lookups))
        yield from gatherer.rest()

    def _as_today(self, rows: pa.RecordBatch, part: Stored) -> pa.RecordBatch:
        extra = self.contract.settings.extra_columns
        found = {name: rows.column(name) for name in rows.schema.names if name != part.extra}
        before = rows.column(part.extra) if part.extra else pa.nulls(rows.num_rows, pa.string())
        left = [name for name in found if name not in (*self.target.names, "sales_month")]
        found[extra] = with_left_columns(before, {name: found[name] for name in left})
        return conformed(found, rows.num_rows, self.target)


def with_left_columns(extra: pa.Array, left: Mapping[str, pa.Array]) -> pa.Array:
    """Add columns that the contract does not name any more to the JSON of the extra columns."""
    if not left:
        return extra
    texts = [(name, column.cast(pa.string()).to_pylist()) for name, column in left.items()]
    whole = []
    for at, before in enumerate(extra.to_pylist()):
        kept = {name: value for name, value in json.loads(before or "{}").items() if name not in left}
        kept |= {name: values[at] for name, values in texts if values[at] is not None}
        whole.append(json.dumps(kept, ensure_ascii=False, separators=(",", ":")) if kept else None)
    return pa.array(whole, pa.string())


def facts_schema(contract: Contract, attributes: pa.Schema, parts: Sequence[Stored], config: S3Config) -> pa.Schema:
    """Return the columns and types that hold the rows of all these parts and those of today.

    Columns of older contracts stay, behind those of today. `attributes` are the fact columns that come from the dimensions.

    Raises:
        BatchFailed: the values of a column in two parts have no type in common.
    """
    today: dict[str, T.DataType] = {field.name: field.dataType for field in sales_schema(contract).fields}
    today |= {field.name: field.dataType for field in from_arrow_schema(attributes).fields}
    extra = contract.settings.extra_columns
    today |= {extra: T.StringType(), **{field.name: field.dataType for field in LINEAGE.fields}}
    found: dict[str, list[T.DataType]] = defaultdict(list)
    for part in parts:
        for field in part.schema.fields:
            found[extra if field.name == part.extra else field.name].append(field.dataType)
    named = [name for name in fact_columns(contract) if name not in PLACE]
    others = [name for name in found if name not in named]
    behind = named.index(extra)
    kinds: list[T.StructField] = []
    for name in (*named[:behind], *others, *named[behind:]):
        kind = widest([*([today[name]] if name in today else []), *found[name]])
        if kind is None and name in today and all(holds(today[name], stored) for stored in found[name]):
            kind = today[name]
        if kind is None:
            shown = sorted({stored.simpleString() for stored in (*found[name], *([today[name]] if name in today else []))})
            raise BatchFailed(
                f"column {name} is {' and '.join(shown)} in parts of the facts that would be written as one, the first is"
                f" s3://{config.bucket}/{parts[0].prefix}: no type holds the values of all",
                cure="give the column a type in conf/contract.yml that does, such as string",
            )
        kinds.append(T.StructField(name, kind))
    return pa.schema(to_arrow_schema(T.StructType(kinds)))
