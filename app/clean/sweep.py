"""What all parts of `clean` share: the servers, one moment that ages are measured at, and what a removal looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.config.load import Config
from app.failpoints import failpoint
from app.ledger.operations import marks
from app.mysql.database import Database, Row, Tx
from app.s3.read import ObjectVersion, S3Client
from app.s3.write import delete_keys

PAGE_KEYS = 50
# Nothing is older, whatever age is configured.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Removal:
    """One thing that was removed, or would be.

    Attributes:
        name: the object, folder, upload or row, as people find it.
        rows: rows of MySQL.
        objects: objects on S3, unfinished uploads included.
        size: their bytes.
    """

    name: str
    rows: int = 0
    objects: int = 0
    size: int = 0


@dataclass(frozen=True)
class Sweep:
    """One cleaning.

    Attributes:
        db: the ledger's database.
        client: an S3 client.
        config: the configuration; its bucket is known.
        now: the moment (UTC) that ages are measured at, by MySQL's clock.
        safety: what nobody knows must be this old before it goes.
        dry_run: only say what would go.
    """

    db: Database
    client: S3Client
    config: Config
    now: datetime
    safety: timedelta
    dry_run: bool

    @property
    def bucket(self) -> str:
        """The bucket."""
        return self.config.s3.bucket

    @property
    def safe_before(self) -> datetime:
        """What is older than this is not being written any more."""
        return self.now - self.safety

    def before(self, age: timedelta) -> datetime:
        """Return the moment that lies so far back, as MySQL stores it."""
        return (self.now - min(age, self.now - BEGINNING)).astimezone(UTC).replace(tzinfo=None)

    def name_of(self, key: str) -> str:
        """Name an object or folder."""
        return f"s3://{self.bucket}/{key}"

    def delete(self, found: Sequence[ObjectVersion]) -> None:
        """Delete objects that are ours alone, unless this is a dry run."""
        if not self.dry_run:
            delete_keys(self.client, self.bucket, [one.key for one in found])

    def rows(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """Run one SELECT in a transaction of its own."""
        return self.db.run(lambda tx: tx.rows(sql, args))

    def note(self, work: Callable[[Tx], object]) -> None:
        """Note in the ledger that objects are gone, in a transaction of its own, unless this is a dry run."""
        if not self.dry_run:
            failpoint("clean_deleted")
            self.db.run(work)

    def key_pages(self, sql: str, args: Sequence[object] = ()) -> Iterator[list[str]]:
        """Yield the batch keys that a SELECT finds, page by page. `sql` ends in a WHERE clause to which more can be added.

        Pages go by the key, not by what is left, so that a dry run comes to an end as well.
        """
        after = ""
        while True:
            page = f"{sql} AND t.batch_key > %s GROUP BY t.batch_key ORDER BY t.batch_key LIMIT {PAGE_KEYS}"
            keys = [row["batch_key"] for row in self.rows(page, (*args, after))]
            if not keys:
                return
            yield keys
            after = keys[-1]


def open_attempts(tx: Tx, keys: Sequence[str]) -> set[str]:
    """Return which of these attempts may still be going on."""
    if not keys:
        return set()
    sql = f"SELECT batch_key FROM batch_attempt WHERE state = 'OPEN' AND batch_key IN ({marks(keys)})"
    return {row["batch_key"] for row in tx.rows(sql, keys)}


def total(found: Sequence[ObjectVersion]) -> int:
    """Return the bytes of objects."""
    return sum(one.size for one in found)


def statement(sql: str, args: Sequence[object]) -> Callable[[Tx], int]:
    """Return the work of one statement."""
    return lambda tx: tx.execute(sql, args)
