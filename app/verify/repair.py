"""`verify --repair`: sets right what a MySQL that was restored from an older backup does not know.

Rows that it has waiting and that were released since wait again, Parquet of batches that it does not have is removed unless it holds the
only copy of a row, archived files that it does not have are offered again, and epoch and file ids are raised beyond every one that S3 has
seen, so that no batch key and no file id is ever used twice. What people have asked for since the backup is named: they must ask again.
Safe to repeat after a crash: the ledger's epoch and the marker come last, and until then `run` refuses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from secrets import token_bytes

from app.config.load import Config
from app.contract.contract import load_contract
from app.errors import S3Error
from app.ledger.operations import marks, pages
from app.ledger.ownership import Ownership
from app.ledger.parts import FACTS, KINDS, key_of
from app.ledger.restore_guard import Marker, NotedOperation, noted_operations, read_marker, write_marker
from app.ledger.types import OperationKind
from app.mysql.database import Database, Row, Tx
from app.s3.read import S3Client, head, make_client
from app.s3.write import abort_uploads, copy_version, delete_below, delete_version
from app.verify.archive_side import archived_ids, read_key, unknown_objects
from app.verify.ledger_side import load_ledger
from app.verify.objects import load_objects, prefix_of, stray_keys, unknown_places
from app.verify.only_copies import Unknown, keep, look_into, without_copy
from app.verify.scratch_database import Scratch, open_scratch
from app.verify.waiting import bring_back

# Files that one line names.
NAMED = 10
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
        forgotten = _forgotten(db, client, config)
        yield from bring_back(db, client, config, load_contract(config.contract_path), scratch, dry_run=False)
        newest = _Newest(max((*archived_ids(config, scratch), *(number for one in forgotten for number in one.files)), default=0))
        yield from _remove_dead(db, client, config, scratch, forgotten, newest, dry_run=False)
        yield from _offer_again(db, client, config, scratch, dry_run=False)
        yield from _ask_again(db, forgotten)
        # Only now may a run start again: a repair that was cut off is repeated.
        db.run(lambda tx: _raise_epoch(tx, epoch))
        db.run(lambda tx: _raise_file_ids(tx, newest.file_id))
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
        forgotten = _forgotten(db, client, config)
        yield from bring_back(db, client, config, load_contract(config.contract_path), scratch, dry_run=True)
        yield from _remove_dead(db, client, config, scratch, forgotten, _Newest(0), dry_run=True)
        yield from _offer_again(db, client, config, scratch, dry_run=True)
        yield from _ask_again(db, forgotten)
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


@dataclass
class _Newest:
    """The newest file id that S3 has seen."""

    file_id: int


def _raise_file_ids(tx: Tx, newest: int) -> None:
    """Give out only file ids beyond the newest one: an older one may stand in Parquet that was kept, and in keys of the archive."""
    if newest <= int(tx.scalar("SELECT COALESCE(MAX(id), 0) FROM source_file")):
        return
    # The job's user may not alter tables; a number that was used once is never given out again.
    tx.execute(
        "INSERT INTO source_file (id, identity, bucket, object_key, etag, size_bytes, last_modified, state, discovered_at)"
        " VALUES (%s, %s, '', '', '', 0, UTC_TIMESTAMP(6), 'GONE', UTC_TIMESTAMP(6))",
        (newest, token_bytes(32)),
    )
    tx.execute("DELETE FROM source_file WHERE id = %s", (newest,))


def _remove_dead(
    db: Database, client: S3Client, config: Config, scratch: Scratch, forgotten: Sequence[NotedOperation], newest: _Newest, *, dry_run: bool
) -> Iterator[str]:
    """Remove the Parquet that no live part names, whatever attempt wrote it: nothing is being written while we are the owner.

    What holds the only copy of a row stays, and is named.
    """
    bucket, would = config.s3.bucket, "would be " if dry_run else ""
    corrected = {file_id for one in forgotten if one.kind == OperationKind.MEND for file_id in one.files}
    for kind in KINDS:
        prefix = prefix_of(config, kind)
        for place, count in unknown_places(db, kind, scratch, is_running=dry_run):
            name = f"s3://{bucket}/{prefix}{place}/"
            found = look_into(client, config, scratch, kind, place)
            newest.file_id = max((newest.file_id, *(found.rows or ())))
            only = without_copy(db, client, config, scratch, found.rows or (), corrected)
            if found.rows is None or only:
                if not dry_run:
                    db.run(lambda tx, kind=kind, place=place, found=found: keep(tx, kind, place, found))  # type: ignore[misc]
                yield f"{name}: {would}kept, {_why_kept(found, only)}"
                continue
            if not dry_run:
                delete_below(client, bucket, f"{prefix}{place}/")
            yield f"{name}: {count} objects {would}removed, the ledger has no live part there"
        for key in stray_keys(kind, scratch):
            yield f"s3://{bucket}/{key}: left alone, the job does not write such an object"
    for prefix in () if dry_run else (config.s3.processed_prefix, config.s3.error_prefix):
        # Copies of large files into the archive that were cut off.
        aborted = abort_uploads(client, bucket, prefix)
        if aborted:
            yield f"s3://{bucket}/{prefix}: {aborted} unfinished uploads removed"


def _why_kept(found: Unknown, only: Collection[int]) -> str:
    if found.rows is None:
        return "it cannot be read, and so nobody knows whether it is the only copy of something"
    rows = sum(found.rows[file_id] for file_id in only)
    files = ", ".join(str(file_id) for file_id in sorted(only)[:NAMED]) + (", ..." if len(only) > NAMED else "")
    found_nowhere = f"no other copy is known of {rows} rows of files {files}, which do not count"
    return f"{found_nowhere}: unless a file in the source prefix holds them, drop them as a file, then delete this folder"


def _forgotten(db: Database, client: S3Client, config: Config) -> list[NotedOperation]:
    """Return what was asked for and done since the backup: S3 has noted it, and the ledger has no such attempt that committed."""
    noted = list(noted_operations(client, config.s3))
    known: set[str] = set()
    for page in pages([one.batch_key for one in noted]):
        sql = f"SELECT batch_key FROM batch_attempt WHERE state = 'COMMITTED' AND batch_key IN ({marks(page)})"
        known |= {row["batch_key"] for row in db.run(lambda tx, sql=sql, page=page: tx.rows(sql, page))}  # type: ignore[misc]
    return [one for one in noted if one.batch_key not in known]


def _ask_again(db: Database, forgotten: Sequence[NotedOperation]) -> Iterator[str]:
    """Say what must be asked for again: the ledger, and the files that are offered again, know nothing of it."""
    for one in forgotten:
        keys = list(one.files.values())
        named = ", ".join(repr(key) for key in keys[:NAMED]) + (", ..." if len(keys) > NAMED else "")
        known = {int(row["id"]) for page in pages(one.files) for row in db.run(lambda tx, page=page: _known(tx, page))}  # type: ignore[misc]
        when = "" if len(known) == len(one.files) else " after the next run, which gives these files new ids"
        command = {OperationKind.RETRACT: "retract", OperationKind.REPLAY: "replay"}.get(OperationKind(one.kind), "quarantine replay")
        yield f"{one.kind} of {named} by {one.requested_by!r} was done since the backup: ask again ({command}){when}"


def _known(tx: Tx, page: Sequence[object]) -> list[Row]:
    return tx.rows(f"SELECT id FROM source_file WHERE id IN ({marks(page)})", page)


def _offer_again(db: Database, client: S3Client, config: Config, scratch: Scratch, *, dry_run: bool) -> Iterator[str]:
    """Move archived objects that no file of the ledger names back to where they were dropped; never over another object."""
    versions: list[tuple[int, str, str]] = []
    for key in unknown_objects(db, config, scratch):
        found = read_key(config.s3, key)
        if found is None:
            yield f"s3://{config.s3.bucket}/{key}: left alone, the job does not give such a key"
        else:
            versions.append((found.file_id, key, found.name))
    # In the order in which they were loaded: of several versions of one name the newest must come last.
    for _, key, below in sorted(versions):
        name = f"s3://{config.s3.bucket}/{key}"
        target = config.s3.source_prefix + below
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
