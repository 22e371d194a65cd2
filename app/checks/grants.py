"""What the job may do in MySQL: the privileges it needs, table by table, and which of them its user lacks."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import MySqlError
from app.model.marts import MARTS
from app.mysql.database import Database, Tx
from app.mysql.errors import translated

S, I, U, D = "SELECT", "INSERT", "UPDATE", "DELETE"  # noqa: E741 - a table of letters
DENIED = frozenset({1142, 1143, 1044, 1045, 1370, 1146, 1356})

# scripts/sql/grants.sql says the same in SQL; a test holds them together.
NEEDED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("customer", "store", "product", "sales_team", "s3_bucket_info", "schema_migration"), (S,)),
    "stream_owner": (S, U),
    # D on the ledger's history is for `clean`, which removes what is old and does not count.
    **dict.fromkeys(("file_operation", "operation_file", "file_withdrawal"), (S, I, U, D)),
    **dict.fromkeys(("micro_batch", "batch_attempt", "source_file"), (S, I, U, D)),
    **dict.fromkeys(("operation_partition", "file_return"), (S, I, D)),
    **dict.fromkeys(("fact_part", "quarantine_part", "pending_part"), (S, I, U, D)),
    **dict.fromkeys(("stage_file", "file_reject", "file_warning", "file_header", "pending_key", "ignored_object"), (S, I, D)),
    "batch_file": (S, I, U, D),
    "warning_total": (S, I, U),
    **{mart.table: (S, I, U, D) for mart in MARTS},
    **{mart.stage_table: (S, I, D) for mart in MARTS},
}


def missing_privileges(db: Database) -> tuple[int, list[str]]:
    """Try every privilege with a statement that touches no row. Returns how many were tried, and those that are missing.

    Trying is the only way that understands roles, wildcards and column grants of MySQL and MariaDB alike.
    """
    connection = db.connect()
    try:
        tx = Tx(connection)
        missing = [f"{privilege} on {table}" for table, needed in NEEDED.items() for privilege in needed if not _may(tx, table, privilege)]
    finally:
        connection.close()
    return sum(len(needed) for needed in NEEDED.values()), missing


def _may(tx: Tx, table: str, privilege: str) -> bool:
    try:
        with translated(f"privilege {privilege} on {table}"):
            tx.execute(_statement(tx, table, privilege))
    except MySqlError as exc:
        if exc.number in DENIED:
            return False
        raise
    return True


def _statement(tx: Tx, table: str, privilege: str) -> str:
    if privilege == U:
        column = tx.scalar(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s"
            " ORDER BY ORDINAL_POSITION LIMIT 1",
            (table,),
        )
        # Without any privilege on the table its columns do not show; the statement then fails for the table.
        return f"UPDATE `{table}` SET `{column or 'id'}` = `{column or 'id'}` WHERE 1 = 0"
    return {
        S: f"SELECT 1 FROM `{table}` WHERE 1 = 0",
        I: f"INSERT INTO `{table}` SELECT * FROM `{table}` WHERE 1 = 0",
        D: f"DELETE FROM `{table}` WHERE 1 = 0",
    }[privilege]
