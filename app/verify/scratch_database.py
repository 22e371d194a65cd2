"""A DuckDB database in a temporary folder: both sides are put side by side on disk, so that memory stays bounded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

MEMORY = "512MB"
THREADS = 2
PAGE_ROWS = 10_000


class Scratch:
    """Tables on disk, and a folder for what is being read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._db = duckdb.connect(str(folder / "verify.duckdb"))
        # Nothing of DuckDB's own reaches the network: objects come through our S3 client.
        for name in ("autoinstall_known_extensions", "autoload_known_extensions"):
            self._db.execute(f"SET {name} = false")
        self._db.execute(f"SET memory_limit = '{MEMORY}'")
        self._db.execute(f"SET threads = {THREADS}")
        self._db.execute(f"SET temp_directory = '{folder / 'spill'}'")
        self._db.execute("SET preserve_insertion_order = false")

    def run(self, sql: str, args: Sequence[Any] = ()) -> None:
        """Run one statement."""
        self._db.execute(sql, list(args))

    def rows(self, sql: str, args: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Run one SELECT on a cursor of its own and yield its rows, so that other statements may run meanwhile."""
        with self._db.cursor() as cursor:
            cursor.execute(sql, list(args))
            while page := cursor.fetchmany(PAGE_ROWS):
                yield from page

    def columns(self, view: str) -> set[str]:
        """Return the columns of a table or view, one of an open transaction too."""
        return {row[0] for row in self._db.execute(f"DESCRIBE {view}").fetchall()}

    def scalar(self, sql: str, args: Sequence[Any] = ()) -> Any:
        """Run one SELECT and return the first column of its first row, or None."""
        row = self._db.execute(sql, list(args)).fetchone()
        return row[0] if row else None

    def append(self, table: str, page: Sequence[Sequence[Any]]) -> None:
        """Append rows in the order of the table's columns."""
        if not page:
            return
        columns = [pa.array(values) for values in zip(*page, strict=True)]
        batch = pa.table(columns, names=[f"c{at}" for at in range(len(columns))])
        self._db.register("page", batch)
        self._db.execute(f"INSERT INTO {table} SELECT * FROM page")
        self._db.unregister("page")

    def fill(self, table: str, pages: Iterable[Sequence[Sequence[Any]]]) -> None:
        """Append page after page."""
        for page in pages:
            self.append(table, page)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep what is written inside only if all of it succeeds."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self._db.close()


@contextmanager
def open_scratch() -> Iterator[Scratch]:
    """Open a scratch database; folder and all are gone at the end. `TMPDIR` says where."""
    with tempfile.TemporaryDirectory(prefix="salestream-verify-") as folder:
        scratch = Scratch(Path(folder))
        try:
            yield scratch
        finally:
            scratch.close()
