"""The page of the results, as text. Pure: docs/benchmarks.md is what this makes of scripts/bench/results, and a test holds it to that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts.bench.goals import goals_table

RESULTS = Path(__file__).with_name("results")
TEXT = Path(__file__).with_name("page.md")
MISSED = Path(__file__).with_name("missed.md")
TITLES = {
    "a_month": "Catch-up: 4 M rows in 40 files of one month",
    "a_partitions": "Catch-up: 4 M rows in 40 files over 24 months and 5 stores",
    "b_latency": "Latency: one file of 1,000 rows a second, one month and 5 stores",
    "b_partitions": "Latency: the same, each file over 24 months and 3 stores",
    "c_small": "10,000 small files of 100 rows",
    "d_large": "One file of 1 GB",
    "e_growth": "A batch of 1,000 rows behind a history",
    "f_backlog": "100,000 objects waiting",
    "g_idle": "An idle minute",
}
# Further figures that a table shows, when its results have them: name -> heading.
FIGURES = {
    "p50": "p50 s",
    "p95": "p95 s",
    "p99": "p99 s",
    "start_s": "start s",
    "cpu_s": "CPU s",
    "archive_s": "archived after s",
    "parquet_files": "Parquet files",
    "ledger_rows": "files in the ledger",
    "mart_rows": "mart rows",
    "drop_to_commit_s": "drop to commit s",
    "known_at_first_commit": "files known at first commit",
    "from_start_s": "from the start of the process s",
    "files_a_second": "files a second",
    "jvm_mb": "JVM MB",
    "driver_mb": "driver MB",
    "planner_mb": "planner MB",
    "s3_requests_a_minute": "S3 requests a minute",
    "triggers_a_minute": "listings a minute",
    "mysql_statements_a_minute": "MySQL statements a minute",
    "cpu_s_a_minute": "CPU s a minute",
}
Row = dict[str, Any]


def load(folder: Path = RESULTS) -> tuple[list[Row], Row]:
    """Read the committed results and the description of the machine."""
    return json.loads((folder / "latest.json").read_text()), json.loads((folder / "machine.json").read_text())


def fingerprint(rows: list[Row]) -> str:
    """Return a short name of exactly these results; the plots carry it."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]


def group(workload: str) -> str:
    """Return the section that a workload belongs to: the three histories share one."""
    return "e_growth" if workload.startswith("e_") else workload


def sections(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the results of each section, in the order of the titles."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(group(row["workload"]), []).append(row)
    return {name: found[name] for name in TITLES if name in found}


def page(rows: list[Row], machine: Row) -> str:
    """Return the whole page."""
    parts = [TEXT.read_text(), _machine(machine), "## Goals\n", goals_table(rows, machine["cores"]), MISSED.read_text()]
    for name, own in sections(rows).items():
        parts += [f"## {TITLES[name]}\n", f"![{TITLES[name]}](benchmarks/{name}.svg)\n", _table(own), _notes(own)]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def _machine(machine: Row) -> str:
    scale = (
        "" if machine["scale"] == 1 else f" **A trial on {machine['scale']:g} of the data: it shows the tables, not what the seconds are.**"
    )
    return (
        f"Measured {machine['at'][:10]} at commit `{machine['commit']}` on {machine['cores']} cores ({machine['cpu']}),"
        f" {machine['memory_mb'] // 1024} GB of memory, load {machine['load_before']} before the run, Python {machine['python']},"
        f" {machine['java'].replace('openjdk version ', 'Java ')}."
        f"{f' The run took {minutes:.0f} minutes.' if (minutes := machine.get('minutes')) else ''}{scale}"
        f"{' ' + machine['note'] if machine.get('note') else ''}\n"
    )


def _table(rows: Sequence[Row]) -> str:
    shown = [name for name in FIGURES if any(name in row for row in rows)]
    heads = ["", "median s", "spread s", "x floor", "rows", "files", "peak MB", *(FIGURES[name] for name in shown), "result"]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for row in rows:
        name = row["contender"] if not row["workload"].startswith("e_") else f"{row['contender']}, {row['workload'][2:]}"
        share = "" if row["scale"] == 1 else f" (on {row['scale']:g} of the data)"
        ratio = "" if row["ratio_to_floor"] is None else f"{row['ratio_to_floor']:.2f}"
        own = [_number(row.get(figure)) for figure in shown]
        verdict = "right" if row["correct"] else "**wrong**"
        cells = [name + share, _number(row["median_s"]), _number(row["spread_s"]), ratio, _number(row["rows"]), _number(row["files"])]
        lines.append(" | ".join([*cells, _number(row["peak_mb"]), *own, verdict]))
    return "".join(f"| {line} |\n" for line in lines)


def _notes(rows: Sequence[Row]) -> str:
    notes = [f"- {row['contender']}: {row['note']}" for row in rows if row["note"]]
    return "\n".join(notes) + "\n" if notes else ""


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value != int(value):
        return f"{value:.3g}" if value < 1 else f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
    return f"{int(value):,}"
