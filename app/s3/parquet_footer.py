"""The footer of a Parquet object: its rows and columns, by a read of its end."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from app.s3.read import ObjectVersion, S3Client, translated

# The end of an object that is read first; in all but very wide ones it holds the whole footer.
TAIL_BYTES = 64 << 10


def read_footer(client: S3Client, version: ObjectVersion) -> tuple[int, pa.Schema] | None:
    """Return rows and columns of a Parquet object; None when it is no Parquet.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: S3 refuses the read.
    """
    if version.size == 0:
        # S3 refuses a range of an empty object, and it holds no footer anyway.
        return None
    try:
        tail = _read_end(client, version, TAIL_BYTES)
        # Eight bytes behind the footer: its length, and PAR1.
        wanted = int.from_bytes(tail[-8:-4], "little") + 8
        if wanted > len(tail):
            tail = _read_end(client, version, wanted)
        found = pq.read_metadata(io.BytesIO(tail))
        return int(found.num_rows), found.schema.to_arrow_schema()
    except (pa.ArrowException, ValueError):
        return None


def _read_end(client: S3Client, version: ObjectVersion, wanted: int) -> bytes:
    begin = max(version.size - wanted, 0)
    with translated(f"s3://{version.bucket}/{version.key}"):
        answer = client.get_object(Bucket=version.bucket, Key=version.key, Range=f"bytes={begin}-{version.size - 1}")
        return answer["Body"].read()
