"""What is wrong with rows, counted where the rows are: how many there are of a reason in each split, and the first of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from app.parsing.rows import VALUE_CHARS

FAULT_TYPE = "array<struct<code:string,column:string,value:string>>"

COLUMNS = ("_file_id", "_split", "_line")


class Place(NamedTuple):
    """Where rows with a reason are. Rows that were not read from a split have none."""

    file_id: int
    split: int | None
    reason: str


@dataclass(frozen=True)
class Finding:
    """Rows with a reason; the line of the first one, and the column and the value that it is about."""

    rows: int
    line: int
    column: str | None = None
    value: str | None = None

    def __add__(self, other: Finding) -> Finding:
        """Count both; the first of all is the first of one of them."""
        first = min(self, other, key=lambda one: one.line)
        return Finding(self.rows + other.rows, first.line, first.column, first.value)


def findings(rows: pa.Table, name: str) -> dict[Place, Finding]:
    """Count what the lists of a column say: faults with code, column and value, or reasons as plain texts.

    Needs COLUMNS beside it. Rows may come in any order. What a row says twice counts once, with what it says first.
    """
    # One chunk each, in the order of the lines.
    rows = rows.select([*COLUMNS, name]).filter(pc.is_valid(rows.column(name))).sort_by("_line").combine_chunks()
    if not len(rows):
        return {}
    lists = rows.column(name).chunk(0)
    said, of_row = lists.flatten(), pc.list_parent_indices(lists)
    is_fault = pa.types.is_struct(said.type)
    table = pa.table(
        [*(rows.column(column).take(of_row) for column in COLUMNS), said.field("code") if is_fault else said], [*COLUMNS, "reason"]
    )
    table = table.append_column("at", pa.array(range(len(said)))).append_column("row", of_row)
    # One row with two faults of a kind is one row.
    table = table.take(table.group_by(["row", "reason"], use_threads=False).aggregate([("at", "min")]).column("at_min"))
    lines = rows.column("_line").chunk(0).take(of_row)
    found = {}
    for group in table.group_by([*COLUMNS[:2], "reason"], use_threads=False).aggregate([([], "count_all"), ("at", "min")]).to_pylist():
        first = group["at_min"]
        column, value = (said[first]["column"].as_py(), said[first]["value"].as_py()) if is_fault else (None, None)
        place = Place(group["_file_id"], group["_split"], group["reason"])
        found[place] = Finding(group["count_all"], lines[first].as_py(), column, value and value[:VALUE_CHARS])
    return found


def add_finding(found: dict[Place, Finding], place: Place, one: Finding) -> None:
    """Add what was found at a place to what is known of it."""
    found[place] = found[place] + one if place in found else one
