"""What attempts that are over left on S3 and no part of the ledger names.

Everything is found before anything is deleted: a batch key that is newer than the ledger means that MySQL was restored from an older
backup, and then nothing here is an orphan.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.clean.sweep import Removal, Sweep, total
from app.errors import RestoredLedger
from app.ledger.paging import batched
from app.ledger.parts import KINDS, Kind, key_of, known_now
from app.mysql.database import Tx
from app.s3.read import ObjectVersion, list_all
from app.source.object_names import ignore_rule
from app.verify.objects import place_of, prefix_of

PAGE = 1000
_BATCH_KEY = re.compile(r"(\d+)-(\d+)-\d+")


@dataclass(frozen=True)
class Folder:
    """One folder of Parquet that no part of the ledger names."""

    prefix: str
    objects: tuple[ObjectVersion, ...]


def find_orphans(sweep: Sweep) -> tuple[Folder, ...]:
    """Look for Parquet that no part of the ledger names.

    Raises:
        RestoredLedger: something there is newer than the ledger.
    """
    return tuple(found for kind in KINDS for found in _folders(sweep, kind))


def remove_folders(sweep: Sweep, found: Sequence[Folder]) -> Iterator[Removal]:
    """Remove Parquet that no part of the ledger names."""
    for folder in found:
        sweep.delete(folder.objects)
        yield Removal(sweep.name_of(folder.prefix), objects=len(folder.objects), size=total(folder.objects))


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
