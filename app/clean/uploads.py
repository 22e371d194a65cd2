"""Copies of large files into the archive that were cut off: S3 keeps, and charges for, the parts that it has got."""

from __future__ import annotations

from collections.abc import Iterator

from app.clean.sweep import Removal, Sweep
from app.ledger.paging import batched
from app.s3.write import Upload, abort_upload, list_uploads
from app.verify.archive_side import files_now, read_key

PAGE = 1000


def unfinished_uploads(sweep: Sweep) -> Iterator[Removal]:
    """Abort the unfinished uploads of files that are in the archive by now, or of which nothing is known any more.

    That of a file which is still to be moved may be going on; whatever is left of it goes once the file is there.
    """
    for prefix in (sweep.config.s3.processed_prefix, sweep.config.s3.error_prefix):
        for page in batched(list_uploads(sweep.client, sweep.bucket, prefix), PAGE):
            for upload in _over(sweep, page):
                if not sweep.dry_run:
                    abort_upload(sweep.client, sweep.bucket, upload)
                yield Removal(sweep.name_of(upload.key), objects=1)


def _over(sweep: Sweep, page: list[Upload]) -> Iterator[Upload]:
    ids = {upload: found.file_id for upload in page if (found := read_key(sweep.config.s3, upload.key))}
    known = files_now(sweep.db, sorted(set(ids.values())))
    yield from (upload for upload, file_id in ids.items() if file_id not in known or not known[file_id]["archive_due"])
