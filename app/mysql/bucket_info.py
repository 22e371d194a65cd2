"""The bucket, where the configuration leaves it open: the active row of s3_bucket_info for the source prefix."""

from __future__ import annotations

from app.config.load import Config
from app.errors import ConfigError
from app.mysql.database import Database, Row, Tx

ACTIVE = "active"
TABLE = "s3_bucket_info"


def with_bucket(config: Config) -> Config:
    """Return the configuration with its bucket: as it stands, or looked up in s3_bucket_info when `s3.bucket` is empty.

    Raises:
        ConfigError: no active row, or several buckets, for the source prefix.
        MySqlError: the table cannot be read.
        MySqlUnavailable: MySQL is out of reach.
    """
    if config.s3.bucket:
        return config
    prefix = config.s3.source_prefix

    def read(tx: Tx) -> list[Row]:
        # The table was made for people: they write the location with or without slashes, and the status in any case.
        sql = (
            f"SELECT DISTINCT bucket_name FROM {TABLE} WHERE LOWER(status) = %s AND TRIM(BOTH '/' FROM file_location) = %s"
            " AND bucket_name <> '' ORDER BY bucket_name LIMIT 6"
        )
        return tx.rows(sql, (ACTIVE, prefix.strip("/")))

    found = [row["bucket_name"] for row in Database(config.mysql).run(read)]
    if len(found) != 1:
        what = f"{len(found)} buckets ({', '.join(found)})" if found else "no bucket"
        raise ConfigError(
            f"s3.bucket is empty, and {TABLE} names {what} as active for {prefix}",
            cure=f"set s3.bucket, or keep one row with status '{ACTIVE}' and file_location '{prefix}' in {TABLE}",
        )
    origins = {**config.origins, "s3.bucket": f"table {TABLE}"}
    return config.model_copy(update={"s3": type(config.s3).model_validate({**_values(config), "bucket": found[0]}), "origins": origins})


def _values(config: Config) -> dict[str, object]:
    return {name: getattr(config.s3, name) for name in type(config.s3).model_fields}
