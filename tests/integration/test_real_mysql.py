"""The main path on a real MySQL server, which scripts/fetch_mysql.sh fetches: its login, its strictness, its TLS, both drivers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pymysql
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from app.config.load import MySqlConfig
from app.errors import MySqlError
from app.local import LocalEnv
from app.model.dimensions import DIMENSIONS
from app.mysql.database import Database
from app.mysql.jdbc import jdbc_options
from app.mysql.migrations import apply_migrations, pending_migrations, seed_dimensions
from tests.integration import test_locks, test_schema, test_silence, test_stream, test_upgrade
from tests.integration.test_schema import UNUSUAL, assert_every_file_runs_again, assert_unusual_settings_change_nothing
from tests.mysql_server import MySqlServer, binary, make_certificates, mysql_server
from tests.verified import found_by_verify
from tests.world import ADMIN, JOB, World

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.skipif(binary() is None, reason="no MySQL server in .cache/mysql: fetch it with scripts/fetch_mysql.sh"),
]

MakeWorld = Callable[[str], World]


@pytest.fixture(scope="module")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySqlServer]:
    mysqld = binary()
    assert mysqld is not None
    with mysql_server(mysqld, tmp_path_factory.mktemp("mysql") / "server") as server:
        yield server


@pytest.fixture
def make_world(mysql: MySqlServer, servers: LocalEnv, tmp_path: Path) -> Iterator[MakeWorld]:
    """Make a world on that server; with `verify` its users may log in over TLS only."""
    # In the file and not in variables: the planner process has the JVM's variables, which name the embedded servers.
    section = {"host": mysql.host, "port": str(mysql.port)}
    with ExitStack() as stack:
        root = stack.enter_context(mysql.connect())

        def make(tls: str) -> World:
            ca = {"tls_ca": str(mysql.ca)} if tls == "verify" else {}
            world = World.make(servers, root, tmp_path, mysql=section | {"tls": tls} | ca)
            stack.callback(world.destroy, root)
            require(world, "SSL" if tls == "verify" else "NONE")
            # The users are the same for all tests, and one of them may make a world without TLS next.
            stack.callback(require, world, "NONE")
            return world

        yield make


def require(world: World, what: str) -> None:
    """Let the users of a world log in only so."""
    world.as_root(*[f"ALTER USER '{user}'@'%' REQUIRE {what}" for user in world.users])


def trace_of_reading(spark: SparkSession, config: MySqlConfig) -> str:
    """Read a table over JDBC, which must fail, and return the JVM's trace of it."""
    with pytest.raises(PySparkException) as caught:
        spark.read.format("jdbc").options(**jdbc_options(config), dbtable="customer").load()
    return str(caught.value._stackTrace)


@pytest.mark.parametrize("tls", ["off", "verify"])
def test_hand_made_drops_become_the_marts_worked_out_on_paper(
    make_world: MakeWorld, mysql: MySqlServer, spark: SparkSession, tls: str
) -> None:
    world = make_world(tls)
    with mysql.connect() as root, root.cursor() as cursor:
        cursor.execute("SELECT plugin FROM mysql.user WHERE user = %s", (JOB,))
        assert cursor.fetchone() == ("caching_sha2_password",)
    version, mode = world.rows("SELECT VERSION() AS v, @@GLOBAL.sql_mode AS m")[0].values()
    assert "MariaDB" not in version
    assert {"STRICT_TRANS_TABLES", "ONLY_FULL_GROUP_BY"} <= set(mode.split(","))
    assert bool(world.db.run(lambda tx: tx.rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'"))[0]["Value"]) == (tls == "verify")
    test_stream.test_hand_made_drops_become_the_marts_worked_out_on_paper(world, spark)


def test_migrations_and_sample_dimensions_can_be_applied_again(make_world: MakeWorld) -> None:
    world = make_world("verify")
    before = {d.table: world.rows(f"SELECT COUNT(*) AS n FROM `{d.table}`")[0]["n"] for d in DIMENSIONS}
    assert pending_migrations(world.db) == []
    assert apply_migrations(world.mysql_as(ADMIN)) == []
    seed_dimensions(world.admin, world.bucket, world.config.s3.source_prefix)
    assert {d.table: world.rows(f"SELECT COUNT(*) AS n FROM `{d.table}`")[0]["n"] for d in DIMENSIONS} == before
    assert all(before.values())
    assert_every_file_runs_again(world)


def test_a_server_with_unusual_settings_gets_the_tables_and_hides_no_row(make_world: MakeWorld) -> None:
    modes = {"sql_mode": "ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,TRADITIONAL", "sql_require_primary_key": 1}
    assert_unusual_settings_change_nothing(make_world("off"), **UNUSUAL | modes)


def test_an_earlier_database_is_updated_and_its_work_goes_on(make_world: MakeWorld, spark: SparkSession) -> None:
    test_upgrade.test_an_earlier_database_is_updated_and_its_work_goes_on(make_world("verify"), spark)


def test_nobody_waits_for_the_locks_of_a_dead_attempt(make_world: MakeWorld, spark: SparkSession) -> None:
    world = make_world("verify")
    test_locks.test_the_next_owner_waits_for_no_lock_of_a_dead_attempt_and_removes_its_rows_later(world, spark)
    assert found_by_verify(world.config) == []


def test_a_long_statement_that_the_server_works_on_is_waited_for(make_world: MakeWorld) -> None:
    test_silence.test_a_long_statement_that_the_server_works_on_is_waited_for(make_world("verify"))


def test_an_init_db_that_was_killed_locks_nobody_out(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    test_schema.test_an_init_db_that_was_killed_locks_nobody_out(make_world("verify"), monkeypatch, caplog)


def test_both_drivers_refuse_a_server_that_another_ca_vouches_for(make_world: MakeWorld, spark: SparkSession, tmp_path: Path) -> None:
    world = make_world("verify")
    (tmp_path / "other").mkdir()
    make_certificates(tmp_path / "other")
    strangers = world.config.mysql.model_copy(update={"tls_ca": tmp_path / "other" / "ca.pem"})
    with pytest.raises(MySqlError, match="certificate"):
        Database(strangers).connect()
    with pytest.raises(MySqlError, match="certificate"):
        apply_migrations(strangers)
    assert "checkServerTrusted" in trace_of_reading(spark, strangers)


def test_without_a_ca_file_both_drivers_ask_the_cas_of_the_machine(make_world: MakeWorld, spark: SparkSession) -> None:
    nobodys = make_world("verify").config.mysql.model_copy(update={"tls_ca": None})
    with pytest.raises(MySqlError, match="certificate"):
        Database(nobodys).connect()
    assert "checkServerTrusted" in trace_of_reading(spark, nobodys)


def test_the_trust_store_is_found_in_a_folder_with_odd_letters(
    make_world: MakeWorld, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.mysql import truststore

    world = make_world("verify")
    odd = tmp_path / "odd & 100%ü ?#=+"
    odd.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    truststore._made.cache_clear()
    truststore._folder.cache_clear()
    try:
        options = jdbc_options(world.config.mysql)
        assert os.listdir(odd)
        assert spark.read.format("jdbc").options(**options, dbtable="customer").load().count() > 0
    finally:
        truststore._made.cache_clear()
        truststore._folder.cache_clear()


def test_the_server_takes_no_login_without_the_password(mysql: MySqlServer) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        pymysql.connect(host=mysql.host, port=mysql.port, user=mysql.root_user)
