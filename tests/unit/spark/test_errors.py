"""Spark's failures as ours: the class decides whether a batch is tried again and with which code a run ends."""

from __future__ import annotations

import pytest

from app.errors import (
    BatchFailed,
    EnvironmentFault,
    JobCancelled,
    MySqlError,
    MySqlUnavailable,
    PipelineError,
    PlannerGone,
    S3Error,
    S3Unavailable,
    SparkGone,
    TransactionTooLarge,
    TransientError,
)
from app.spark.errors import LONGEST_LINE, failure_of, spark_error, without_values

JOB = (
    "An error occurred while calling o512.parquet.\n"
    ": org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 9.0 failed 1 times,"
    " most recent failure: Lost task 0.0 in stage 9.0 (TID 21) (127.0.0.1 executor driver): "
)
FRAMES = "\n\tat org.apache.spark.sql.execution.Foo.bar(Foo.scala:12)\n\tat java.base/java.lang.Thread.run(Thread.java:840)\n"
WORKER = """An error occurred while calling o88.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed 1 times: \
org.apache.spark.api.python.PythonException: Traceback (most recent call last):
  File "/repo/app/source/ranges.py", line 102, in _open
    with translated(target):
botocore.exceptions.ClientError: An error occurred (AccessDenied) when calling the GetObject operation: Access Denied

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/repo/app/source/split_reader.py", line 81, in read
app.errors.S3Error: S3 s3://lake/sales_data/a.csv: 403 AccessDenied Access Denied; check s3.* in the configuration and the IAM policy

\tat org.apache.spark.api.python.BasePythonRunner.handle(PythonRunner.scala:581)
"""


def test_an_error_of_a_worker_keeps_its_class_its_words_and_its_cure() -> None:
    found = spark_error(WORKER)
    assert type(found) is S3Error
    assert str(found) == "S3 s3://lake/sales_data/a.csv: 403 AccessDenied Access Denied; check s3.* in the configuration and the IAM policy"


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("java.nio.file.AccessDeniedException: s3a://lake/sales_facts/x: Service: S3, Status Code: 403, Request ID: 1", S3Error),
        ("org.apache.hadoop.fs.s3a.AWSS3IOException: PUT 500 on sales_facts/x: InternalError", S3Unavailable),
        ("java.sql.SQLSyntaxErrorException: INSERT command denied to user 'job'@'h' for table 'stage_x'", MySqlError),
        ("java.sql.BatchUpdateException: Column 'total_sales' cannot be null", MySqlError),
        ("com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure", MySqlUnavailable),
        ("com.mysql.cj.jdbc.exceptions.MySQLTransactionRollbackException: Deadlock found when trying to get lock", MySqlUnavailable),
        ("com.mysql.cj.jdbc.exceptions.PacketTooBigException: Packet for query is too large (70 > 67).", TransactionTooLarge),
        ("java.sql.SQLException: Multi-statement transaction required more than 'max_binlog_cache_size' bytes", TransactionTooLarge),
        ("java.sql.SQLException: Error on observer while running replication hook 'before_commit'.", TransactionTooLarge),
        ("java.sql.SQLSyntaxErrorException: User 'j' has exceeded the 'max_user_connections' resource", MySqlUnavailable),
        ("java.sql.SQLSyntaxErrorException: User j already has more than 'max_user_connections' active", MySqlUnavailable),
        ("java.sql.SQLException: The MySQL server is running with the --read-only option", MySqlUnavailable),
        ("java.sql.SQLException: The server is currently in offline mode", MySqlUnavailable),
        ("java.sql.SQLException: Max connect timeout reached while reaching hostgroup 0 after 10016ms", MySqlUnavailable),
        ("java.io.IOException: No space left on device", EnvironmentFault),
        ("java.lang.OutOfMemoryError: Java heap space", BatchFailed),
        ("org.apache.spark.SparkException: [SPARK_JOB_CANCELLED] Job 3 cancelled because killed via the Web UI", JobCancelled),
        ("org.apache.spark.SparkException: Job 5 cancelled part of cancelled job group 7-1-1", JobCancelled),
        ("org.apache.spark.SparkException: [SPARK_JOB_CANCELLED] Job 5 cancelled because SparkContext was shut down", SparkGone),
        ("java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.", SparkGone),
        ("java.lang.IllegalStateException: nobody has seen this before", BatchFailed),
    ],
)
def test_what_only_the_jvm_has_seen_is_told_apart_by_javas_words(cause: str, kind: type[PipelineError]) -> None:
    found = spark_error(f"{JOB}{cause}{FRAMES}")
    assert type(found) is kind
    assert cause.rpartition(": ")[2] in str(found)
    assert "\n" not in str(found)


class OfSpark(Exception):
    """An exception whose text leaves out what caused it, as Spark's own do."""

    def __init__(self, text: str, causes: str) -> None:
        super().__init__(text)
        self._stackTrace = f"org.apache.spark.sql.AnalysisException: {text}{FRAMES}{causes}\t... 22 more"


NOT_CONNECTED = (
    "[FAILED_JDBC.CONNECTION] Failed JDBC jdbc:mysql:***(redacted) on the operation: Couldn't connect to the database SQLSTATE: HV000"
)


@pytest.mark.parametrize(
    ("causes", "kind", "what"),
    [
        (
            "Caused by: com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure\n\nThe last packet\n"
            "Caused by: java.net.ConnectException: Connection refused\n",
            MySqlUnavailable,
            "com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure"
            " (java.net.ConnectException: Connection refused)",
        ),
        (
            "Caused by: java.sql.SQLException: Access denied for user 'nobody'@'h' (using password: YES)\n",
            MySqlError,
            "java.sql.SQLException: Access denied for user 'nobody'@'h' (using password: YES)",
        ),
        ("", MySqlUnavailable, NOT_CONNECTED.removesuffix(" SQLSTATE: HV000")),
    ],
)
def test_a_dimension_that_cannot_be_read_is_never_a_fault_of_the_files(causes: str, kind: type[PipelineError], what: str) -> None:
    found = failure_of(OfSpark(NOT_CONNECTED, causes))
    assert (type(found), found.what) == (kind, what)


def test_a_cause_further_down_is_found_and_shown() -> None:
    found = spark_error(
        f"{JOB}org.apache.spark.SparkException: Task failed while writing rows{FRAMES}Caused by: java.io.IOException: Disk quota exceeded"
    )
    assert type(found) is EnvironmentFault
    assert found.what == "java.io.IOException: Disk quota exceeded"


def test_only_what_may_pass_by_itself_is_transient() -> None:
    assert not issubclass(EnvironmentFault, TransientError)
    assert not issubclass(MySqlError, TransientError)
    assert not issubclass(S3Error, TransientError)
    assert issubclass(BatchFailed, TransientError)


def test_a_long_line_is_cut() -> None:
    assert len(spark_error("java.lang.Error: " + "x" * 9000).what) == LONGEST_LINE
    assert len(spark_error(f"{NOT_CONNECTED}\nCaused by: java.io.IOException: {'x' * 9000}").what) == LONGEST_LINE


QUERY = "[STREAM_FAILED] Query [id = 2ef4bdb8-3021, runId = 1e81fc3e-2e18] terminated with exception: "


@pytest.mark.parametrize("head", ["[STREAM_FAILED] Query terminated with exception: ", QUERY])
def test_what_spark_writes_around_the_words_of_the_cause_is_left_out(head: str) -> None:
    assert spark_error(f"{head}boom SQLSTATE: XXKST").what == "boom"


def test_the_end_of_the_planner_process_is_named() -> None:
    found = spark_error(f"{QUERY}SQLSTATE: XXKST (no cause message)\n=== Streaming Query ===\nIdentifier: salestream")
    assert type(found) is PlannerGone
    assert str(found).startswith("PLANNER the planner process of the query has ended; the job starts it again by itself")
    assert isinstance(found, TransientError)


# What may repeat the values of a row


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "org.apache.spark.SparkRuntimeException: [USER_RAISED_EXCEPTION] no m@x here",
            "org.apache.spark.SparkRuntimeException: [USER_RAISED_EXCEPTION]",
        ),
        ("[USER_RAISED_EXCEPTION] m@x", "[USER_RAISED_EXCEPTION]"),
        ("ValueError: could not convert 'm@x'", "ValueError"),
        ("m@x went wrong", "the batch failed"),
        ("Error m@x", "Error"),
    ],
)
def test_of_a_failed_job_only_the_kind_is_left(line: str, shown: str) -> None:
    found = without_values(BatchFailed(line, cure="look"))
    assert type(found) is BatchFailed
    assert str(found) == f"BATCH {shown} (the rest is hidden, as the contract has sensitive columns); look"


def test_of_what_mysql_says_about_a_row_only_the_kind_is_left() -> None:
    found = without_values(MySqlError("java.sql.BatchUpdateException: Duplicate entry '7-1-1-m@x' for key 'PRIMARY'"))
    assert type(found) is MySqlError
    assert "m@x" not in str(found)
    assert found.what.startswith("java.sql.BatchUpdateException (")


@pytest.mark.parametrize(
    "error",
    [
        MySqlError("java.sql.SQLSyntaxErrorException: INSERT command denied to user 'job'@'h' for table 'stage_x'"),
        MySqlUnavailable("mysql.host=h: error 1213: Deadlock found"),
        S3Error("s3://lake/sales_data/a.csv: 403 AccessDenied"),
        EnvironmentFault("java.io.IOException: No space left on device"),
    ],
    ids=lambda error: error.code,
)
def test_what_says_nothing_of_a_row_is_left_as_it_is(error: PipelineError) -> None:
    assert without_values(error) is error


def test_an_answer_to_a_statement_of_the_ledger_is_left_as_it_is() -> None:
    error = MySqlError("mysql.host=h: error 1364: Field 'x' doesn't have a default value")
    error.number = 1364
    assert without_values(error) is error
