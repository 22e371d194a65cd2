"""Whether a contract can be used: its columns by facts, marts and dimensions, and its rules."""

from __future__ import annotations

from app.contract.contract import Column, Contract
from app.contract.rules import CompiledRules
from app.errors import ContractError
from app.model.dimensions import DIMENSIONS, fact_columns
from app.model.marts import MARTS

# The totals of the marts are decimal(30,4): 26 digits before the point hold the sum of 10^10 values of 16.
TOTAL_SCALE = 4
MOST_MEASURE_DIGITS = 16


def check_contract(contract: Contract) -> None:
    """Look at columns and rules once, before any data is touched.

    Raises:
        ContractError: a rule does not parse, names an unknown column, is no condition or holds what is not on the list; a column's name
            is taken; or a column that the marts are made of would not fit them.
    """
    check_columns(contract)
    CompiledRules.of(contract)


def check_columns(contract: Contract) -> None:
    """Look whether facts, marts and dimensions can do with the columns of a contract.

    Raises:
        ContractError: a column's name is taken, or a column that the marts are made of would not fit them.
    """
    columns = [*fact_columns(contract), "batch_key"]
    taken = sorted({name for name in columns if columns.count(name) > 1})
    if taken:
        raise ContractError(
            f"column {', '.join(taken)}: the facts already have a column of that name", cure="rename it in conf/contract.yml"
        )
    if faults := needed_column_faults(contract):
        raise ContractError("; ".join(faults), cure="mend the column in conf/contract.yml")


def needed_column_faults(contract: Contract) -> list[str]:
    """Say which columns the marts and the dimensions cannot do with: their tables would refuse the first row, and every batch fail."""
    columns = {column.name: column for column in contract.columns}
    keys = [dimension.fact_key for dimension in DIMENSIONS if dimension.required]
    wanted = dict.fromkeys(keys, "int") | {"product_name": "string", "sales_date": "date"}
    measures = {source for mart in MARTS for source in mart.measures.values()}
    faults = [f"column {name}: is missing" for name in sorted({*wanted, *measures} - columns.keys())]
    for name, column in columns.items():
        if name in wanted and column.type != wanted[name]:
            faults.append(f"column {name}: must be {wanted[name]}")
        if name in measures and not _fits_totals(column):
            faults.append(f"column {name}: must be decimal(p,s) with s at most {TOTAL_SCALE} and p - s at most {MOST_MEASURE_DIGITS}")
        if name in (*keys, "sales_date", *measures) and column.nullable:
            faults.append(f"column {name}: must not be nullable")
    return faults


def _fits_totals(column: Column) -> bool:
    if column.precision_scale is None:
        return False
    precision, scale = column.precision_scale
    return scale <= TOTAL_SCALE and precision - scale <= MOST_MEASURE_DIGITS
