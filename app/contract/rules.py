"""The rules of a contract, compiled once: Spark SQL as text, judged on record batches of Arrow as Spark would judge it.

docs/rules.md lists what a rule may hold. tests/spark/contract/ holds all of it to Spark's own verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from app.contract.contract import Column, Contract
from app.contract.rule_parts import Expression, Refused
from app.errors import ContractError

BATCH_DATE, PRODUCT_KNOWN = "_batch_date", "_product_known"


@dataclass(frozen=True)
class CompiledRules:
    """The conditions of a contract's rules, by name. It can be pickled, so it travels to the workers; they need no parser."""

    conditions: Mapping[str, Expression]
    columns: tuple[str, ...]

    @classmethod
    def of(cls, contract: Contract) -> CompiledRules:
        """Compile the rules of a contract.

        Raises:
            ContractError: a rule does not parse, is no condition, names an unknown column or holds what is not on the list.
        """
        if not contract.rules:
            return cls({}, contract.names)
        # The parser takes a fifth of a second to load; a worker, or a contract without rules, has no use for it.
        from app.contract.rule_expressions import compile_condition

        columns = column_types(contract)
        conditions = {}
        for rule in contract.rules:
            try:
                conditions[rule.name] = compile_condition(rule.expression, columns)
            except Refused as exc:
                what = f"rule {rule.name}: {rule.expression!r}: {exc}"
                raise ContractError(what, cure="change the rule in conf/contract.yml; docs/rules.md lists what it may hold") from exc
        return cls(conditions, contract.names)

    def broken(self, rows: pa.RecordBatch, batch_date: date, product_known: pa.BooleanArray) -> dict[str, pa.BooleanArray]:
        """Return for each rule which rows break it. As with an SQL CHECK, a rule that is unknown because a value is NULL is not broken.

        Needs the contract's columns with its types; other columns are ignored.
        """
        columns = {name: rows.column(name) for name in self.columns}
        columns[BATCH_DATE] = pa.repeat(pa.scalar(batch_date, pa.date32()), rows.num_rows)
        columns[PRODUCT_KNOWN] = product_known
        return {name: _is_false(condition.evaluate(columns, rows.num_rows)) for name, condition in self.conditions.items()}


def column_types(contract: Contract) -> dict[str, pa.DataType]:
    """Return the columns that a rule may name, with their types."""
    return {column.name: _arrow_type(column) for column in contract.columns} | {BATCH_DATE: pa.date32(), PRODUCT_KNOWN: pa.bool_()}


def _is_false(verdicts: pa.BooleanArray) -> pa.BooleanArray:
    return pc.fill_null(pc.invert(verdicts), False)


def _arrow_type(column: Column) -> pa.DataType:
    if column.precision_scale is not None:
        return pa.decimal128(*column.precision_scale)
    return {"int": pa.int32(), "bigint": pa.int64(), "string": pa.string(), "date": pa.date32()}[column.type]
