"""What attempts that are over left on S3 and no part of the ledger names: Parquet, unfinished uploads, trees of killed jobs.

Everything is found before anything is deleted: a batch key that is newer than the ledger means that MySQL was restored from an older
backup, and then nothing here is an orphan.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from app.clean.sweep import Removal, Sweep, open_attempts, total
from app.core.keys import ignore_rule
from app.errors import RestoredLedger
from app.leftovers import MAGIC_FOLDER, written_prefixes
from app.mysql import Tx
from app.s3 import ObjectVersion, list_all
from app.s3_changes import Upload, abort_upload, list_uploads
from app.verify.ledger_side import KINDS, Kind, key_of, known_now
from app.verify.objects import place_of, prefix_of
from app.verify.scratch import batched

PAGE = 1000
_BATCH_KEY = re.compile(r"(\d+)-(\d+)-\d+")
_UPLOAD_KEY = re.compile(r"batch_key=(\d+-\d+-\d+)/")


@dataclass(frozen=True)
class Folder:
    """One folder of Parquet that no part of the ledger names."""

    prefix: str
    objects: tuple[ObjectVersion, ...]


@dataclass(frozen=True)
class Orphans:
    """All that nobody names."""

    folders: tuple[Folder, ...]
    uploads: tuple[Upload, ...]
    trees: tuple[Folder, ...]


def find_orphans(sweep: Sweep) -> Orphans:
    """Look for what attempts that are over left on S3.

    Raises:
        RestoredLedger: something there is newer than the ledger.
    """
    folders = tuple(found for kind in KINDS for found in _folders(sweep, kind))
    return Orphans(folders, tuple(_uploads(sweep)), tuple(_trees(sweep)))


def remove_folders(sweep: Sweep, found: Orphans) -> Iterator[Removal]:
    """Remove Parquet that no part of the ledger names."""
    for folder in found.folders:
        sweep.delete(folder.objects)
        yield Removal(sweep.name_of(folder.prefix), objects=len(folder.objects), size=total(folder.objects))


def remove_uploads(sweep: Sweep, found: Orphans) -> Iterator[Removal]:
    """Abort the unfinished uploads of attempts that are over."""
    for upload in found.uploads:
        if not sweep.dry_run:
            abort_upload(sweep.client, sweep.bucket, upload)
        yield Removal(sweep.name_of(upload.key), objects=1)


def remove_trees(sweep: Sweep, found: Orphans) -> Iterator[Removal]:
    """Remove the commit bookkeeping of killed jobs."""
    for tree in found.trees:
        sweep.delete(tree.objects)
        yield Removal(sweep.name_of(tree.prefix), objects=len(tree.objects), size=total(tree.objects))


def _folders(sweep: Sweep, kind: Kind) -> Iterator[Folder]:
    prefix = prefix_of(sweep.config, kind)
    found: dict[str, list[ObjectVersion]] = defaultdict(list)
    for page in batched(_listed(sweep, prefix), PAGE):
        by_place: dict[str, list[ObjectVersion]] = defaultdict(list)
        for one in page:
            place = place_of(kind.name, one.key.removeprefix(prefix))
            # What the job would not call so is not the job's.
            if place and _BATCH_KEY.fullmatch(key_of(place)):
                by_place[place].append(one)
        # Asked behind the listing: an attempt is in the ledger before it writes.
        unknown = by_place.keys() - known_now(sweep.db, kind, list(by_place))
        _refuse_newer(sweep, {key_of(place) for place in unknown})
        for place in unknown:
            found[place] += by_place[place]
    for place, objects in sorted(found.items()):
        if all(one.last_modified < sweep.safe_before for one in objects):
            yield Folder(f"{prefix}{place}/", tuple(objects))


def _listed(sweep: Sweep, prefix: str) -> Iterator[ObjectVersion]:
    for one in list_all(sweep.client, sweep.bucket, prefix):
        if ignore_rule(one.key.removeprefix(prefix), embedded=sweep.config.embedded) is None:
            yield one


def _uploads(sweep: Sweep) -> Iterator[Upload]:
    for prefix in written_prefixes(sweep.config):
        for page in batched(list_uploads(sweep.client, sweep.bucket, prefix), PAGE):
            by_key = {upload: found[1] for upload in page if (found := _UPLOAD_KEY.search(upload.key))}
            keys = sorted(set(by_key.values()))
            alive = sweep.db.run(partial(open_attempts, keys=keys))
            _refuse_newer(sweep, set(keys) - alive)
            # Their age does not matter, and not every server tells it: the attempt is over.
            yield from (one for one, key in by_key.items() if key not in alive)


def _trees(sweep: Sweep) -> Iterator[Folder]:
    """Trees do not say whose they are: what is older than the oldest attempt that may be alive is nobody's."""
    oldest = sweep.db.run(lambda tx: tx.scalar("SELECT MIN(started_at) FROM batch_attempt WHERE state = 'OPEN'"))
    before = min(sweep.safe_before, _utc(oldest) - sweep.safety) if oldest else sweep.safe_before
    for prefix in written_prefixes(sweep.config):
        trees: dict[str, list[ObjectVersion]] = defaultdict(list)
        for one in list_all(sweep.client, sweep.bucket, prefix + MAGIC_FOLDER):
            trees[prefix + one.key.removeprefix(prefix).split("/", 1)[0] + "/"].append(one)
        for name, objects in sorted(trees.items()):
            if all(one.last_modified < before for one in objects):
                yield Folder(name, tuple(objects))


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _refuse_newer(sweep: Sweep, keys: set[str]) -> None:
    """Stop when one of these batch keys cannot have been given out yet.

    Raises:
        RestoredLedger: there is one.
    """
    numbers = {key: (int(found[1]), int(found[2])) for key in keys if (found := _BATCH_KEY.fullmatch(key))}
    if not numbers:
        return

    def look(tx: Tx) -> tuple[int, int]:
        epoch = int(tx.scalar("SELECT epoch FROM stream_owner WHERE id = 1"))
        return int(tx.scalar("SELECT COALESCE(MAX(id), 0) FROM micro_batch")), epoch

    last, epoch = sweep.db.run(look)
    newer = sorted(key for key, number in numbers.items() if number[0] > last or number[1] > epoch)
    if newer:
        raise RestoredLedger(f"the ledger in MySQL is older than S3: it does not know batch {newer[0]}, which S3 has seen")
