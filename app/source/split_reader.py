"""What a Python worker does with its splits: open them a few ahead, parse them, and report each one by a marker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from app.contract.columns import typed_schema, with_types
from app.contract.contract import Contract
from app.errors import S3Error, S3Unavailable
from app.model.dimensions import known_field
from app.parsing.preamble import CachedMatcher, FileFault, Matcher, Preamble, read_preamble
from app.parsing.record_rules import Limits
from app.parsing.records import RecordParser
from app.parsing.rows import rows_schema
from app.source.blocks import BlockHasher
from app.source.ranges import FAULT, FileLost, RangeReader, refusal_of, unzipped
from app.source.splits import Marker, Split, is_gzip_name

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

# Bytes of one read and of one vectorised parse.
CHUNK_BYTES = 2 << 20
# Rows of one Arrow batch to the JVM; smaller ones cost a message each, larger ones memory on both sides.
BATCH_ROWS = 20_000
# Its bytes, as rows may be of any size: what is gathered goes on when it has so many.
BATCH_BYTES = 8 << 20
# Objects opened ahead of the parser, as an S3 round trip takes longer than parsing a small file, and their bytes.
OPEN_AHEAD = 8
AHEAD_BYTES = 16 << 20
# After so many splits in a row that S3 did not give, it is S3 that is away. They were all opened at once: one costs as much time.
MOST_FAULTS = OPEN_AHEAD


@dataclass(frozen=True)
class _Opened:
    """A split whose first bytes are here. `chunks` begin with its first record, at `began_at` (None: no line begins in it)."""

    split: Split
    preamble: Preamble | FileFault
    reader: RangeReader
    hasher: BlockHasher
    began_at: int | None = None
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))

    def read_to_end(self) -> None:
        """Pass over what no record needed, as every byte of the split is hashed."""
        while not self.hasher.is_complete and next(self.chunks, None) is not None:
            pass


@dataclass(frozen=True)
class SplitReader:
    """Reads splits. It is pickled to the workers. `with_known` adds `_known` to typed rows (see `app.model.dimensions`).

    Rows have `_file_id`, `_split`, `_line` (of the record's first line, counted from 1 in the split: see `line_bases`), the contract's
    columns (see `app.contract.columns`), `_extra` (extra columns by name, NULL where the file has none), `_raw` (the record's text without
    its last line break), `_faults` (of its form or else of its values, NULL for sound rows) and `_marker` (NULL).
    """

    contract: Contract
    limits: Limits
    with_known: Callable[[pa.RecordBatch], pa.RecordBatch]
    client_factory: Callable[[], S3Client]

    def read(self, splits: Sequence[Split]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of splits in batches of bounded rows and bytes, then a batch of their markers, as JSON in `_marker`.

        Raises:
            S3Unavailable: S3 stays out of reach.
            S3Error: S3 refuses the caller.
        """
        markers: list[Marker] = []
        waiting: list[pa.RecordBatch] = []
        count = size = 0
        for opened in self._open_ahead(splits):
            for batch in self._rows(opened, markers):
                waiting.append(batch)
                count += batch.num_rows
                size += batch.nbytes
                if count >= BATCH_ROWS or size >= BATCH_BYTES:
                    yield from self._typed(waiting)
                    waiting, count, size = [], 0, 0
            if len(markers) >= MOST_FAULTS and all(marker.outcome == FAULT for marker in markers[-MOST_FAULTS:]):
                raise S3Unavailable(markers[-1].detail or "")
        yield from self._typed(waiting)
        yield _marker_batch(markers, self.contract)

    def _typed(self, parts: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Convert what many small files hold at once: the calls cost more than their rows."""
        if parts:
            whole = parts[0] if len(parts) == 1 else pa.concat_batches(parts)
            for start in range(0, whole.num_rows, BATCH_ROWS):
                yield self.with_known(with_types(whole.slice(start, BATCH_ROWS), self.contract))

    def _open_ahead(self, splits: Sequence[Split]) -> Iterator[_Opened]:
        client, matcher = self.client_factory(), CachedMatcher(self.contract)
        todo = deque(splits)
        ahead: deque[tuple[int, Future[_Opened]]] = deque()
        with ThreadPoolExecutor(OPEN_AHEAD, thread_name_prefix="open") as pool:
            while todo or ahead:
                while todo and (not ahead or (len(ahead) < OPEN_AHEAD and sum(size for size, _ in ahead) < AHEAD_BYTES)):
                    split = todo.popleft()
                    ahead.append((min(split.end - split.start, CHUNK_BYTES), pool.submit(self._open, client, matcher, split)))
                yield ahead.popleft()[1].result()

    def _open(self, client: S3Client, matcher: Matcher, split: Split) -> _Opened:
        reader = RangeReader(client, split.file, max(0, split.start - 1), split.end)
        try:
            return self._open_first(matcher, split, reader) if split.number == 0 else self._open_later(client, matcher, split, reader)
        except FileLost as lost:
            return _Opened(split, FileFault(lost.code, lost.detail), reader, BlockHasher(split))
        except (S3Unavailable, S3Error) as exc:
            return _Opened(split, FileFault(_code_of(exc), exc.what), reader, BlockHasher(split))

    def _open_first(self, matcher: Matcher, split: Split, reader: RangeReader) -> _Opened:
        """Open the split that holds the header."""
        hasher = BlockHasher(split)
        chunks = hasher.through(_chunks(reader), at=0)
        if is_gzip_name(split.file.key):
            chunks = unzipped(chunks, CHUNK_BYTES)
        head = b""
        while len(head) <= self.limits.max_header_bytes and (chunk := next(chunks, b"")):
            head += chunk
        preamble = self._preamble(matcher, head)
        if isinstance(preamble, FileFault):
            return _Opened(split, preamble, reader, hasher)
        return _Opened(split, preamble, reader, hasher, preamble.size, chain([head[preamble.size :]], chunks))

    def _open_later(self, client: S3Client, matcher: Matcher, split: Split, reader: RangeReader) -> _Opened:
        """Open a split in the middle of a file: its header is read apart, and it begins at the first line start behind its border."""
        header = RangeReader(client, split.file, 0, min(split.file.size, self.limits.max_header_bytes + 1))
        preamble = self._preamble(matcher, header.read(self.limits.max_header_bytes + 1))
        header.close()
        hasher = BlockHasher(split)
        if isinstance(preamble, FileFault):
            return _Opened(split, preamble, reader, hasher)
        at = split.start - 1
        chunks = hasher.through(_chunks(reader), at)
        for chunk in chunks:
            if preamble.size >= split.start:
                # The header reaches into the split: the first record begins behind it, wherever the line breaks are.
                begin = preamble.size - at if preamble.size <= at + len(chunk) else 0
            else:
                begin = chunk.find(b"\n") + 1
            if begin > 0:
                return _Opened(split, preamble, reader, hasher, at + begin, chain([chunk[begin:]], chunks))
            at += len(chunk)
            if at >= split.end - 1 and preamble.size < split.start:
                break
        return _Opened(split, preamble, reader, hasher, chunks=chunks)

    def _preamble(self, matcher: Matcher, head: bytes) -> Preamble | FileFault:
        most = self.limits.max_header_bytes
        encoding = self.contract.settings.encoding
        return read_preamble(head[:most], is_all=len(head) <= most, contract=matcher, encoding=encoding, limits=self.limits)

    def _rows(self, opened: _Opened, markers: list[Marker]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one split and add its marker."""
        split, preamble, began_at = opened.split, opened.preamble, opened.began_at
        file_id = split.file.file_id
        try:
            if isinstance(preamble, FileFault):
                marker = Marker(file_id, split.number, preamble.code, preamble.detail)
            elif began_at is None:
                opened.read_to_end()
                marker = Marker(file_id, split.number, hashed=opened.hasher.size, blocks=opened.hasher.hashes)
            else:
                before = preamble.lines if split.number == 0 else 0
                stop_at = None if split.end >= split.file.size else split.end - began_at
                parser = RecordParser(preamble.layout, self.limits, first_line=before + 1, stop_at=stop_at)
                for batch in _parsed(parser, opened.chunks):
                    yield _with_origin(batch, split)
                opened.read_to_end()
                marker = Marker(
                    file_id,
                    split.number,
                    began_at=began_at,
                    ended_at=began_at + parser.consumed,
                    lines=before + parser.lines,
                    rows=parser.rows,
                    hashed=opened.hasher.size,
                    blocks=opened.hasher.hashes,
                    header=preamble.layout.names,
                    delimiter=preamble.layout.delimiter,
                    header_text=preamble.text if split.number == 0 else None,
                )
        except FileLost as lost:
            marker = Marker(file_id, split.number, lost.code, lost.detail)
        except (S3Unavailable, S3Error) as exc:
            marker = Marker(file_id, split.number, _code_of(exc), exc.what)
        finally:
            opened.reader.close()
        markers.append(marker)


def _code_of(error: S3Unavailable | S3Error) -> str:
    """Return the outcome of a file that S3 does not give.

    Raises:
        S3Error: S3 refuses the caller, whatever is asked for.
    """
    code = FAULT if isinstance(error, S3Unavailable) else refusal_of(error)
    if code is None:
        raise error
    return code


def _chunks(reader: RangeReader) -> Iterator[bytes]:
    while chunk := reader.read(CHUNK_BYTES):
        yield chunk


def _parsed(parser: RecordParser, chunks: Iterator[bytes]) -> Iterator[pa.RecordBatch]:
    for chunk in chunks:
        yield from parser.feed(chunk)
        if parser.is_done:
            return
    yield from parser.feed(b"", is_last=True)


def batch_schema(contract: Contract) -> pa.Schema:
    """Return the schema of the batches that a worker yields."""
    return typed_schema(_text_schema(contract.names), contract).append(known_field())


@lru_cache(maxsize=16)
def _text_schema(columns: tuple[str, ...]) -> pa.Schema:
    fields = [pa.field("_file_id", pa.int64()), pa.field("_split", pa.int32()), *rows_schema(columns), pa.field("_marker", pa.string())]
    return pa.schema(fields)


def _with_origin(rows: pa.RecordBatch, split: Split) -> pa.RecordBatch:
    count = rows.num_rows
    file_ids = pa.repeat(pa.scalar(split.file.file_id, pa.int64()), count)
    numbers = pa.repeat(pa.scalar(split.number, pa.int32()), count)
    columns = tuple(rows.schema.names[1:-3])
    return pa.RecordBatch.from_arrays([file_ids, numbers, *rows.columns, pa.nulls(count, pa.string())], schema=_text_schema(columns))


def _marker_batch(markers: Sequence[Marker], contract: Contract) -> pa.RecordBatch:
    schema = batch_schema(contract)
    known = {
        "_file_id": [marker.file_id for marker in markers],
        "_split": [marker.split for marker in markers],
        "_marker": [marker.to_json() for marker in markers],
    }
    nothing = [None] * len(markers)
    return pa.RecordBatch.from_arrays([pa.array(known.get(field.name, nothing), field.type) for field in schema], schema=schema)
