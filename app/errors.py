"""Every failure that a user can meet: one class each, with its code, cause and cure.

The text of an error is one line, `CODE what happened; what to do`. It never holds a secret and never a stack trace.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text that is safe to show in one line: names and values of files may hold line breaks and what moves a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text)


class PipelineError(Exception):
    """Root of all own errors. Raise a concrete subclass.

    Args:
        what: what happened and to which file, table or setting, in one clause.
        cure: what to do about it; the class's own cure where left out.
    """

    code = "PIPELINE"
    exit_code = 1
    cause = "Something in the pipeline failed."
    cure = "run the command again with --debug and read the trace"

    def __init__(self, what: str, *, cure: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        if cure is not None:
            self.cure = cure

    def __str__(self) -> str:
        return printable(" ".join(f"{self.code} {self.what}; {self.cure}".split()))


class TerminalError(PipelineError):
    """Trying again cannot help: configuration, schema, SQL, ownership."""


class TransientError(PipelineError):
    """Trying again may help: deadlock, time-out, lost connection. Only these are retried."""


class UsageError(TerminalError):
    """The command line does not make sense."""

    code = "USAGE"
    exit_code = 2
    cause = "An option or argument is missing, unknown or contradicts another."
    cure = "see the command's --help"


class ConfigError(TerminalError):
    """Configuration cannot be read or does not hold together."""

    code = "CONFIG"
    exit_code = 2
    cause = "A file in conf/, an environment variable or an override is missing, malformed or contradictory."
    cure = "mend the named file and key, or set the named variable"


class ContractError(ConfigError):
    """conf/contract.yml does not describe a usable contract."""

    code = "CONTRACT"
    cause = "A column, type, alias, date format or rule in conf/contract.yml is malformed."
    cure = "mend the named entry in conf/contract.yml"


class CredentialError(TerminalError):
    """An encrypted value or the key to it cannot be used."""

    code = "CREDENTIAL"
    exit_code = 2
    cause = "The key is missing, wrong or readable by others, or an enc:v1: value was changed."
    cure = "set SALESTREAM_KEY or SALESTREAM_KEY_FILE to the key the value was encrypted with"


class CheckFailed(TerminalError):
    """Several things that a run needs are missing."""

    code = "CHECK"
    exit_code = 2
    cause = "More than one of the checks before a run failed; each is listed with its own code."
    cure = "mend them; ./spark-submit.sh check shows one line for each"


class EnvironmentFault(TerminalError):
    """The machine lacks something: Java, disk space, a jar, a binary."""

    code = "MACHINE"
    exit_code = 2
    cause = "Java is missing or of the wrong version, the disk is full, or a jar or binary was not fetched."
    cure = "run make setup"


class LocalServerError(TerminalError):
    """An embedded server does not start, stop or answer."""

    code = "LOCAL_SERVER"
    cause = "The embedded S3 or MySQL server is not running or did not come up."
    cure = "run ./spark-submit.sh local up and read its log below $SALESTREAM_HOME/log"


class MySqlError(TerminalError):
    """MySQL refused a statement: privilege, syntax, missing table or column."""

    code = "MYSQL"
    cause = "MySQL refused a statement or the login."
    cure = "check mysql.* in the configuration, the grants, and that init-db has run"
    # MySQL's number of the error, 0 where it gave none.
    number = 0


class MySqlUnavailable(TransientError):
    """MySQL is out of reach, or the statement lost a race (deadlock, lock wait, lost connection)."""

    code = "MYSQL_UNAVAILABLE"
    cause = "No connection to MySQL, a lost connection, a deadlock or a lock wait time-out."
    cure = "check that MySQL runs at mysql.host:mysql.port; the job retries by itself"


class S3Error(TerminalError):
    """S3 refused a request: credentials, permission, missing bucket."""

    code = "S3"
    cause = "S3 refused a request: wrong credentials, no permission on a prefix, no such bucket."
    cure = "check s3.* in the configuration and the IAM policy"


class S3Unavailable(TransientError):
    """S3 is out of reach or asks to slow down."""

    code = "S3_UNAVAILABLE"
    cause = "No connection to S3, a time-out, or an answer 500, 503 or SlowDown."
    cure = "check s3.endpoint_url and the network; the job retries by itself"


class OwnershipError(TerminalError):
    """Another instance holds the source, or has taken it over."""

    code = "OWNED"
    exit_code = 3
    cause = "Another running instance holds this source, or a newer one has taken it over."
    cure = "stop the other instance first, or leave the work to it"


class StillRunning(TransientError):
    """The stream was asked to stop and has not ended yet, as far as the ledger shows."""

    code = "STILL_RUNNING"
    cause = "The running micro-batch takes longer than `stop` waits, or the stream's process or machine does not answer any more."
    cure = "it finishes its micro-batch first: wait longer with --wait, or see ./spark-submit.sh status"


class RestoredLedger(OwnershipError):
    """The ledger in MySQL is older than what is on S3, or than what this run has committed."""

    code = "RESTORED"
    cause = "MySQL was restored from an older backup, made anew, or has lost its last commits, while S3 holds what was loaded since."
    cure = "run ./spark-submit.sh verify --repair"


class LedgerError(TerminalError):
    """The ledger contradicts what is about to be committed; nothing was committed."""

    code = "LEDGER"
    cause = "A control figure or a state in the ledger does not match; the batch was rolled back."
    cure = "nothing was committed; report this with the log of the batch"


class BatchFailed(TransientError):
    """A micro-batch failed and nothing of it was committed."""

    code = "BATCH"
    cause = "A Spark job of the batch failed. After stream.max_attempts the batch is split until the file that makes it fail is alone."
    cure = "the job retries by itself; see the log for the first cause"


class TransactionTooLarge(BatchFailed):
    """MySQL refuses a transaction for its size; the batch is split like one that a file makes fail."""

    code = "MYSQL_TOO_LARGE"
    cause = "A transaction is larger than max_allowed_packet, max_binlog_cache_size or the members of a group or cluster accept."
    cure = "the batch is split by itself; lower stream.max_files_per_trigger and stream.max_bytes_per_trigger, or raise the server's limit"


class JobCancelled(TransientError):
    """Somebody cancelled a Spark job of the batch."""

    code = "CANCELLED"
    cause = "A Spark job of the batch was killed, in Spark's user interface for example, or the run is ending."
    cure = "nothing of it is committed; the batch is tried again by itself"


class AttemptStuck(TerminalError):
    """An attempt could not be ended, so that no other may begin beside it: the process ends."""

    code = "STUCK"
    cause = "A batch neither ended nor could be cancelled in time, so a new attempt would have run beside it. The process ends instead."
    cure = "start again, what was running is done again; see the log for what it waited for"


class SystemicFault(TerminalError):
    """Files fail one after the other for one cause: it is not the files."""

    code = "SYSTEMIC"
    cause = "Several files in a row failed for one and the same cause, or a file that was loaded before fails as well. None was given up."
    cure = "mend the cause and start again: these files are tried again; a file that is bad by itself can be taken out of the source prefix"


class PlannerGone(TransientError):
    """The process that lists and claims files has ended under us."""

    code = "PLANNER"
    cause = "The query ended without naming a cause: its planner process, which lists and claims files, was killed or ran out of memory."
    cure = "the job starts it again by itself, nothing is lost; if it happens again, give the machine more memory"


class TaskRepeated(TransientError):
    """Spark started a task that writes facts or stages rows a second time."""

    code = "TASK_REPEATED"
    cause = "An executor was lost, or failed, while it wrote facts or staged rows, and Spark started its task again. It is all thrown away."
    cure = "the batch is tried again by itself, nothing is lost; if it happens again, see the executors' logs"


class SparkGone(TerminalError):
    """The JVM that runs Spark has ended under us."""

    code = "SPARK"
    cause = "Spark's JVM was killed or ran out of memory."
    cure = "start again, what was running is done again; if it was the memory, raise spark.driver_memory"


class OperationFailed(TerminalError):
    """An operation that somebody asked for was given up."""

    code = "OPERATION"
    cause = "A retract, replay, release or compact failed stream.max_attempts times; what it was about is as it was before."
    cure = "see ./spark-submit.sh file FILE and the log for the cause, then ask for it again"


class DataRejected(TerminalError):
    """`run --once --fail-on-rejected` met rows or files that it could not load."""

    code = "REJECTED"
    cause = "Rows were rejected, or files were not loaded. Everything else was loaded; the marts are right."
    cure = "see ./spark-submit.sh files and ./spark-submit.sh quarantine list"


class DimensionError(TerminalError):
    """A dimension table cannot be used."""

    code = "DIMENSION"
    cause = "A dimension table holds a key more than once, or lacks a column."
    cure = "mend the named rows of the dimension table"
