"""The configuration's sections: one frozen class each, every field with its type, default and meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from app.config.values import (
    BlankText,
    Bytes,
    Interval,
    Level,
    MemorySize,
    NotNegative,
    OptionalPath,
    OptionalSecret,
    OptionalText,
    Patterns,
    Port,
    Positive,
    Rate,
    Seconds,
    Text,
)

# What tools call a file that they are still writing (WinSCP, HDFS and S3 copies, browsers, rsync, rclone, editors, Office).
TEMPORARY_NAMES = (
    "*.filepart",
    "*._COPYING_",
    "*.part",
    "*.partial",
    "*.tmp",
    "*.temp",
    "*.crdownload",
    "*.download",
    "*.opdownload",
    "*.uploading",
    "*.upload",
    "*.inprogress",
    "*.in-progress",
    "*.in_progress",
    "*.incomplete",
    "*.writing",
    "*.aria2",
    "*.sw[opx]",
    "*~",
    "~$*",
    ".~lock.*#",
    ".#*",
    "#*#",
    ".*.csv.??????",
    ".*.gz.??????",
    ".goutputstream-*",
    ".nfs*",
)


class Section(BaseModel):
    """What all sections share: frozen, no unknown keys, no values in the errors pydantic prints."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


class S3Config(Section):
    """Bucket, prefixes and access to S3."""

    bucket: BlankText = Field(default="", description="Bucket that holds every prefix below; empty: looked up in the table s3_bucket_info")
    region: Text = Field(default="us-east-1", description="Region of the bucket")
    endpoint_url: OptionalText = Field(default=None, description="Address of an S3-compatible server; empty for AWS")
    access_key_id: OptionalText = Field(default=None, description="Access key; empty for the AWS provider chain")
    secret_access_key: OptionalSecret = Field(default=None, description="Secret of the access key")
    session_token: OptionalSecret = Field(default=None, description="Token of temporary keys")
    path_style: bool = Field(default=False, description="Bucket in the path instead of the host name; embedded servers need it")
    source_prefix: Text = Field(default="sales_data/", description="Where CSV files are dropped")
    processed_prefix: Text = Field(default="sales_data_processed/", description="Where loaded files are archived")
    error_prefix: Text = Field(default="sales_data_error/", description="Where rejected files and the quarantine are kept")
    facts_prefix: Text = Field(default="sales_facts/", description="Where the fact Parquet is written")
    pending_prefix: Text = Field(default="sales_pending/", description="Where rows wait for their dimension")
    max_connections: Positive = Field(default=32, description="Connections to S3 at the same time")
    connect_timeout_seconds: Positive = Field(default=10, description="Give up connecting after this long")
    read_timeout_seconds: Positive = Field(default=60, description="Give up a request after so long without a byte of its answer")
    least_bytes_per_second: Bytes = Field(
        default=16 << 10,
        description="A transfer that is slower is given up: it may take the read time-out and its bytes at this rate, at least 1 MB's",
    )

    @field_validator("bucket")
    @classmethod
    def _check_bucket(cls, value: str) -> str:
        value = value.strip()
        if value and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
            raise ValueError("must be a bucket name (3 to 63 of a-z 0-9 . -, no s3:// and no /)")
        return value

    @field_validator("endpoint_url")
    @classmethod
    def _check_endpoint(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://aws")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must begin with http:// or https:// and name a host")
        if "@" in parts.netloc:
            raise ValueError("must not hold a user or a password")
        return value

    @field_validator("secret_access_key")
    @classmethod
    def _check_pair(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "access_key_id" in info.data and (info.data["access_key_id"] is None) != (value is None):
            raise ValueError("must be set together with s3.access_key_id, or neither of them")
        return value

    @field_validator("session_token")
    @classmethod
    def _check_token(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and "access_key_id" in info.data and info.data["access_key_id"] is None:
            raise ValueError("must not be set without s3.access_key_id")
        return value

    # Per field and against the fields before it, so that one bad field does not hide the clash of two others.
    @field_validator("source_prefix", "processed_prefix", "error_prefix", "facts_prefix", "pending_prefix")
    @classmethod
    def _check_prefix(cls, value: str, info: ValidationInfo) -> str:
        if not value.endswith("/") or value.startswith("/"):
            raise ValueError("must end in / and must not begin with /")
        if any(part in ("", ".", "..") for part in value[:-1].split("/")):
            raise ValueError("must not hold empty parts, '.' or '..'")
        for name, other in info.data.items():
            if name.endswith("_prefix") and (value.startswith(other) or other.startswith(value)):
                raise ValueError(f"must not overlap with s3.{name} {other!r}")
        return value


class MySqlConfig(Section):
    """The database of dimensions, ledger and marts."""

    host: Text = Field(description="Host name or address")
    port: Port = Field(default=3306, description="Port")
    user: Text = Field(description="User")
    password: SecretStr = Field(description="Password of the user")
    database: Text = Field(description="Database (schema) name")
    connect_timeout_seconds: Positive = Field(
        default=10, description="Give up resolving the name, connecting or logging in after this long"
    )
    read_timeout_seconds: Positive = Field(
        default=30,
        description="Without an answer for so long, the server is asked over another connection whether it works on the statement; if it"
        " does, it is waited for",
    )
    statement_timeout_seconds: Positive = Field(default=3600, description="Give up a statement that the server works on after this long")
    lock_wait_seconds: Positive = Field(default=20, description="Longest wait for a row or table that another session has locked")
    idle_seconds: Positive = Field(default=600, description="The server ends a session of Spark's that says nothing for so long")
    tls: Literal["off", "required", "verify"] = Field(default="off", description="off, required (encrypted) or verify (and the CA checked)")
    tls_ca: OptionalPath = Field(default=None, description="CA file (PEM) for verify, relative to the conf folder; empty for the system's")


class StreamConfig(Section):
    """Batch sizes, pace and patience of the stream."""

    max_files_per_trigger: Positive = Field(default=1000, description="Most files of one micro-batch")
    max_bytes_per_trigger: Bytes = Field(default=1 << 30, description="Most bytes of one micro-batch (at least one file is taken)")
    trigger_interval: Interval = Field(default="500 milliseconds", description="Pause between looks at the source")
    settle_seconds: Seconds = Field(default=2.0, description="Empty objects younger than this wait: some writers begin with one")
    min_age_seconds: Seconds = Field(default=0.0, description="Every object younger than this waits; 0: none does")
    temporary_names: Patterns = Field(
        default=TEMPORARY_NAMES, description="Files and folders named so are uploads in progress or editors' leftovers, and are not loaded"
    )
    include: Patterns = Field(default=(), description="Only keys that match one of these patterns are loaded; empty: all")
    done_marker: OptionalText = Field(
        default=None, description="Ending of the marker that says that a file is complete, such as .done; empty: files need none"
    )
    max_attempts: Positive = Field(default=3, description="Attempts of a failing batch before it is cut in halves")
    retry_seconds: Seconds = Field(default=600.0, description="A run that fails for a reason that may pass begins again for so long")
    takeover_seconds: Seconds = Field(default=15.0, description="Silence after which another instance may take over")
    split_bytes: Bytes = Field(
        default=32 << 20, description="Bytes of CSV in one Spark task; at least 256k, as splits begin at multiples of that"
    )
    max_header_bytes: Bytes = Field(default=64 << 10, description="Most bytes read to find a header")
    max_record_lines: Positive = Field(default=100, description="Most lines of one quoted record")
    max_record_bytes: Bytes = Field(default=1 << 20, description="Most bytes of one record")
    stop_timeout_seconds: Seconds = Field(
        default=300.0, description="A stop takes no longer: what hangs then, or still runs, is cut and done again"
    )
    archive_threads: Positive = Field(default=8, description="Objects archived at the same time")


class DimensionsConfig(Section):
    """The cached dimension tables."""

    refresh_seconds: Seconds = Field(default=60.0, description="Age at which cached dimensions are read again")


class MartsConfig(Section):
    """How marts are computed."""

    incentive_rate: Rate = Field(default=Decimal("0.01"), description="Share of the own monthly total the top seller gets")
    tie_rule: Literal["all", "first"] = Field(default="all", description="Who gets it on a tie: all leaders, or first: the lowest id")


class RetentionConfig(Section):
    """How long what is over stays: replaced Parquet, and what the command `clean` removes."""

    replaced_facts_seconds: Seconds = Field(default=3600.0, description="How long replaced Parquet stays for readers of the plain folder")
    archive_days: NotNegative = Field(default=0, description="clean deletes archived objects that are older; 0 keeps them")
    quarantine_days: NotNegative = Field(default=0, description="clean deletes rejected rows that are older; 0 keeps them")
    ledger_days: NotNegative = Field(default=0, description="clean deletes what the ledger says of older files that do not count; 0: never")


class SparkConfig(Section):
    """Spark's sizes and free extra settings."""

    driver_memory: MemorySize = Field(default="1g", description="Driver memory, such as 1g")
    shuffle_partitions: Positive = Field(default=8, description="Partitions after a shuffle, before AQE merges them")
    conf: dict[str, str] = Field(default_factory=dict, repr=False, description="More Spark settings, names beginning with spark.")

    @field_validator("conf")
    @classmethod
    def _check_names(cls, value: dict[str, str]) -> dict[str, str]:
        if wrong := sorted(name for name in value if not name.startswith("spark.")):
            raise ValueError(f"every name must begin with 'spark.' ({', '.join(wrong)} does not)")
        return value


class LoggingConfig(Section):
    """What is logged, how and where."""

    level: Level = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR")
    format: Literal["text", "json"] = Field(default="text", description="text for people, json for machines")
    file: OptionalPath = Field(default=None, description="Rotating log file beside stderr, relative to $SALESTREAM_HOME; empty for none")


class TopLevel(Section):
    """The keys outside any section."""

    embedded: bool = Field(default=False, description="Take missing variables from the embedded servers of `local up`")
    contract_path: Path = Field(default=Path("contract.yml"), description="The contract, relative to the conf folder")


SECTIONS: Mapping[str, type[Section]] = {
    "s3": S3Config,
    "mysql": MySqlConfig,
    "stream": StreamConfig,
    "dimensions": DimensionsConfig,
    "marts": MartsConfig,
    "retention": RetentionConfig,
    "spark": SparkConfig,
    "logging": LoggingConfig,
}
