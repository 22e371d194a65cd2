"""What the stream does around Spark: find the line that says what failed, keep few checkpoints, remember a stop."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.batch.process import BatchRunner
from app.config.load import Config
from app.errors import BatchFailed, LedgerError, OwnershipError, UsageError
from app.spark.errors import failure_line, spark_error
from app.stream.run import fresh_checkpoint, run
from app.stream.supervise import StopRequest, raise_failure
from app.version import VERSION

# As Spark 4 words the failure of a planner process: the Python trace, then a description of the query.
HEAD = """[PYTHON_STREAMING_DATA_SOURCE_RUNTIME_ERROR] Failed when Python streaming data source perform latestOffset: \
Traceback (most recent call last):
  File "/venv/pyspark.zip/pyspark/sql/streaming/python_streaming_source_runner.py", line 281, in main
  File "/venv/pyspark.zip/pyspark/sql/datasource_internal.py", line 126, in latestOffset
    iter, end = self.simple_reader.read(start)
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/repo/app/source/inbox.py", line 51, in read
    batch = self.planner.next_batch(start["batch"])
"""
TAIL = """
 SQLSTATE: 38000
=== Streaming Query ===
Identifier: salestream [id = bd4f5774-b48b-4ab6-9f46-fe00f593c2d8, runId = da03704e-3fbb-46a2-976a-7ec82b4aa2ff]
Current Committed Offsets: {}
Current Available Offsets: {}

Current State: ACTIVE
Thread State: RUNNABLE

Logical Plan:
~WriteToMicroBatchDataSourceV1 ForeachBatchSink, bd4f5774, [checkpointLocation=/repo/checkpoints/dev/5, queryName=salestream], Append
+- ~StreamingDataSourceV2ScanRelation[batch#0L] s3_csv_inbox
"""
CAUSE = """pymysql.err.OperationalError: (2003, "Can't connect to MySQL server on 'db'")

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/repo/app/mysql/database.py", line 100, in connect
"""


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        (
            "app.errors.OwnershipError: OWNED epoch 1 is over: the ledger has epoch 2 held by b: pid 3; stop the other instance first",
            "OWNED epoch 1 is over: the ledger has epoch 2 held by b: pid 3; stop the other instance first",
        ),
        (CAUSE + "app.errors.MySqlUnavailable: MYSQL_UNAVAILABLE mysql.host=db:3306; check", "MYSQL_UNAVAILABLE mysql.host=db:3306; check"),
        ("app.errors.ConfigError: CONFIG dev.yml: s3.bucket: is missing; mend it", "CONFIG dev.yml: s3.bucket: is missing; mend it"),
        ("KeyError: 'batch'", "KeyError: 'batch'"),
        ("app.errors.EnvironmentFault: MACHINE the disk is full; run make setup", "MACHINE the disk is full; run make setup"),
        (
            "app.failpoints.InjectedFailure: INJECTED fail point after_claim hit 1 raised; unset it",
            "INJECTED fail point after_claim hit 1 raised; unset it",
        ),
        ("AssertionError", "AssertionError"),
        ("StopIteration: 3", "StopIteration: 3"),
    ],
    ids=["owned", "with its cause", "configuration", "not ours", "machine", "injected", "no text", "odd name"],
)
def test_an_error_of_the_planner_is_its_own_line_without_the_trace(trace: str, line: str) -> None:
    assert failure_line(HEAD + trace + TAIL) == line


def test_a_failure_in_the_jvm_is_the_line_that_spark_gives() -> None:
    text = "[STREAM_FAILED] Query terminated with exception: disk quota exceeded SQLSTATE: XXKST" + TAIL.replace("\n SQLSTATE: 38000", "")
    assert failure_line(text) == "[STREAM_FAILED] Query terminated with exception: disk quota exceeded SQLSTATE: XXKST"


def test_a_failure_without_words_still_has_a_line() -> None:
    assert failure_line("") == "the query failed"
    assert failure_line("\n \n") == "the query failed"


def test_an_error_of_the_planner_keeps_its_class_and_so_its_exit_code() -> None:
    found = spark_error(HEAD + "app.errors.OwnershipError: OWNED epoch 1 is over: the ledger has epoch 2; leave it" + TAIL)
    assert (type(found), found.exit_code, str(found)) == (OwnershipError, 3, "OWNED epoch 1 is over: the ledger has epoch 2; leave it")


# What ends the query


class FakeQuery:
    """A query that ended with an exception, or without."""

    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure

    def exception(self) -> Exception | None:
        return self.failure


def runner(failure: Exception | None = None, *, stopping: bool = False) -> BatchRunner:
    made = BatchRunner(job=None, stopping=lambda: stopping)
    made.failure = failure
    return made


def test_our_own_error_is_raised_as_it_is() -> None:
    own = LedgerError("batch 7-1-1: booked 1 of 2 files")
    with pytest.raises(LedgerError) as caught:
        raise_failure(FakeQuery(RuntimeError("wrapped by Spark")), runner(own))
    assert caught.value is own


def test_any_other_failure_of_the_query_is_a_failed_batch_with_its_cause() -> None:
    cause = RuntimeError("first")
    with pytest.raises(BatchFailed, match="BATCH KeyError: 'batch';") as caught:
        raise_failure(FakeQuery(RuntimeError(HEAD + "KeyError: 'batch'" + TAIL)), runner(cause))
    assert caught.value.__cause__ is cause


def test_a_query_that_was_stopped_or_ended_well_is_no_failure() -> None:
    raise_failure(FakeQuery(None), runner())
    raise_failure(FakeQuery(RuntimeError("interrupted")), runner(stopping=True))


# Checkpoints


def checkpoints(root: Path, *epochs: int) -> None:
    """Make folders of earlier runs, a minute apart, the last one a minute ago."""
    for age, epoch in enumerate(reversed(epochs), 1):
        folder = root / str(epoch)
        folder.mkdir(parents=True)
        (folder / "offsets").write_text(f"of epoch {epoch}")
        then = time.time() - 60 * age
        os.utime(folder, (then, then))


def left(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_the_first_checkpoint_makes_its_root(tmp_path: Path) -> None:
    folder = fresh_checkpoint(tmp_path / "checkpoints" / "dev", 1)
    assert folder == tmp_path / "checkpoints" / "dev" / "1"
    assert list(folder.iterdir()) == []


def test_the_last_three_checkpoints_are_kept(tmp_path: Path) -> None:
    checkpoints(tmp_path, 8, 9, 10, 11)
    fresh_checkpoint(tmp_path, 12)
    assert left(tmp_path) == ["10", "11", "12"]
    assert (tmp_path / "11" / "offsets").read_text() == "of epoch 11"


def test_fewer_than_three_are_all_kept(tmp_path: Path) -> None:
    checkpoints(tmp_path, 1)
    fresh_checkpoint(tmp_path, 2)
    assert left(tmp_path) == ["1", "2"]


def test_the_content_of_a_folder_is_never_used_again(tmp_path: Path) -> None:
    checkpoints(tmp_path, 4, 5)
    folder = fresh_checkpoint(tmp_path, 5)
    assert list(folder.iterdir()) == []
    assert left(tmp_path) == ["4", "5"]


def test_the_newest_by_time_are_kept_when_a_restored_ledger_counts_from_below(tmp_path: Path) -> None:
    checkpoints(tmp_path, 8, 9, 1)
    fresh_checkpoint(tmp_path, 2)
    assert left(tmp_path) == ["1", "2", "9"]


def test_the_new_folder_stays_even_if_the_clock_was_set_back(tmp_path: Path) -> None:
    checkpoints(tmp_path, 1, 2, 3, 4)
    for folder in tmp_path.iterdir():
        os.utime(folder, (time.time() + 3600 + int(folder.name), time.time() + 3600 + int(folder.name)))
    fresh_checkpoint(tmp_path, 5)
    assert left(tmp_path) == ["3", "4", "5"]


def test_what_is_no_checkpoint_is_left_alone(tmp_path: Path) -> None:
    checkpoints(tmp_path, 1, 2, 3, 4)
    (tmp_path / "notes").mkdir()
    (tmp_path / "99").write_text("a file")
    fresh_checkpoint(tmp_path, 5)
    assert left(tmp_path) == ["3", "4", "5", "99", "notes"]


# Stop


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_a_stop_and_interrupts_nothing(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALESTREAM_DRIVER_PID_FILE", raising=False)
    stop = StopRequest()
    stop.install()
    assert not stop()
    signal.raise_signal(number)
    assert stop()


@pytest.mark.usefixtures("signals")
def test_the_driver_says_which_process_to_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESTREAM_DRIVER_PID_FILE", str(tmp_path / "driver.pid"))
    StopRequest().install()
    assert (tmp_path / "driver.pid").read_text() == str(os.getpid())


def test_a_stop_ends_a_wait_at_once() -> None:
    stop = StopRequest()
    stop.request()
    started = time.monotonic()
    stop.wait(30)
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("signals")
def test_a_run_says_first_which_version_it_is(config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("SALESTREAM_DRIVER_PID_FILE", raising=False)
    monkeypatch.setenv("SALESTREAM_FAILPOINT", "no_such_point")
    with caplog.at_level(logging.INFO, "app"), pytest.raises(UsageError):
        run(config, once=True)
    assert caplog.messages == [f"starting salestream version={VERSION} env=test"]


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("once", [True, False])
def test_a_run_that_ends_by_itself_says_what_it_did(config: Config, monkeypatch: pytest.MonkeyPatch, once: bool) -> None:
    monkeypatch.delenv("SALESTREAM_DRIVER_PID_FILE", raising=False)
    told: list[tuple[object, bool]] = []
    nothing = {"check_before_start": None, "load_contract": None, "make_client": None, "refuse_restored": None, "run_owned": None}
    for name, answer in {**nothing, "owners_database": None, "build_session": SimpleNamespace(stop=lambda: None)}.items():
        monkeypatch.setattr(f"app.stream.run.{name}", lambda *_, answer=answer, **__: answer)
    monkeypatch.setattr("app.stream.run.with_bucket", lambda config: config)
    monkeypatch.setattr("app.stream.run.Ownership", lambda *_: nullcontext(SimpleNamespace(epoch=1)))
    monkeypatch.setattr("app.stream.run.summary.begin", lambda _db: "since")
    monkeypatch.setattr("app.stream.run.summary.summarise", lambda _db, since: f"found {since}")
    monkeypatch.setattr("app.stream.run.summary.tell", lambda found, *, fail_on_rejected: told.append((found, fail_on_rejected)))
    run(config, once=once, fail_on_rejected=once)
    assert told == ([("found since", True)] if once else [])
