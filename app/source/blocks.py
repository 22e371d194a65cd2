"""Content identity: a digest of an object's bytes that does not depend on how it was uploaded or cut. Pure.

Every reader hashes the blocks of its own range while it passes over them; docs/decisions/0004-content-identity.md says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from app.errors import S3Unavailable
from app.source.splits import OK, Marker, Split, by_file


class BlockHasher:
    """Hashes the blocks of one split, bytes `start` to `end`, while they pass by; what lies outside is left out."""

    def __init__(self, split: Split) -> None:
        self._at = split.start
        self._start = split.start
        self._end = split.end
        self._block_bytes = split.block_bytes
        self._hash = sha256()
        self._hashes: list[bytes] = []

    @property
    def size(self) -> int:
        """How many bytes of the split have been hashed."""
        return self._at - self._start

    @property
    def is_complete(self) -> bool:
        """Whether every byte of the split has been hashed."""
        return self._at >= self._end

    @property
    def hashes(self) -> bytes:
        """The hashes of the blocks, one after the other."""
        return b"".join(self._hashes)

    def through(self, chunks: Iterable[bytes], at: int) -> Iterator[bytes]:
        """Yield chunks unchanged; the first one begins at the offset `at`, which is not behind the split's beginning."""
        for chunk in chunks:
            if not self.is_complete:
                self._take(memoryview(chunk)[max(0, self._at - at) : self._end - at])
            at += len(chunk)
            yield chunk

    def _take(self, view: memoryview) -> None:
        while view:
            piece = view[: self._block_bytes - self._at % self._block_bytes]
            self._hash.update(piece)
            self._at += len(piece)
            view = view[len(piece) :]
            if self._at % self._block_bytes == 0 or self._at == self._end:
                self._hashes.append(self._hash.digest())
                self._hash = sha256()


def content_digests(markers: Iterable[Marker], sizes: Mapping[int, int]) -> dict[int, bytes]:
    """Return the digest of each file that was read to its end: file id -> 32 bytes. `sizes` are those that the ledger booked.

    Raises:
        S3Unavailable: S3 gave other bytes than the object has; what was read must not count as the file.
    """
    digests = {}
    for file_id, parts in by_file(markers).items():
        if any(part.outcome != OK for part in parts):
            continue
        read = sum(part.hashed for part in parts)
        if read != sizes[file_id]:
            raise S3Unavailable(f"file {file_id}: {read} of {sizes[file_id]} bytes were read")
        digests[file_id] = sha256(read.to_bytes(8, "big") + b"".join(part.blocks for part in parts)).digest()
    return digests
