"""What is written of pieces: facts with their attributes, rejected and waiting rows, each where it belongs and with the file's lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.batch.classify import sales_columns
from app.batch.gather import by_place, fact_pieces
from app.batch.held_pieces import InDriver
from app.config.load import S3Config
from app.contract.contract import Contract
from app.model.dimensions import FactRows, fact_columns
from app.model.pieces import FACTS, KEPT, REJECTS, WAITERS, Piece, packed
from app.sinks.part_writer import Part, PartWriter
from app.sinks.parts import CompleteFacts, ConformedFacts, FileLines, conformed, fact_part, quarantine_part, waiting_part
from tests.doubles import Folder
from tests.frames import classified, gathered, known

MONTHS, STORES, ROWS = 4, 3, 5000
CONFIG = S3Config(bucket="bucket", region="us-east-1")
PLACE = ("sales_month", "store_id")
NO_LINES = FileLines({})
NO_INT, NO_DATE = ("INVALID_INT", "price", "x"), ("INVALID_DATE", "sales_date", None)


def sales(count: int = ROWS, **changes: Any) -> pa.RecordBatch:
    """Make loaded rows whose partitions alternate: of 4 months and 3 stores."""
    at = range(count)
    columns: dict[str, pa.Array] = {
        "customer_id": pa.array([1 + one % 2 for one in at], pa.int32()),
        "store_id": pa.array([121 + one % STORES for one in at], pa.int32()),
        "product_name": pa.array(["sugar"] * count),
        "sales_date": pa.array([date(2024, 1, 31) + timedelta(one) for one in at], pa.date32()),
        "sales_person_id": pa.array([2] * count, pa.int32()),
        "price": pa.array([Decimal(one) for one in at], pa.decimal128(12, 4)),
        "quantity": pa.array(list(at), pa.int32()),
        "total_cost": pa.array([(Decimal(one) / 7).quantize(Decimal("0.0001")) for one in at], pa.decimal128(18, 4)),
        "additional_column": pa.array(['{"a":"b"}' if one % 3 else None for one in at], pa.string()),
        "_warnings": pa.array([None if one % 5 else ["small", None] for one in at], pa.list_(pa.string())),
        "_file_id": pa.array([7] * count, pa.int64()),
        "_split": pa.array([one % 2 for one in at], pa.int32()),
        "_line": pa.array(list(at), pa.int64()),
        "_month": pa.array([12 * 2024 + one % MONTHS for one in at], pa.int64()),
    }
    return pa.RecordBatch.from_pydict(columns | changes)


def fact_made(contract: Contract) -> FactRows:
    return FactRows(known(), [name for name in fact_columns(contract) if name not in PLACE])


def write(folder: Path, parts: Mapping[int, Part], pieces: list[Piece]) -> list[dict[str, Any]]:
    return InDriver(pieces).write(PartWriter(Folder(folder), "bucket", parts))


def facts_of(rows: pa.RecordBatch, kind: int = FACTS) -> list[Piece]:
    return [piece for place, part in by_place(rows) for piece in fact_pieces(kind, *place, part)]


def below(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all objects by the prefix that they lie below."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((folder / "bucket").rglob("*.parquet")):
        # The file alone: what the folders say is no column of it.
        with path.open("rb") as body:
            found.setdefault(str(path.parent.relative_to(folder / "bucket")), []).extend(pq.read_table(body).to_pylist())
    return found


def test_each_partition_is_one_file_with_its_rows_as_completed(contract: Contract, tmp_path: Path) -> None:
    written = write(tmp_path, {FACTS: fact_part(CONFIG, "9-1-1", CompleteFacts(fact_made(contract), NO_LINES))}, facts_of(sales()))
    files = sorted(str(path.relative_to(tmp_path / "bucket")) for path in tmp_path.rglob("*.parquet"))
    assert [path.rsplit("/", 1)[0] for path in files] == [
        f"sales_facts/sales_month=2024-0{month}/store_id={store}/batch_key=9-1-1" for month in range(1, 5) for store in (121, 122, 123)
    ]
    # The oracle: SQL over the same numbers.
    with duckdb.connect() as db:
        expected = db.execute(
            "SELECT 1 + i % 2, CAST(i / 7 AS DECIMAL(18, 4)), DATE '2024-01-31' + CAST(i AS INTEGER), i % 5 = 0,"
            f" '2024-0' || (1 + i % {MONTHS}), 121 + i % {STORES}, if(i % 2 = 0, 'Asha Rao', 'Gowri'), i"
            f" FROM range({ROWS}) t(i) ORDER BY 3"
        ).fetchall()
        found = db.execute(
            "SELECT customer_id, total_cost, sales_date, _warnings IS NOT NULL, sales_month, store_id, first_name, _line"
            " FROM read_parquet(?, hive_partitioning = true,"
            " hive_types = {'sales_month': VARCHAR, 'store_id': INTEGER, 'batch_key': VARCHAR}) ORDER BY 3",
            [f"{tmp_path}/**/*.parquet"],
        ).fetchall()
    assert found == expected
    assert {row["what"] for row in written} == {"facts"}
    assert sum(row["rows"] for row in written) == ROWS
    assert sum(Decimal(row["amount"]) for row in written) == sum(row[1] for row in expected)


def test_a_fact_object_has_every_column_but_its_place(contract: Contract, tmp_path: Path) -> None:
    write(tmp_path, {FACTS: fact_part(CONFIG, "9-1-1", CompleteFacts(fact_made(contract), NO_LINES))}, facts_of(sales(1)))
    [[row]] = below(tmp_path).values()
    assert list(row) == [name for name in fact_columns(contract) if name not in PLACE]
    assert (row["sales_person_first_name"], row["store_manager_name"], row["_warnings"]) == ("Elango", "Manoj Bhatia", ["small", None])


# Lines


@pytest.mark.parametrize(
    ("bases", "lines"),
    [
        ({}, [2, 3, 4, 5, 6]),
        ({(7, 1): 100}, [2, 103, 4, 5, 6]),
        ({(7, 1): 100, (8, 1): 1000, (8, 2): 1, (2**38, 0): 10**12}, [2, 103, 1004, 10**12 + 5, 6]),
        # A row that comes from no split has the line of its file, whatever is said of the first split.
        ({(9, 3): 50}, [2, 3, 4, 5, 6]),
    ],
)
def test_lines_of_a_split_become_lines_of_the_file(bases: dict[tuple[int, int], int], lines: list[int]) -> None:
    rows = pa.RecordBatch.from_pydict(
        {
            "_file_id": pa.array([7, 7, 8, 2**38, 9], pa.int64()),
            "_split": pa.array([0, 1, 1, 0, None], pa.int32()),
            "note": pa.array(list("abcde")),
            "_line": pa.array([2, 3, 4, 5, 6], pa.int64()),
        }
    )
    made = FileLines(bases).of(rows)
    assert made.schema == rows.schema
    assert made.column("_line").to_pylist() == lines
    assert made.drop_columns(["_line"]).equals(rows.drop_columns(["_line"]))


def test_no_rows_have_no_lines() -> None:
    rows = sales(0)
    assert FileLines({(7, 1): 100}).of(rows).equals(rows)


def test_facts_quarantine_and_waiting_rows_all_have_the_lines_of_the_file(contract: Contract, tmp_path: Path) -> None:
    lines = FileLines({(7, 1): 1000})
    parts = {
        FACTS: fact_part(CONFIG, "9-1-1", CompleteFacts(fact_made(contract), lines)),
        REJECTS: quarantine_part(CONFIG, "9-1-1", date(2024, 5, 1), {7: "a.csv"}, lines),
        WAITERS: waiting_part(CONFIG, "9-1-1", sales_columns(contract), lines),
    }
    rejected = {"outcome": "rejected", "_file_id": 7, "_faults": [NO_INT]}
    pieces = gathered(classified(rejected | {"_line": 5, "_split": 0}, rejected | {"_line": 6, "_split": 1}), marts=())
    pieces = [piece for piece in pieces if piece.kind == REJECTS]
    pieces += [*facts_of(sales(4)), Piece(WAITERS, rows=4, blob=packed(sales(4)))]
    written = write(tmp_path, parts, pieces)
    found = below(tmp_path)
    lines_of = {
        folder: sorted(row["_line"] for rows in (found[one] for one in found if one.startswith(folder)) for row in rows)
        for folder in ("sales_facts", "sales_data_error", "sales_pending")
    }
    assert lines_of == {"sales_facts": [0, 2, 1001, 1003], "sales_data_error": [5, 1006], "sales_pending": [0, 2, 1001, 1003]}
    assert {(row["what"], row["rows"]) for row in written} == {("facts", 1), ("rejected rows", 2), ("waiting rows", 4)}


# Quarantine and waiting rows

REJECTED = [
    {"outcome": "rejected", "_file_id": 7, "_line": 2, "_raw": "1,x", "_faults": [NO_INT, NO_DATE]},
    {"outcome": "rejected", "_file_id": 8, "_line": 5, "_raw": "2,y", "_faults": [NO_DATE]},
    {"outcome": "rejected", "_file_id": 7, "_line": 3, "_raw": "3,x", "_faults": [NO_INT]},
    {"outcome": "rejected", "_file_id": 9, "_line": 1, "_raw": "4,x", "_faults": [NO_INT]},
]


def test_rejected_rows_lie_under_the_day_their_first_reason_and_the_batch(tmp_path: Path) -> None:
    part = quarantine_part(CONFIG, "9-1-1", date(2024, 5, 1), {7: "sales_data/a.csv", 8: "sales_data/b.csv"}, NO_LINES)
    pieces = [piece for row in REJECTED for piece in gathered(classified(row), marts=()) if piece.kind == REJECTS]
    written = write(tmp_path, {REJECTS: part}, pieces)
    assert sorted((row["what"], row["rows"], row["amount"]) for row in written) == [("rejected rows", 1, "0"), ("rejected rows", 3, "0")]
    root = "sales_data_error/quarantine/load_date=2024-05-01"
    reasons = {fault[0]: dict(zip(("code", "column", "value"), fault, strict=True)) for fault in (NO_INT, NO_DATE)}
    no_int, no_date = reasons["INVALID_INT"], reasons["INVALID_DATE"]
    a, b = "sales_data/a.csv", "sales_data/b.csv"
    assert below(tmp_path) == {
        f"{root}/reason=INVALID_DATE/batch_key=9-1-1": [
            {"_file_id": 8, "_file_name": b, "_line": 5, "_raw": "2,y", "_reasons": [no_date]},
        ],
        f"{root}/reason=INVALID_INT/batch_key=9-1-1": [
            {"_file_id": 7, "_file_name": a, "_line": 2, "_raw": "1,x", "_reasons": [no_int, no_date]},
            {"_file_id": 7, "_file_name": a, "_line": 3, "_raw": "3,x", "_reasons": [no_int]},
            {"_file_id": 9, "_file_name": None, "_line": 1, "_raw": "4,x", "_reasons": [no_int]},
        ],
    }


def test_waiting_rows_lie_under_the_batch_as_they_are(contract: Contract, tmp_path: Path) -> None:
    rows = sales(3)
    pieces = [Piece(WAITERS, rows=one.num_rows, blob=packed(one)) for one in (rows.slice(0, 1), rows.slice(1))]
    [written] = write(tmp_path, {WAITERS: waiting_part(CONFIG, "9-1-1", sales_columns(contract), NO_LINES)}, pieces)
    assert (written["what"], written["rows"]) == ("waiting rows", 3)
    [(folder, found)] = below(tmp_path).items()
    assert folder == "sales_pending/batch_key=9-1-1"
    assert list(found[0]) == [*sales_columns(contract), "sales_month"]
    months = ["2024-01", "2024-02", "2024-03"]
    wanted = rows.drop_columns(["_month"]).to_pylist()
    assert found == [row | {"sales_month": month} for row, month in zip(wanted, months, strict=True)]


# Rows that were facts before, beside new ones


def test_old_rows_and_new_ones_become_one_object_with_the_columns_of_both(contract: Contract, tmp_path: Path) -> None:
    made = fact_made(contract)
    new = sales(1)
    today = CompleteFacts(made, NO_LINES)(Piece(FACTS), new.drop_columns(["_month"])).schema
    # Wider amounts than today's, a column of an older contract, today's name of the extra columns.
    wider = [pa.field("total_cost", pa.decimal128(20, 4)) if one.name == "total_cost" else one for one in today]
    target = pa.schema([*wider[:7], pa.field("discount", pa.decimal128(5, 2)), *wider[7:]])
    old = pa.RecordBatch.from_pydict(
        {
            "customer_id": pa.array([5], pa.int32()),
            "quantity": pa.array([3], pa.int16()),
            "total_cost": pa.array([Decimal("9999999999999999.5")], pa.decimal128(20, 4)),
            "first_name": pa.array(["as it was then"]),
            "discount": pa.array([Decimal("0.25")], pa.decimal128(5, 2)),
            "more": pa.array(['{"x":"y"}']),
            "_warnings": pa.array([["odd"]], pa.list_(pa.string())),
            "_file_id": pa.array([3], pa.int64()),
            "_line": pa.array([44], pa.int64()),
        }
    )
    parts = {
        FACTS: fact_part(CONFIG, "9-1-1", CompleteFacts(made, NO_LINES, target)),
        KEPT: fact_part(CONFIG, "9-1-1", ConformedFacts(target, "additional_column")),
    }
    pieces = [Piece(KEPT, "2024-01", (121,), 1, value="more", blob=packed(old)), *facts_of(new)]
    [written] = write(tmp_path, parts, pieces)
    assert (written["rows"], Decimal(written["amount"])) == (2, Decimal("9999999999999999.5"))
    [path] = tmp_path.rglob("*.parquet")
    with path.open("rb") as body:
        table = pq.read_table(body)
    assert table.schema.equals(target)
    fresh, kept = table.to_pylist()
    assert (fresh["first_name"], fresh["discount"], fresh["total_cost"], fresh["additional_column"]) == ("Asha Rao", None, Decimal(0), None)
    assert {name: value for name, value in kept.items() if value is not None} == {
        "customer_id": 5,
        "quantity": 3,
        "total_cost": Decimal("9999999999999999.5000"),
        "first_name": "as it was then",
        "discount": Decimal("0.25"),
        "additional_column": '{"x":"y"}',
        "_warnings": ["odd"],
        "_file_id": 3,
        "_line": 44,
    }


@pytest.mark.parametrize(
    ("columns", "old", "extra"),
    [
        ({"additional_column": [None, "today"]}, None, [None, "today"]),
        ({"additional_column": [None, "today"]}, "additional_column", [None, "today"]),
        ({"more": ["a", None]}, "more", ["a", None]),
        # A column that once had the name that the extra columns have today.
        ({"additional_column": [None, "today"], "more": ["a", "b"]}, "more", ["a", "today"]),
        ({}, None, [None, None]),
    ],
)
def test_the_extra_columns_of_old_rows_have_the_name_of_today(columns: dict[str, list[Any]], old: str | None, extra: list[Any]) -> None:
    target = pa.schema([("additional_column", pa.string()), ("_line", pa.int64())])
    rows = pa.RecordBatch.from_pydict({name: pa.array(values, pa.string()) for name, values in columns.items()} | {"_line": [1, 2]})
    made = ConformedFacts(target, "additional_column")(Piece(KEPT, value=old), rows)
    assert made.schema == target
    assert (made.column("additional_column").to_pylist(), made.column("_line").to_pylist()) == (extra, [1, 2])


def test_what_a_type_does_not_hold_is_refused_and_never_cut() -> None:
    target = pa.schema([("amount", pa.decimal128(5, 2))])
    with pytest.raises(pa.ArrowInvalid):
        conformed({"amount": pa.array([Decimal("1.2345")], pa.decimal128(8, 4))}, 1, target)
