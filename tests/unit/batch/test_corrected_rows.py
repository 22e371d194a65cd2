"""Corrected rows come back each with its line; the other rejected rows of the file stay rejected as they are."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.batch import corrected_rows
from app.batch.classify import Classifier
from app.batch.corrected_rows import ReadRejected, still_rejected, with_corrected_lines
from app.batch.counts import Census
from app.batch.held_pieces import HeldPieces, InDriver
from app.batch.read_files import ReadSplits
from app.batch.stored_rows import stored_parts
from app.config.load import S3Config
from app.contract.contract import Contract
from app.contract.rules import CompiledRules
from app.errors import BatchFailed
from app.model.dimensions import KnownKeys
from app.model.findings import Finding, Place
from app.model.pieces import FACTS, LINES, MARKER, REJECTS, Piece, packed
from app.parsing.header import LINE_COLUMN
from app.parsing.record_rules import Limits
from app.parsing.rows import EXTRA
from app.source.split_reader import SplitReader
from app.source.splits import plan_splits
from tests.doubles import Bucket, FakeDatabase, FakeFactory, FakeS3
from tests.frames import known, rows_in

CONFIG = S3Config(bucket="lake")
REASONS = pa.list_(pa.struct([("code", pa.string()), ("column", pa.string()), ("value", pa.string())]))
QUARANTINE = pa.schema(
    [("_file_id", pa.int64()), ("_file_name", pa.string()), ("_line", pa.int64()), ("_raw", pa.string()), ("_reasons", REASONS)]
)
NO_INT, NO_DATE = ("INVALID_INT", "price", "x"), ("INVALID_DATE", "sales_date", None)


# A row's own line


def mended(extra: list[tuple[str, str | None]] | None, raw: str | None) -> tuple[Any, ...]:
    rows = pa.RecordBatch.from_pydict(
        {"_line": pa.array([2], pa.int64()), "note": ["kept"], "_extra": pa.array([extra], EXTRA), "_raw": pa.array([raw], pa.string())}
    )
    made = with_corrected_lines(rows)
    assert made.schema == rows.schema
    assert made.column("note").to_pylist() == ["kept"]
    return tuple(made.column(name)[0].as_py() for name in ("_line", "_extra", "_raw"))


@pytest.mark.parametrize(
    ("said", "raw", "line", "left"),
    [
        ("17", "17,1,121", 17, "1,121"),
        ("17", '"17",1,"a,b"', 17, '1,"a,b"'),
        ("17", "17;1;121", 17, "1;121"),
        ("17", "17\t1\t121", 17, "1\t121"),
        ("17", "17|1|121", 17, "1|121"),
        ("17", "17,17,121", 17, "17,121"),
        # Somebody has moved the column.
        ("5", "17,x", 5, "x"),
        (" 17 ", '" 17 ",1', 17, '" 17 ",1'),
        ("+5", "+5,1", 5, "+5,1"),
        ("-5", "-5,1", -5, "-5,1"),
        ("1" * 18, "1" * 18 + ",x", int("1" * 18), "x"),
    ],
)
def test_a_row_has_the_line_of_its_first_column_and_its_own_text_behind_it(said: str, raw: str, line: int, left: str) -> None:
    assert mended([(LINE_COLUMN, said), ("area", "x")], raw) == (line, [("area", "x")], left)


@pytest.mark.parametrize("said", ["", "x", "1.5", "1e3", "17 18", "1" * 19, "0x11"])
def test_a_line_that_is_no_number_is_none_that_was_rejected(said: str) -> None:
    assert mended([(LINE_COLUMN, said)], f"{said}|1")[0] == 0


@pytest.mark.parametrize(
    ("raw", "line", "left"),
    [
        ("17,1,2", 17, "1,2"),
        ('"17";1', 17, "1"),
        ('17,"never closed', 17, '"never closed'),
        ("17", 0, "17"),
        ("x17,1", 0, "x17,1"),
        (",17,1", 0, ",17,1"),
        ("1" * 19 + ",1", 0, "1" * 19 + ",1"),
        ("", 0, ""),
        (None, 0, None),
    ],
)
def test_a_row_without_columns_has_the_line_that_its_text_begins_with(raw: str | None, line: int, left: str | None) -> None:
    assert mended(None, raw) == (line, None, left)


def test_extra_columns_stay_but_for_the_line() -> None:
    assert mended([("area", "x"), (LINE_COLUMN, "3"), ("mode", "UPI")], "3,1")[1] == [("area", "x"), ("mode", "UPI")]
    assert mended([(LINE_COLUMN, "3")], "3,1")[1] == []
    assert mended([("area", "x")], "3,1")[:2] == (3, [("area", "x")])


def test_a_corrected_file_is_read_with_the_lines_of_its_rows_and_tells_them(contract: Contract) -> None:
    bucket = Bucket()
    row = b",1,121,sugar,2024-01-31,1,50.00,2,100.00"
    lines = [b"40" + row, b'"41"' + row.replace(b"121", b"x"), b"42,1", b"43" + row.replace(b",1,", b",99,", 1)]
    bucket.put("a.csv", LINE_COLUMN.encode() + b"," + ",".join(contract.names).encode() + b"\n" + b"\n".join(lines))
    reader = SplitReader(contract, Limits(9, 999, 999), KnownKeys(known()).of, bucket.factory)
    classifier = Classifier(contract, CompiledRules.of(contract), date(2024, 5, 1))
    pieces = list(ReadSplits(reader, classifier, [plan_splits(bucket.files, 1 << 20)], is_mending=True)(0))
    assert sorted((row["_file_id"], row["_line"]) for row in rows_in(pieces, LINES)) == [(1, 40), (1, 41), (1, 42), (1, 43)]
    [loaded] = rows_in(pieces, FACTS)
    assert (loaded["_line"], loaded["additional_column"]) == (40, None)
    rejected = {row["_line"]: row["_raw"] for row in rows_in(pieces, REJECTS)}
    assert rejected == {41: "1,x,sugar,2024-01-31,1,50.00,2,100.00", 42: "1"}
    assert sum(piece.kind == MARKER for piece in pieces) == 1
    plain = list(ReadSplits(reader, classifier, [plan_splits(bucket.files, 1 << 20)])(0))
    assert rows_in(plain, LINES) == []
    assert [row["_line"] for row in rows_in(plain, FACTS)] == [2]


# What stays rejected


def quarantined(*rows: tuple[int, int, str, list[tuple[str, str, str | None]]]) -> bytes:
    made = [
        {
            "_file_id": file_id,
            "_file_name": f"{file_id}.csv",
            "_line": line,
            "_raw": raw,
            "_reasons": [dict(zip(("code", "column", "value"), fault, strict=True)) for fault in faults],
        }
        for file_id, line, raw, faults in rows
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(made, QUARANTINE), sink)
    return sink.getvalue()


PARTS = {
    "q/reason=INVALID_INT/a.parquet": quarantined(
        (7, 2, "1,x", [NO_INT, NO_DATE]), (7, 3, "3,x", [NO_INT]), (8, 2, "other file", [NO_INT])
    ),
    "q/reason=INVALID_INT/b.parquet": quarantined((7, 9, "9,x", [NO_INT])),
    "q/reason=INVALID_DATE/a.parquet": quarantined((9, 5, "5,y", [NO_DATE]), (7, 6, "6,y", [NO_DATE])),
}


def left_of(files: Iterable[int], lines: Iterable[tuple[int, int]]) -> list[Piece]:
    clients: Any = FakeFactory(FakeS3.holding(PARTS))
    stored = stored_parts(clients, CONFIG, ["q/reason=INVALID_INT/", "q/reason=INVALID_DATE/"])
    work = ReadRejected(clients, stored, [[1], [0]], frozenset(files), frozenset(lines))
    return [piece for task in range(2) for piece in work(task)]


def test_rows_that_were_not_corrected_stay_rejected_as_they_are() -> None:
    pieces = left_of([7], [(7, 3), (7, 6), (8, 2)])
    reasons = [dict(zip(("code", "column", "value"), fault, strict=True)) for fault in (NO_INT, NO_DATE)]
    assert rows_in(pieces, REJECTS) == [
        {"_file_id": 7, "_split": None, "_line": 2, "_raw": "1,x", "_faults": reasons, "_reason": "INVALID_INT"},
        {"_file_id": 7, "_split": None, "_line": 9, "_raw": "9,x", "_faults": reasons[:1], "_reason": "INVALID_INT"},
    ]
    # Of the others it is only told that they were there.
    assert sorted((row["_file_id"], row["_line"]) for row in rows_in(pieces, LINES)) == [(7, 3), (7, 6)]
    census = Census.take(pieces)
    assert (census.by_file, census.by_reason) == ({7: {"rejected": 2}}, {"INVALID_INT": 2})
    assert census.faults == {
        Place(7, None, "INVALID_INT"): Finding(2, 2, "price", "x"),
        Place(7, None, "INVALID_DATE"): Finding(1, 2, "sales_date", None),
    }


def test_all_rows_of_other_files_are_left_out() -> None:
    assert sorted((row["_file_id"], row["_line"]) for row in rows_in(left_of([8, 9], []), REJECTS)) == [(8, 2), (9, 5)]
    assert left_of([1], []) == []


def test_nothing_stays_rejected_when_all_was_corrected() -> None:
    pieces = left_of([7], [(7, line) for line in (2, 3, 6, 9)])
    assert rows_in(pieces, REJECTS) == []
    assert len(rows_in(pieces, LINES)) == 4


# Lines that are wrong


def lines_piece(*lines: tuple[int, int]) -> Piece:
    made = {"_file_id": pa.array([file_id for file_id, _ in lines], pa.int64()), "_line": pa.array([line for _, line in lines], pa.int64())}
    return Piece(LINES, rows=len(lines), blob=packed(pa.RecordBatch.from_pydict(made)))


class Frame:
    """Stands for the frame of the read job: its tasks run here."""

    def __init__(self, work: Any, tasks: int) -> None:
        self.pieces = [piece for task in range(tasks) for piece in work(task)]


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[HeldPieces]:
    """Run the tasks of the read job in this process, and note whose pieces were let go of."""
    found: list[HeldPieces] = []
    monkeypatch.setattr(corrected_rows, "made_by", lambda _, work, tasks: Frame(work, tasks))
    monkeypatch.setattr(InDriver, "collected", classmethod(lambda cls, frame: cls(frame.pieces)))
    monkeypatch.setattr(InDriver, "release", lambda held: found.append(held))
    return found


def stay_rejected(*lines: tuple[int, int], parts: bool = True) -> HeldPieces:
    prefix = "sales_data_error/quarantine/load_date=2024-05-01/"
    objects = {
        f"{prefix}reason={reason}/batch_key=1-1-1/{at}.parquet": PARTS[f"q/reason={reason}/{at}.parquet"]
        for reason, at in (("INVALID_INT", "a"), ("INVALID_INT", "b"), ("INVALID_DATE", "a"))
    }
    found = [{"load_date": date(2024, 5, 1), "reason": reason, "batch_key": "1-1-1"} for reason in ("INVALID_DATE", "INVALID_INT")]
    job: Any = SimpleNamespace(
        spark=SimpleNamespace(sparkContext=SimpleNamespace(defaultParallelism=2)),
        config=SimpleNamespace(s3=CONFIG, stream=SimpleNamespace(split_bytes=1 << 20)),
        clients=FakeFactory(FakeS3.holding(objects)),
        ledger=SimpleNamespace(db=FakeDatabase(found if parts else [])),
    )
    attempt: Any = SimpleNamespace(files=[SimpleNamespace(id=7), SimpleNamespace(id=9)], planned_at=datetime(2024, 5, 1, tzinfo=UTC))
    # As two tasks tell them.
    return still_rejected(job, attempt, InDriver([lines_piece(*lines[::2]), lines_piece(*lines[1::2])]))


def test_lines_that_were_rejected_once_each_are_right(released: list[HeldPieces]) -> None:
    pieces = stay_rejected((7, 9), (7, 2), (9, 5))
    assert Counter((row["_file_id"], row["_line"]) for row in rows_in(pieces.of({REJECTS}), REJECTS)) == Counter([(7, 3), (7, 6)])
    assert released == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([(7, 2), (7, 2)], "mended rows of file 7: line 2 comes twice"),
        ([(7, 9), (7, 4)], "mended rows of file 7: line 4 is none of its rejected rows"),
        ([(7, 0), (7, 2)], "mended rows of file 7: line 0 is none of its rejected rows"),
        # The first by file and line, whatever is wrong with it, and a file that is none of the attempt's has no rejected rows.
        ([(9, 4), (7, 6), (7, 6), (7, 50), (9, 1)], "mended rows of file 7: line 6 comes twice"),
        ([(9, 5), (7, 50), (9, 5), (7, 49)], "mended rows of file 7: line 49 is none of its rejected rows"),
        ([(8, 2), (9, 5), (9, 5)], "mended rows of file 8: line 2 is none of its rejected rows"),
        ([(7, 4), (7, 4)], "mended rows of file 7: line 4 comes twice"),
    ],
)
def test_the_first_wrong_line_is_named(released: list[HeldPieces], lines: list[tuple[int, int]], said: str) -> None:
    with pytest.raises(BatchFailed, match=said):
        stay_rejected(*lines)
    assert len(released) == 1


def test_a_quarantine_that_was_cleaned_is_said_to_be(released: list[HeldPieces]) -> None:
    with pytest.raises(BatchFailed, match="the rejected rows of the files are not in the quarantine any more: clean has deleted them"):
        stay_rejected((7, 2), parts=False)
    assert released == []
