"""One difference between MySQL and S3, as a line for people and a record for machines."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Difference:
    """What does not agree.

    Attributes:
        kind: mart, part, file, duplicate, orphan, archive, csv; `remark` is none, only something that could not be compared.
        subject: the table and key, the part, the file or the object.
        text: what is wrong, in one clause.
        field: the column that differs, where it is one.
        mysql: its value in MySQL.
        s3: its value worked out from S3.
    """

    kind: str
    subject: str
    text: str
    field: str | None = None
    mysql: str | None = None
    s3: str | None = None

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"

    @property
    def counts(self) -> bool:
        """Tell whether it is a difference and no remark."""
        return self.kind != REMARK


REMARK = "remark"


def differs(kind: str, subject: str, field: str, mysql: Any, s3: Any, reader: str = "the Parquet") -> Difference:
    """Make the difference of one column's values."""
    one, other = shown(mysql), shown(s3)
    return Difference(kind, subject, f"{field} is {one}, {reader} says {other}", field, one, other)


def shown(value: Any) -> str:
    """Give a value as people read it: money with at least two digits behind the point and no zeros beyond."""
    if not isinstance(value, Decimal):
        return str(value)
    whole, _, fraction = f"{value:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}" if fraction else whole
