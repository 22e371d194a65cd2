"""Which mart keys a file's rows are in: read by DuckDB from the live Parquet that may hold rows of it, and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from app.config.load import Config
from app.contract.contract import load_contract
from app.errors import S3Error
from app.ledger.paging import batched
from app.ledger.types import LivePart
from app.model.marts import MARTS, Mart
from app.s3.prefixes import fact_part_prefix
from app.s3.read import ClientFactory, download, list_all
from app.verify.scratch_database import Scratch, open_scratch

# Parts that lie on the local disk at one time.
PAGE_PARTS = 16
# Columns of a part's folder; all others are in its Parquet.
OF_PART = ("sales_month", "store_id")


@dataclass(frozen=True)
class HeldPart:
    """Rows of the file in one part."""

    sales_month: str
    store_id: int
    batch_key: str
    rows: int
    amount: Decimal


@dataclass(frozen=True)
class MartKeys:
    """The keys of one mart that the file's rows are in: how many, and the first of them with what the file adds to each."""

    mart: str
    count: int
    shown: list[dict[str, Any]]


@dataclass(frozen=True)
class Touched:
    """Where a file's rows are."""

    rows: int
    parts: tuple[HeldPart, ...]
    marts: tuple[MartKeys, ...]


def find_keys(config: Config, file_id: int, parts: Sequence[LivePart], limit: int) -> Touched:
    """Return the parts and the mart keys that hold rows of a file, of each mart at most `limit` keys.

    Raises:
        S3Error: an object cannot be read.
        S3Unavailable: S3 is out of reach.
    """
    sources = sorted({name for mart in MARTS for name in mart.grain.values()} - set(OF_PART))
    measures = sorted({name for mart in MARTS for name in mart.measures.values()})
    kinds = {one.name: "BIGINT" for one in load_contract(config.contract_path).columns if one.type in ("int", "bigint")}
    with open_scratch() as scratch:
        columns = [f"{name} {kinds.get(name, 'VARCHAR')}" for name in sources] + [f"{name} DECIMAL(38, 4)" for name in measures]
        scratch.run(f"CREATE TABLE held (sales_month VARCHAR, store_id INTEGER, batch_key VARCHAR, {', '.join(columns)})")
        with ThreadPoolExecutor(config.stream.archive_threads, thread_name_prefix="keys") as pool:
            for page in batched(parts, PAGE_PARTS):
                fetched = pool.map(partial(_fetch, config, scratch.folder), page)
                for part, paths in zip(page, fetched, strict=True):
                    _add(scratch, file_id, part, paths, [*sources, *measures])
        return Touched(int(scratch.scalar("SELECT count(*) FROM held")), _parts(scratch), tuple(_keys(scratch, m, limit) for m in MARTS))


def _fetch(config: Config, folder: Path, part: LivePart) -> list[Path]:
    """Copy the objects of a part to the local disk. What is gone by now is missed by the count of rows."""
    client = ClientFactory(config.s3)()
    prefix = fact_part_prefix(config.s3, part.sales_month, part.store_id, part.batch_key)
    keys = [version.key for version in list_all(client, config.s3.bucket, prefix) if version.key.endswith(".parquet")]
    paths = [folder / f"{part.sales_month}_{part.store_id}_{part.batch_key}_{at}.parquet" for at in range(len(keys))]
    return [path for key, path in zip(keys, paths, strict=True) if download(client, config.s3.bucket, key, path)]


def _add(scratch: Scratch, file_id: int, part: LivePart, paths: list[Path], columns: Sequence[str]) -> None:
    if not paths:
        return
    listed = ", ".join(f"'{path}'" for path in paths)
    try:
        scratch.run(
            f"INSERT INTO held SELECT ?, ?, ?, {', '.join(columns)}"
            f" FROM read_parquet([{listed}], union_by_name = true, hive_partitioning = false) WHERE _file_id = ?",
            (part.sales_month, part.store_id, part.batch_key, file_id),
        )
    except duckdb.Error as exc:
        text = f"the facts of {part.sales_month}, store {part.store_id}, batch {part.batch_key} cannot be read: {type(exc).__name__}"
        raise S3Error(text, cure="run ./spark-submit.sh verify, which names the object; --no-keys leaves the facts alone") from exc
    for path in paths:
        path.unlink()


def _parts(scratch: Scratch) -> tuple[HeldPart, ...]:
    sql = "SELECT sales_month, store_id, batch_key, count(*), sum(total_cost) FROM held GROUP BY ALL ORDER BY ALL"
    return tuple(HeldPart(*row) for row in scratch.rows(sql))


def _keys(scratch: Scratch, mart: Mart, limit: int) -> MartKeys:
    grain = ", ".join(mart.grain.values())
    sums = ", ".join(f"sum({source})" for source in mart.measures.values())
    keys = f"SELECT {grain}, count(*) AS row_count, {sums} FROM held GROUP BY {grain}"
    names = (*mart.grain, "row_count", *mart.measures)
    found = [dict(zip(names, row, strict=True)) for row in scratch.rows(f"{keys} ORDER BY {grain} LIMIT {limit}")]
    return MartKeys(mart.table, int(scratch.scalar(f"SELECT count(*) FROM ({keys})")), found)
