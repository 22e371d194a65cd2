"""The Spark session: every setting in one place, with its reason."""

from __future__ import annotations

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from app.config.load import Config
from app.errors import EnvironmentFault
from app.spark.errors import spark_error
from app.version import USER_AGENT

PROVIDER_CHAIN = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"

STREAM_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # A rule that divides by zero is a broken rule of one row, not the end of the stream; conversions are explicit try_* and checked.
    "spark.sql.ansi.enabled": "false",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    # A task that runs twice at once would write its stage rows twice.
    "spark.speculation": "false",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    # A month is no number, and a batch key such as 12-3-1 no date.
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # What goes to a worker are pieces, few and fat: a message has so many bytes of them, and one piece more.
    "spark.sql.execution.arrow.maxBytesPerBatch": "8388608",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "2000",
    "spark.python.worker.reuse": "true",
    # The default of 100 generated classes is less than a few batches make: some would be compiled anew for every batch, for ever.
    "spark.sql.codegen.cache.maxEntries": "1000",
    "spark.sql.streaming.stopTimeout": "60s",
    "spark.sql.streaming.pollingDelay": "50ms",
    # Progress and checkpoint bookkeeping nobody reads: the ledger is the truth.
    "spark.sql.streaming.numRecentProgressUpdates": "10",
    "spark.sql.streaming.minBatchesToRetain": "10",
    "spark.ui.showConsoleProgress": "false",
}


def build_session(config: Config) -> SparkSession:
    """Build the job's session. Settings given to spark-submit win; `spark.conf` of the configuration comes next.

    Raises:
        EnvironmentFault: Spark does not start, for example without the packages that spark-submit.sh brings.
    """
    builder = SparkSession.builder.appName(f"salestream-{config.env}")
    for name, value in settings(config).items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        # What the packages bring shows in the first use of the session's state, and not in its making.
        session.conf.get("spark.sql.session.timeZone")
    except (Py4JJavaError, PySparkException) as exc:
        cure = "start it with ./spark-submit.sh run, which brings the packages, and see spark.conf of the configuration"
        raise EnvironmentFault(f"Spark does not start: {spark_error(str(exc)).what}", cure=cure) from exc
    hadoop = session.sparkContext._jsc.hadoopConfiguration()
    for name, value in s3a_credentials(config).items():
        hadoop.set(name, value)
    return session


def settings(config: Config) -> dict[str, str]:
    """Return all settings of the session but the credentials."""
    s3 = config.s3
    s3a = {
        "spark.hadoop.fs.s3a.endpoint.region": s3.region,
        "spark.hadoop.fs.s3a.path.style.access": str(s3.path_style).lower(),
        "spark.hadoop.fs.s3a.connection.maximum": str(max(64, s3.max_connections)),
        "spark.hadoop.fs.s3a.user.agent.prefix": USER_AGENT,
        # Both multiply, and a silent server takes the whole time-out each time. Requests to slow down have a limit of their own.
        "spark.hadoop.fs.s3a.attempts.maximum": "2",
        "spark.hadoop.fs.s3a.retry.limit": "3",
        "spark.hadoop.fs.s3a.connection.establish.timeout": f"{s3.connect_timeout_seconds}s",
        "spark.hadoop.fs.s3a.connection.acquisition.timeout": f"{s3.read_timeout_seconds}s",
        # Between two bytes.
        "spark.hadoop.fs.s3a.connection.timeout": f"{s3.read_timeout_seconds}s",
        "spark.sql.shuffle.partitions": str(config.spark.shuffle_partitions),
    }
    if s3.endpoint_url:
        s3a["spark.hadoop.fs.s3a.endpoint"] = s3.endpoint_url
        s3a["spark.hadoop.fs.s3a.connection.ssl.enabled"] = str(s3.endpoint_url.startswith("https")).lower()
    return STREAM_SETTINGS | s3a | config.spark.conf


def s3a_credentials(config: Config) -> dict[str, str]:
    """Return s3a's keys, or else the provider chain that boto3 goes through as well: environment, profile, web identity, role."""
    s3 = config.s3
    if s3.access_key_id is None or s3.secret_access_key is None:
        # s3a's own default list knows neither profiles nor web identities.
        return {"fs.s3a.aws.credentials.provider": PROVIDER_CHAIN}
    keys = {"fs.s3a.access.key": s3.access_key_id, "fs.s3a.secret.key": s3.secret_access_key.get_secret_value()}
    provider = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"
    if s3.session_token is not None:
        keys["fs.s3a.session.token"] = s3.session_token.get_secret_value()
        provider = "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider"
    return keys | {"fs.s3a.aws.credentials.provider": provider}
