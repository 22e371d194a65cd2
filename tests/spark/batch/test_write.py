"""Outputs side by side: the first failure is the one that is told, not those that its cancellation makes."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession

from app.batch.write import _side_by_side, check_rows
from app.errors import LedgerError, MySqlError

pytestmark = pytest.mark.spark


def test_the_failure_that_came_first_is_raised_though_a_cancelled_job_stands_before_it(spark: SparkSession) -> None:
    begun: list[float] = []

    def slow() -> None:
        begun.append(time.monotonic())
        # Many short tasks, five minutes of them: a cancelled job starts no further ones.
        spark.sparkContext.parallelize(range(600), 600).foreach(lambda _: time.sleep(0.5))

    def denied() -> None:
        while not begun:
            time.sleep(0.01)
        time.sleep(1)
        raise MySqlError("INSERT command denied")

    job: Any = SimpleNamespace(spark=spark)
    attempt: Any = SimpleNamespace(batch_key="7-1-1")
    with pytest.raises(MySqlError, match="denied"):
        _side_by_side(job, attempt, [slow, denied])
    # The slow job was cancelled and waited for; alone it takes many minutes.
    assert time.monotonic() - begun[0] < 60


def test_after_a_failure_the_same_attempt_key_can_run_again(spark: SparkSession) -> None:
    job: Any = SimpleNamespace(spark=spark)
    attempt: Any = SimpleNamespace(batch_key="7-1-3")

    def denied() -> None:
        raise MySqlError("denied")

    with pytest.raises(MySqlError):
        _side_by_side(job, attempt, [denied])
    counted: list[int] = []
    _side_by_side(job, attempt, [lambda: counted.append(spark.range(7).count())])
    assert counted == [7]


def test_all_tasks_are_over_when_it_returns(spark: SparkSession) -> None:
    job: Any = SimpleNamespace(spark=spark)
    attempt: Any = SimpleNamespace(batch_key="7-1-2")
    done: list[int] = []

    def slow() -> None:
        time.sleep(0.2)
        done.append(1)

    _side_by_side(job, attempt, [slow, lambda: done.append(2)])
    assert sorted(done) == [1, 2]


def test_rows_that_did_not_go_where_they_were_planned_stop_the_batch() -> None:
    attempt: Any = SimpleNamespace(batch_key="7-1-4")
    check_rows("quarantine", attempt, 3, 3)
    with pytest.raises(LedgerError, match=r"batch 7-1-4: 2 rows were written as quarantine, planned were 3"):
        check_rows("quarantine", attempt, 2, 3)
