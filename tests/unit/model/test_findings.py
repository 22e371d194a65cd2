"""What is wrong with rows: how many a reason has in a split, and which is the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from app.model.findings import Finding, Place, add_finding, findings
from app.parsing.rows import FAULTS, Fault

ROWS = (
    (1, 0, 9, [Fault("INVALID_INT", "a", "early")]),
    (1, 0, 5, [Fault("INVALID_INT", "b", "z"), Fault("INVALID_INT", "a", "first by line, second by place"), Fault("TOO_LONG", "c", "m@x")]),
    (1, 0, 7, [Fault("TOO_FEW_FIELDS", None, "3"), Fault("TOTAL", "a,c", "5,m@x")]),
    (1, 1, 2, [Fault("TOO_LONG", "c", "of another split")]),
    (1, 0, 3, None),
    (2, None, 3, [Fault("INVALID_ENCODING", "b", "\u00e9" * 300)]),
    (2, None, 4, [Fault("INVALID_ENCODING", None, None)]),
)
FOUND = {
    Place(1, 0, "INVALID_INT"): Finding(2, 5, "b", "z"),
    Place(1, 0, "TOO_LONG"): Finding(1, 5, "c", "m@x"),
    Place(1, 0, "TOO_FEW_FIELDS"): Finding(1, 7, None, "3"),
    Place(1, 0, "TOTAL"): Finding(1, 7, "a,c", "5,m@x"),
    Place(1, 1, "TOO_LONG"): Finding(1, 2, "c", "of another split"),
    Place(2, None, "INVALID_ENCODING"): Finding(2, 3, "b", "\u00e9" * 200),
}


def table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    schema = pa.schema([("_file_id", pa.int64()), ("_split", pa.int32()), ("_line", pa.int64()), ("_faults", FAULTS)])
    columns = ("_file_id", "_split", "_line")
    made = [dict(zip(columns, row, strict=False)) | {"_faults": row[3] and [fault._asdict() for fault in row[3]]} for row in rows]
    return pa.Table.from_pylist(made, schema)


def test_each_reason_has_its_rows_and_the_first_of_them_in_each_split() -> None:
    assert findings(table(ROWS), "_faults") == FOUND


@pytest.mark.parametrize("order", [ROWS[::-1], ROWS[3:] + ROWS[:3]], ids=["backwards", "turned"])
def test_the_first_is_the_first_by_line_in_whatever_order_the_rows_come(order: tuple[Any, ...]) -> None:
    assert findings(table(order), "_faults") == FOUND


@pytest.mark.parametrize("cut", range(len(ROWS) + 1))
def test_what_parts_of_the_rows_say_adds_up(cut: int) -> None:
    found: dict[Place, Finding] = {}
    for part in (ROWS[:cut], ROWS[cut:]):
        for place, one in findings(table(part), "_faults").items():
            add_finding(found, place, one)
    assert found == FOUND


def test_rows_in_several_chunks_are_one_table() -> None:
    assert findings(pa.concat_tables([table(ROWS[:2]), table(ROWS[2:])]), "_faults") == FOUND


def test_plain_reasons_have_no_column_and_no_value() -> None:
    rows = [(1, 0, 9, ["odd", "late"]), (1, 0, 4, ["odd"]), (1, 0, 2, None), (2, 0, 3, ["late"])]
    names = ("_file_id", "_split", "_line", "_warnings")
    assert findings(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]), "_warnings") == {
        Place(1, 0, "odd"): Finding(2, 4),
        Place(1, 0, "late"): Finding(1, 9),
        Place(2, 0, "late"): Finding(1, 3),
    }


@pytest.mark.parametrize("rows", [(), ROWS[4:5]], ids=["none", "none with a reason"])
def test_nothing_wrong_gives_nothing(rows: tuple[Any, ...]) -> None:
    assert findings(table(rows), "_faults") == {}
