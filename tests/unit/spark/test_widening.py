"""Which type holds the values of two others."""

from __future__ import annotations

import pytest
from pyspark.sql import types as T

from app.spark.widening import holds, wider, widest

INT, LONG, TEXT, DAY = T.IntegerType(), T.LongType(), T.StringType(), T.DateType()


def decimal(precision: int, scale: int) -> T.DecimalType:
    return T.DecimalType(precision, scale)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (INT, INT, INT),
        (INT, LONG, LONG),
        (T.ByteType(), INT, INT),
        (decimal(12, 4), decimal(18, 4), decimal(18, 4)),
        (decimal(12, 4), decimal(10, 6), decimal(14, 6)),
        (INT, decimal(12, 4), decimal(14, 4)),
        (LONG, decimal(12, 4), decimal(23, 4)),
        (decimal(38, 0), decimal(38, 4), None),
        (TEXT, TEXT, TEXT),
        (TEXT, INT, None),
        (DAY, TEXT, None),
        (DAY, DAY, DAY),
        (T.ArrayType(TEXT), T.ArrayType(TEXT, containsNull=False), T.ArrayType(TEXT)),
        (T.ArrayType(INT), T.ArrayType(TEXT), None),
        (T.ArrayType(INT), INT, None),
    ],
)
def test_the_narrowest_type_of_both(one: T.DataType, other: T.DataType, both: T.DataType | None) -> None:
    assert wider(one, other) == both
    assert wider(other, one) == both


def test_the_narrowest_type_of_many() -> None:
    assert widest([INT, LONG, decimal(12, 4)]) == decimal(23, 4)
    assert widest([INT]) == INT
    assert widest([INT, TEXT, INT]) is None


@pytest.mark.parametrize(
    ("wanted", "stored", "does"),
    [
        (LONG, INT, True),
        (INT, LONG, False),
        (decimal(18, 4), decimal(12, 4), True),
        (decimal(12, 4), decimal(18, 4), False),
        (decimal(12, 2), decimal(12, 4), False),
        (TEXT, decimal(12, 4), True),
        (TEXT, DAY, True),
        (INT, TEXT, False),
        (DAY, TEXT, False),
        (T.ArrayType(TEXT), T.ArrayType(TEXT, containsNull=False), True),
    ],
)
def test_what_a_type_of_today_takes(wanted: T.DataType, stored: T.DataType, does: bool) -> None:
    assert holds(wanted, stored) is does
