"""Splits of a batch: which byte ranges are read, by which task, and what their markers say afterwards. Pure."""

from __future__ import annotations

import heapq
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

OK = "OK"
# What opening an object costs, in bytes that could be parsed meanwhile; it keeps thousands of small files balanced.
OPEN_COST = 64 << 10
# A second task pays off only above this: starting one costs some milliseconds.
SMALL_TASK = 512 << 10
# Borders are multiples of this, so that the hashes of blocks, and with them a content's digest, do not depend on the cut.
# Changing it changes every digest: nothing that was loaded before would be recognised any more.
BLOCK_BYTES = 256 << 10


@dataclass(frozen=True)
class ScanFile:
    """One object version to be scanned. `etag` has no quotes."""

    file_id: int
    bucket: str
    key: str
    etag: str
    size: int


@dataclass(frozen=True)
class Split:
    """The bytes from `start` to `end` of one object version; records that begin there belong to it."""

    file: ScanFile
    number: int
    start: int
    end: int
    block_bytes: int = BLOCK_BYTES

    @property
    def is_whole(self) -> bool:
        """Whether the file is read in one piece."""
        return self.start == 0 and self.end >= self.file.size


@dataclass(frozen=True)
class Marker:
    """What one split reports beside its rows.

    Attributes:
        file_id: the file.
        split: the number of the split in its file, from 0.
        outcome: OK or the reason why the file cannot be loaded; then rows that the split has yielded do not count.
        detail: the outcome in one clause.
        began_at: where the first record begins, None when no line begins in the split. Decompressed bytes for gzip.
        ended_at: where the record after the last one begins.
        lines: physical lines of the split, blank ones and header included.
        rows: records of the split, rejected ones included.
        hashed: bytes of the split that went into `blocks`; as stored, for gzip too.
        blocks: the hashes of the split's blocks (see blocks.py).
        header: what the file's fields hold, in file order.
        delimiter: what stands between them.
        header_text: the header as it is written in the file; on the first split only.
    """

    file_id: int
    split: int
    outcome: str = OK
    detail: str | None = None
    began_at: int | None = None
    ended_at: int | None = None
    lines: int = 0
    rows: int = 0
    hashed: int = 0
    blocks: bytes = b""
    header: tuple[str, ...] = ()
    delimiter: str | None = None
    header_text: str | None = None

    def to_json(self) -> str:
        """Give the text that travels in the column `_marker`."""
        return json.dumps(vars(self) | {"blocks": self.blocks.hex()}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Marker:
        """Read a marker back."""
        fields = json.loads(text)
        return cls(**fields | {"blocks": bytes.fromhex(fields["blocks"]), "header": tuple(fields["header"])})


def plan_splits(
    files: Iterable[ScanFile], split_bytes: int, whole: frozenset[int] = frozenset(), block_bytes: int = BLOCK_BYTES
) -> list[Split]:
    """Cut files into splits of at most `split_bytes`, but whole blocks. Compressed files and those in `whole` (ids) stay in one piece."""
    splits = []
    for file in files:
        is_cut = file.size > split_bytes and file.file_id not in whole and not is_gzip_name(file.key)
        blocks = -(-file.size // block_bytes)
        # Equal pieces: a last one of a few bytes would be a task for nothing.
        pieces = -(-blocks // max(1, split_bytes // block_bytes)) if is_cut else 1
        borders = [*(blocks * at // pieces * block_bytes for at in range(pieces)), file.size]
        splits += [Split(file, at, start, end, block_bytes) for at, (start, end) in enumerate(pairwise(borders))]
    return splits


def is_gzip_name(key: str) -> bool:
    """Tell whether a key announces a gzip-compressed object."""
    return key.lower().endswith(".gz")


def bundle_splits(splits: Sequence[Split], split_bytes: int, parallelism: int) -> list[list[Split]]:
    """Share splits among tasks of about equal work: few tasks for small batches, a multiple of `parallelism` for large ones."""
    if not splits:
        return []
    costs = [split.end - split.start + OPEN_COST for split in splits]
    total = sum(costs)
    by_size = -(-total // (split_bytes + OPEN_COST))
    tasks = max(1, min(parallelism, total // SMALL_TASK)) if by_size <= parallelism else -(-by_size // parallelism) * parallelism
    loads = [(0, at) for at in range(min(tasks, len(splits)))]
    bundles: list[list[Split]] = [[] for _ in loads]
    # The heaviest first, each to the task that has the least so far.
    for at in sorted(range(len(splits)), key=lambda at: -costs[at]):
        load, task = loads[0]
        bundles[task].append(splits[at])
        heapq.heapreplace(loads, (load + costs[at], task))
    return bundles


def line_bases(markers: Iterable[Marker]) -> dict[tuple[int, int], int]:
    """Return what must be added to line numbers, by (file_id, split); splits that begin a file are left out."""
    bases = {}
    for file_id, parts in by_file(markers).items():
        base = 0
        for part in parts:
            if part.split > 0:
                bases[file_id, part.split] = base
            base += part.lines
    return bases


def broken_borders(markers: Iterable[Marker]) -> set[int]:
    """Return the files in which a record crosses a border so that the next split began in its middle: scan them whole."""
    broken = set()
    for file_id, parts in by_file(markers).items():
        reached = [part for part in parts if part.began_at is not None]
        if any(before.ended_at != after.began_at for before, after in pairwise(reached)):
            broken.add(file_id)
    return broken


def by_file(markers: Iterable[Marker]) -> dict[int, list[Marker]]:
    """Return the markers of each file in the order of its splits."""
    files = defaultdict(list)
    for marker in markers:
        files[marker.file_id].append(marker)
    return {file_id: sorted(parts, key=lambda part: part.split) for file_id, parts in files.items()}
