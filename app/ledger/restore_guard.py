"""The marker on S3: the newest batch that was about to commit, or did. A ledger that does not know it is older than S3.

It is one small object below the facts prefix, in a folder that directory readers skip, overwritten beside the outputs of each batch
and again behind its commit. What people ask for (RETRACT, REPLAY, MEND) is noted beside it, an object each: from S3 alone nobody could
tell that a file was retracted on purpose.
docs/decisions/0012-exactly-once.md says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from app.config.load import Config, S3Config
from app.errors import RestoredLedger, S3Error
from app.mysql.database import Database
from app.s3.read import S3Client, list_all, read_object
from app.s3.write import write_object

FOLDER = "_salestream/"
OPERATIONS = f"{FOLDER}operations/"


@dataclass(frozen=True)
class Marker:
    """The epoch that wrote it, the key of the attempt (empty after a repair), and whether that has committed for certain."""

    epoch: int
    batch_key: str
    committed: bool = False


def marker_key(config: S3Config) -> str:
    """Return the key of the marker."""
    return f"{config.facts_prefix}{FOLDER}last_batch.json"


def is_marker(config: S3Config, key: str) -> bool:
    """Tell whether a key is the marker's, or that of a noted operation."""
    return key == marker_key(config) or key.startswith(f"{config.facts_prefix}{OPERATIONS}")


@dataclass(frozen=True)
class NotedOperation:
    """What somebody has asked for, as S3 remembers it when the ledger does not: the attempt, the kind, and files by id with their keys."""

    batch_key: str
    kind: str
    requested_by: str
    files: dict[int, str]


def note_key(config: S3Config, batch_key: str) -> str:
    """Return the key of a noted operation."""
    return f"{config.facts_prefix}{OPERATIONS}{batch_key}.json"


def note_operation(client: S3Client, config: S3Config, noted: NotedOperation) -> None:
    """Note an operation on S3, before it is committed.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the write is refused.
    """
    write_object(client, config.bucket, note_key(config, noted.batch_key), json.dumps(asdict(noted)).encode())


def noted_operations(client: S3Client, config: S3Config) -> Iterator[NotedOperation]:
    """Yield the noted operations, in the order of their batches.

    Raises:
        S3Error: one of them is not one of ours.
    """
    keys = [version.key for version in list_all(client, config.bucket, f"{config.facts_prefix}{OPERATIONS}")]
    for key in sorted(keys, key=lambda key: (len(key), key)):
        body = read_object(client, config.bucket, key)
        if body is None:
            continue
        try:
            found = json.loads(body)
            files = {int(number): str(name) for number, name in found["files"].items()}
            yield NotedOperation(str(found["batch_key"]), str(found["kind"]), str(found["requested_by"]), files)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise S3Error(f"s3://{config.bucket}/{key} is not what the job writes", cure="remove it") from exc


def write_marker(client: S3Client, config: S3Config, marker: Marker) -> None:
    """Overwrite the marker.

    Raises:
        S3Unavailable: S3 is out of reach.
        S3Error: the write is refused.
    """
    write_object(client, config.bucket, marker_key(config), json.dumps(asdict(marker)).encode())


def read_marker(client: S3Client, config: S3Config) -> Marker | None:
    """Read the marker; None when there is none yet.

    Raises:
        S3Error: it is not one of ours.
    """
    body = read_object(client, config.bucket, marker_key(config))
    if body is None:
        return None
    try:
        found = json.loads(body)
        return Marker(int(found["epoch"]), str(found["batch_key"]), bool(found["committed"]))
    except (ValueError, KeyError, TypeError) as exc:
        raise S3Error(f"s3://{config.bucket}/{marker_key(config)} is not what the job writes", cure="remove it") from exc


def refuse_restored(db: Database, client: S3Client, config: Config, epoch: int | None = None) -> None:
    """Stop when the ledger is older than what is on S3. The cost does not depend on the history: one GET, one look by key.

    Args:
        db: the ledger's database.
        client: an S3 client.
        config: the configuration; its bucket is known.
        epoch: the epoch of this start, which no earlier one can have reached; None for a command beside the stream.

    Raises:
        RestoredLedger: S3 has seen a batch or an epoch that the ledger does not know.
    """
    marker = read_marker(client, config.s3)
    if marker is None:
        return
    if marker.batch_key:
        sql = "SELECT state FROM batch_attempt WHERE batch_key = %s"
        state = db.run(lambda tx: tx.scalar(sql, (marker.batch_key,)))
        if state is None:
            raise RestoredLedger(f"the ledger in MySQL is older than S3: it does not know batch {marker.batch_key}, which S3 has seen")
        if marker.committed and state != "COMMITTED":
            raise RestoredLedger(f"the ledger in MySQL is older than S3: batch {marker.batch_key} was committed, and it says {state}")
    if epoch is None:
        # Read behind the marker: a stream that starts just now raises its epoch first.
        epoch = int(db.run(lambda tx: tx.scalar("SELECT epoch FROM stream_owner WHERE id = 1"))) + 1
    if marker.epoch >= epoch:
        raise RestoredLedger(f"the ledger in MySQL is older than S3: it is at epoch {epoch - 1}, S3 has seen epoch {marker.epoch}")
