"""What of a contract only Spark can judge: rule expressions, and names that would meet twice in the facts."""

from __future__ import annotations

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DateType, StructField, StructType

from app.core.contract import Contract, Rule
from app.core.enrich import fact_columns
from app.errors import ContractError


def enforced_schema(contract: Contract) -> StructType:
    """Return the schema of a typed sales row that rules see: the contract's columns and the technical ones."""
    technical = [StructField("_batch_date", DateType(), nullable=False), StructField("_product_known", BooleanType(), nullable=False)]
    return StructType([*contract.spark_schema().fields, *technical])


def check_contract(spark: SparkSession, contract: Contract) -> None:
    """Analyse every rule once, before any data is touched. Runs no job.

    Raises:
        ContractError: a rule does not parse, names an unknown column or is no condition; or a column's name is taken.
    """
    columns = fact_columns(contract)
    taken = sorted({name for name in columns if columns.count(name) > 1})
    if taken:
        raise ContractError(
            f"column {', '.join(taken)}: the facts already have a column of that name", cure="rename it in conf/contract.yml"
        )
    empty = spark.createDataFrame([], enforced_schema(contract))
    for rule in contract.rules:
        _check_rule(empty, rule)


def _check_rule(empty: DataFrame, rule: Rule) -> None:
    try:
        kind = empty.select(F.expr(rule.expression)).schema[0].dataType
    except (AnalysisException, ParseException) as exc:
        reason = str(exc).strip().splitlines()[0]
        raise ContractError(f"rule {rule.name}: {rule.expression!r}: {reason}", cure="mend the rule in conf/contract.yml") from exc
    if not isinstance(kind, BooleanType):
        raise ContractError(
            f"rule {rule.name}: {rule.expression!r} is {kind.simpleString()}, not a condition", cure="mend the rule in conf/contract.yml"
        )
