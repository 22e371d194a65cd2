"""Markers of finished files (`stream.done_marker`) whose file has left the source prefix: every look would list them for ever."""

from __future__ import annotations

from collections.abc import Iterator

from app.clean.sweep import Removal, Sweep, total
from app.ledger.paging import batched
from app.s3.read import head, list_all

PAGE = 1000


def stale_markers(sweep: Sweep) -> Iterator[Removal]:
    """Delete the markers that are old enough and whose file is not there any more: it was loaded, rejected or deleted."""
    ending, prefix = sweep.config.stream.done_marker, sweep.config.s3.source_prefix
    if ending is None:
        return
    listed = list_all(sweep.client, sweep.bucket, prefix)
    markers = (one for one in listed if one.key.endswith(ending) and one.last_modified < sweep.safe_before)
    alone = (one for one in markers if head(sweep.client, sweep.bucket, one.key.removesuffix(ending)) is None)
    for page in batched(alone, PAGE):
        sweep.delete(page)
        for one in page:
            yield Removal(sweep.name_of(one.key), objects=1, size=total([one]))
