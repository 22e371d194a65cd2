"""Quality: the contract's rules judge rows whose values are sound, and every reason against a row is named.

docs/decisions/0010-values-in-the-workers.md says why.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from app.contract.contract import Contract, Rule
from app.model.findings import FAULT_TYPE
from app.parsing.rows import VALUE_CHARS


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
# makes some dozens of them, for every batch.


def quoted(text: str) -> str:
    """Return a text as a literal of Spark SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def named(column: str) -> str:
    """Return a column's name as an identifier of Spark SQL."""
    return "`" + column.replace("`", "``") + "`"


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
