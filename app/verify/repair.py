"""`verify --repair`: sets right what a MySQL that was restored from an older backup does not know.

Rows that it has waiting and that were released since wait again, Parquet of batches that it does not have is removed, archived files that
it does not have are offered again, and the epoch is raised beyond every one that S3 has seen, so that no batch key is ever used twice.
Safe to repeat after a crash: the ledger's epoch and the marker come last, and until then `run` refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.config.load import Config
from app.contract.contract import load_contract
from app.errors import S3Error
from app.ledger.ownership import Ownership
from app.ledger.parts import FACTS, KINDS, key_of
from app.ledger.restore_guard import Marker, read_marker, write_marker
from app.mysql.database import Database, Tx
from app.s3.read import S3Client, head, make_client
from app.s3.write import abort_uploads, copy_version, delete_below, delete_version
from app.verify.archive_side import read_key, unknown_objects
from app.verify.ledger_side import load_ledger
from app.verify.objects import load_objects, prefix_of, stray_keys, unknown_places
from app.verify.scratch import Scratch, open_scratch
from app.verify.waiting import bring_back

_BATCH_KEY = re.compile(r"\d+-(\d+)-\d+")


def repair(config: Config) -> Iterator[str]:
    """Set everything right as the one writer; yield a line for each thing done.

    Raises:
        OwnershipError: an instance is running.
        PipelineError: MySQL or S3 refuse; run it again.
    """
    db, client = Database(config.mysql), make_client(config.s3)
    with (
        Ownership(db, f"s3://{config.s3.bucket}/{config.s3.source_prefix}", config.stream.takeover_seconds) as ownership,
        open_scratch() as scratch,
    ):
        load_ledger(db, scratch)
        load_objects(client, config, scratch)
        _refuse_lost(config, scratch)
        epoch = max(ownership.epoch, _newest_epoch(client, config, scratch))
        yield from bring_back(db, client, config, load_contract(config.contract_path), scratch, dry_run=False)
        yield from _remove_dead(db, client, config, scratch, dry_run=False)
        yield from _offer_again(db, client, config, scratch, dry_run=False)
        # Only now may a run start again: a repair that was cut off is repeated.
        db.run(lambda tx: _raise_epoch(tx, epoch))
        write_marker(client, config.s3, Marker(epoch, ""))
        yield f"the ledger's epoch is {epoch}, beyond every batch on S3"


def plan(config: Config) -> Iterator[str]:
    """Yield what a repair would do; nothing is written, and a running instance is not disturbed.

    Raises:
        PipelineError: MySQL or S3 cannot be read.
    """
    db, client = Database(config.mysql), make_client(config.s3)
    with open_scratch() as scratch:
        load_ledger(db, scratch)
        load_objects(client, config, scratch)
        _refuse_lost(config, scratch)
        yield from bring_back(db, client, config, load_contract(config.contract_path), scratch, dry_run=True)
        yield from _remove_dead(db, client, config, scratch, dry_run=True)
        yield from _offer_again(db, client, config, scratch, dry_run=True)
        yield f"the ledger's epoch would be beyond {_newest_epoch(client, config, scratch)}"


def _refuse_lost(config: Config, scratch: Scratch) -> None:
    """Stop when facts of the ledger are gone: replaced since the backup, their rows are only in parts that a repair would remove.

    Raises:
        S3Error: there are such.
    """
    sql = "FROM part p WHERE kind = ? AND NOT EXISTS (SELECT 1 FROM object o WHERE o.kind = p.kind AND o.place = p.place)"
    count, first = next(iter(scratch.rows(f"SELECT count(*), min(place) {sql}", (FACTS.name,))))
    if count:
        place = f"s3://{config.s3.bucket}/{prefix_of(config, FACTS)}{first}/"
        raise S3Error(
            f"{count} live parts of the facts are gone, the first is {place}: they were replaced and deleted since the backup",
            cure="restore a newer backup of MySQL, or these objects from the bucket's older versions; nothing was changed",
        )


def _newest_epoch(client: S3Client, config: Config, scratch: Scratch) -> int:
    newest = 0
    for (place,) in scratch.rows("SELECT DISTINCT place FROM object WHERE place IS NOT NULL"):
        found = _BATCH_KEY.fullmatch(key_of(place))
        newest = max(newest, int(found[1])) if found else newest
    marker = read_marker(client, config.s3)
    return max(newest, marker.epoch) if marker else newest


def _raise_epoch(tx: Tx, epoch: int) -> None:
    tx.execute("UPDATE stream_owner SET epoch = GREATEST(epoch, %s), stopped_at = UTC_TIMESTAMP(6) WHERE id = 1", (epoch,))


def _remove_dead(db: Database, client: S3Client, config: Config, scratch: Scratch, *, dry_run: bool) -> Iterator[str]:
    """Remove the Parquet that no live part names, whatever attempt wrote it: nothing is being written while we are the owner."""
    bucket, would = config.s3.bucket, "would be " if dry_run else ""
    for kind in KINDS:
        prefix = prefix_of(config, kind)
        for place, count in unknown_places(db, kind, scratch, is_running=dry_run):
            if not dry_run:
                delete_below(client, bucket, f"{prefix}{place}/")
            yield f"s3://{bucket}/{prefix}{place}/: {count} objects {would}removed, the ledger has no live part there"
        for key in stray_keys(kind, scratch):
            yield f"s3://{bucket}/{key}: left alone, the job does not write such an object"
    for prefix in () if dry_run else (config.s3.processed_prefix, config.s3.error_prefix):
        # Copies of large files into the archive that were cut off.
        aborted = abort_uploads(client, bucket, prefix)
        if aborted:
            yield f"s3://{bucket}/{prefix}: {aborted} unfinished uploads removed"


def _offer_again(db: Database, client: S3Client, config: Config, scratch: Scratch, *, dry_run: bool) -> Iterator[str]:
    """Move archived objects that no file of the ledger names back to where they were dropped; never over another object."""
    for key in unknown_objects(db, config, scratch):
        found = read_key(config.s3, key)
        name = f"s3://{config.s3.bucket}/{key}"
        if found is None:
            yield f"{name}: left alone, the job does not give such a key"
            continue
        target = config.s3.source_prefix + found.name
        if dry_run:
            yield f"{name}: would be offered again as {target}"
        elif _move_back(client, config, key, target):
            yield f"{name}: offered again as {target}"
        else:
            yield f"{name}: left alone, another object lies at {target}; run, and then repair again"


def _move_back(client: S3Client, config: Config, key: str, target: str) -> bool:
    archived = head(client, config.s3.bucket, key)
    if archived is None:
        return True
    there = head(client, config.s3.bucket, target)
    if there is not None and (there.size, there.etag) != (archived.size, archived.etag):
        return False
    if there is None and copy_version(client, archived, target) is None:
        raise S3Error(f"s3://{config.s3.bucket}/{key} changed while it was being moved", cure="run verify --repair again")
    delete_version(client, archived)
    return True
