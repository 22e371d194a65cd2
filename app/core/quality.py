"""Quality: text becomes typed values, and every reason against a row is named (design: D3).

A value that does not convert *exactly* is a fault: Spark's own casts would turn '2024' into 2024-01-01 and 1.239 into 1.24.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.core.arrow_types import BLANKS
from app.core.contract import Column as ContractColumn
from app.core.contract import Contract, Rule

FAULT_TYPE = "array<struct<code:string,column:string,value:string>>"
# '5.0' is exactly 5, and what spreadsheets and pandas write for an integer column with gaps.
# \z and not $, before which Java lets a last line break pass.
INT_PATTERN = r"^[+-]?[0-9]+(\.0*)?\z"
DECIMAL_PATTERN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)\z"
ISO_DATE_PATTERN = r"^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}\z"
# What one fault keeps of the offending value; the whole text is in the quarantine's _raw.
VALUE_CHARS = 200

ROW_FAULTS = ("NULL_VALUE", "INVALID_INT", "INVALID_DECIMAL", "INVALID_DATE", "OUT_OF_RANGE", "TOO_PRECISE", "TOO_LONG")


def with_typed_columns(rows: DataFrame, contract: Contract) -> DataFrame:
    """Convert the rows that still have their texts, and name what is wrong with them.

    Needs the contract's columns, `_texts` (the row's texts in the contract's order; NULL: its columns are converted, or it has a
    structural fault and gets no further ones, as its fields may not be what their names say) and `_faults`. Same rows.
    """
    texts = {column.name: _text(column, f"_texts[{at}]") for at, column in enumerate(contract.columns)}
    typed = {column.name: _typed(column, texts[column.name]) for column in contract.columns}
    faults = [_fault(column, texts[column.name], typed[column.name]) for column in contract.columns]
    found = {name: f"if(_texts IS NULL, {named(name)}, {sql})" for name, sql in typed.items()}
    found["_faults"] = f"if(_texts IS NULL, _faults, array_compact(cast(array({', '.join(faults)}) AS {FAULT_TYPE})))"
    return rows.withColumns({name: F.expr(sql) for name, sql in found.items()})


def with_rules(rows: DataFrame, contract: Contract) -> DataFrame:
    """Apply the contract's named rules to rows whose values are sound.

    Needs typed columns, `_faults`, `_batch_date` and `_product_known`; appends broken `reject` rules to `_faults` and adds
    `_warnings`, the names of broken `warn` rules (NULL when there are none). Same rows. As with an SQL CHECK, a rule that is
    unknown because a value is NULL is not broken.
    """
    rejecting = [rule for rule in contract.rules if rule.on_fail == "reject"]
    warning = [rule for rule in contract.rules if rule.on_fail == "warn"]
    faults = f"cast(array({', '.join(map(_rule_fault, rejecting))}) AS {FAULT_TYPE})"
    warnings = f"cast(array({', '.join(f'if({_broken(rule)}, {quoted(rule.name)}, NULL)' for rule in warning)}) AS array<string>)"
    # Spark does not compile the making of such a list; nearly all rows need none.
    return rows.withColumns(
        {
            "_faults": F.expr(f"if(size(_faults) > 0, _faults, if({_any_broken(rejecting)}, array_compact({faults}), NULL))"),
            "_warnings": F.expr(f"if(size(_faults) > 0, NULL, if({_any_broken(warning)}, array_compact({warnings}), NULL))"),
        }
    )


# Expressions are put together as SQL text. As Columns they are the same, but each one costs a handful of calls to the JVM, and a contract
# makes some hundreds of them, for every batch.


def quoted(text: str) -> str:
    """Return a text as a literal of Spark SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def named(column: str) -> str:
    """Return a column's name as an identifier of Spark SQL."""
    return "`" + column.replace("`", "``") + "`"


def _text(column: ContractColumn, text: str) -> str:
    return f"nullif({f'btrim({text}, {quoted(BLANKS)})' if column.trim else text}, '')"


def _typed(column: ContractColumn, text: str) -> str:
    if column.type == "string":
        return text
    if column.type == "date":
        return f"coalesce({', '.join(_date(text, pattern) for pattern in column.date_formats)})"
    if column.precision_scale is not None:
        return f"if({_matches(text, _exact_pattern(column.precision_scale[1]))}, try_cast({text} AS {column.type}), NULL)"
    return f"if({_matches(text, INT_PATTERN)}, try_cast(substring_index({text}, '.', 1) AS {column.type}), NULL)"


def _date(text: str, pattern: str) -> str:
    if pattern == "yyyy-MM-dd":
        return f"if({_matches(text, ISO_DATE_PATTERN)}, try_cast({text} AS date), NULL)"
    # Java's yyyy also takes +10000 and -2024, and a month of such a year does not fit the marts.
    parsed = f"try_to_date({text}, {quoted(pattern)})"
    return f"if(year({parsed}) BETWEEN 1 AND 9999, {parsed}, NULL)"


def _matches(text: str, pattern: str) -> str:
    return f"{text} RLIKE {quoted(pattern)}"


def _exact_pattern(scale: int) -> str:
    """Return the pattern of a decimal whose digits beyond the scale are all zero."""
    fraction = rf"\.[0-9]{{1,{scale}}}0*" if scale else r"\.0+"
    return rf"^[+-]?([0-9]+(\.[0-9]{{0,{scale}}}0*)?|{fraction})\z"


def _fault(column: ContractColumn, text: str, typed: str) -> str:
    """Return the one fault of a value as a struct, NULL when it is sound."""
    cases = [] if column.nullable else [f"WHEN {text} IS NULL THEN 'NULL_VALUE'"]
    if column.type != "string":
        cases.append(f"WHEN {text} IS NOT NULL AND {typed} IS NULL THEN {_why(column, text)}")
    elif column.max_length:
        cases.append(f"WHEN length({text}) > {column.max_length} THEN 'TOO_LONG'")
    code = f"CASE {' '.join(cases)} END" if cases else "cast(NULL AS string)"
    return f"if({code} IS NOT NULL, {_as_fault(code, column.name, text)}, NULL)"


def _why(column: ContractColumn, text: str) -> str:
    if column.type == "date":
        return "'INVALID_DATE'"
    if column.precision_scale is None:
        return f"if({_matches(text, INT_PATTERN)}, 'OUT_OF_RANGE', 'INVALID_INT')"
    exact, decimal = _matches(text, _exact_pattern(column.precision_scale[1])), _matches(text, DECIMAL_PATTERN)
    return f"CASE WHEN {exact} THEN 'OUT_OF_RANGE' WHEN {decimal} THEN 'TOO_PRECISE' ELSE 'INVALID_DECIMAL' END"


def _broken(rule: Rule) -> str:
    # On a line of its own: a comment at the end of the expression must not take the bracket along.
    return f"NOT ({rule.expression}\n)"


def _any_broken(rules: Sequence[Rule]) -> str:
    return " OR ".join(map(_broken, rules)) or "false"


def _rule_fault(rule: Rule) -> str:
    values = f"concat_ws(',', {', '.join(f'cast({named(name)} AS string)' for name in rule.columns)})"
    return f"if({_broken(rule)}, {_as_fault(quoted(rule_code(rule)), ','.join(rule.columns), values)}, NULL)"


def rule_code(rule: Rule) -> str:
    """Return the reason code of a broken rule: its name in upper case."""
    return rule.name.upper()


def _as_fault(code: str, column: str, value: str) -> str:
    return f"named_struct('code', {code}, 'column', {quoted(column)}, 'value', substring({value}, 1, {VALUE_CHARS}))"
