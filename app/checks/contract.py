"""Whether a contract can be used: its columns by facts, marts and dimensions, its rules by Spark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DateType, StructField, StructType

from app.config.reading import REPOSITORY, show_path
from app.contract.contract import Column, Contract, Rule, load_contract
from app.errors import ContractError, EnvironmentFault
from app.model.dimensions import DIMENSIONS, fact_columns
from app.model.marts import MARTS
from app.spark.schema import sales_schema

# The totals of the marts are decimal(30,4): 26 digits before the point hold the sum of 10^10 values of 16.
TOTAL_SCALE = 4
MOST_MEASURE_DIGITS = 16
# A JVM and a session; on a busy machine it takes some ten seconds.
ANALYSIS_SECONDS = 120


def enforced_schema(contract: Contract) -> StructType:
    """Return the schema of a typed sales row that rules see: the contract's columns and the technical ones."""
    technical = [StructField("_batch_date", DateType(), nullable=False), StructField("_product_known", BooleanType(), nullable=False)]
    return StructType([*sales_schema(contract).fields, *technical])


def check_contract(spark: SparkSession, contract: Contract) -> None:
    """Analyse columns and rules once, before any data is touched. Runs no job.

    Raises:
        ContractError: a rule does not parse, names an unknown column or is no condition; a column's name is taken; or a column that
            the marts are made of would not fit them.
    """
    check_columns(contract)
    empty = spark.createDataFrame([], enforced_schema(contract))
    for rule in contract.rules:
        _check_rule(empty, rule)


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


def check_rules(path: Path) -> str:
    """Have Spark analyse the rules of a contract, as a run does: in a process of its own, whose JVM goes with it.

    Raises:
        ContractError: a rule cannot be used.
        EnvironmentFault: Spark does not start.
    """
    command = [sys.executable, "-c", "import sys; from app.checks.contract import analyse; analyse(sys.argv[1])", str(path)]
    environ = os.environ | {"PYTHONPATH": str(REPOSITORY), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_CONF_DIR": str(REPOSITORY / "conf")}
    cure = "look at what Spark says: ./spark-submit.sh check --debug"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANALYSIS_SECONDS, env=environ, cwd=REPOSITORY, check=False)
    except subprocess.TimeoutExpired as exc:
        raise EnvironmentFault(f"Spark did not analyse the contract's rules within {ANALYSIS_SECONDS} s", cure=cure) from exc
    answer = done.stdout.strip().splitlines()[-1:]
    if done.returncode != 0 or not answer:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit code {done.returncode}")
        raise EnvironmentFault(f"Spark could not analyse the contract's rules: {said[:300]}", cure=cure)
    fault = json.loads(answer[0])
    if fault is not None:
        raise ContractError(fault["what"], cure=fault["cure"])
    return f"{show_path(path)}: Spark takes every rule as a condition"


def analyse(path: str) -> None:
    """Analyse the rules of a contract and print the fault as JSON, or null: what `check_rules` runs in a process of its own."""
    contract = load_contract(Path(path))
    fault = None
    with SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").appName("salestream check").getOrCreate() as spark:
        try:
            check_contract(spark, contract)
        except ContractError as exc:
            fault = {"what": exc.what, "cure": exc.cure}
    sys.stdout.write(json.dumps(fault) + "\n")


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
