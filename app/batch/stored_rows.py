"""Rows that earlier batches stored, read as today's contract has them, whatever the contract was when they were written.

Columns that are missing are NULL, types are widened, and the column of extra columns has today's name. What a type cannot hold is refused
before anything is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import from_arrow_schema

from app.config.load import S3Config
from app.contract.contract import Contract
from app.errors import BatchFailed
from app.model.dimensions import fact_columns
from app.s3.parquet_footer import read_footer
from app.s3.read import ClientFactory, list_all
from app.sinks.parts import s3a
from app.spark.schema import sales_schema
from app.spark.widening import holds, widest

# What the folders of a fact part say, and the objects do not hold.
PLACE = T.StructType(
    [T.StructField("sales_month", T.StringType()), T.StructField("store_id", T.IntegerType()), T.StructField("batch_key", T.StringType())]
)
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
    """One part on S3 and the columns that its objects hold."""

    prefix: str
    schema: T.StructType

    @property
    def extra(self) -> str | None:
        """The name that the column of extra columns had: it always stands before the warnings."""
        names = self.schema.names
        return names[names.index("_warnings") - 1] if "_warnings" in names[1:] else None


def stored_parts(clients: ClientFactory, config: S3Config, prefixes: Sequence[str]) -> list[Stored]:
    """Look up the columns of parts: one list and one small read for each, side by side.

    Raises:
        BatchFailed: a part has no object, or one that is no Parquet.
        S3Unavailable: S3 is out of reach.
    """
    with ThreadPoolExecutor(max(1, config.max_connections // 2), thread_name_prefix="stored") as pool:
        return list(pool.map(lambda prefix: _look(clients, config, prefix), prefixes))


def _look(clients: ClientFactory, config: S3Config, prefix: str) -> Stored:
    client = clients()
    first = next((one for one in list_all(client, config.bucket, prefix) if one.key.endswith(".parquet")), None)
    if first is None:
        raise BatchFailed(f"s3://{config.bucket}/{prefix} holds no Parquet, and the ledger counts on its rows")
    footer = read_footer(client, first)
    if footer is None:
        raise BatchFailed(f"s3://{config.bucket}/{first.key} is no Parquet, and the ledger counts on its rows")
    return Stored(prefix, from_arrow_schema(footer[1]))


def read_waiting(spark: SparkSession, config: S3Config, contract: Contract, parts: Sequence[Stored]) -> DataFrame:
    """Read waiting rows as sales rows of today's contract. What the contract does not name any more goes to the extra columns.

    Raises:
        BatchFailed: a column's stored values do not all fit its type of today.
    """
    extra = T.StructField(contract.settings.extra_columns, T.StringType())
    target = T.StructType([*sales_schema(contract).fields, extra, *LINEAGE.fields, T.StructField("sales_month", T.StringType())])
    for part in parts:
        for field in part.schema.fields:
            if field.name in contract.names and field.name != part.extra and not holds(target[field.name].dataType, field.dataType):
                raise BatchFailed(
                    f"column {field.name} of the waiting rows in s3://{config.bucket}/{part.prefix} is {field.dataType.simpleString()}, and"
                    f" the contract says {target[field.name].dataType.simpleString()}, which does not hold all its values",
                    cure="give the column a type that does in conf/contract.yml, or retract or replay their files",
                )
    frames = [_as_waiting(_read(spark, config, group), group[0], contract, target) for group in _alike(parts)]
    return reduce(DataFrame.union, frames)


def _as_waiting(rows: DataFrame, part: Stored, contract: Contract, target: T.StructType) -> DataFrame:
    extra = contract.settings.extra_columns
    own = {*target.names, part.extra}
    left = [name for name in part.schema.names if name not in own]
    values: dict[str, Column] = {name: F.col(_quoted(name)) for name in part.schema.names if name != part.extra}
    values[extra] = _with_left(F.col(_quoted(part.extra)) if part.extra else F.lit(None), left)
    return rows.select(*_conformed(values, target))


def _with_left(extra: Column, left: Sequence[str]) -> Column:
    """Add columns that the contract does not name any more to the JSON of the extra columns."""
    if not left:
        return extra
    names = F.array(*(F.lit(name) for name in left))
    before = F.map_filter(F.from_json(extra, "map<string,string>"), lambda key, _: ~F.array_contains(names, key))
    empty = F.create_map().cast("map<string,string>")
    entries = [item for name in left for item in (F.lit(name), F.col(_quoted(name)).cast("string"))]
    found = F.map_concat(F.coalesce(before, empty), F.map_filter(F.create_map(*entries), lambda _, value: value.isNotNull()))
    return F.when(F.size(found) > 0, F.to_json(found))


def facts_schema(contract: Contract, attributes: pa.Schema, parts: Sequence[Stored], config: S3Config) -> T.StructType:
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
    named = [name for name in fact_columns(contract) if name not in PLACE.names]
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
    return T.StructType([*kinds, *PLACE.fields])


def read_facts(spark: SparkSession, config: S3Config, parts: Sequence[Stored], target: T.StructType, contract: Contract) -> DataFrame:
    """Read the rows of parts of the facts with the columns and types of `facts_schema`, `sales_month`, `store_id` and `batch_key` too."""
    frames = []
    for group in _alike(parts):
        old = group[0].extra
        values: dict[str, Column] = {name: F.col(_quoted(name)) for name in (*group[0].schema.names, *PLACE.names) if name != old}
        if old is not None:
            extra = contract.settings.extra_columns
            values[extra] = F.coalesce(*(F.col(_quoted(name)) for name in dict.fromkeys((extra, old)) if name in group[0].schema.names))
        frames.append(_read(spark, config, group, place=True).select(*_conformed(values, target)))
    return reduce(DataFrame.union, frames)


def read_measures(spark: SparkSession, config: S3Config, parts: Sequence[Stored], columns: Collection[str]) -> DataFrame:
    """Read columns that every fact has, with the place of each row: what marts and counts need.

    Raises:
        BatchFailed: the types of a column have none in common.
    """
    kinds = []
    for name in (name for name in columns if name not in PLACE.names):
        kind = widest(part.schema[name].dataType for part in parts)
        if kind is None:
            raise BatchFailed(
                f"column {name} of the facts below s3://{config.bucket}/{parts[0].prefix} and others has types that do not agree"
            )
        kinds.append(T.StructField(name, kind))
    target = T.StructType([*kinds, *PLACE.fields])
    values = {name: F.col(_quoted(name)) for name in target.names}
    return reduce(DataFrame.union, [_read(spark, config, group, place=True).select(*_conformed(values, target)) for group in _alike(parts)])


def conformed(rows: DataFrame, target: T.StructType) -> DataFrame:
    """Give rows the columns of a schema, in its order: casted where they are narrower, NULL where they have none. Same rows."""
    return rows.select(*_conformed({name: F.col(_quoted(name)) for name in rows.columns}, target))


def _conformed(values: dict[str, Column], target: T.StructType) -> list[Column]:
    return [values.get(field.name, F.lit(None)).cast(field.dataType).alias(field.name) for field in target.fields]


def _alike(parts: Sequence[Stored]) -> list[list[Stored]]:
    """Put parts with the same columns together, in the order in which they come."""
    groups: dict[str, list[Stored]] = defaultdict(list)
    for part in parts:
        groups[part.schema.json()].append(part)
    return list(groups.values())


def _read(spark: SparkSession, config: S3Config, parts: Sequence[Stored], *, place: bool = False) -> DataFrame:
    # With the schema given Spark looks into no footer, and guesses nothing from the names of folders.
    paths = [s3a(config, part.prefix) for part in parts]
    schema = T.StructType([*parts[0].schema.fields, *(PLACE.fields if place else ())])
    reader = spark.read.schema(schema)
    return (reader.option("basePath", s3a(config, config.facts_prefix)) if place else reader).parquet(*paths)


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"
