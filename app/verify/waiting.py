"""Waiting rows that an older ledger still counts on: released since the backup, so that their own Parquet is deleted.

The rows are in the facts (or in what goes on waiting) of the batches that the ledger does not know. Before those are removed, the
waiting part is written anew from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.config.load import Config
from app.contract.contract import Contract
from app.ledger.parts import FACTS, PENDING, key_of
from app.mysql.database import Database
from app.s3.prefixes import pending_part_prefix
from app.s3.read import S3Client, download
from app.s3.write import upload_object
from app.verify.objects import unknown_places
from app.verify.scratch import Scratch


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
        columns = ", ".join(_columns(contract, kind_name, place))
        rows = f"SELECT {columns} FROM read_parquet('{path}', hive_partitioning = false) WHERE _file_id IN ({wanted})"
        scratch.run(f"INSERT INTO gathered {rows}" if is_made else f"CREATE TABLE gathered AS {rows}")
        is_made = True
        path.unlink()
    if not is_made:
        scratch.run("CREATE TABLE gathered (_file_id BIGINT, _line BIGINT)")
    scratch.run("CREATE TABLE waited AS SELECT DISTINCT ON (_file_id, _line) * FROM gathered")


def _columns(contract: Contract, kind: str, place: str) -> list[str]:
    """Return the columns of a waiting row as SQL; facts have the store and the month in the folder's name."""
    extra = contract.settings.extra_columns
    if kind == PENDING.name:
        return [*(f'"{name}"' for name in contract.names), f'"{extra}"', "_warnings", "_file_id", "_split", "_line", "sales_month"]
    month, store = (part.partition("=")[2] for part in place.split("/")[:2])
    own = [f"CAST({int(store)} AS INTEGER) AS store_id" if name == "store_id" else f'"{name}"' for name in contract.names]
    return [*own, f'"{extra}"', "_warnings", "_file_id", "CAST(0 AS INTEGER) AS _split", "_line", f"'{month}' AS sales_month"]
