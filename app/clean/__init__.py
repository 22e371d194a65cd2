"""Remove what no longer counts, and what is older than `retention` says: one module for each kind of object or row.

Called by the command `clean`; it never changes a mart.
Nothing here is part of the protocol. Objects are deleted first and noted afterwards, so that a second cleaning finishes what was
cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, timedelta
from functools import partial

from app.clean import archived, done_markers, old_files, old_records, orphans, parts, probes, stage, uploads
from app.clean.sweep import Removal, Sweep
from app.config.load import Config
from app.ledger.restore_guard import refuse_restored
from app.mysql.database import Database
from app.s3.read import make_client

__all__ = ["Removal", "clean"]

# What nobody names may just be on its way; nothing that lives needs so long to be named.
SAFETY = timedelta(hours=1)


def clean(config: Config, *, dry_run: bool, safety: timedelta = SAFETY) -> Iterator[tuple[str, Iterator[Removal]]]:
    """Yield each kind of what is over with its removals; they take place while those are taken, one kind after the other.

    Raises:
        RestoredLedger: MySQL is older than S3; nothing was removed.
        PipelineError: MySQL or S3 refuse; run it again.
    """
    db, client = Database(config.mysql), make_client(config.s3)
    refuse_restored(db, client, config)
    now = db.run(lambda tx: tx.scalar("SELECT UTC_TIMESTAMP(6)")).replace(tzinfo=UTC)
    sweep = Sweep(db, client, config, now, safety, dry_run)
    found = orphans.find_orphans(sweep)
    for kind, remove in _kinds(found).items():
        yield kind, remove(sweep)


def _kinds(found: Sequence[orphans.Folder]) -> dict[str, Callable[[Sweep], Iterator[Removal]]]:
    # Rows of the ledger first, so that none goes for something that this cleaning does: see old_records.
    return {
        "old batches, parts and operations": old_records.old_records,
        "old files": old_files.old_files,
        "replaced facts": parts.replaced_facts,
        "released rows": parts.consumed_pending,
        "mended rows": parts.mended_rows,
        "orphaned Parquet": partial(orphans.remove_folders, found=found),
        "unfinished uploads": uploads.unfinished_uploads,
        "stage rows": stage.stage_rows,
        "objects of checks": probes.left_by_checks,
        "markers of finished files": done_markers.stale_markers,
        "archived files": archived.old_archive,
        "rejected rows": parts.old_quarantine,
    }


def kept_by(kind: str, config: Config) -> str | None:
    """Name the setting by which a kind is kept for ever; None where it is not."""
    names = {
        "old batches, parts and operations": "ledger_days",
        "old files": "ledger_days",
        "archived files": "archive_days",
        "rejected rows": "quarantine_days",
    }
    return f"retention.{names[kind]}" if kind in names and not getattr(config.retention, names[kind]) else None
