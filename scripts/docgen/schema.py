"""docs/schema.md: every table with its columns, and how they belong together, read from scripts/sql."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlparse

from app.contract.contract import Contract, load_contract
from app.model.dimensions import DIMENSIONS
from app.model.marts import MARTS
from scripts.docgen import CONF, ROOT, code, page, table


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    type: str
    nullable: bool
    default: str
    comment: str


@dataclass(frozen=True)
class Table:
    """One table as its CREATE statement describes it; `keys` are (kind, columns), the primary key first."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    keys: tuple[tuple[str, str], ...]

    @property
    def primary(self) -> list[str]:
        """The columns of the primary key."""
        return next(columns for kind, columns in self.keys if kind == "primary key").split(", ")


# A column of this name refers to that table, wherever it stands; the database holds no foreign keys.
REFERENCES = {"batch_id": "micro_batch", "batch_key": "batch_attempt", "file_id": "source_file", "operation_id": "file_operation"}
_KEY = re.compile(r"(PRIMARY KEY|UNIQUE KEY|KEY)\s*(\w*)\s*\((.*)\)$", re.DOTALL)
_COLUMN = re.compile(
    r"(?P<name>\w+)\s+(?P<type>\w+(?:\s*\([^)]*\))?)(?P<rest>.*?)(?:\s*\bCOMMENT\s+'(?P<comment>(?:[^']|'')*)')?$", re.DOTALL
)


def read_tables(path: Path) -> list[Table]:
    """Read the CREATE TABLE statements of one SQL file."""
    found = []
    for statement in sqlparse.parse(path.read_text(encoding="utf-8")):
        head, items, tail = _parts(statement)
        if name := re.fullmatch(r"CREATE TABLE IF NOT EXISTS (\w+)", head):
            keys = [match for item in items if (match := _KEY.match(item))]
            columns = tuple(_column(item) for item in items if not _KEY.match(item))
            comment = re.search(r"COMMENT = '((?:[^']|'')*)'", tail)
            listed = tuple((match[1].lower(), re.sub(r"\s+", " ", match[3])) for match in keys)
            found.append(Table(name[1], comment[1].replace("''", "'") if comment else "", columns, listed))
    return found


def _parts(statement: Any) -> tuple[str, list[str], str]:
    """Cut a statement at its outermost parentheses: what precedes them, the items within, what follows."""
    texts, depth = [""], 0
    closed = False
    for token in statement.flatten():
        value = "" if token.ttype in sqlparse.tokens.Comment else token.value
        depth -= value == ")"
        if not closed and ((depth == 0 and value in "()" and value) or (depth == 1 and value == ",")):
            closed = value == ")"
            texts.append("")
        else:
            texts[-1] += value
        depth += value == "("
    words = [re.sub(r"\s+", " ", text).strip() for text in texts]
    return words[0], words[1:-1], words[-1]


def altered(tables: Iterable[Table], paths: Iterable[Path]) -> list[Table]:
    """Apply the ALTER TABLE statements of SQL files to tables: MODIFY and ADD of columns, ADD of keys."""
    found = {one.name: one for one in tables}
    for path in paths:
        for statement in sqlparse.parse(path.read_text(encoding="utf-8")):
            text = sqlparse.format(str(statement), strip_comments=True).strip().rstrip(";")
            # A change that must be able to run twice stands as a text that is executed where it is still to be made.
            if quoted := re.fullmatch(r"SET @\w+ = IF\(.*'(ALTER TABLE .*)'\s*\)", text, re.DOTALL):
                text = quoted[1].replace("''", "'")
            if match := re.fullmatch(r"ALTER TABLE (\w+)\s+(.*)", text, re.DOTALL):
                for change in re.split(r",\s*(?=(?:ADD|MODIFY)\b)", match[2]):
                    found[match[1]] = _changed(found[match[1]], " ".join(change.split()))
    return list(found.values())


def _changed(one: Table, change: str) -> Table:
    verb, item = change.split(" ", 1)
    if verb == "CONVERT":
        return one
    item = item.removeprefix("COLUMN ")
    if key := _KEY.match(item):
        assert verb == "ADD", change
        return replace(one, keys=(*one.keys, (key[1].lower(), key[3])))
    column = _column(item)
    if verb == "ADD":
        return replace(one, columns=(*one.columns, column))
    assert verb == "MODIFY", change
    return replace(one, columns=tuple(column if column.name == old.name else old for old in one.columns))


def _column(item: str) -> Column:
    match = _COLUMN.match(item)
    assert match, item
    rest = match["rest"]
    default = re.search(r"DEFAULT (\S+)", rest)
    shown = "AUTO_INCREMENT" if "AUTO_INCREMENT" in rest else default[1] if default and default[1] != "NULL" else ""
    return Column(match["name"], match["type"], "NOT NULL" not in rest, shown, (match["comment"] or "").replace("''", "'"))


def schema_page(conf: Path = CONF) -> str:
    """Describe every table, and how they belong together."""
    paths = sorted((ROOT / "scripts" / "sql").glob("0*.sql"))
    files = {path.name: read_tables(path) for path in paths}
    now = {one.name: one for one in altered([one for tables in files.values() for one in tables], paths)}
    files = {name: [now[one.name] for one in tables] for name, tables in files.items()}
    dimensions, ledger, marts, *later = files.values()
    staged = [one for one in marts if one.name.startswith("stage_")]
    views = re.findall(r"^(CREATE OR REPLACE VIEW .*?);", (ROOT / "scripts/sql/002_ledger.sql").read_text(encoding="utf-8"), re.M | re.S)
    intro = [
        "`./spark-submit.sh init-db` applies the numbered files of `scripts/sql/` in order, each once; the table `schema_migration`",
        "says which are in place. All times are UTC. Months are text, `YYYY-MM`. Money is `DECIMAL`.",
        "Text of ledger and marts is `utf8mb4_bin`: it is compared exactly.",
        "The lines of the pictures are references by value: the database holds no foreign keys.",
        "",
    ]
    sold = [
        "## Sales, dimensions and marts",
        "",
        *_business_picture(load_contract(conf / "contract.yml"), dimensions, [m for m in marts if m not in staged]),
    ]
    sold += ["`sales_row` is no table: it is one row of a CSV file, and of the Parquet below the facts prefix.", ""]
    booked = ["## Ledger and stage tables", "", *_ledger_picture([*ledger, *(one for tables in later for one in tables), *staged])]
    parts = [line for name, tables in files.items() if tables for line in _file_part(name, tables)]
    shown = [line for view in views for line in ("### View " + view.split()[4], "", "```sql", view + ";", "```", "")]
    return page("scripts/sql/*.sql", "Database schema", intro, sold, booked, parts, shown)


def _file_part(name: str, tables: Sequence[Table]) -> Iterator[str]:
    yield from (f"## Tables of {name}", "")
    for one in tables:
        yield from (f"### {one.name}", "", f"{one.comment[:1].upper()}{one.comment[1:]}.", "")
        rows = [(code(c.name), c.type, "yes" if c.nullable else "", c.default, c.comment) for c in one.columns]
        yield from table(("Column", "Type", "NULL", "Default", "Meaning"), rows)
        yield from ("; ".join(f"{kind} ({columns})" for kind, columns in one.keys).capitalize() + ".", "")


def _entity(name: str, columns: Iterable[tuple[str, str, str]]) -> list[str]:
    return [f"  {name} {{", *(f"    {kind} {column} {mark}".rstrip() for kind, column, mark in columns), "  }"]


def _kind(type_name: str) -> str:
    """Return the type without its length: Mermaid takes one word."""
    return type_name.split("(")[0].split()[0]


def _table_entity(one: Table, foreign: Iterable[str]) -> list[str]:
    marks = {c.name: ", ".join(m for m, names in (("PK", one.primary), ("FK", foreign)) if c.name in names) for c in one.columns}
    return _entity(one.name, ((_kind(c.type).lower(), c.name, marks[c.name]) for c in one.columns))


def _business_picture(contract: Contract, dimensions: Sequence[Table], marts: Sequence[Table]) -> list[str]:
    refers = {dimension.fact_key: dimension for dimension in DIMENSIONS}
    sales = [(_kind(c.type), c.name, "FK" if c.name in refers else "") for c in contract.columns]
    lines = ["```mermaid", "erDiagram"]
    lines += [f'  {d.table} {"||" if d.required else "|o"}--o{{ sales_row : "{d.fact_key}"' for d in DIMENSIONS]
    for mart in MARTS:
        lines += [f'  {refers[fact].table} ||--o{{ {mart.table} : "{own}"' for own, fact in mart.grain.items() if fact in refers]
    for one in dimensions:
        lines += _table_entity(one, ())
    lines += _entity("sales_row", sales)
    described = {mart.table: [own for own, fact in mart.grain.items() if fact in refers] for mart in MARTS}
    for one in marts:
        lines += _table_entity(one, described[one.name])
    return [*lines, "```", ""]


def _ledger_picture(tables: Sequence[Table]) -> list[str]:
    lines, entities = ["```mermaid", "erDiagram"], []
    for one in tables:
        # The batch's own copy of its last key only repeats the attempt's reference to the batch.
        links = [
            c
            for c in one.columns
            if c.name in REFERENCES and REFERENCES[c.name] != one.name and (one.name, c.name) != ("micro_batch", "batch_key")
        ]
        lines += [f'  {REFERENCES[c.name]} {"|o" if c.nullable else "||"}--o{{ {one.name} : "{c.name}"' for c in links]
        entities += _table_entity(one, [c.name for c in links])
    return [*lines, *entities, "```", ""]
