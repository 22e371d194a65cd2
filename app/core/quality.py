"""Quality: text becomes typed values, and every reason against a row is named (design: D3).

A value that does not convert *exactly* is a fault: Spark's own casts would turn '2024' into 2024-01-01 and 1.239 into 1.24.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from app.core.contract import Column as ContractColumn
from app.core.contract import Contract, Rule

FAULT_TYPE = "array<struct<code:string,column:string,value:string>>"
BLANKS = " \t\r\n\u00a0"
# '5.0' is exactly 5, and what spreadsheets and pandas write for an integer column with gaps.
# \z and not $, before which Java lets a last line break pass.
INT_PATTERN = r"^[+-]?[0-9]+(\.0*)?\z"
DECIMAL_PATTERN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)\z"
ISO_DATE_PATTERN = r"^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}\z"
# What one fault keeps of the offending value; the whole text is in the quarantine's _raw.
VALUE_CHARS = 200

ROW_FAULTS = ("NULL_VALUE", "INVALID_INT", "INVALID_DECIMAL", "INVALID_DATE", "OUT_OF_RANGE", "TOO_PRECISE", "TOO_LONG")


def with_typed_columns(rows: DataFrame, contract: Contract) -> DataFrame:
    """Convert the contract's columns from text to their types.

    Needs the contract's columns as strings and `_faults`; replaces the columns and appends to `_faults`. Same rows. A row that
    already has a structural fault gets no further ones: its fields may not be what their names say.
    """
    texts = {column.name: _text(column) for column in contract.columns}
    typed = {column.name: _typed(column, texts[column.name]) for column in contract.columns}
    faults = [_fault(column, texts[column.name], typed[column.name]) for column in contract.columns]
    structural = F.coalesce(F.col("_faults"), F.array().cast(FAULT_TYPE))
    found = F.when(F.size(structural) > 0, structural).otherwise(F.array_compact(F.array(*faults)).cast(FAULT_TYPE))
    return rows.withColumns({**typed, "_faults": found})


def with_rules(rows: DataFrame, contract: Contract) -> DataFrame:
    """Apply the contract's named rules to rows whose values are sound.

    Needs typed columns, `_faults`, `_batch_date` and `_product_known`; appends broken `reject` rules to `_faults` and adds
    `_warnings`, the names of broken `warn` rules (NULL when there are none). Same rows. As with an SQL CHECK, a rule that is
    unknown because a value is NULL is not broken.
    """
    sound = F.size("_faults") == 0
    rejects = [_rule_fault(rule) for rule in contract.rules if rule.on_fail == "reject"]
    warnings = [F.when(~F.expr(rule.expression), F.lit(rule.name)) for rule in contract.rules if rule.on_fail == "warn"]
    broken = F.array_compact(F.array(*rejects)).cast(FAULT_TYPE) if rejects else F.array().cast(FAULT_TYPE)
    warned = F.array_compact(F.array(*warnings)) if warnings else F.array().cast("array<string>")
    return rows.withColumns(
        {
            "_faults": F.when(sound, broken).otherwise(F.col("_faults")),
            "_warnings": F.when(sound & (F.size(warned) > 0), warned),
        }
    )


def _text(column: ContractColumn) -> Column:
    value = F.col(column.name)
    return F.nullif(F.btrim(value, F.lit(BLANKS)) if column.trim else value, F.lit(""))


def _typed(column: ContractColumn, text: Column) -> Column:
    if column.type == "string":
        return text
    if column.type == "date":
        return F.coalesce(*[_date(text, pattern) for pattern in column.date_formats])
    if column.precision_scale is not None:
        return F.when(text.rlike(_exact_pattern(column.precision_scale[1])), text.try_cast(column.type))
    return F.when(text.rlike(INT_PATTERN), F.substring_index(text, ".", 1).try_cast(column.type))


def _date(text: Column, pattern: str) -> Column:
    if pattern == "yyyy-MM-dd":
        return F.when(text.rlike(ISO_DATE_PATTERN), text.try_cast("date"))
    # Java's yyyy also takes +10000 and -2024, and a month of such a year does not fit the marts.
    parsed = F.try_to_date(text, pattern)
    return F.when(F.year(parsed).between(1, 9999), parsed)


def _exact_pattern(scale: int) -> str:
    """Return the pattern of a decimal whose digits beyond the scale are all zero."""
    fraction = rf"\.[0-9]{{1,{scale}}}0*" if scale else r"\.0+"
    return rf"^[+-]?([0-9]+(\.[0-9]{{0,{scale}}}0*)?|{fraction})\z"


def _fault(column: ContractColumn, text: Column, typed: Column) -> Column:
    """Return the one fault of a value as a struct, NULL when it is sound."""
    empty = F.lit(None) if column.nullable else F.when(text.isNull(), F.lit("NULL_VALUE"))
    if column.type == "string":
        wrong = F.when(F.length(text) > column.max_length, F.lit("TOO_LONG")) if column.max_length else F.lit(None)
    else:
        wrong = F.when(text.isNotNull() & typed.isNull(), _why(column, text))
    code = F.coalesce(empty.cast("string"), wrong.cast("string"))
    return F.when(code.isNotNull(), _as_fault(code, column.name, text))


def _why(column: ContractColumn, text: Column) -> Column:
    if column.type == "date":
        return F.lit("INVALID_DATE")
    if column.precision_scale is None:
        return F.when(text.rlike(INT_PATTERN), F.lit("OUT_OF_RANGE")).otherwise(F.lit("INVALID_INT"))
    too_precise = F.when(text.rlike(DECIMAL_PATTERN), F.lit("TOO_PRECISE")).otherwise(F.lit("INVALID_DECIMAL"))
    return F.when(text.rlike(_exact_pattern(column.precision_scale[1])), F.lit("OUT_OF_RANGE")).otherwise(too_precise)


def _rule_fault(rule: Rule) -> Column:
    values = F.concat_ws(",", *[F.col(name).cast("string") for name in rule.columns])
    return F.when(~F.expr(rule.expression), _as_fault(F.lit(rule_code(rule)), ",".join(rule.columns), values))


def rule_code(rule: Rule) -> str:
    """Return the reason code of a broken rule: its name in upper case."""
    return rule.name.upper()


def _as_fault(code: Column, column: str, value: Column) -> Column:
    return F.struct(code.alias("code"), F.lit(column).alias("column"), F.substring(value, 1, VALUE_CHARS).alias("value"))


def any_of(conditions: list[Column]) -> Column:
    """Return the disjunction of conditions; false for none."""
    return reduce(Column.__or__, conditions, F.lit(False))
