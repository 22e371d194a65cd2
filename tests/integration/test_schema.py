"""The SQL files: a crash between the last statement of one and its mark in `schema_migration` runs it again."""

from __future__ import annotations

from typing import Any

import pytest

from app.mysql.migrations import SQL_FOLDER, apply_migrations, pending_migrations
from tests.world import ADMIN, World

pytestmark = pytest.mark.integration

FILES = [path.stem for path in sorted(SQL_FOLDER.glob("[0-9]*.sql"))]


def shape(world: World) -> list[Any]:
    """Everything that the SQL files make: columns with their types, and keys."""
    columns = "SELECT table_name, column_name, column_type, is_nullable, column_default FROM information_schema.columns"
    keys = "SELECT table_name, index_name, seq_in_index, column_name, non_unique FROM information_schema.statistics"
    return [sorted(str(row) for row in world.rows(f"{what} WHERE table_schema = DATABASE()")) for what in (columns, keys)]


def assert_every_file_runs_again(world: World) -> None:
    """Forget one mark after the other, and apply."""
    before = shape(world)
    for name in FILES:
        world.execute("DELETE FROM schema_migration WHERE migration_id = %s", name)
        assert apply_migrations(world.mysql_as(ADMIN)) == [name]
        assert shape(world) == before, name
    assert pending_migrations(world.db) == []


def test_every_sql_file_runs_again_where_its_mark_was_lost(world: World) -> None:
    assert_every_file_runs_again(world)
