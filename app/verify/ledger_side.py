"""MySQL's side: live parts, files and marts of one moment, copied into the scratch database; and second looks at the ledger."""

from __future__ import annotations

from app.ledger.duplicates import IS_SUPERSEDED
from app.ledger.operations import HAS_OBJECT, IS_SKIPPED
from app.ledger.parts import KINDS
from app.model.marts import MARTS, Mart
from app.mysql.database import Database
from app.mysql.snapshot import Snapshot, snapshot
from app.verify.scratch_database import Scratch

_FILE_COLUMNS = (
    "id, CONVERT(object_key USING utf8mb4), state, in_force, rows_read, rows_loaded, rows_rejected, rows_pending,"
    " CONVERT(archived_key USING utf8mb4), archive_due, batch_id,"
    " EXISTS (SELECT 1 FROM operation_file o JOIN file_operation p ON p.id = o.operation_id"
    " WHERE o.file_id = source_file.id AND o.mended_key IS NOT NULL AND o.note IS NULL AND p.state = 'DONE'),"
    # What `clean` has deleted of the quarantine is known by its parts, which stay as long as a file needs them.
    " rows_rejected > 0 AND EXISTS (SELECT 1 FROM micro_batch b JOIN quarantine_part q ON q.batch_key = b.batch_key"
    " WHERE b.id = source_file.batch_id AND q.state = 'DELETED'),"
    " (SELECT b.contract_hash FROM micro_batch b WHERE b.id = source_file.batch_id), HEX(content_digest)"
)

# The oldest skipped duplicate of each content that nobody holds, and whose replay nobody has asked for.
_UNHELD = (
    f"SELECT MIN(f.id), MAX({HAS_OBJECT}) FROM source_file f WHERE {IS_SKIPPED} AND f.content_digest IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM source_file h WHERE h.content_digest = f.content_digest AND h.in_force = 1)"
    " AND NOT EXISTS (SELECT 1 FROM source_file r JOIN operation_file o ON o.file_id = r.id AND o.note IS NULL"
    " JOIN file_operation p ON p.id = o.operation_id AND p.kind = 'REPLAY' AND p.state IN ('REQUESTED', 'CLAIMED')"
    " WHERE r.content_digest = f.content_digest)"
)


def load_ledger(db: Database, scratch: Scratch, *, replaces: bool = False) -> None:
    """Copy what MySQL says at one moment. The transaction ends here, however long the reading of S3 takes afterwards.

    `replaces` tells whether the contract lets a file take the place of an earlier one of its name.
    """
    scratch.run(
        "CREATE TABLE part (kind VARCHAR, place VARCHAR, batch_key VARCHAR, sales_month VARCHAR, store_id BIGINT, row_count BIGINT,"
        " amount DECIMAL(38, 4))"
    )
    scratch.run(
        "CREATE TABLE file (id BIGINT, object_key VARCHAR, state VARCHAR, in_force INTEGER, rows_read BIGINT, rows_loaded BIGINT,"
        " rows_rejected BIGINT, rows_pending BIGINT, archived_key VARCHAR, archive_due INTEGER, batch_id BIGINT, is_mended INTEGER,"
        " is_cleaned INTEGER, contract_hash VARCHAR, content VARCHAR)"
    )
    scratch.run("CREATE TABLE kept (kind VARCHAR, place VARCHAR, row_count BIGINT)")
    with snapshot(db) as seen:
        for kind in KINDS:
            sql = f"SELECT '{kind.name}', {kind.place}, batch_key, {kind.columns} FROM {kind.table} WHERE {kind.live}"
            scratch.fill("part", seen.pages(sql))
            scratch.fill("kept", seen.pages(f"SELECT '{kind.name}', {kind.place}, row_count FROM {kind.table} WHERE state = 'KEPT'"))
        scratch.fill("file", seen.pages(f"SELECT {_FILE_COLUMNS} FROM source_file"))
        superseded = f" AND NOT {IS_SUPERSEDED}" if replaces else ""
        scratch.run("CREATE TABLE unheld (id BIGINT, has_object INTEGER)")
        scratch.fill("unheld", seen.pages(f"{_UNHELD}{superseded} GROUP BY f.content_digest"))
        for mart in MARTS:
            _load_mart(seen, scratch, mart)


def _load_mart(seen: Snapshot, scratch: Scratch, mart: Mart) -> None:
    measures = (*mart.measures, *(["incentive"] if mart.ranked_within else []))
    columns = [f"{name} VARCHAR" for name in mart.grain] + [f"{name} DECIMAL(38, 4)" for name in measures]
    scratch.run(f"CREATE TABLE mysql_{mart.table} ({', '.join(columns)}, row_count BIGINT)")
    # Keys are compared as text: a mart's grain may be of any type.
    grain = [f"CAST({name} AS CHAR)" for name in mart.grain]
    scratch.fill(f"mysql_{mart.table}", seen.pages(f"SELECT {', '.join((*grain, *measures))}, row_count FROM {mart.table}"))
