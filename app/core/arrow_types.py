"""Typed values of scanned text, a column at a time, for rows in which every value is written plainly. Pure.

Arrow converts a column of plain numbers and dates in a tenth of the time that Spark needs for it. Whatever is not plain (blanks around a
number, `5.0` for 5, another date format, nothing where a value is needed, rubbish) leaves its row to app/core/quality.py, which knows all
rules. Both give the same values: tests/spark/test_quality.py holds that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from app.core.arrow_rows import interleaved
from app.core.contract import Column, Contract

# What `trim` takes away.
BLANKS = " \t\r\n\u00a0"
_TEXTS = pa.list_(pa.string())
_NOTHING = pa.scalar(None, pa.string())
# Nine and eighteen digits fit whatever they are.
_INTEGERS = {"int": (pa.int32(), r"^-?[0-9]{1,9}$"), "bigint": (pa.int64(), r"^-?[0-9]{1,18}$")}
# As INT_PATTERN of app/core/quality.py, but for zeros that no number needs: Python converts no text of thousands of digits.
_WHOLE_NUMBER = re.compile(r"([+-]?)0*([0-9]{1,19})(?:\.0*)?\Z", re.ASCII)
_ISO_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def typed_schema(rows: pa.Schema, contract: Contract) -> pa.Schema:
    """Return the schema of scanned rows with the contract's types, and `_texts` behind the contract's columns."""
    first, last = _place(rows, contract)
    columns = [pa.field(column.name, _arrow_type(column)) for column in contract.columns]
    fields = list(rows)
    return pa.schema([*fields[:first], *columns, pa.field("_texts", _TEXTS), *fields[last:]])


def with_types(rows: pa.RecordBatch, contract: Contract) -> pa.RecordBatch:
    """Convert the contract's columns of scanned rows from text to their types.

    Needs the contract's columns beside each other, in order, and `_faults`. Adds `_texts`: NULL for a row whose columns are converted,
    or that has faults; else the row's texts in the contract's order, and its columns mean nothing. Same rows.
    """
    first, last = _place(rows.schema, contract)
    texts = rows.columns[first:last]
    converted = [_converted(column, text) for column, text in zip(contract.columns, texts, strict=True)]
    plain = reduce(pc.and_, (is_plain for _, is_plain in converted))
    left = _texts_of(texts, pc.and_(pc.invert(plain), rows.column("_faults").is_null()))
    columns = [*rows.columns[:first], *(value for value, _ in converted), left, *rows.columns[last:]]
    return pa.RecordBatch.from_arrays(columns, schema=typed_schema(rows.schema, contract))


def key_values(rows: pa.RecordBatch, contract: Contract, name: str) -> pa.Array:
    """Return a column of keys, int64 or string, as app/core/quality.py will read it also from rows that are left to Spark.

    Needs what `with_types` yields. What is no key is NULL: such a row will be rejected.
    """
    at = contract.names.index(name)
    column = contract.columns[at]
    values, texts = rows.column(name), rows.column("_texts")
    if column.type != "string":
        values = values.cast(pa.int64())
    if texts.null_count == len(texts):
        return values
    left = pc.list_element(texts.drop_null(), at).to_pylist()
    return pc.replace_with_mask(values, texts.is_valid(), pa.array([_key(column, text) for text in left], values.type))


def _key(column: Column, text: str | None) -> str | int | None:
    if text is not None and column.trim:
        text = text.strip(BLANKS)
    if not text or column.type == "string":
        return text or None
    number = int(found[1] + found[2]) if (found := _WHOLE_NUMBER.match(text)) else None
    return number if number is not None and -(1 << 63) <= number < 1 << 63 else None


def _place(rows: pa.Schema, contract: Contract) -> tuple[int, int]:
    first = rows.get_field_index(contract.names[0])
    return first, first + len(contract.columns)


def _arrow_type(column: Column) -> pa.DataType:
    if column.precision_scale is not None:
        return pa.decimal128(*column.precision_scale)
    return {"string": pa.string(), "date": pa.date32(), **{name: kind for name, (kind, _) in _INTEGERS.items()}}[column.type]


def _converted(column: Column, text: pa.Array) -> tuple[pa.Array, pa.BooleanArray]:
    """Return the values of a column, and for which rows they are all there is to say."""
    if column.type == "string":
        text = pc.utf8_trim(text, characters=BLANKS) if column.trim else text
        values = _strings(column, text)
    elif column.type == "date":
        # Another format, tried earlier, could claim the text.
        is_first = column.date_formats[0] == "yyyy-MM-dd"
        values = _dates(_matching(text, _ISO_DATE)) if is_first else pa.nulls(len(text), pa.date32())
    else:
        values = pc.cast(_matching(text, _number_pattern(column)), _arrow_type(column))
    if values.null_count == 0 or not column.nullable:
        return values, values.is_valid()
    return values, pc.or_(values.is_valid(), pc.fill_null(pc.equal(text, ""), True))


def _strings(column: Column, text: pa.Array) -> pa.Array:
    taken = pc.not_equal(text, "")
    if column.max_length is not None:
        taken = pc.and_(taken, pc.less_equal(pc.utf8_length(text), column.max_length))
    return text if taken.true_count == len(text) else pc.if_else(taken, text, _NOTHING)


def _number_pattern(column: Column) -> str:
    if column.precision_scale is None:
        return _INTEGERS[column.type][1]
    precision, scale = column.precision_scale
    whole = f"[0-9]{{1,{precision - scale}}}" if precision > scale else "0"
    return rf"^-?{whole}(\.[0-9]{{1,{scale}}})?$" if scale else f"^-?{whole}$"


def _matching(text: pa.Array, pattern: str) -> pa.Array:
    """Return the texts that match, NULL for the others."""
    fits = pc.match_substring_regex(text, pattern=pattern)
    return text if fits.true_count == len(text) else pc.if_else(fits, text, _NOTHING)


def _dates(text: pa.Array) -> pa.Array:
    """Convert texts of the form yyyy-mm-dd; what is no day of the calendar becomes NULL."""
    try:
        # Python and Spark know no year 0, which Arrow takes.
        if not pc.any(pc.starts_with(text, pattern="0000")).as_py():
            return pc.cast(text, pa.date32())
    except pa.ArrowInvalid:
        pass
    days = text.dictionary_encode()
    return pa.array([_date(text) for text in days.dictionary.to_pylist()], pa.date32()).take(days.indices)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _texts_of(texts: Sequence[pa.Array], is_left: pa.BooleanArray) -> pa.Array:
    """Return a list of the texts of those rows that are left to Spark, NULL for the others."""
    if is_left.true_count == 0:
        return pa.nulls(len(is_left), _TEXTS)
    at = pc.indices_nonzero(is_left)
    values = interleaved([text.take(at) for text in texts], len(at))
    ends = pc.multiply(pc.cumulative_sum(is_left.cast(pa.int32())), pa.scalar(len(texts), pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, values, mask=pc.invert(is_left))
