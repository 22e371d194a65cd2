"""MySQL: one consistent look at many tables, streamed row by row, so that its cost in memory does not follow the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pymysql.cursors

from app.mysql.database import Database, Tx
from app.mysql.errors import translated

PAGE_ROWS = 10_000


class Snapshot:
    """An open read-only transaction; every query sees the same moment."""

    def __init__(self, connection: pymysql.Connection[Any]) -> None:
        self._connection = connection

    def pages(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """Run one SELECT and yield its rows in pages, without ever holding all of them. Read to the end before the next one."""
        with self._connection.cursor(pymysql.cursors.SSCursor) as cursor:
            cursor.execute(sql)
            while page := cursor.fetchmany(PAGE_ROWS):
                yield list(page)


@contextmanager
def snapshot(db: Database) -> Iterator[Snapshot]:
    """Open a connection of its own on one consistent snapshot; it is closed at the end.

    Raises:
        MySqlUnavailable: the server does not answer.
        MySqlError: the server refuses.
    """
    with _opened(db) as connection:
        yield Snapshot(connection)


@contextmanager
def one_moment(db: Database) -> Iterator[Tx]:
    """Open a connection of its own for small queries with values that all see the same moment; it is closed at the end.

    Raises:
        MySqlUnavailable: the server does not answer.
        MySqlError: the server refuses.
    """
    with _opened(db) as connection:
        yield Tx(connection)


@contextmanager
def _opened(db: Database) -> Iterator[pymysql.Connection[Any]]:
    connection = db.connect()
    try:
        with translated(f"mysql.host={db.config.host}:{db.config.port}"):
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            yield connection
    finally:
        connection.close()
