"""Where the job's own folders lie on S3. Pure."""

from __future__ import annotations

from datetime import date

from app.config.load import S3Config

QUARANTINE_FOLDER = "quarantine/"
MENDED_FOLDER = "mended/"


def fact_part_prefix(config: S3Config, sales_month: str, store_id: int, batch_key: str) -> str:
    """Return the S3 prefix of one part of the facts."""
    return f"{config.facts_prefix}sales_month={sales_month}/store_id={store_id}/batch_key={batch_key}/"


def quarantine_prefix(config: S3Config) -> str:
    """Return the prefix of the quarantine; it lies below the error prefix, beside the rejected files."""
    return config.error_prefix + QUARANTINE_FOLDER


def mended_prefix(config: S3Config) -> str:
    """Return the prefix of mended rows on their way back; it lies below the error prefix, beside the quarantine."""
    return config.error_prefix + MENDED_FOLDER


def quarantine_part_prefix(config: S3Config, load_date: date, reason: str, batch_key: str) -> str:
    """Return the S3 prefix of one part of the quarantine."""
    return f"{quarantine_prefix(config)}load_date={load_date}/reason={reason}/batch_key={batch_key}/"


def pending_part_prefix(config: S3Config, batch_key: str) -> str:
    """Return the S3 prefix of one pending part."""
    return f"{config.pending_prefix}batch_key={batch_key}/"
