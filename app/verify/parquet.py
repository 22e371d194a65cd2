"""Recompute from the Parquet of live parts: fetched through our S3 client a piece at a time, summed by DuckDB, and deleted again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb

from app.config.load import Config
from app.ledger.parts import FACTS, KINDS, PENDING, QUARANTINE
from app.model.marts import MARTS
from app.s3.read import ClientFactory, download
from app.verify.difference import Difference
from app.verify.scratch_database import Scratch

# What lies on the local disk at one time: so many bytes (at least one object), and never more objects than this.
PIECE_BYTES = 256 << 20
PIECE_OBJECTS = 200


@dataclass(frozen=True)
class Fetched:
    """One object of a live part, and where its copy lies."""

    key: str
    path: Path


def recompute(config: Config, scratch: Scratch, columns: Mapping[str, str] | None = None) -> Iterator[Difference]:
    """Sum up every live part into `calc_part`, `calc_file` and `calc_<mart>`; yield what cannot be read.

    `columns` are those of a sales row with DuckDB's type of each: with them each file also gets a fingerprint of its rows, whatever their
    order and whatever type its rows were written with.
    """
    _create(scratch)
    limit = PIECE_BYTES
    after = 0
    while piece := _next_piece(scratch, after, limit):
        after = piece[-1][0]
        fetched = _fetch(config, scratch, [(number, kind, key) for number, kind, key, _ in piece])
        for kind, objects in fetched.items():
            yield from _sum_or_name(scratch, config, kind, objects, columns or {})
            for one in objects:
                one.path.unlink()


def _create(scratch: Scratch) -> None:
    scratch.run("CREATE TABLE calc_part (kind VARCHAR, place VARCHAR, row_count BIGINT, amount DECIMAL(38, 4))")
    scratch.run("CREATE TABLE calc_file (kind VARCHAR, file_id BIGINT, row_count BIGINT, amount DECIMAL(38, 4), print HUGEINT)")
    scratch.run("CREATE TABLE rejected (file_id BIGINT, line BIGINT, raw VARCHAR, code VARCHAR)")
    scratch.run("CREATE TABLE fetched (path VARCHAR, place VARCHAR, store_id BIGINT)")
    for mart in MARTS:
        columns = [f"{name} VARCHAR" for name in mart.grain] + [f"{name} DECIMAL(38, 4)" for name in mart.measures]
        scratch.run(f"CREATE TABLE calc_{mart.table} ({', '.join(columns)}, row_count BIGINT)")
    # In the order of months, so that a mart's key is in few pieces only.
    scratch.run(
        "CREATE TABLE todo AS SELECT row_number() OVER (ORDER BY o.kind, p.sales_month, o.key) AS number, o.kind, o.key, o.size,"
        " sum(o.size) OVER (ORDER BY o.kind, p.sales_month, o.key ROWS UNBOUNDED PRECEDING) AS running, o.place, p.store_id"
        " FROM object o JOIN part p USING (kind, place) WHERE o.key LIKE '%.parquet'"
    )


def _next_piece(scratch: Scratch, after: int, limit: int) -> list[tuple[int, str, str, int]]:
    sql = (
        "SELECT number, kind, key, size FROM todo WHERE number > ? AND (number = ? OR running <= ? +"
        " coalesce((SELECT running FROM todo WHERE number = ?), 0)) ORDER BY number LIMIT ?"
    )
    return list(scratch.rows(sql, (after, after + 1, limit, after, PIECE_OBJECTS)))


def _fetch(config: Config, scratch: Scratch, piece: Sequence[tuple[int, str, str]]) -> dict[str, list[Fetched]]:
    """Copy the objects of a piece to the local disk, side by side. One that is gone by now is left out: its part will lack its rows."""
    clients = ClientFactory(config.s3)

    def fetch(item: tuple[int, str, str]) -> tuple[str, Fetched] | None:
        number, kind, key = item
        path = scratch.folder / f"{number}.parquet"
        return (kind, Fetched(key, path)) if download(clients(), config.s3.bucket, key, path) else None

    with ThreadPoolExecutor(config.stream.archive_threads, thread_name_prefix="verify") as pool:
        found = [one for one in pool.map(fetch, piece) if one is not None]
    by_kind: dict[str, list[Fetched]] = {kind.name: [] for kind in KINDS}
    for kind, one in found:
        by_kind[kind].append(one)
    return by_kind


def _sum_or_name(
    scratch: Scratch, config: Config, kind: str, objects: Sequence[Fetched], columns: Mapping[str, str]
) -> Iterator[Difference]:
    """Sum some objects; where DuckDB cannot read them, one by one, to name the broken ones."""
    if not objects:
        return
    try:
        with scratch.transaction():
            _sum(scratch, kind, objects, columns)
    except duckdb.Error as exc:
        if len(objects) == 1:
            text = f"cannot be read: {type(exc).__name__}: {str(exc).splitlines()[0][:200]}"
            yield Difference("part", f"s3://{config.s3.bucket}/{objects[0].key}", text)
            return
        for one in objects:
            yield from _sum_or_name(scratch, config, kind, [one], columns)


def _sum(scratch: Scratch, kind: str, objects: Sequence[Fetched], columns: Mapping[str, str]) -> None:
    paths = ", ".join(f"'{one.path}'" for one in objects)
    numbers = ", ".join(one.path.stem for one in objects)
    scratch.run(
        "CREATE OR REPLACE TEMP VIEW piece AS SELECT r.*, t.place AS _place, t.store_id AS _store_id FROM"
        f" read_parquet([{paths}], filename = '_path', union_by_name = true, hive_partitioning = false) r"
        f" JOIN (SELECT '{scratch.folder}/' || number || '.parquet' AS _path, place, store_id FROM todo WHERE number IN ({numbers})) t"
        " USING (_path)"
    )
    there = scratch.columns("piece")
    amount = "NULL" if kind == QUARANTINE.name else "sum(total_cost)"
    values = [f"TRY_CAST({_column(kind, name, there)} AS {type_name})" for name, type_name in columns.items()]
    mark = print_of(values) if columns and kind != QUARANTINE.name else "NULL"
    scratch.run(f"INSERT INTO calc_part SELECT '{kind}', _place, count(*), {amount} FROM piece GROUP BY _place")
    # What earlier batches rejected of a file that was read or mended since does not count any more.
    counts = f"WHERE {_read_last()}" if kind == QUARANTINE.name else ""
    scratch.run(f"INSERT INTO calc_file SELECT '{kind}', _file_id, count(*), {amount}, {mark} FROM piece {counts} GROUP BY _file_id")
    if kind == QUARANTINE.name and columns:
        scratch.run(f"INSERT INTO rejected SELECT _file_id, _line, _raw, _reasons[1].code FROM piece {counts}")
    for mart in MARTS if kind == FACTS.name else ():
        # The month is worked out from the date again, not taken from the folder.
        sources = {**{name: name for name in mart.grain.values()}, "sales_month": "strftime(sales_date, '%Y-%m')", "store_id": "_store_id"}
        grain = [f"CAST({sources[source]} AS VARCHAR)" for source in mart.grain.values()]
        sums = [f"sum({source})" for source in mart.measures.values()]
        scratch.run(f"INSERT INTO calc_{mart.table} SELECT {', '.join((*grain, *sums))}, count(*) FROM piece GROUP BY {', '.join(grain)}")


def _read_last() -> str:
    number = "CAST(regexp_extract(_place, 'batch_key=([0-9]+)-', 1) AS BIGINT)"
    return f"NOT EXISTS (SELECT 1 FROM file f WHERE f.id = _file_id AND f.batch_id <> {number})"


def _column(kind: str, name: str, there: set[str]) -> str:
    if kind != PENDING.name and name == "store_id":
        return "_store_id"
    return f'"{name}"' if name in there else "NULL"


def print_of(values: Sequence[str]) -> str:
    """Return the SQL of a fingerprint of all rows together: the sum of their hashes, the same in any order."""
    return f"sum(CAST(hash({', '.join(f'CAST({value} AS VARCHAR)' for value in values)}) AS HUGEINT))"
