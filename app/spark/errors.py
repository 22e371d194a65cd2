"""Spark's failures as our errors: which line of a Java or worker trace says what happened, and whether trying again may help. Pure."""

from __future__ import annotations

import re

from app import errors
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
)

LONGEST_LINE = 500
# What stands around the words of the cause in a line of Spark's own: it says nothing to a reader.
_NOISE = re.compile(r"^(Caused by)?: |^\[STREAM_FAILED\] Query (\[id = [^]]*\] )?terminated with exception: |\s*SQLSTATE: \w+$")
# A query whose Python side is gone has read the end of a stream, of which Java has no more to say.
_NO_CAUSE = re.compile(r"terminated with exception: (null )?SQLSTATE: \w+( \(no cause message\))?$")
# Java's words for what others report by number. The first pattern that a line of the trace holds decides; its line is shown.
_KINDS: tuple[tuple[re.Pattern[str], type[PipelineError], str | None], ...] = (
    (re.compile(r"No space left on device|Disk quota exceeded"), EnvironmentFault, "free space there (spark.local.dir, checkpoints)"),
    # Spark ends under us: whatever is asked of it from now on fails, and says nothing of the files.
    (re.compile(r"SparkContext (was|has been|is) (shut ?down|stopped)|stopped SparkContext|Shutdown in progress"), SparkGone, None),
    (re.compile(r"SPARK_JOB_CANCELLED|OPERATION_CANCELED|Job \d+ cancelled|Stage \d+ cancelled"), JobCancelled, None),
    (re.compile(r"OutOfMemoryError"), BatchFailed, "raise spark.driver_memory, or lower stream.max_bytes_per_trigger"),
    (
        re.compile(r"PacketTooBigException|max_binlog_cache_size|hook 'before_commit'|exceeds the lock table size"),
        TransactionTooLarge,
        None,
    ),
    (re.compile(r"max_(user_)?connections|'max_\w+' resource|offline mode|WSREP|Max connect timeout"), MySqlUnavailable, None),
    (re.compile(r"read.only (option|mode)|READ ONLY transaction"), MySqlUnavailable, None),
    (re.compile(r"BINLOG_FORMAT = STATEMENT"), MySqlError, "set binlog_format=ROW on the server"),
    (re.compile(r"AccessDeniedException|AccessDenied|Status Code: 40[13]"), S3Error, None),
    # Every run begins with a look at its bucket: one that is missing later comes back.
    (re.compile(r"NoSuchBucket|UnknownStoreException"), S3Unavailable, None),
    (re.compile(r"Communications link failure|CommunicationsException|SQLNonTransientConnectionException"), MySqlUnavailable, None),
    (re.compile(r"TransactionRollbackException|Deadlock found|Lock wait timeout"), MySqlUnavailable, None),
    (re.compile(r"java\.sql\.\w*(SQL|Batch)\w*Exception|MysqlDataTruncation|com\.mysql\.cj\.[\w.]*Exception"), MySqlError, None),
    (re.compile(r"AWSS3IOException|AWSServiceThrottled|SdkClientException|AWSClientIOException|ConnectTimeout"), S3Unavailable, None),
    (re.compile(r"\[FAILED_JDBC\.CONNECTION\]"), MySqlUnavailable, None),
)


def failure_of(exc: Exception) -> PipelineError:
    """Return the error that an exception of Spark or py4j stands for. Some of Spark's keep the cause out of their text."""
    return spark_error(f"{exc}\n{getattr(exc, '_stackTrace', '')}")


def spark_error(text: str) -> PipelineError:
    """Return the error that a failed query, job or planner process stands for, from Spark's text of it.

    An own error keeps its class, and so its exit code; what only the JVM has seen is told apart by Java's words for it.
    """
    line = failure_line(text)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PipelineError)]
    own = next((kind for kind in kinds if line.startswith(f"{kind.code} ")), None)
    if own is not None:
        what, _, cure = line.removeprefix(f"{own.code} ").rpartition("; ")
        return own(what or cure, cure=cure)
    if _NO_CAUSE.search(line):
        return PlannerGone("the planner process of the query has ended")
    lines = [found.strip() for found in _message(text).splitlines()]
    for pattern, kind, remedy in _KINDS:
        if shown := next((found for found in lines if pattern.search(found)), None):
            first_cause = next((found for found in reversed(lines) if found.startswith("Caused by: ")), shown)
            if kind is MySqlUnavailable and first_cause != shown:
                shown += f" ({_NOISE.sub('', first_cause)})"
            return kind(_short(shown), cure=remedy)
    return BatchFailed(_short(line))


# What MySQL refuses whatever a row holds; its other refusals repeat the value.
_OF_THE_TABLE = re.compile(r"SQLSyntaxErrorException|denied|doesn't exist|Unknown (column|table|database)|is full|read.only")
# The kind of a failure: Java's or Python's class, and Spark's name for the condition.
_KIND = re.compile(r"^([\w.$]*(Exception|Error)\b)?((^|: )\[[A-Z0-9_.]+\])?")


def without_values(error: PipelineError) -> PipelineError:
    """Return the error without words that may repeat what stands in a row: Spark's, a worker's or a driver's. Its kind is left."""
    is_ours = not isinstance(error, BatchFailed | MySqlError)
    if is_ours or (isinstance(error, MySqlError) and (error.number or _OF_THE_TABLE.search(error.what))):
        return error
    kind = _KIND.match(error.what)
    shown = (kind and kind.group()) or "the batch failed"
    return type(error)(f"{shown} (the rest is hidden, as the contract has sensitive columns)", cure=error.cure)


def failure_line(text: str) -> str:
    """Return the line that says what happened: the last line of a Python trace, else the first line there is."""
    message = _message(text)
    traces = message.split("Traceback (most recent call last):\n")
    if len(traces) > 1:
        # A Java trace may follow the Python one; its frames and causes are no part of it.
        ends = [found.rstrip() for found in traces[-1].splitlines() if found.strip() and not found[0].isspace()]
    else:
        lines = [
            found.strip() for found in message.splitlines() if found.strip() and not found.startswith("An error occurred while calling")
        ]
        # The last cause is the first thing that went wrong.
        ends = [found for found in reversed(lines) if found.startswith("Caused by: ")] or [found.removeprefix(": ") for found in lines]
    return re.sub(r"^app\.[\w.]+: ", "", ends[0] if ends else "the query failed")


def _message(text: str) -> str:
    # Spark ends its message with the query's plan, which says nothing of the failure; an error's causes stand before it.
    return text.partition("=== Streaming Query ===")[0]


def _short(line: str) -> str:
    plain = _NOISE.sub("", line)
    return plain if len(plain) <= LONGEST_LINE else plain[: LONGEST_LINE - 3] + "..."
