"""What a worker runs around each function of a plan."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator

import pyarrow as pa
import pytest

from app.spark.map_in_arrow import InWorker

ROWS = pa.record_batch({"a": [1, 2]})


def doubled(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        yield batch


def test_a_worker_sets_aside_what_it_has_loaded_after_tasks_one_two_four_and_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InWorker, "tasks", 0)
    frozen: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(InWorker.tasks))
    for _ in range(9):
        assert list(pickle.loads(pickle.dumps(InWorker(doubled)))(iter([ROWS]))) == [ROWS, ROWS]
    assert frozen == [1, 2, 4, 8]
