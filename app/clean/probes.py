"""Objects that a check has written to see whether it may, and that it could not delete: it was killed, or S3 went away meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from app.clean.sweep import Removal, Sweep, total
from app.ledger.paging import batched
from app.s3.read import list_all
from app.source.object_names import CHECK_PROBE

PAGE = 1000


def left_by_checks(sweep: Sweep) -> Iterator[Removal]:
    """Delete what checks have left and what is old enough that none is at it any more."""
    s3 = sweep.config.s3
    for prefix in (s3.source_prefix, s3.processed_prefix, s3.error_prefix, s3.facts_prefix, s3.pending_prefix):
        listed = list_all(sweep.client, sweep.bucket, f"{prefix}{CHECK_PROBE}")
        # The embedded server shows folders as objects, which they are not.
        left = (one for one in listed if one.last_modified < sweep.safe_before and not one.key.endswith("/"))
        for page in batched(left, PAGE):
            sweep.delete(page)
            for one in page:
                yield Removal(sweep.name_of(one.key), objects=1, size=total([one]))
