"""Quarantine: rejected rows with file, line, raw text and every reason, as Parquet below the error prefix; and pending rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame

from app.config.load import S3Config
from app.model.totals import Totals
from app.s3.prefixes import pending_part_prefix, quarantine_part_prefix
from app.sinks.part_writer import PartWriter
from app.sinks.parts import write_parts

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

# Where a row of the quarantine comes from.
_SOURCES = ("_file_id", "_line", "_raw", "_faults", "_reason")


@dataclass(frozen=True)
class _Named:
    """Makes rows of the quarantine: adds the name of each row's file, NULL for a file that is not known."""

    names: Mapping[int, str]

    def __call__(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        ids = rows.column("_file_id").dictionary_encode()
        names = pa.array([self.names.get(one) for one in ids.dictionary.to_pylist()], pa.string()).take(ids.indices)
        columns = {
            "_file_id": rows.column("_file_id"),
            "_file_name": names,
            "_line": rows.column("_line"),
            "_raw": rows.column("_raw"),
            "_reasons": rows.column("_faults"),
            "_reason": rows.column("_reason"),
        }
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def write_quarantine(
    rejected: DataFrame,
    names: Mapping[int, str],
    batch_key: str,
    load_date: date,
    config: S3Config,
    client_factory: Callable[[], S3Client],
    *,
    is_small: bool = False,
) -> Totals:
    """Write rejected rows below `<error>/quarantine/load_date=/reason=/batch_key=/`; `reason` is a row's first reason.

    Needs `_file_id`, `_line`, `_raw`, `_faults` and `_reason`; `names` are the keys of their files. The Parquet holds `_file_id`,
    `_file_name`, `_line`, `_raw` and `_reasons`. Returns how many rows went into it: see `write_parts`.
    """
    prefix_of = partial(_quarantine_prefix, config, load_date, batch_key)
    writer = PartWriter(client_factory, config.bucket, prefix_of, ("_reason",), _Named(names))
    return write_parts(rejected.select(*_SOURCES), writer, "rejected rows", batch_key, is_small=is_small)


def _quarantine_prefix(config: S3Config, load_date: date, batch_key: str, reason: str) -> str:
    return quarantine_part_prefix(config, load_date, reason, batch_key)


def write_pending(
    pending: DataFrame, batch_key: str, config: S3Config, client_factory: Callable[[], S3Client], *, is_small: bool = False
) -> Totals:
    """Write rows that wait for a dimension row below `<pending>/batch_key=/`. Returns how many went into the files: see `write_parts`."""
    writer = PartWriter(client_factory, config.bucket, partial(pending_part_prefix, config, batch_key))
    return write_parts(pending, writer, "waiting rows", batch_key, is_small=is_small)
