"""Is everything as it must be? Marts by the oracle, facts, quarantine and pending rows by the ledger, and nothing else on S3."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from app.config.load import load_config
from app.model.marts import MARTS
from app.s3.read import list_all, make_client
from tests.chaos.book import Book, judge
from tests.oracle import Dimensions, expected_marts
from tests.product import PATIENCE, Product

STAGES = ("stage_file", *(mart.stage_table for mart in MARTS))
UNSETTLED = (
    "SELECT (SELECT COUNT(*) FROM source_file WHERE state IN ('DISCOVERED', 'CLAIMED') OR archive_due = 1)"
    " + (SELECT COUNT(*) FROM micro_batch WHERE state IN ('PLANNED', 'STARTED'))"
    " + (SELECT COUNT(*) FROM file_operation WHERE state IN ('REQUESTED', 'CLAIMED'))"
    " + (SELECT COUNT(*) FROM pending_part WHERE state = 'CONSUMED' AND deleted_at IS NULL)"
) + "".join(f" + (SELECT COUNT(*) FROM {table})" for table in STAGES)


class Storage:
    """The product's bucket, reached without any proxy."""

    def __init__(self, product: Product) -> None:
        env = product.environment_of_servers()
        config = load_config("dev", environ={}, defaults=env.variables())
        self.bucket = config.s3.bucket
        self.client = make_client(config.s3)

    def put(self, name: str, body: bytes) -> None:
        """Drop one object."""
        self.client.put_object(Bucket=self.bucket, Key=f"sales_data/{name}", Body=body)

    def keys(self, prefix: str) -> list[str]:
        """List the objects below a prefix."""
        return [version.key for version in list_all(self.client, self.bucket, prefix) if not version.key.endswith("/")]

    def uploads(self) -> list[str]:
        """List the keys of unfinished multipart uploads."""
        return [found["Key"] for found in self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])]

    def download(self, keys: list[str], folder: Path) -> None:
        """Copy objects to a folder."""
        for key in keys:
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            self.client.download_file(self.bucket, key, str(path))


def versions(product: Product) -> list[dict[str, Any]]:
    """Read what the ledger says of every object version."""
    names = ("name", "etag", "state", "rows_read", "rows_rejected", "archived")
    sql = (
        "SELECT CONVERT(object_key USING utf8mb4), etag, state, rows_read, rows_rejected, CONVERT(archived_key USING utf8mb4)"
        " FROM source_file"
    )
    return [dict(zip(names, row, strict=True)) for row in product.query(sql)]


def is_settled(product: Product, book: Book) -> bool:
    """Tell whether the job has nothing left to do and has seen everything that was dropped."""
    if product.query(UNSETTLED)[0][0] != 0 or judge(book, versions(product)):
        return False
    waiting = {
        key for (key,) in product.query("SELECT key_value FROM pending_key JOIN pending_part USING (batch_key) WHERE state = 'WAITING'")
    }
    return waiting == set(book.unknown())


def differences(product: Product, book: Book) -> list[str]:
    """Name everything that is not as it must be; empty when nothing was lost, doubled or left."""
    storage = Storage(product)
    with tempfile.TemporaryDirectory() as folder:
        found = [*_marts(product, book), *judge(book, versions(product)), *_books(product), *_contracts(product)]
        return [*found, *_facts(product, storage, Path(folder)), *_parts(product, storage), *_archive(product, storage)]


def verified(product: Product) -> list[str]:
    """Ask the product's own `verify --deep`, where it has that command."""
    if not re.search(r"^\W*verify\s", product.call("--help"), re.MULTILINE):
        return []
    process = product.start("verify", "--deep")
    out, err = process.communicate(timeout=PATIENCE)
    return [] if process.returncode == 0 else [f"verify --deep ended with {process.returncode}: {out[-1000:]} {err[-1000:]}"]


def _marts(product: Product, book: Book) -> Iterator[str]:
    wanted = expected_marts(book.clean, Dimensions(customers=sorted(book.customers)))
    customers, team = product.marts()
    marts: list[tuple[str, dict[Any, Any], dict[Any, Any]]] = [
        ("customers", customers, wanted.customers),
        ("sales team", team, wanted.team),
    ]
    for name, seen, right in marts:
        wrong = sorted(key for key in seen.keys() | right.keys() if seen.get(key) != right.get(key))
        if wrong:
            shown = ", ".join(f"{key}: {seen.get(key)} for {right.get(key)}" for key in wrong[:3])
            yield f"{name} mart differs from the oracle in {len(wrong)} rows, such as {shown}"
    loaded, pending = product.query("SELECT COALESCE(SUM(rows_loaded), 0), COALESCE(SUM(rows_pending), 0) FROM source_file")[0]
    counts = (sum(rows[1] for rows in wanted.files.values()), wanted.pending_rows)
    if (loaded, pending) != counts:
        yield f"rows loaded and pending are {(loaded, pending)}, the oracle has {counts}"
    counted = product.query("SELECT COALESCE(SUM(row_count), 0) FROM sales_team_data_mart")[0][0]
    if counted != counts[0]:
        yield f"the marts count {counted} rows, the oracle {counts[0]}"


def _books(product: Product) -> Iterator[str]:
    for what, sql in (
        ("unfinished work", UNSETTLED),
        (
            "files whose rows do not add up",
            "SELECT COUNT(*) FROM source_file WHERE rows_read <> rows_loaded + rows_rejected + rows_pending",
        ),
        ("open attempts", "SELECT COUNT(*) FROM batch_attempt WHERE state = 'OPEN'"),
        ("failed operations", "SELECT COUNT(*) FROM file_operation WHERE state <> 'DONE'"),
        ("planned parts", "SELECT COUNT(*) FROM fact_part WHERE state = 'PLANNED'"),
        ("given-up batches", "SELECT COUNT(*) FROM micro_batch WHERE state = 'SPLIT'"),
    ):
        count = product.query(sql)[0][0]
        if count:
            yield f"{count} {what}"


def _contracts(product: Product) -> Iterator[str]:
    """A run reads the contract once, however often it is edited meanwhile."""
    used: dict[str, set[str]] = {}
    for key, contract in product.query("SELECT batch_key, contract_hash FROM micro_batch WHERE batch_key IS NOT NULL"):
        used.setdefault(key.split("-")[1], set()).add(contract)
    for epoch, hashes in used.items():
        if len(hashes) > 1:
            yield f"the run of epoch {epoch} has used {len(hashes)} contracts"


def _facts(product: Product, storage: Storage, folder: Path) -> Iterator[str]:
    live = {
        (month, store, key): (rows, amount)
        for month, store, key, rows, amount in product.query(
            "SELECT sales_month, store_id, batch_key, row_count, amount FROM fact_part WHERE state = 'LIVE'"
        )
    }
    keys = storage.keys("sales_facts/")
    storage.download(keys, folder)
    there: dict[tuple[str, int, str], tuple[int, Decimal]] = {}
    if keys:
        with duckdb.connect() as con:
            rows = con.execute(
                "SELECT sales_month, store_id, batch_key, count(*), sum(total_cost) FROM read_parquet(?, hive_partitioning = true,"
                " union_by_name = true, hive_types = {'sales_month': VARCHAR, 'store_id': INTEGER, 'batch_key': VARCHAR}) GROUP BY ALL",
                [f"{folder}/sales_facts/**/*.parquet"],
            ).fetchall()
        there = {(month, store, key): (count, amount) for month, store, key, count, amount in rows}
    for part in sorted(live.keys() | there.keys()):
        if live.get(part) != there.get(part):
            yield f"facts {part}: Parquet holds {there.get(part)}, the ledger says {live.get(part)}"


def _parts(product: Product, storage: Storage) -> Iterator[str]:
    for prefix, sql in (
        ("sales_pending/", "SELECT batch_key FROM pending_part WHERE state = 'WAITING'"),
        ("sales_data_error/quarantine/", "SELECT batch_key FROM quarantine_part WHERE state = 'LIVE'"),
    ):
        keys = storage.keys(prefix)
        there = {found[1] if (found := re.search(r"batch_key=([^/]+)/", key)) else key for key in keys}
        live = {key for (key,) in product.query(sql)}
        if there != live:
            yield f"{prefix} holds {sorted(there - live)} too much and lacks {sorted(live - there)}"
    uploads = storage.uploads()
    if uploads:
        yield f"{len(uploads)} unfinished uploads, such as {uploads[0]}"
    rejected, kept = (
        product.query(f"SELECT COALESCE(SUM({what}), 0) FROM {table}")[0][0]
        for what, table in (("rows_rejected", "source_file"), ("row_count", "quarantine_part WHERE state = 'LIVE'"))
    )
    if rejected != kept:
        yield f"{kept} rows in the quarantine, {rejected} were rejected"


def _archive(product: Product, storage: Storage) -> Iterator[str]:
    left = storage.keys("sales_data/")
    if left:
        yield f"{len(left)} objects still in the source prefix, such as {left[0]}"
    there = {key for prefix in ("sales_data_processed/", "sales_data_error/") for key in storage.keys(prefix)}
    lacking = [v["name"] for v in versions(product) if v["state"] in ("COMMITTED", "REJECTED") and v["archived"] not in there]
    if lacking:
        yield f"{len(lacking)} files are not in the archive, such as {lacking[0]}"
