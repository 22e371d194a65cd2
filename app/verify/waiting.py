"""Waiting rows that an older ledger still counts on: released since the backup, so that their own Parquet is deleted.

The rows are in the facts (or in what goes on waiting) of the batches that the ledger does not know. Before those are removed, the
waiting part is written anew from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.config.load import Config
from app.contract.contract import Contract
from app.ledger.parts import FACTS, PENDING, key_of
from app.model.dimensions import DIMENSIONS
from app.mysql.database import Database
from app.s3.prefixes import pending_part_prefix
from app.s3.read import S3Client, download
from app.s3.write import upload_object
from app.verify.objects import unknown_places
from app.verify.scratch_database import Scratch

TECHNICAL = ("_warnings", "_file_id", "_split", "_line", "sales_month")


def bring_back(db: Database, client: S3Client, config: Config, contract: Contract, scratch: Scratch, *, dry_run: bool) -> Iterator[str]:
    """Write every waiting part whose Parquet is gone anew, where all its rows are found; yield a line for each."""
    sql = (
        "SELECT place, row_count FROM part p WHERE kind = ? AND NOT EXISTS"
        " (SELECT 1 FROM object o WHERE o.kind = p.kind AND o.place = p.place) ORDER BY place"
    )
    gone = [(key_of(place), int(rows)) for place, rows in scratch.rows(sql, (PENDING.name,))]
    if not gone:
        return
    files = {key: _files_of(db, key) for key, _ in gone}
    _collect(db, client, config, contract, scratch, sorted(set().union(*files.values())))
    for key, rows in gone:
        wanted = ", ".join(map(str, sorted(files[key]))) or "NULL"
        found = int(scratch.scalar(f"SELECT count(*) FROM waited WHERE _file_id IN ({wanted})"))
        target = f"{pending_part_prefix(config.s3, key)}part-repaired.parquet"
        name = f"s3://{config.s3.bucket}/{target}"
        if found != rows:
            yield f"{name}: cannot be brought back, {found} of {rows} waiting rows of files {wanted} were found; drop those rows again"
            continue
        if not dry_run:
            path = scratch.folder / "waiting.parquet"
            scratch.run(f"COPY (SELECT * FROM waited WHERE _file_id IN ({wanted})) TO '{path}' (FORMAT parquet)")
            upload_object(client, config.s3.bucket, target, path)
            path.unlink()
        yield f"{name}: {rows} rows that were released since the backup {'would ' if dry_run else ''}wait again"


def _files_of(db: Database, batch_key: str) -> set[int]:
    sql = "SELECT DISTINCT file_id FROM pending_key WHERE batch_key = %s"
    return {int(row["file_id"]) for row in db.run(lambda tx: tx.rows(sql, (batch_key,)))}


def _collect(db: Database, client: S3Client, config: Config, contract: Contract, scratch: Scratch, files: Sequence[int]) -> None:
    """Gather the rows of these files from every unknown part into `waited`: one row for each line, whatever was tried twice."""
    wanted = ", ".join(map(str, files)) or "NULL"
    scratch.run("CREATE TABLE unknown (kind VARCHAR, place VARCHAR)")
    for kind in (FACTS, PENDING):
        scratch.append("unknown", [(kind.name, place) for place, _ in unknown_places(db, kind, scratch, is_running=False)])
    objects = scratch.rows(
        "SELECT o.kind, o.key, o.place FROM object o JOIN unknown USING (kind, place) WHERE o.key LIKE '%.parquet' ORDER BY ALL"
    )
    path = scratch.folder / "unknown.parquet"
    is_made = False
    for kind_name, key, place in objects:
        if not download(client, config.s3.bucket, key, path):
            continue
        there = [name for (name,) in scratch.rows(f"SELECT column_name FROM (DESCRIBE SELECT * FROM {_parquet(path)})")]
        columns = ", ".join(_columns(contract, kind_name, place, there))
        _gather(scratch, f"SELECT {columns} FROM {_parquet(path)} WHERE _file_id IN ({wanted})", is_made=is_made)
        is_made = True
        path.unlink()
    if not is_made:
        scratch.run("CREATE TABLE gathered (_file_id BIGINT, _line BIGINT)")
    scratch.run(f"CREATE TABLE waited AS SELECT DISTINCT ON (_file_id, _line) {_in_order(scratch, contract)} FROM gathered")


def _parquet(path: Path) -> str:
    return f"read_parquet('{path}', hive_partitioning = false)"


def _gather(scratch: Scratch, rows: str, *, is_made: bool) -> None:
    """Add rows, which may have been written under another contract than those before: missing columns are NULL, types are widened."""
    if not is_made:
        scratch.run(f"CREATE TABLE gathered AS {rows}")
        return
    before = set(scratch.rows("SELECT column_name, column_type FROM (DESCRIBE gathered)"))
    if set(scratch.rows(f"SELECT column_name, column_type FROM (DESCRIBE {rows})")) <= before:
        scratch.run(f"INSERT INTO gathered BY NAME {rows}")
    else:
        scratch.run(f"CREATE OR REPLACE TABLE gathered AS SELECT * FROM gathered UNION ALL BY NAME {rows}")


def _in_order(scratch: Scratch, contract: Contract) -> str:
    """Return all columns, the technical ones last and those of extra columns right before them: so they are known again."""
    last = [contract.settings.extra_columns, *TECHNICAL]
    names = [name for (name,) in scratch.rows("SELECT column_name FROM (DESCRIBE gathered)")]
    return ", ".join(_quoted(name) for name in (*(name for name in names if name not in last), *(name for name in last if name in names)))


def _columns(contract: Contract, kind: str, place: str, there: Sequence[str]) -> list[str]:
    """Return the columns of a waiting row as SQL; facts have the store and the month in the folder's name."""
    extra = there[there.index("_warnings") - 1]
    attributes = [column for dimension in DIMENSIONS for column in dimension.fact_columns.values()]
    is_fact = kind == FACTS.name
    own = [name for name in there if name not in (extra, *TECHNICAL) and not (is_fact and name in attributes)]
    columns = [*map(_quoted, own), f"{_quoted(extra)} AS {_quoted(contract.settings.extra_columns)}", "_warnings", "_file_id", "_line"]
    if not is_fact:
        return [*columns, "_split", "sales_month"]
    month, store = (part.partition("=")[2] for part in place.split("/")[:2])
    return [*columns, f"CAST({int(store)} AS INTEGER) AS store_id", "CAST(0 AS INTEGER) AS _split", f"'{month}' AS sales_month"]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
