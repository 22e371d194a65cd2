"""Compare what was worked out from the Parquet with MySQL: marts with incentives, parts, and the counts of each file."""

from __future__ import annotations

from collections.abc import Iterator

from app.config.load import Config, MartsConfig
from app.ledger.paging import batched
from app.ledger.parts import KINDS, Kind, live_now
from app.model.marts import MARTS, Mart
from app.mysql.database import Database
from app.verify.difference import Difference, differs
from app.verify.objects import PAGE, prefix_of
from app.verify.scratch_database import Scratch

# An incentive before it is rounded has a total's digits and the rate's, and DuckDB has 38 of them: totals up to 10^22.
RATE_TYPE = "DECIMAL(12, 10)"
TOTAL_TYPE = "DECIMAL(26, 4)"


def marts(config: MartsConfig, scratch: Scratch) -> Iterator[Difference]:
    """Yield every mart row that is not what the Parquet says, column by column."""
    for mart in MARTS:
        yield from _mart(config, scratch, mart)


def _mart(config: MartsConfig, scratch: Scratch, mart: Mart) -> Iterator[Difference]:
    values = (*mart.measures, *(["incentive"] if mart.ranked_within else []), "row_count")
    grain = tuple(mart.grain)
    different = " OR ".join(f"m.{name} IS DISTINCT FROM c.{name}" for name in values)
    order = ", ".join(f"TRY_CAST({name} AS BIGINT), {name}" for name in grain)
    sql = (
        f"SELECT {', '.join(grain)}, {', '.join(f'm.{name}' for name in values)}, {', '.join(f'c.{name}' for name in values)}"
        f" FROM mysql_{mart.table} m FULL JOIN ({calculated_sql(mart, config)}) c USING ({', '.join(grain)})"
        f" WHERE {different} ORDER BY {order}"
    )
    for row in scratch.rows(sql):
        key, rest = row[: len(grain)], row[len(grain) :]
        subject = " ".join((mart.table, *(f"{name}={value}" for name, value in zip(grain, key, strict=True))))
        for name, mysql, s3 in zip(values, rest[: len(values)], rest[len(values) :], strict=True):
            if mysql != s3:
                yield differs("mart", subject, name, "missing" if mysql is None else mysql, "there is no such row" if s3 is None else s3)


def calculated_sql(mart: Mart, config: MartsConfig) -> str:
    """Return the SELECT of a mart's rows as they must be: sums, and the incentive of each group's leader, rounded half up to cents."""
    grain = ", ".join(mart.grain)
    sums = ", ".join(f"sum({name}) AS {name}" for name in (*mart.measures, "row_count"))
    totals = f"SELECT {grain}, {sums} FROM calc_{mart.table} GROUP BY {grain}"
    if not mart.ranked_within:
        return totals
    seller = next(name for name in mart.grain if name not in mart.ranked_within)
    group = ", ".join(mart.ranked_within)
    leader = f"total_sales = max(total_sales) OVER (PARTITION BY {group})"
    first = f"row_number() OVER (PARTITION BY {group} ORDER BY total_sales DESC, TRY_CAST({seller} AS BIGINT), {seller}) = 1"
    amount = f"round(CAST(total_sales AS {TOTAL_TYPE}) * CAST('{config.incentive_rate}' AS {RATE_TYPE}), 2)"
    place = leader if config.tie_rule == "all" else first
    return f"SELECT *, CAST(CASE WHEN total_sales > 0 AND {place} THEN {amount} ELSE 0 END AS DECIMAL(38, 4)) AS incentive FROM ({totals})"


def parts(db: Database, config: Config, scratch: Scratch) -> Iterator[Difference]:
    """Yield every live part whose Parquet is gone, or does not hold the rows and the amount that the ledger says."""
    for kind in KINDS:
        yield from _missing_parts(db, config, scratch, kind)
    sql = (
        "SELECT kind, place, p.row_count, c.row_count, p.amount, c.amount FROM part p JOIN"
        " (SELECT kind, place, sum(row_count) AS row_count, sum(amount) AS amount FROM calc_part GROUP BY ALL) c USING (kind, place)"
        " WHERE p.row_count <> c.row_count OR p.amount <> c.amount ORDER BY kind, place"
    )
    for kind_name, place, rows, rows_there, amount, amount_there in scratch.rows(sql):
        subject = f"{_table(kind_name)} {place.replace('/', ' ')}"
        if rows != rows_there:
            yield differs("part", subject, "row_count", rows, rows_there)
        if amount is not None and amount != amount_there:
            yield differs("part", subject, "amount", amount, amount_there)


def _missing_parts(db: Database, config: Config, scratch: Scratch, kind: Kind) -> Iterator[Difference]:
    sql = (
        "SELECT place, row_count FROM part p WHERE kind = ? AND NOT EXISTS"
        " (SELECT 1 FROM calc_part c WHERE c.kind = p.kind AND c.place = p.place) ORDER BY place"
    )
    for page in batched(scratch.rows(sql, (kind.name,)), PAGE):
        live = live_now(db, kind, [place for place, _ in page])
        for place, rows in page:
            if place in live:
                text = f"row_count is {rows}, and there is no Parquet that can be read below {prefix_of(config, kind)}{place}/"
                yield Difference("part", f"{kind.table} {place.replace('/', ' ')}", text, "row_count", str(rows), "0")


def _table(kind: str) -> str:
    return next(one.table for one in KINDS if one.name == kind)


def files(scratch: Scratch) -> Iterator[Difference]:
    """Yield every file whose counts are not those of the Parquet, and rows of files that do not count or are unknown.

    Only what is in force has rejected and pending rows that count.
    """
    sums = ", ".join(f"coalesce(sum(row_count) FILTER (kind = '{kind.name}'), 0) AS {kind.name}" for kind in KINDS)
    # Rejected rows that `clean` has deleted still count, and cannot be counted again.
    cleaned = "(is_cleaned = 1 AND quarantine = 0)"
    sql = (
        "SELECT file_id, object_key, state, in_force, rows_read, rows_loaded, facts, rows_rejected,"
        f" if({cleaned}, rows_rejected, quarantine), rows_pending, pending FROM"
        " (SELECT coalesce(f.id, c.file_id) AS file_id, f.*, coalesce(c.facts, 0) AS facts, coalesce(c.quarantine, 0) AS quarantine,"
        f" coalesce(c.pending, 0) AS pending FROM file f FULL JOIN (SELECT file_id, {sums} FROM calc_file GROUP BY file_id) c"
        " ON c.file_id = f.id) WHERE object_key IS NULL OR (in_force = 0 AND facts + pending > 0)"
        f" OR (in_force = 1 AND (rows_loaded <> facts OR (rows_rejected <> quarantine AND NOT {cleaned}) OR rows_pending <> pending"
        " OR rows_read <> rows_loaded + rows_rejected + rows_pending))"
        " ORDER BY file_id"
    )
    for file_id, key, state, in_force, read, *counts in scratch.rows(sql):
        subject = f"source_file id={file_id}"
        if key is None:
            yield differs("file", subject, "rows", "missing", counts[1] + counts[3] + counts[5])
            continue
        subject = f"{subject} {key!r}"
        if not in_force:
            for name, found in (("rows_loaded", counts[1]), ("rows_pending", counts[5])):
                if found:
                    yield differs("file", subject, name, f"not in force ({state})", found)
            continue
        for at, name in enumerate(("rows_loaded", "rows_rejected", "rows_pending")):
            if counts[2 * at] != counts[2 * at + 1]:
                yield differs("file", subject, name, counts[2 * at], counts[2 * at + 1])
        if read != sum(counts[::2]):
            text = f"rows_read is {read}, loaded, rejected and pending are {sum(counts[::2])}"
            yield Difference("file", subject, text, "rows_read", str(read), str(sum(counts[::2])))


def duplicates(scratch: Scratch) -> Iterator[Difference]:
    """Yield every skipped duplicate whose content counts by no file: its original has left, and it has not come back.

    A file that the ledger does not count but whose rows are in live Parquet is named by `files`: its content does count.
    """
    counted = "SELECT s.content FROM file s JOIN calc_file c ON c.file_id = s.id WHERE c.kind IN ('facts', 'pending') AND c.row_count > 0"
    sql = (
        "SELECT f.id, f.object_key, u.has_object FROM unheld u JOIN file f USING (id)"
        f" WHERE NOT EXISTS (SELECT 1 FROM ({counted}) held WHERE held.content = f.content) ORDER BY f.id"
    )
    for file_id, key, has_object in scratch.rows(sql):
        cure = f"replay it, or retract it: ./spark-submit.sh replay {file_id}" if has_object else "its object is deleted: drop it again"
        yield Difference(
            "duplicate", f"source_file id={file_id} {key!r}", f"was skipped as a duplicate, and its content counts by no file; {cure}"
        )
