"""docs/rules.md: what a rule of the contract may hold, read from the list that rules are compiled by."""

from __future__ import annotations

from pathlib import Path

from app.contract.rule_expressions import FUNCTIONS, OPERATORS, TYPES
from scripts.docgen import CONF, code, page, table


def rules_page(_conf: Path = CONF) -> str:
    """Describe operators, functions, types and literals of a rule."""
    intro = [
        "A rule of `conf/contract.yml` is a condition of Spark SQL over the columns of the contract, `_batch_date` and `_product_known`.",
        "A row for which it is false breaks the rule. A rule that is unknown because a value is NULL is not broken.",
        "",
        "Rules are judged without a JVM, and say what Spark says in its mode without ANSI: an integer that overflows wraps, a decimal that",
        "overflows is NULL, so are a division by zero and a text that is no number, and the types and the rounding are Spark's. A property",
        "test (`tests/spark/contract/test_rules.py`) holds all of this list to Spark. What is not on it is refused by `check` and `run`.",
        "A column whose name is a word of SQL is written in backquotes.",
        "",
    ]
    brackets = "A comparison or a predicate that is an operand itself needs brackets: `(a = b) = c`. So does `+` beside `||`."
    operators = ["## Operators", "", *table(("Operators", "Notes"), OPERATORS), brackets, ""]
    functions = ["## Functions", "", *table(("Function", "Notes"), [(code(one.usage), one.note) for one in FUNCTIONS.values()])]
    types = ["## Types and literals", "", *table(("Type", "Literals", "Cast to"), TYPES)]
    return page("app/contract/rule_expressions.py", "Rules", intro, operators, functions, types)
