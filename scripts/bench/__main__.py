"""`python -m scripts.bench`: measure Salestream and what one would use instead, side by side."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from scripts.bench.data import CACHE
from scripts.bench.environment import machine
from scripts.bench.lineup import CONTENDERS
from scripts.bench.servers import open_site
from scripts.bench.suite import OURS, WORKLOADS, Results, chosen, run_cases, run_chained
from scripts.bench.workloads.common import Setting
from tests import class_archive

RESULTS = Path(__file__).with_name("results")
QUICK_SCALE = 0.005
# What starts its contender in a way of its own and has results to check; of the histories the longest.
QUICK_OWN = ["e_1m", "f"]
OWN = ["e", "f", "g"]
ROUNDS = 3
QUICK_CONTENDERS = "salestream,single"


def main() -> int:
    """Run what was asked for. Exit code 1 when one of our own results is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", default="", help="letters or names, such as a,c or a_month; all when empty")
    parser.add_argument("--contenders", default="", help="names; all when empty")
    parser.add_argument("--rounds", type=int, default=0, help="instead of three, or of each workload's own number")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the data")
    parser.add_argument("--out", type=Path, help="where the results go; else results/latest.json, or for --quick into the cache")
    parser.add_argument("--quick", action="store_true", help="the same code in two minutes; checks results, not times")
    args = parser.parse_args()
    if args.quick:
        args.scale, args.rounds = QUICK_SCALE, 1
        args.contenders = args.contenders or QUICK_CONTENDERS
    out = args.out or (CACHE / "quick.json" if args.quick else RESULTS / "latest.json")
    wanted = [word for word in args.workloads.split(",") if word]
    names = [word for word in args.contenders.split(",") if word] or list(CONTENDERS)
    logs = CACHE / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    # So that what was started is ended here as well.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    results, about, began = Results(), machine(), time.monotonic()
    with open_site() as site:
        if args.quick:
            # Runs of seconds do not pay back what the JVM's second compiler costs.
            site.variables.update(class_archive.environment())
        setting = Setting(site, logs, args.scale)

        def noted() -> None:
            write(out, results.rows(), about | {"scale": args.scale, "minutes": round((time.monotonic() - began) / 60, 1)})

        for workload in WORKLOADS:
            if not (cases := chosen(workload, wanted or (QUICK_OWN if args.quick else OWN), names)):
                continue
            print(f"bench: {workload.letter}: {workload.title}", flush=True)
            run_cases(cases, setting, args.rounds or workload.rounds, results)
            noted()
        if not wanted:
            # Last, as these are done in rounds: of a run that is cut the first ones are left.
            run_chained(setting, names, args.rounds or ROUNDS, results, noted)
    wrong = [row for row in results.rows() if row["contender"] == OURS and not row["correct"]]
    for row in wrong:
        print(f"bench: WRONG {row['workload']}: {row['note']}", file=sys.stderr)
    return 1 if wrong else 0


def write(path: Path, rows: list[dict[str, object]], about: dict[str, object]) -> None:
    """Write the results, and beside them what they were measured on."""
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    path.with_name("machine.json").write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
