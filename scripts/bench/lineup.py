"""Those that are compared, in the order of the tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scripts.bench.contender import Contender, Running, start_child
from scripts.bench.contenders import salestream
from scripts.bench.environment import bench_python
from scripts.bench.servers import Site

BOTH = frozenset({"marts", "facts"})


def _child(module: str, **environment: str) -> Callable[[Site, Path], Running]:
    def start(site: Site, log: Path) -> Running:
        return start_child(site, log, module, environment=environment)

    return start


def _start_dlt(site: Site, log: Path) -> Running:
    return start_child(site, log, "dlt_pipeline", python=str(bench_python()), environment={"RUNTIME__DLTHUB_TELEMETRY": "false"})


CONTENDERS = {
    one.name: one
    for one in (
        Contender("salestream", "Salestream", BOTH | {"ledger"}, "", salestream.start),
        Contender(
            "floor",
            "plain Spark batch (floor)",
            frozenset({"facts"}),
            "typed CSV, broadcast join, the same Parquet; no marts, no ledger, no checks",
            _child("floor"),
        ),
        Contender(
            "tutorial",
            "readStream.csv + foreachBatch + write.jdbc (tutorial)",
            BOTH,
            "no check of rows, no ledger; marts are appended to, so a key has a row per batch; twice after a crash",
            _child("tutorial"),
            appends=True,
        ),
        Contender(
            "seed",
            "the batch job that came before (seed)",
            BOTH,
            "runs over what is there; marts are appended to; files are moved at the end, all steps apart",
            _child("seed"),
            appends=True,
        ),
        Contender(
            "dlt",
            "dlt to MySQL, marts refreshed in SQL",
            frozenset({"marts"}),
            "no Parquet facts, no check of rows; all rows of all time are added up again each time",
            _start_dlt,
        ),
        Contender(
            "single",
            "one process: DuckDB and LOAD DATA (lower bound)",
            BOTH,
            "no ledger, no check of rows, one machine, all of it in memory",
            _child("single"),
        ),
        Contender(
            "s3_loop", "the same S3 requests in a bare loop", frozenset(), "requests only; nothing is read into anything", _child("s3_loop")
        ),
    )
}
