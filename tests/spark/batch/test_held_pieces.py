"""Held pieces are made once, many or few, are the same wherever they are, and let go of for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from app.batch import held_pieces
from app.batch.held_pieces import HeldPieces, InDriver, InSpark, made_by
from app.batch.read_files import read_files
from app.contract.contract import Contract
from app.errors import TaskRepeated
from app.model.pieces import DELTA, FACTS, FILE, KEPT, MARKER, MISSING, REJECTS, SCHEMA, WAITERS, Piece, batch_of
from app.sinks.part_writer import RESULT, Part, PartWriter
from app.source.splits import Marker, plan_splits
from tests.doubles import Bucket, Folder
from tests.frames import classified, gathered, known, rows_in

pytestmark = pytest.mark.spark

TASKS, ROWS = 3, 40
NO_INT, NO_DATE = ("INVALID_INT", "price", "x"), ("INVALID_DATE", "sales_date", None)
Hold = Callable[[DataFrame], HeldPieces]
HOLDS = pytest.mark.parametrize("hold", [InDriver.collected, InSpark.held], ids=["in the driver", "in Spark"])


def rows_of(task: int) -> list[dict[str, Any]]:
    """Make the rows of a task: most are loaded, of four months and three stores."""
    rows: list[dict[str, Any]] = []
    for at in range(ROWS):
        line = task * ROWS + at
        row = {
            "_line": line,
            "month": f"2024-0{1 + line % 4}",
            "store_id": 121 + line % 3,
            "total_cost": Decimal(line) / 8,
            "note": str(line),
        }
        if at % 10 == 8:
            rows.append({"outcome": "rejected", "_line": line, "_faults": [NO_INT if line % 3 else NO_DATE]})
        else:
            rows.append(row | ({"outcome": "pending", "_known": 4, "customer_id": line} if at % 10 == 9 else {"outcome": "loaded"}))
    return rows


@dataclass(frozen=True)
class Work:
    """Makes the pieces of a task, and leaves a file whenever it does. Rows that were facts before are among them."""

    folder: Path

    def __call__(self, task: int) -> Iterator[Piece]:
        (self.folder / uuid4().hex).touch()
        pieces = gathered(classified(*rows_of(task)))
        yield from pieces
        yield from (replace(piece, kind=KEPT, value="was there") for piece in pieces if piece.kind == FACTS)
        yield Piece(MARKER, Marker(1, task).to_json())


@dataclass(frozen=True)
class Below:
    """Says where a piece's rows go, and writes them as they are."""

    folder: str

    def prefix(self, piece: Piece) -> str:
        return f"{self.folder}/{piece.name}/{(piece.keys or ('',))[0]}/"

    def complete(self, piece: Piece, rows: pa.RecordBatch) -> pa.RecordBatch:
        return rows


def kept(spark: SparkSession) -> int:
    return int(spark.sparkContext._jsc.getPersistentRDDs().size())


def made(spark: SparkSession, folder: Path) -> DataFrame:
    folder.mkdir()
    return made_by(spark, Work(folder), TASKS)


def plain(pieces: list[Piece]) -> Counter[Piece]:
    return Counter(replace(piece, blob=None) for piece in pieces)


def writer_into(folder: Path) -> PartWriter:
    facts, others = Below("facts"), Below("others")
    parts = {
        FACTS: Part("facts", facts.prefix, facts.complete, "total_cost"),
        KEPT: Part("facts", facts.prefix, facts.complete, "total_cost"),
    }
    parts |= {kind: Part("others", others.prefix, others.complete) for kind in (REJECTS, WAITERS)}
    return PartWriter(Folder(folder), "bucket", parts)


@HOLDS
def test_pieces_are_made_once_and_gone_in_the_end(spark: SparkSession, tmp_path: Path, hold: Hold) -> None:
    before = kept(spark)
    held = hold(made(spark, tmp_path / "made"))
    assert len(held.counts) == len(held.counts) > 100
    for _ in range(2):
        assert sorted(piece.name or "" for piece in held.of({MARKER})) == sorted(Marker(1, task).to_json() for task in range(TASKS))
    held.write(writer_into(tmp_path))
    assert len(list((tmp_path / "made").iterdir())) == TASKS
    assert kept(spark) == before + (hold == InSpark.held)
    held.release()
    assert kept(spark) == before


@pytest.mark.parametrize("most", [1_000_000, -1], ids=["all at once", "bucket by bucket"])
def test_pieces_in_spark_are_those_in_the_driver(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(held_pieces, "COLLECTED_BYTES", most)
    expected = [piece for task in range(TASKS) for piece in Work(tmp_path)(task)]
    driver, many = InDriver(expected), InSpark.held(made(spark, tmp_path / "made"))
    assert plain(driver.counts) == plain(many.counts) == plain(expected)
    kinds = {FACTS, KEPT, REJECTS, WAITERS, DELTA, DELTA + 1, MISSING}
    for held in (driver, many):
        found = list(held.of(kinds))
        assert Counter(found) == Counter(piece for piece in expected if piece.kind in kinds)
        # Those of a kind and keys come one after the other, so that nobody holds more than one group.
        groups = [key for key, _ in groupby(found, lambda piece: piece.place)]
        assert len(groups) == len(set(groups)) < len(found)
    assert list(many.of({99})) == []
    many.release()


@HOLDS
def test_all_rows_are_written_and_those_of_one_place_lie_in_one_file(spark: SparkSession, tmp_path: Path, hold: Hold) -> None:
    held = hold(made(spark, tmp_path / "made"))
    written = held.write(writer_into(tmp_path))
    held.release()
    rows = [row for task in range(TASKS) for row in rows_of(task)]
    loaded = [row for row in rows if row["outcome"] == "loaded"]
    totals = {
        what: (sum(f["rows"] for f in written if f["what"] == what), sum(Decimal(f["amount"]) for f in written if f["what"] == what))
        for what in ("facts", "others")
    }
    assert totals == {
        "facts": (2 * len(loaded), 2 * sum(row["total_cost"] for row in loaded)),
        "others": (len(rows) - len(loaded), 0),
    }
    files: dict[str, list[str]] = {}
    for path in (tmp_path / "bucket").rglob("*.parquet"):
        found = pq.read_table(path).to_pylist()
        place = str(path.parent.relative_to(tmp_path / "bucket"))
        # One file for each place: new rows and rows that stay meet in it.
        assert place not in files
        files[place] = sorted(str(row["_line"]) for row in found)
    expected: dict[str, list[str]] = {}
    for row in rows:
        reason = row["_faults"][0][0] if row["outcome"] == "rejected" else None
        place = f"facts/{row['month']}/{row['store_id']}" if row["outcome"] == "loaded" else f"others/{reason}"
        expected.setdefault(place, []).extend([str(row["_line"])] * (2 if row["outcome"] == "loaded" else 1))
    assert files == {place: sorted(lines) for place, lines in expected.items()}


@pytest.mark.parametrize("is_small", [True, False])
def test_pieces_of_both_are_the_pieces_of_both(spark: SparkSession, tmp_path: Path, is_small: bool) -> None:
    own = [Piece(FILE, "loaded", (5,), 3), *gathered(classified(*rows_of(9))), Piece(MARKER, Marker(2, 0).to_json())]
    third = InDriver(gathered(classified(*rows_of(20))))
    expected = [*own, *third.counts, *(piece for task in range(TASKS) for piece in Work(tmp_path)(task))]
    many = InSpark.held(made(spark, tmp_path / "made"))
    few: HeldPieces = InDriver(own)
    if not is_small:
        # As Spark has them when rows of two kinds are many.
        few = InSpark.held(spark.createDataFrame(pa.Table.from_batches([batch_of(own)])))
    for both in (few.plus(many).plus(third), many.plus(third).plus(few), third.plus(few).plus(many), few.plus(many.plus(third))):
        assert plain(both.counts) == plain(expected)
        found = list(both.of({FACTS, DELTA, MISSING}))
        groups = [key for key, _ in groupby(found, lambda piece: piece.place)]
        assert len(groups) == len(set(groups))
        for kind in (FACTS, DELTA, MISSING):
            assert sorted(map(str, rows_in(found, kind))) == sorted(map(str, rows_in(expected, kind)))
    written = few.plus(many).plus(third).write(writer_into(tmp_path))
    assert sum(file["rows"] for file in written if file["what"] == "facts") == sum(p.rows for p in expected if p.kind in (FACTS, KEPT))
    few.release()
    many.release()


def test_no_tasks_make_no_pieces(spark: SparkSession, tmp_path: Path) -> None:
    assert InDriver.collected(made_by(spark, Work(tmp_path), 0)).counts == []


@dataclass(frozen=True)
class Repeated:
    """Stands for a writer one of whose tasks Spark had to start twice."""

    attempt: int
    parts: dict[int, Part] = field(default_factory=lambda: {FACTS: Part("facts", str, lambda _, rows: rows)})

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = sum(batch.num_rows for batch in batches)
        made = {"what": "facts", "rows": rows, "amount": "1", "attempt": self.attempt, "stage": 0}
        yield pa.RecordBatch.from_pylist([made], schema=RESULT)


def test_what_a_repeated_task_wrote_never_counts(spark: SparkSession, tmp_path: Path) -> None:
    held = InSpark.held(made(spark, tmp_path / "made"))
    once, twice = Repeated(0), Repeated(1)
    writer: Any = once
    assert sum(file["rows"] for file in held.write(writer)) == sum(piece.kind == FACTS for piece in held.counts)
    writer = twice
    with pytest.raises(TaskRepeated, match="a task that writes Parquet was started again by Spark"):
        held.write(writer)
    held.release()


def test_what_a_repeated_stage_wrote_never_counts(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the loss of an executor: its tasks are the first attempts of a stage that is tried again."""
    held = InSpark.held(made(spark, tmp_path / "made"))
    asked: list[int] = []

    class Tracker:
        def getStageInfo(self, stage: int) -> Any:
            asked.append(stage)
            return SimpleNamespace(currentAttemptId=1)

    monkeypatch.setattr(type(spark.sparkContext), "statusTracker", lambda _: Tracker())
    writer: Any = Repeated(0)
    with pytest.raises(TaskRepeated):
        held.write(writer)
    assert asked == [0]
    held.release()


# What the JVM sees


def test_no_column_of_a_sales_row_ever_leaves_the_workers(spark: SparkSession, contract: Contract) -> None:
    bucket = Bucket()
    bucket.put("a.csv", ",".join(contract.names).encode() + b"\n1,121,sugar,2024-01-31,1,50.00,2,100.00\n99,1,x,2024-01-31,1,50.00,2,x\n")
    stream = SimpleNamespace(split_bytes=1 << 20, max_record_lines=9, max_record_bytes=999, max_header_bytes=999)
    job: Any = SimpleNamespace(spark=spark, contract=contract, clients=bucket.factory, config=SimpleNamespace(stream=stream))
    attempt: Any = SimpleNamespace(planned_at=datetime(2024, 5, 1), is_mending=False)
    frame = read_files(job, attempt, plan_splits(bucket.files, 1 << 20), known())
    held = InSpark.held(frame)
    assert {piece.name: piece.rows for piece in held.counts if piece.kind == FILE} == {"loaded": 1, "rejected": 1}
    for asked in (frame, held._all({FACTS, DELTA})):
        plan = asked._jdf.queryExecution().executedPlan()
        assert set(columns_in(plan)) == {"id", *SCHEMA.names}
    held.release()


def columns_in(plan: Any) -> Iterator[str]:
    """Yield the names of all columns between the steps of a plan."""
    output = plan.output()
    yield from (output.apply(at).name() for at in range(output.size()))
    below = plan.children()
    for at in range(below.size()):
        yield from columns_in(below.apply(at))
    if plan.nodeName().startswith("InMemoryTableScan"):
        yield from columns_in(plan.relation().cachedPlan())
    if plan.nodeName() == "AdaptiveSparkPlan":
        yield from columns_in(plan.executedPlan())
