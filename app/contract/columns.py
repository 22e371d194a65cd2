"""Typed values of scanned text, a column at a time. Pure.

Arrow converts what is written plainly, a column of numbers or dates at once. Whatever is not plain (blanks around a number, `5.0` for 5,
another date format, nothing where a value is needed, rubbish) goes to app/contract/values.py, which knows all rules, each text once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from app.contract.contract import Column, Contract
from app.contract.values import BLANKS, read_value
from app.parsing.rows import FAULTS, Fault

_NOTHING = pa.scalar(None, pa.string())
# Nine and eighteen digits fit whatever they are.
_INTEGERS = {"int": (pa.int32(), r"^-?[0-9]{1,9}$"), "bigint": (pa.int64(), r"^-?[0-9]{1,18}$")}
_ISO_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def typed_schema(rows: pa.Schema, contract: Contract) -> pa.Schema:
    """Return the schema of scanned rows with the contract's types."""
    first, last = _place(rows, contract)
    columns = [pa.field(column.name, _arrow_type(column)) for column in contract.columns]
    fields = list(rows)
    return pa.schema([*fields[:first], *columns, *fields[last:]])


def with_types(rows: pa.RecordBatch, contract: Contract) -> pa.RecordBatch:
    """Convert the contract's columns of scanned rows from text to their types, and name what is wrong with their values.

    Needs the contract's columns beside each other, in order, and `_faults`. A row with a structural fault gets no further ones, as its
    fields may not be what their names say. Same rows; a value with a fault is NULL, but for a text.
    """
    first, last = _place(rows.schema, contract)
    is_whole = rows.column("_faults").is_null()
    faults: dict[int, list[Fault]] = defaultdict(list)
    columns = []
    for column, text in zip(contract.columns, rows.columns[first:last], strict=True):
        values, is_plain = _converted(column, text)
        is_left = pc.and_(pc.invert(is_plain), is_whole)
        columns.append(_read_one_by_one(column, text, values, is_left, faults) if is_left.true_count else values)
    typed = pa.RecordBatch.from_arrays([*rows.columns[:first], *columns, *rows.columns[last:]], schema=typed_schema(rows.schema, contract))
    return _with_faults(typed, faults) if faults else typed


def _read_one_by_one(
    column: Column, text: pa.Array, values: pa.Array, is_left: pa.BooleanArray, faults: dict[int, list[Fault]]
) -> pa.Array:
    """Return the values with those of the rows that are left, and add the faults of these, by row."""
    left = text.filter(is_left).dictionary_encode("encode")
    read = [read_value(column, one) for one in left.dictionary.to_pylist()]
    if any(one.fault for one in read):
        for row, at in zip(pc.indices_nonzero(is_left).to_pylist(), left.indices.to_pylist(), strict=True):
            if (fault := read[at].fault) is not None:
                faults[row].append(fault)
    return pc.replace_with_mask(values, is_left, pa.array([one.value for one in read], values.type).take(left.indices))


def _with_faults(rows: pa.RecordBatch, faults: Mapping[int, Sequence[Fault]]) -> pa.RecordBatch:
    found = pa.array([[fault._asdict() for fault in of_row] for of_row in faults.values()], FAULTS)
    places = list(range(rows.num_rows))
    for at, row in enumerate(faults):
        places[row] = rows.num_rows + at
    name = rows.schema.get_field_index("_faults")
    return rows.set_column(name, rows.schema.field(name), pa.concat_arrays([rows.column(name), found]).take(pa.array(places)))


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
    """Convert texts of the form yyyy-mm-dd; NULL for all when one of them is no day of the calendar."""
    try:
        # Python and Spark know no year 0, which Arrow takes.
        if not pc.any(pc.starts_with(text, pattern="0000")).as_py():
            return pc.cast(text, pa.date32())
    except pa.ArrowInvalid:
        pass  # they are read one by one
    return pa.nulls(len(text), pa.date32())
