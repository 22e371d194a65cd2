"""Salestream itself, started as a user starts it. When a file is committed is what the ledger in MySQL says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql

from scripts.bench.contender import Running, spawn
from scripts.bench.servers import REPOSITORY, Site
from tests.chaos import processes

COMMITTED = (
    "SELECT CONVERT(f.object_key USING utf8mb4), b.committed_at FROM source_file f JOIN micro_batch b ON b.id = f.batch_id"
    " WHERE f.state = 'COMMITTED' AND f.id > %s"
)


def start(site: Site, log: Path, *args: str, after: int = 0, **environment: str) -> Running:
    """Start `run` for ever, with arguments for spark-submit; files up to the id `after` are not waited for."""
    process = spawn([str(REPOSITORY / "spark-submit.sh"), *args, "run"], log, site.environment | environment)
    # spark-submit.sh gives Spark a session of its own.
    return Running(process, log, LedgerReader(site, after), lambda: processes.kill(site.home, "group"))


class LedgerReader:
    """Reads which files are committed, of those that came after the first so many."""

    def __init__(self, site: Site, after: int) -> None:
        self._site = site
        self._after = after
        self._connection: pymysql.Connection[Any] | None = None
        self._found: dict[str, float] = {}

    def __call__(self) -> dict[str, float]:
        """Return key -> moment of commit, of everything so far."""
        if self._connection is None:
            self._connection = self._site.connect()
        with self._connection.cursor() as cursor:
            # Counting is cheap for the server that is being measured; the rows themselves are read when there are more of them.
            cursor.execute("SELECT COUNT(*) FROM source_file WHERE state = 'COMMITTED' AND id > %s", (self._after,))
            if cursor.fetchone()[0] != len(self._found):
                cursor.execute(COMMITTED, (self._after,))
                self._found = {key: moment(at) for key, at in cursor.fetchall()}
        return self._found


def moment(at: datetime) -> float:
    """Return a time of MySQL's as seconds since 1970."""
    return at.replace(tzinfo=UTC).timestamp()
