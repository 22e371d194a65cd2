"""S3's side: what lies below our prefixes, and what of it MySQL does not know (orphans)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from app.config.load import Config
from app.ledger.paging import batched
from app.ledger.parts import FACTS, KINDS, PENDING, QUARANTINE, Kind, known_now
from app.ledger.restore_guard import is_marker
from app.mysql.database import Database
from app.s3.prefixes import mended_prefix, quarantine_prefix
from app.s3.read import S3Client, list_all
from app.source.object_names import ignore_rule
from app.verify.difference import Difference
from app.verify.scratch_database import Scratch

PAGE = 1000
_PLACES = {
    FACTS.name: re.compile(r"(sales_month=[^/]+/store_id=[^/]+/batch_key=[^/]+)/[^/]+"),
    QUARANTINE.name: re.compile(r"(load_date=[^/]+/reason=[^/]+/batch_key=[^/]+)/[^/]+"),
    PENDING.name: re.compile(r"(batch_key=[^/]+)/[^/]+"),
}
ARCHIVE = "archive"


def prefix_of(config: Config, kind: Kind) -> str:
    """Return the prefix below which a kind of Parquet lies."""
    return {FACTS.name: config.s3.facts_prefix, PENDING.name: config.s3.pending_prefix, QUARANTINE.name: quarantine_prefix(config.s3)}[
        kind.name
    ]


def place_of(kind: str, name: str) -> str | None:
    """Return the part's folder that a key (below the kind's prefix) lies in; None when it is no part's."""
    found = _PLACES[kind].fullmatch(name)
    return found[1] if found else None


def load_objects(client: S3Client, config: Config, scratch: Scratch) -> None:
    """List every prefix of our own into the scratch database: the Parquet by part, and the archive. One request a thousand objects."""
    scratch.run("CREATE TABLE object (kind VARCHAR, key VARCHAR, place VARCHAR, size BIGINT)")
    for kind in KINDS:
        prefix = prefix_of(config, kind)
        _load(
            scratch, ((kind.name, key, place_of(kind.name, key.removeprefix(prefix)), size) for key, size in _list(client, config, prefix))
        )
    others = (quarantine_prefix(config.s3), mended_prefix(config.s3))
    for prefix in (config.s3.processed_prefix, config.s3.error_prefix):
        found = ((ARCHIVE, key, None, size) for key, size in _list(client, config, prefix) if not key.startswith(others))
        _load(scratch, found)


def _list(client: S3Client, config: Config, prefix: str) -> Iterator[tuple[str, int]]:
    for version in list_all(client, config.s3.bucket, prefix):
        name = version.key.removeprefix(prefix)
        if ignore_rule(name, embedded=config.embedded) is None and not is_marker(config.s3, version.key):
            yield version.key, version.size


def _load(scratch: Scratch, rows: Iterable[tuple[str, str, str | None, int]]) -> None:
    scratch.fill("object", batched(rows, PAGE))


def orphans(db: Database, config: Config, scratch: Scratch) -> Iterator[Difference]:
    """Yield the Parquet that no live part of the ledger names, folder by folder; what is just being written is none."""
    for kind in KINDS:
        prefix = prefix_of(config, kind)
        for place, count in unknown_places(db, kind, scratch):
            yield Difference(
                "orphan", f"s3://{config.s3.bucket}/{prefix}{place}/", f"{count} objects, and the ledger has no live part there"
            )
        for key in stray_keys(kind, scratch):
            yield Difference("orphan", f"s3://{config.s3.bucket}/{key}", "the ledger knows no such object")
        there = "EXISTS (SELECT 1 FROM object o WHERE o.kind = k.kind AND o.place = k.place)"
        for place, rows in scratch.rows(f"SELECT place, row_count FROM kept k WHERE kind = ? AND {there} ORDER BY place", (kind.name,)):
            text = f"kept by a repair: {rows} rows that do not count, some of no other copy; drop them as a file, then delete this folder"
            yield Difference("orphan", f"s3://{config.s3.bucket}/{prefix}{place}/", text)


def unknown_places(db: Database, kind: Kind, scratch: Scratch, *, is_running: bool = True) -> Iterator[tuple[str, int]]:
    """Yield the folders (with their number of objects) that are no live part, not even by now."""
    sql = (
        "SELECT place, count(*) FROM object o WHERE kind = ? AND place IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM part p WHERE p.kind = o.kind AND p.place = o.place) GROUP BY place ORDER BY place"
    )
    for page in batched(scratch.rows(sql, (kind.name,)), PAGE):
        known = known_now(db, kind, [place for place, _ in page], is_running=is_running)
        yield from ((place, count) for place, count in page if place not in known)


def stray_keys(kind: Kind, scratch: Scratch) -> Iterator[str]:
    """Yield the keys below a kind's prefix that lie in no part's folder, or are no Parquet."""
    sql = (
        "SELECT key FROM object o WHERE kind = ? AND (place IS NULL OR (key NOT LIKE '%.parquet' AND EXISTS"
        " (SELECT 1 FROM part p WHERE p.kind = o.kind AND p.place = o.place))) ORDER BY key"
    )
    return (key for (key,) in scratch.rows(sql, (kind.name,)))
