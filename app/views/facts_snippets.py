"""What to paste into another engine so that it reads exactly the committed objects. Pure.

A key holds nothing but what the job wrote and the configured prefix, yet every text is quoted as its language asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.config.load import S3Config
from app.views.text import moment

if TYPE_CHECKING:
    import pyarrow as pa

    from app.views.facts import ListedPart, Listing

# Athena takes statements of at most 262,144 bytes.
ATHENA_BYTES = 200_000
ATHENA_TABLE = "salestream_facts"
_ARROW_TO_ATHENA = {"int32": "int", "int64": "bigint", "int16": "smallint", "int8": "tinyint", "bool": "boolean", "date32[day]": "date"}


class Engine(StrEnum):
    """Engines that a snippet is printed for."""

    duckdb = "duckdb"
    spark = "spark"
    athena = "athena"


def snippet(engine: Engine, config: S3Config, listing: Listing) -> str:
    """Return the text that reads exactly the objects of a listing."""
    return "\n".join(_MAKERS[engine](config, listing))


def _said(comment: str, listing: Listing) -> Iterator[str]:
    count = sum(1 for _ in listing.objects)
    yield f"{comment} The facts as of {moment(listing.as_of)}: {listing.rows} rows, {listing.amount:f} in all, {count} objects."


def _duckdb(config: S3Config, listing: Listing) -> Iterator[str]:
    yield from _said("--", listing)
    yield "-- First, with keys of your own:"
    yield "-- INSTALL httpfs; LOAD httpfs;"
    yield f"-- CREATE SECRET (TYPE s3, KEY_ID '...', SECRET '...', REGION {_sql(config.region)}{_address(config)});"
    yield "CREATE OR REPLACE TEMP VIEW facts AS SELECT * FROM read_parquet(["
    yield from (f"  {_sql(f's3://{config.bucket}/{one.key}')}," for one in listing.objects)
    yield "], union_by_name = true, hive_partitioning = true,"
    yield "  hive_types = {'sales_month': VARCHAR, 'store_id': INTEGER, 'batch_key': VARCHAR});"
    yield "SELECT count(*) AS row_count, sum(total_cost) AS amount FROM facts;"


def _address(config: S3Config) -> str:
    if config.endpoint_url is None:
        return ""
    parts = urlsplit(config.endpoint_url)
    style = ", URL_STYLE 'path'" if config.path_style else ""
    return f", ENDPOINT {_sql(parts.netloc)}{style}, USE_SSL {'true' if parts.scheme == 'https' else 'false'}"


def _spark(config: S3Config, listing: Listing) -> Iterator[str]:
    yield from _said("#", listing)
    at = f", fs.s3a.endpoint {config.endpoint_url}" if config.endpoint_url else ""
    yield f"# A session with hadoop-aws and keys of your own (fs.s3a.access.key, fs.s3a.secret.key){at}."
    base = f"s3a://{config.bucket}/{config.facts_prefix}"
    yield "place = 'sales_month string, store_id int, batch_key string'"
    yield "frames = []"
    # Spark reads no two types of a column as one: objects that are alike together, and the columns widened afterwards.
    for columns, keys in _alike(listing).items():
        yield "paths = ["
        yield from (f"    {f's3a://{config.bucket}/{key}'!r}," for key in keys)
        yield "]"
        named = "".join(f"`{name.replace('`', '``')}` {_spark_type(kind)}, " for name, kind in columns)
        yield f'frames.append(spark.read.schema({named!r} + place).option("basePath", {base!r}).parquet(*paths))'
    yield "facts = frames[0]"
    wide = {name: _spark_type(kind) for name, kind in _wide_columns(listing).items()}
    if len(_alike(listing)) > 1:
        yield f"types = {wide!r}"
        yield "frames = [one.select(*[one[name].cast(types.get(name, kind)).alias(name) for name, kind in one.dtypes]) for one in frames]"
        yield "facts = frames[0]"
        yield "for one in frames[1:]:"
        yield "    facts = facts.unionByName(one, allowMissingColumns=True)"
    yield 'facts.selectExpr("count(*) AS row_count", "sum(total_cost) AS amount").show()'


def _alike(listing: Listing) -> dict[tuple[tuple[str, pa.DataType], ...], list[str]]:
    """Return the keys of objects by their columns."""
    found: dict[tuple[tuple[str, pa.DataType], ...], list[str]] = {}
    for one in listing.objects:
        found.setdefault(one.columns, []).append(one.key)
    return found


def _wide_columns(listing: Listing) -> dict[str, pa.DataType]:
    """Return the columns of a listing, each of a type that holds the values of all objects; where there is none, the newest one's."""
    import pyarrow as pa  # here, as every command imports this module for its engines

    wide = dict(listing.columns)
    for columns in _alike(listing):
        for name, kind in columns:
            if wide.get(name, kind) != kind:
                try:
                    both = [pa.schema([("column", one)]) for one in (wide[name], kind)]
                    wide[name] = pa.unify_schemas(both, promote_options="permissive").field("column").type
                except pa.ArrowException:
                    continue
    return wide


def _spark_type(kind: pa.DataType) -> str:
    return _athena_type(kind)


def _athena(config: S3Config, listing: Listing) -> Iterator[str]:
    """Make a table whose only partitions are the live parts: Athena reads no other folder, and each holds the objects of one part."""
    yield from _said("--", listing)
    yield "-- Athena runs one statement at a time. Make the table anew for a newer list, and never MSCK REPAIR it: that adds every folder."
    yield f"DROP TABLE IF EXISTS {ATHENA_TABLE};"
    columns = [f"  `{name}` {_athena_type(kind)}" for name, kind in _wide_columns(listing).items()]
    yield f"CREATE EXTERNAL TABLE {ATHENA_TABLE} (\n" + ",\n".join(columns) + "\n)"
    yield "PARTITIONED BY (`sales_month` string, `store_id` int, `batch_key` string)"
    yield "STORED AS PARQUET"
    yield f"LOCATION {_sql(f's3://{config.bucket}/{config.facts_prefix}')};"
    yield from _partitions(config, listing)
    yield f"SELECT count(*) AS row_count, sum(total_cost) AS amount FROM {ATHENA_TABLE};"


def _partitions(config: S3Config, listing: Listing) -> Iterator[str]:
    """Yield statements of bounded length that add all parts as partitions."""
    begin = f"ALTER TABLE {ATHENA_TABLE} ADD"
    lines: list[str] = []
    size = 0
    for part in listing.parts:
        line = _partition(config, part)
        if lines and size + len(line.encode()) > ATHENA_BYTES:
            yield "\n".join([begin, *lines]) + ";"
            lines, size = [], 0
        lines.append(line)
        size += len(line.encode()) + 1
    if lines:
        yield "\n".join([begin, *lines]) + ";"


def _partition(config: S3Config, part: ListedPart) -> str:
    values = f"sales_month = {_sql(part.sales_month)}, store_id = {part.store_id}, batch_key = {_sql(part.batch_key)}"
    return f"  PARTITION ({values}) LOCATION {_sql(f's3://{config.bucket}/{part.prefix}')}"


def _athena_type(kind: pa.DataType) -> str:
    import pyarrow as pa  # here, as every command imports this module for its engines

    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_list(kind):
        return f"array<{_athena_type(kind.value_type)}>"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return _ARROW_TO_ATHENA.get(str(kind), str(kind))


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_MAKERS: Mapping[Engine, Callable[[S3Config, Listing], Iterator[str]]] = {
    Engine.duckdb: _duckdb,
    Engine.spark: _spark,
    Engine.athena: _athena,
}
