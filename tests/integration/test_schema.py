"""The SQL files: a crash between the last statement of one and its mark in `schema_migration` runs it again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.checks import database
from app.cli import app as cli
from app.errors import MySqlError
from app.mysql.database import Database
from app.mysql.migrations import SQL_FOLDER, apply_migrations, pending_migrations, seed_dimensions
from tests.dump import ROUND1, load
from tests.integration.test_upgrade import update
from tests.world import ADMIN, World, grant

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


# Servers whose default collation has changed between two updates


# A code of ours is ASCII and may say so; MySQL compares the two.
PINNED = {"utf8mb4_bin", "ascii_bin"}


def collations(world: World) -> set[str]:
    """The collations of all columns of the ledger's and the marts' tables."""
    dimensions = "'customer', 'store', 'product', 'sales_team', 's3_bucket_info', 'schema_migration', 'product_staging_table'"
    sql = (
        "SELECT DISTINCT collation_name AS c FROM information_schema.columns WHERE table_schema = DATABASE() AND collation_name IS NOT NULL"
        f" AND table_name NOT IN ({dimensions}) AND table_name NOT LIKE '%%yoyo%%'"
    )
    return {row["c"] for row in world.rows(sql)}


def test_every_table_of_ours_has_the_one_collation(world: World) -> None:
    assert collations(world) <= PINNED


# Those that an update in between has made, or made anew.
LATER = ("batch_file", "file_reject", "quarantine_part", "pending_key", "stage_file", "customers_data_mart")


def mixed(statement: str) -> str:
    """Make some tables under another default, as after an update of the server."""
    made = re.match(r"CREATE TABLE `(\w+)`", statement)
    return re.sub(r"COLLATE=\w+", "COLLATE=utf8mb4_unicode_ci", statement) if made and made.group(1) in LATER else statement


def test_tables_made_under_two_default_collations_are_set_right(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load(world, ROUND1, mixed)
    assert len(collations(world) - PINNED) == 2
    with pytest.raises(MySqlError, match="error 1267: Illegal mix of collations"):
        world.rows("SELECT 1 FROM batch_file h JOIN batch_attempt a ON a.batch_key = h.batch_key")
    update(world)
    assert collations(world) <= PINNED
    monkeypatch.setattr("app.cli.options.configuration", lambda _env: world.config)
    for command in (["files"], ["file", "6"], ["quarantine", "list"], ["retract", "first.csv"]):
        assert cli.main(command) == 0, (command, capsys.readouterr())


def test_a_table_of_another_collation_is_named_by_check_and_set_right_by_init_db(world: World) -> None:
    world.execute("ALTER TABLE batch_file CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    with pytest.raises(MySqlError, match=r"^MYSQL batch_file: another collation than the other tables; run \./spark-submit\.sh init-db$"):
        database.checks(world.config)["mysql tables"]()
    assert apply_migrations(world.mysql_as(ADMIN)) == []
    assert collations(world) <= PINNED
    assert database.checks(world.config)["mysql tables"]().startswith("the tables are at level")


# Servers whose settings are not the usual ones

# All at once: none of them may reach our sessions.
UNUSUAL = {
    "sql_mode": "ORACLE,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH",
    "sql_safe_updates": 1,
    "sql_select_limit": 2,
    "max_join_size": 10,
    "sql_big_selects": 0,
    "default_storage_engine": "MyISAM",
    "innodb_default_row_format": "compact",
    "init_connect": "SET autocommit = 0",
}


@contextmanager
def server_settings(world: World, **values: Any) -> Iterator[None]:
    """Change global variables of the server for a while."""
    assert world.root is not None
    with world.root.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'@@GLOBAL.{name}' for name in values)}")
        before = dict(zip(values, cursor.fetchone(), strict=True))

        def put(settings: dict[str, Any]) -> None:
            for name, value in settings.items():
                cursor.execute(f"SET GLOBAL {name} = %s", (value,))

        try:
            put(values)
            yield
        finally:
            put(before)


def test_a_server_with_unusual_settings_gets_the_tables_and_hides_no_row(world: World) -> None:
    assert_unusual_settings_change_nothing(world, **UNUSUAL)


def assert_unusual_settings_change_nothing(world: World, **settings: Any) -> None:
    """Change the server for a while; make the tables, check everything, read and change rows."""
    name = f"{world.config.mysql.database}u"
    with server_settings(world, **settings):
        world.as_root(f"CREATE DATABASE {name} CHARACTER SET latin1")
        grant(world.root, name, ADMIN)
        fresh = world.mysql_as(ADMIN).model_copy(update={"database": name})
        assert apply_migrations(fresh) == FILES
        assert apply_migrations(fresh) == []
        seed_dimensions(Database(fresh), "bucket", "sales_data/")
        engines = world.rows(
            "SELECT DISTINCT engine AS e FROM information_schema.tables WHERE table_schema = %s AND engine IS NOT NULL", name
        )
        assert engines == [{"e": "InnoDB"}]
        found = [one for one in database.checks(world.config).values() if one()]
        assert len(found) == len(database.checks(world.config))
        other = Database(fresh)
        assert len(other.run(lambda tx: tx.rows("SELECT * FROM customer a JOIN customer b ON a.first_name <> b.last_name"))) > 25
        assert other.run(lambda tx: tx.execute("UPDATE customer SET address = CONCAT('a', ' ', 'b') WHERE pincode <> ''")) == 25
        assert other.run(lambda tx: tx.scalar("SELECT COUNT(*) FROM customer WHERE address = 'a b'")) == 25
        other.close()
    world.as_root(f"DROP DATABASE {name}")


def test_a_statement_of_a_sql_file_that_is_refused_is_named_with_its_file(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "990_fine.sql").write_text("CREATE TABLE fine (id INT PRIMARY KEY);")
    (tmp_path / "991_refused.sql").write_text("CREATE TABLE other (id INT PRIMARY KEY);\nCREATE TABLE other (id INT PRIMARY KEY);")
    monkeypatch.setattr("app.mysql.migrations.SQL_FOLDER", tmp_path)
    with pytest.raises(MySqlError, match=r"991_refused\.sql: error 1050: Table 'other' already exists"):
        apply_migrations(world.mysql_as(ADMIN))


# An init-db that was killed


def test_an_init_db_that_was_killed_locks_nobody_out(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.mysql.migrations.GRACE_SECONDS", 0.5)
    world.execute("DELETE FROM schema_migration WHERE migration_id LIKE '006%%'")
    world.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, UTC_TIMESTAMP(), 4711)")
    assert apply_migrations(world.mysql_as(ADMIN)) == ["006_collation"]
    assert world.rows("SELECT pid FROM yoyo_lock") == []
    assert [r.getMessage() for r in caplog.records if "4711" in r.getMessage()] != []


def test_of_two_init_dbs_the_second_waits_for_the_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.mysql.migrations.LOCK_SECONDS", 1)
    name = "salestream.init-db." + sha256(world.bucket.encode()).hexdigest()[:32]
    with world.admin.connect() as first, first.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
        with pytest.raises(MySqlError, match=r"another init-db runs in database \w+ \(connection \d+\); wait for its end"):
            apply_migrations(world.mysql_as(ADMIN))
    assert apply_migrations(world.mysql_as(ADMIN)) == []
