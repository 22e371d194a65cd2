"""Whether the MySQL server keeps what it has said is committed, as far as its settings show it."""

from __future__ import annotations

from collections.abc import Mapping

from app.mysql.database import Database

# MySQL has more names for "on" than MariaDB; DETECT_ONLY writes no copy from which a torn page could be mended.
DOUBLEWRITE_OFF = ("OFF", "0", "DETECT_ONLY")
NAMES = ("innodb_flush_log_at_trx_commit", "innodb_doublewrite", "log_bin", "sync_binlog")


def read_settings(db: Database) -> dict[str, str]:
    """Return the server's settings that matter, as far as it shows them."""
    sql = f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({', '.join(['%s'] * len(NAMES))})"
    return {str(row["Variable_name"]).lower(): str(row["Value"]) for row in db.run(lambda tx: tx.rows(sql, NAMES))}


def unsafe_settings(settings: Mapping[str, str]) -> list[str]:
    """Name each setting with which a crash or a fail-over loses commits, and what it costs. A setting that is not shown is not judged."""
    found = []
    flush = settings.get("innodb_flush_log_at_trx_commit", "1")
    if flush != "1":
        found.append(f"innodb_flush_log_at_trx_commit={flush}: a crash loses the last commits")
    is_logged = settings.get("log_bin", "OFF").upper() in ("ON", "1")
    if is_logged and (sync := settings.get("sync_binlog", "1")) != "1":
        found.append(f"sync_binlog={sync}: after a crash, replicas miss commits or have some that the server has lost")
    if (doublewrite := settings.get("innodb_doublewrite", "ON")).upper() in DOUBLEWRITE_OFF:
        found.append(f"innodb_doublewrite={doublewrite}: a page that was being written when the machine failed is lost")
    return found
