"""The embedded MySQL: a MariaDB server over a data directory."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from app.errors import EnvironmentFault, LocalServerError
from app.local.state import DATABASE, HOST, REPOSITORY, USER, Secrets, log_file, write_private

NAME = "mariadb"
BINARIES = REPOSITORY / ".cache" / "servers" / "mariadb"
SYSTEM_TABLES = ("mariadb_system_tables.sql", "mariadb_performance_tables.sql", "mariadb_system_tables_data.sql", "mariadb_sys_schema.sql")
PROTOCOL = b"\x0a"


def marker(home: Path) -> str:
    """Name the argument by which this home's MariaDB is known."""
    return f"--defaults-file={home / 'run' / 'my.cnf'}"


def check() -> None:
    """Make sure that everything needed to start is there.

    Raises:
        EnvironmentFault: the binaries are missing.
    """
    if not os.access(BINARIES / "bin" / "mariadbd", os.X_OK):
        raise EnvironmentFault(f"MariaDB's binaries are not in {BINARIES}")


def data(home: Path) -> Path:
    """Name the data directory."""
    return home / "mysql" / "data"


def _temporary(home: Path) -> Path:
    return home / "tmp"


def prepare(home: Path, port: int, known: Secrets) -> None:
    """Make the data directory where there is none, and write the configuration.

    Raises:
        LocalServerError: the data directory cannot be made.
    """
    if not data(home).exists():
        _make_data(home)
    write_private(home / "run" / "init.sql", init_sql(known))
    write_private(home / "run" / "my.cnf", config_text(home, port))


def _make_data(home: Path) -> None:
    """Build the data directory aside and move it into place whole: a start cut off here leaves nothing half-made."""
    for leftover in (home / "mysql").glob("new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=home / "mysql"))
    statements = ["create database if not exists mysql;", "use mysql;", "SET @auth_root_socket=NULL;"]
    statements += [(BINARIES / "share" / name).read_text(encoding="utf-8") for name in SYSTEM_TABLES]
    arguments = [
        "--no-defaults",
        "--bootstrap",
        f"--user={_user()}",
        f"--basedir={BINARIES}",
        f"--datadir={fresh}",
        f"--tmpdir={_temporary(home)}",
        *_files(),
    ]
    arguments += ["--enforce-storage-engine=", "--log-warnings=0", "--max-allowed-packet=8M", "--innodb-log-file-size=64M"]
    with log_file(home, NAME).open("ab") as log:
        done = subprocess.run(
            [str(BINARIES / "bin" / "mariadbd"), *arguments], input="\n".join(statements).encode(), stdout=log, stderr=log, check=False
        )
    if done.returncode != 0:
        raise LocalServerError(f"MariaDB could not make its data directory; see {log_file(home, NAME)}")
    os.replace(fresh, data(home))


def _files() -> list[str]:
    share = BINARIES / "share"
    return [f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}"]


def _user() -> str:
    """Name the current user: MariaDB refuses to run as root unless told so."""
    return pwd.getpwuid(os.getuid()).pw_name


def config_text(home: Path, port: int) -> str:
    """Write MariaDB's configuration: on 127.0.0.1, in UTC, strict as MySQL 8 is by default, durable, small."""
    share = BINARIES / "share"
    lines = [
        "[mariadbd]",
        f"basedir={_quoted(BINARIES)}",
        f"datadir={_quoted(data(home))}",
        f"lc_messages_dir={_quoted(share)}",
        f"character_sets_dir={_quoted(share / 'charsets')}",
        f"init_file={_quoted(home / 'run' / 'init.sql')}",
        # Relative to the data directory: the kernel takes no socket path of more than 107 bytes, and a home may be deep.
        "socket=mysql.sock",
        f"pid_file={_quoted(home / 'run' / 'mariadb.pid')}",
        # A server that starts deletes all temporary tables that it finds, in /tmp also those of others.
        f"tmpdir={_quoted(_temporary(home))}",
        f"user={_user()}",
        f"bind_address={HOST}",
        f"port={port}",
        "skip_name_resolve=1",
        "local_infile=1",
        "skip_log_bin",
        "skip_ssl",  # local only, and its start-up makes an RSA key each time
        "default_time_zone='+00:00'",
        "character_set_server=utf8mb4",
        "collation_server=utf8mb4_unicode_ci",
        "sql_mode=ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
        "max_allowed_packet=64M",
        "max_connections=200",
        "table_open_cache=400",
        "innodb_buffer_pool_size=256M",
        "innodb_log_file_size=64M",
        "innodb_flush_log_at_trx_commit=1",  # a committed batch survives a crash
        "innodb_buffer_pool_dump_at_shutdown=0",
        "innodb_buffer_pool_load_at_startup=0",
        "performance_schema=0",
    ]
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    """Write a path for an option file, where a backslash begins an escape and a # outside quotes a comment."""
    return '"' + str(path).replace("\\", "\\\\") + '"'


def init_sql(known: Secrets) -> str:
    """Write what the server runs before it accepts connections, at each start: database, users, passwords, one statement a line.

    So a start that was cut off, or a restored data directory, is put right by the next one.
    """
    job = [f"'{USER}'@'{host}'" for host in (HOST, "localhost")]
    root = [f"'root'@'{host}'" for host in (HOST, "localhost")]
    lines = [f"CREATE DATABASE IF NOT EXISTS `{DATABASE}`;"]
    for account, password in [*((name, known.mysql_password) for name in job), *((name, known.mysql_root_password) for name in root)]:
        lines += [f"CREATE USER IF NOT EXISTS {account};", f"ALTER USER {account} IDENTIFIED BY '{password}';"]
    lines += [f"GRANT ALL PRIVILEGES ON `{DATABASE}`.* TO {account};" for account in job]
    lines += [f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;" for account in root]
    lines += [f"DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host NOT IN ('{HOST}', 'localhost'));"]
    lines += ["DELETE FROM mysql.proxies_priv;", "FLUSH PRIVILEGES;"]
    return "\n".join(lines) + "\n"


def command(home: Path) -> list[str]:
    """Build the command line; it holds no secret."""
    return [str(BINARIES / "bin" / "mariadbd"), marker(home)]


def greets(port: int) -> bool:
    """Tell whether the server sends its greeting, which it does once it accepts logins; needs no driver."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            return connection.recv(5)[4:] == PROTOCOL
    except OSError:
        return False


def answers(port: int, known: Secrets) -> bool:
    """Tell whether the job's user can log in to its database."""
    from app.mysql.database import can_log_in  # here: `local env` and the watcher need no driver

    return can_log_in(HOST, port, USER, known.mysql_password, DATABASE, seconds=5)
