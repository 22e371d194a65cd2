"""What Spark forks its Python workers from on one machine, with all that a worker uses loaded once for all of them.

`spark-submit.sh` names it as `spark.python.daemon.module` for local masters. Elsewhere the code arrives with the tasks, and Spark's own
daemon forks workers that load it one by one: slower to begin, otherwise the same.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module

from pyspark import daemon

from app.lifeline import end_forks_with_this_process, wake_with_jvm

TASKS = "pyspark.worker"
MODULES = ("app.batch.read_files", "app.batch.stored_rows", "app.sinks.parts", "app.source.current_versions")


def load() -> None:
    """Load what tasks use. A worker collects garbage behind every task: what is loaded here is none, and stays one copy for all."""
    for name in MODULES:
        import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    wake_with_jvm()
    end_forks_with_this_process()
    # Spark starts one for each kind of worker; the others only ask the source about itself.
    if sys.argv[1:2] == [TASKS]:
        load()
    daemon.manager()
