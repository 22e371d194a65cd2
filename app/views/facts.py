"""The committed facts: live parts of one moment of the ledger, and the objects on S3 that they are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import groupby

import pyarrow as pa

from app.config.load import Config
from app.errors import UsageError
from app.ledger.types import LivePart
from app.mysql.database import Database
from app.mysql.snapshot import snapshot
from app.s3.parquet_footer import read_footer
from app.s3.prefixes import fact_part_prefix
from app.s3.read import ClientFactory, ObjectVersion, list_all

_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")


@dataclass(frozen=True)
class FactObject:
    """One Parquet object of a live part, and its columns."""

    key: str
    size: int
    rows: int
    columns: tuple[tuple[str, pa.DataType], ...] = ()


@dataclass(frozen=True)
class ListedPart:
    """One live part and its objects; `fault` says what is wrong with it."""

    sales_month: str
    store_id: int
    batch_key: str
    rows: int
    amount: Decimal
    prefix: str
    objects: tuple[FactObject, ...]
    fault: str | None = None


@dataclass(frozen=True)
class Listing:
    """All live parts at one moment, in the order of months, stores and batches.

    Attributes:
        as_of: the moment, in UTC.
        columns: the columns of the objects, each as the newest one that has it.
    """

    as_of: datetime
    parts: tuple[ListedPart, ...]
    columns: dict[str, pa.DataType]

    @property
    def objects(self) -> Iterator[FactObject]:
        """Give every object."""
        return (one for part in self.parts for one in part.objects)

    @property
    def rows(self) -> int:
        """Give the rows of all parts, as the ledger says."""
        return sum(part.rows for part in self.parts)

    @property
    def amount(self) -> Decimal:
        """Give the amount of all parts, as the ledger says."""
        return sum((part.amount for part in self.parts), Decimal(0))

    @property
    def faults(self) -> list[str]:
        """Give what is wrong, a line for each part."""
        return [part.fault for part in self.parts if part.fault is not None]


@dataclass(frozen=True)
class _Footer:
    """What the end of one object says."""

    version: ObjectVersion
    rows: int
    schema: pa.Schema | None


def list_facts(db: Database, config: Config, month: str | None, store: int | None) -> Listing:
    """Return the live parts of one moment, of one month or store if given, and their objects with rows as their footers say.

    S3 is read after MySQL: what was live then is there, for `retention.replaced_facts_seconds` also when it is replaced meanwhile.

    Raises:
        UsageError: the month is none.
        PipelineError: MySQL or S3 cannot be read.
    """
    if month is not None and not _MONTH.fullmatch(month):
        raise UsageError(f"{month!r} is no month", cure="write it as 2024-05")
    as_of, live = _live(db, month, store)
    parts: list[ListedPart] = []
    schemas: dict[int, pa.Schema] = {}
    with ThreadPoolExecutor(config.stream.archive_threads, thread_name_prefix="facts") as pool:
        for sales_month, group in groupby(live, key=lambda part: part.sales_month):
            of_month = list(group)
            found = _objects(config, sales_month, store, of_month)
            flat = [(at, version) for at, part in enumerate(of_month) for version in found[at]]
            footers: dict[int, list[_Footer]] = defaultdict(list)
            for (at, _), footer in zip(flat, pool.map(partial(_footer, config), (version for _, version in flat)), strict=True):
                footers[at].append(footer)
            for at, part in enumerate(of_month):
                parts.append(_listed(db, config, part, footers[at]))
                schemas |= {_number(part): footer.schema for footer in footers[at] if footer.schema is not None}
    return Listing(as_of, tuple(parts), _columns(schemas))


def _live(db: Database, month: str | None, store: int | None) -> tuple[datetime, list[LivePart]]:
    of_month = f" AND sales_month = '{month}'" if month is not None else ""
    of_store = f" AND store_id = {store:d}" if store is not None else ""
    sql = (
        f"SELECT batch_key, sales_month, store_id, row_count, amount FROM fact_part WHERE state = 'LIVE'{of_month}{of_store}"
        " ORDER BY sales_month, store_id, batch_key"
    )
    with snapshot(db) as seen:
        [[(as_of,)]] = list(seen.pages("SELECT UTC_TIMESTAMP(6)"))
        return as_of, [LivePart(*row) for page in seen.pages(sql) for row in page]


def _objects(config: Config, month: str, store: int | None, parts: Sequence[LivePart]) -> dict[int, list[ObjectVersion]]:
    """List a month, or a month's store, once, and keep what lies in the folders of live parts. Returns objects by position of the part."""
    client = ClientFactory(config.s3)()
    below = f"store_id={store}/" if store is not None else ""
    folders = {fact_part_prefix(config.s3, p.sales_month, p.store_id, p.batch_key): at for at, p in enumerate(parts)}
    found: dict[int, list[ObjectVersion]] = defaultdict(list)
    for version in list_all(client, config.s3.bucket, f"{config.s3.facts_prefix}sales_month={month}/{below}"):
        at = folders.get(version.key.rpartition("/")[0] + "/")
        if at is not None and version.key.endswith(".parquet"):
            found[at].append(version)
    return found


def _footer(config: Config, version: ObjectVersion) -> _Footer:
    found = read_footer(ClientFactory(config.s3)(), version)
    return _Footer(version, *found) if found is not None else _Footer(version, 0, None)


def _listed(db: Database, config: Config, part: LivePart, footers: Sequence[_Footer]) -> ListedPart:
    prefix = fact_part_prefix(config.s3, part.sales_month, part.store_id, part.batch_key)
    objects = tuple(FactObject(one.version.key, one.version.size, one.rows, _columns_of(one.schema)) for one in footers)
    fault = _fault(part, footers)
    if fault is not None:
        # Whoever replaced it meanwhile has the right to delete it, after a while.
        again = "" if _is_live(db, part) else "; it was replaced meanwhile, so ask again"
        fault = f"s3://{config.s3.bucket}/{prefix}: {fault}{again}"
    return ListedPart(part.sales_month, part.store_id, part.batch_key, part.rows, part.amount, prefix, objects, fault)


def _fault(part: LivePart, footers: Sequence[_Footer]) -> str | None:
    if not footers:
        return f"there is no object, and the ledger says {part.rows} rows"
    broken = [one.version.key.rpartition("/")[2] for one in footers if one.schema is None]
    if broken:
        return f"{broken[0]} is no Parquet"
    rows = sum(one.rows for one in footers)
    return f"{rows} rows in {len(footers)} objects, and the ledger says {part.rows}" if rows != part.rows else None


def _is_live(db: Database, part: LivePart) -> bool:
    sql = "SELECT 1 FROM fact_part WHERE batch_key = %s AND sales_month = %s AND store_id = %s AND state = 'LIVE'"
    return bool(db.run(lambda tx: tx.scalar(sql, (part.batch_key, part.sales_month, part.store_id))))


def _number(part: LivePart) -> int:
    return int(part.batch_key.partition("-")[0])


def _columns_of(schema: pa.Schema | None) -> tuple[tuple[str, pa.DataType], ...]:
    return tuple((field.name, field.type) for field in schema or ())


def _columns(schemas: dict[int, pa.Schema]) -> dict[str, pa.DataType]:
    """Return every column with its type, those of the newest batch first; older ones may have had others."""
    columns: dict[str, pa.DataType] = {}
    for number in sorted(schemas, reverse=True):
        columns |= {field.name: field.type for field in schemas[number] if field.name not in columns}
    return columns
