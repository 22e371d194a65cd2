"""Checks of MySQL: connection, migration level, grants, clock, dimensions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from app.checks.caution import Caution
from app.checks.durability import NAMES, read_settings, unsafe_settings
from app.checks.grants import missing_privileges
from app.config.load import Config
from app.errors import DimensionError, EnvironmentFault, MySqlError
from app.model.dimensions import DIMENSIONS
from app.mysql.database import Database, Row, Tx
from app.mysql.errors import BINLOG_CURE
from app.mysql.migrations import require_current, tables_of_other_collations
from app.s3.read import make_client, server_time

# A check is there to tell soon; the job itself is more patient.
ATTEMPTS = 2
# Beyond this, times in the ledger, in the log and on S3 no longer tell one story; AWS itself refuses requests at 15 minutes.
MOST_SKEW_SECONDS = 60.0


def checks(config: Config) -> dict[str, Callable[[], str]]:
    """Return the checks of MySQL by name."""
    db = Database(config.mysql, attempts=ATTEMPTS)
    return {
        "mysql": lambda: _connection(db),
        "mysql binlog": lambda: check_binlog(db),
        "mysql tables": lambda: _tables(db),
        "mysql grants": lambda: _grants(db),
        "mysql commits": lambda: _commits(db),
        "clock": lambda: _clock(db, config),
        "dimensions": lambda: check_dimensions(db),
    }


def _connection(db: Database) -> str:
    def read(tx: Tx) -> Row:
        row = tx.row("SELECT VERSION() AS version, CURRENT_USER() AS login, DATABASE() AS name")
        cipher = tx.row("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        return {**(row or {}), "cipher": cipher and cipher.get("Value")}

    found = db.run(read)
    c = db.config
    tls = f"TLS {found['cipher']}" if found["cipher"] else "no TLS"
    return f"{c.host}:{c.port}/{found['name']}: server {found['version']}, user {found['login']}, {tls}"


def check_binlog(db: Database) -> str:
    """Look at the form of the server's binary log.

    Raises:
        MySqlError: InnoDB cannot write what our sessions change into it.
    """
    row = db.run(lambda tx: tx.row("SELECT @@GLOBAL.log_bin AS written, @@GLOBAL.binlog_format AS format"))
    assert row is not None, "variables are one row"
    if row["written"] and row["format"] == "STATEMENT":
        raise MySqlError("the server has binlog_format=STATEMENT, and would refuse every write (error 1665)", cure=BINLOG_CURE)
    return f"binary log {row['format']}" if row["written"] else "no binary log"


def _tables(db: Database) -> str:
    require_current(db)
    if other := db.run(tables_of_other_collations):
        raise MySqlError(f"{', '.join(other)}: another collation than the other tables", cure="run ./spark-submit.sh init-db")
    latest = db.run(lambda tx: tx.scalar("SELECT MAX(migration_id) FROM schema_migration"))
    return f"the tables are at level {latest}"


def _grants(db: Database) -> str:
    require_current(db)
    count, missing = missing_privileges(db)
    if missing:
        raise MySqlError(
            f"user {db.config.user} lacks {', '.join(missing[:6])}{', ...' if len(missing) > 6 else ''}",
            cure="let an administrator run scripts/sql/grants.sql",
        )
    return f"all {count} privileges that the job needs"


def _commits(db: Database) -> str:
    settings = read_settings(db)
    if unsafe := unsafe_settings(settings):
        return Caution("; ".join(unsafe))
    shown = ", ".join(f"{name}={settings[name]}" for name in NAMES if name in settings)
    return shown or "the server does not show its settings to this user"


def _clock(db: Database, config: Config) -> str:
    theirs = db.run(lambda tx: tx.scalar("SELECT UTC_TIMESTAMP(6)"))
    skews = {"MySQL": (theirs.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()}
    storage = server_time(make_client(config.s3, attempts=ATTEMPTS), config.s3.bucket, config.s3.source_prefix)
    if storage is not None:
        # The header has whole seconds.
        skews["S3"] = float(int((storage - datetime.now(UTC)).total_seconds()))
    shown = ", ".join(f"{name} {seconds:+.1f} s" for name, seconds in skews.items())
    if max(abs(seconds) for seconds in skews.values()) > MOST_SKEW_SECONDS:
        raise EnvironmentFault(f"the clocks differ from this machine's: {shown}", cure="set the clock by NTP, here or there")
    return f"{shown} against this machine"


def check_dimensions(db: Database) -> str:
    """Count the dimension rows and prove that each key is there once.

    Raises:
        DimensionError: a key occurs more than once; the first such keys are named.
        MySqlError: a table or column is missing.
    """

    def read(tx: Tx) -> list[str]:
        return [_dimension(tx, dimension.table, dimension.key) for dimension in DIMENSIONS]

    return f"{', '.join(db.run(read))}, every key once"


def _dimension(tx: Tx, table: str, key: str) -> str:
    # As the join compares them: letter case and accents count, whatever the column's collation.
    doubled = tx.rows(
        f"SELECT MIN(`{key}`) AS doubled FROM `{table}` WHERE `{key}` IS NOT NULL GROUP BY CAST(`{key}` AS BINARY)"
        " HAVING COUNT(*) > 1 ORDER BY 1 LIMIT 5"
    )
    if doubled:
        raise DimensionError(f"table {table} holds {key} {', '.join(str(row['doubled']) for row in doubled)} more than once")
    return f"{table} {tx.scalar(f'SELECT COUNT(*) FROM `{table}`')}"
