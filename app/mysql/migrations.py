"""The database schema: numbered SQL files applied once each, by yoyo-migrations, and the sample dimensions."""

from __future__ import annotations

import logging
import re
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql

from app.config.load import MySqlConfig
from app.errors import MySqlError
from app.mysql.database import Connection, Database, Tx, connect_plainly
from app.mysql.errors import translated

if TYPE_CHECKING:
    from yoyo.backends.base import DatabaseBackend
    from yoyo.migrations import Migration, MigrationList

log = logging.getLogger(__name__)

SQL_FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "sql"
SEED_FILE = SQL_FOLDER / "seed_dimensions.sql"
MIGRATIONS_TABLE = "schema_migration"
# The dimension tables are the user's: no text of theirs is compared with ours.
DIMENSIONS_FILE = "001_dimensions.sql"
# What every text of ours is compared by, and what a code that is ASCII may name instead.
COLLATION, ASCII_COLLATION = "utf8mb4_bin", "ascii_bin"
NO_SUCH_TABLE, NO_SUCH_SAVEPOINT = 1146, 1305
# How long an init-db waits for another one that runs, and how old the lock of a dead one must at least be.
LOCK_SECONDS = 60
GRACE_SECONDS = 5.0


def _migrations() -> MigrationList:
    from yoyo import read_migrations

    return read_migrations(str(SQL_FOLDER)).filter(lambda migration: migration.id[:1].isdigit())


def apply_migrations(config: MySqlConfig) -> list[str]:
    """Apply the SQL files that the database does not have yet, in order. Returns their names.

    Raises:
        MySqlError: a statement is refused; the files before it stay applied. Or another init-db runs.
        MySqlUnavailable: the server does not answer.
    """
    from yoyo.exceptions import LockTimeout

    with Database(config).connect() as connection, translated(f"mysql.database={config.database}"):
        _keep_others_out(connection, config.database)
        _break_dead_lock(connection)
        backend = _backend(config)
        try:
            with backend.lock():
                todo = backend.to_apply(_migrations())
                names = [migration.id for migration in todo]
                for migration in todo:
                    _apply_one(backend, migration, config)
                _pin_collations(connection)
        except LockTimeout as exc:
            what = f"an init-db of another version runs in database {config.database}"
            raise MySqlError(what, cure="wait for its end, then run ./spark-submit.sh init-db again") from exc
    return names


def _apply_one(backend: DatabaseBackend, migration: Migration, config: MySqlConfig) -> None:
    """Apply one SQL file.

    MySQL ends the transaction before it creates a table. So when it refuses a statement, yoyo finds its savepoint gone, and says only that.

    Raises:
        MySqlError: a statement of the file is refused.
        MySqlUnavailable: the server does not answer.
    """
    with translated(f"mysql.database={config.database} scripts/sql/{migration.id}.sql"):
        try:
            backend.apply_one(migration)
        except pymysql.MySQLError as exc:
            if exc.args[0] == NO_SUCH_SAVEPOINT and isinstance(exc.__context__, pymysql.MySQLError):
                raise exc.__context__ from None
            raise


def _pin_collations(connection: Connection) -> None:
    """Give our tables the one collation, also where a server's new default has made one of them otherwise since."""
    tx = Tx(connection)
    for table in tables_of_other_collations(tx):
        tx.execute(f"ALTER TABLE `{table}` CONVERT TO CHARACTER SET utf8mb4 COLLATE {COLLATION}")
        log.info("table %s is compared by %s now", table, COLLATION)


def tables_of_other_collations(tx: Tx) -> list[str]:
    """Return our tables that hold text of another collation than the one, which may break a join with the others (error 1267)."""
    files = [path for path in sorted(SQL_FOLDER.glob("[0-9]*.sql")) if path.name != DIMENSIONS_FILE]
    ours = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", "".join(path.read_text(encoding="utf-8") for path in files))
    sql = (
        "SELECT DISTINCT table_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND collation_name <> %s"
        f" AND collation_name <> %s AND table_name IN ({', '.join(['%s'] * len(ours))}) ORDER BY table_name"
    )
    return [row["name"] for row in tx.rows(sql, [COLLATION, ASCII_COLLATION, *ours])]


def _keep_others_out(connection: Connection, database: str) -> None:
    """Wait for the lock of `init-db`, which ends with its connection, however the process ends.

    Raises:
        MySqlError: another init-db has it.
    """
    name = "salestream.init-db." + sha256(database.encode()).hexdigest()[:32]
    with connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, %s) AS taken, IS_USED_LOCK(%s) AS holder", (name, LOCK_SECONDS, name))
        row: Any = cursor.fetchone()
    if row["taken"] != 1:
        what = f"another init-db runs in database {database} (connection {row['holder']})"
        raise MySqlError(what, cure="wait for its end, then run ./spark-submit.sh init-db again")


def _break_dead_lock(connection: Connection) -> None:
    """Delete the row that yoyo takes for a lock, and that an init-db leaves when it is killed.

    Whoever runs now has the lock that ends with its connection, and that is us. An init-db of before that lock gets some seconds.
    """
    sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'yoyo_lock'"
    with connection.cursor() as cursor:
        if not cursor.execute(sql):
            return
        last = time.monotonic() + GRACE_SECONDS
        while cursor.execute("SELECT pid, ctime FROM yoyo_lock"):
            row: Any = cursor.fetchone()
            if time.monotonic() >= last:
                log.warning("init-db of process %s, begun at %s UTC, was killed: its lock is removed, its work is done now", *row.values())
                cursor.execute("DELETE FROM yoyo_lock WHERE pid = %s", (row["pid"],))
                return
            time.sleep(0.5)


def _backend(config: MySqlConfig) -> DatabaseBackend:
    """Open yoyo's connection as `mysql.tls` asks for it: yoyo's own addresses cannot name the system's CAs."""
    from yoyo.backends.core.mysql import MySQLBackend
    from yoyo.connections import DatabaseURI

    class Backend(MySQLBackend):  # type: ignore[misc]  # yoyo has no types
        def connect(self, _: DatabaseURI) -> Any:
            return connect_plainly(config)

    address = DatabaseURI("mysql", config.user, None, config.host, config.port, config.database, {})
    backend = Backend(address, MIGRATIONS_TABLE)
    backend.init_database()
    return backend


def pending_migrations(db: Database) -> list[str]:
    """Return the names of the SQL files that the database has not seen.

    Raises:
        MySqlError: the database was never initialised, or refuses us.
        MySqlUnavailable: the server does not answer.
    """
    known = [path.stem for path in sorted(SQL_FOLDER.glob("[0-9]*.sql"))]
    try:
        applied = {row["migration_id"] for row in db.run(lambda tx: tx.rows(f"SELECT migration_id FROM {MIGRATIONS_TABLE}"))}
    except MySqlError as exc:
        if exc.number != NO_SUCH_TABLE:
            raise
        raise MySqlError(f"database {db.config.database} has no ledger tables", cure="run ./spark-submit.sh init-db") from exc
    return [name for name in known if name not in applied]


def require_current(db: Database) -> None:
    """Check that the database is at this version's level.

    Raises:
        MySqlError: SQL files are missing; they are named.
    """
    missing = pending_migrations(db)
    if missing:
        raise MySqlError(f"database {db.config.database} lacks {', '.join(missing)}", cure="run ./spark-submit.sh init-db")


def seed_dimensions(db: Database, bucket: str, location: str) -> int:
    """Load the sample dimensions and name the bucket (if there is one) in s3_bucket_info; rows that exist stay.

    Returns the number of statements run.
    """
    import sqlparse

    statements = [
        text for text in sqlparse.split(SEED_FILE.read_text(encoding="utf-8")) if sqlparse.format(text, strip_comments=True).strip(" ;\n")
    ]

    def load(tx: Tx) -> None:
        for statement in statements:
            tx.execute(statement.rstrip(";"))
        if bucket and not tx.scalar("SELECT 1 FROM s3_bucket_info WHERE bucket_name = %s AND file_location = %s", (bucket, location)):
            tx.execute(
                "INSERT INTO s3_bucket_info (bucket_name, file_location, created_date, updated_date, status)"
                " VALUES (%s, %s, UTC_TIMESTAMP(), UTC_TIMESTAMP(), 'active')",
                (bucket, location),
            )

    db.run(load)
    return len(statements)
