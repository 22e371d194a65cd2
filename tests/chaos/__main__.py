"""`python -m tests.chaos storm --minutes 10 --seed 1` and `python -m tests.chaos matrix [--point P] [--victim V] [--kind K]`."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

from app import local
from app.failpoints import RUN_FAILPOINTS
from tests.chaos.kills import KINDS, Kill, all_kills, kill_and_recover, recover
from tests.chaos.processes import VICTIMS
from tests.chaos.site import Site, open_site
from tests.chaos.storm import Storm
from tests.fault_proxy import fault_proxy


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def storm(minutes: float, seed: int) -> int:
    """Let a storm rage in a home of its own; 1 if it did harm."""
    folder = Path(tempfile.mkdtemp(prefix="salestream-chaos-"))
    say(f"seed {seed}, {minutes:g} minutes, logs in {folder}")
    site = open_site(folder / "home", folder / "site", seed)
    try:
        with fault_proxy(site.product.environment_of_servers().endpoint_url) as proxy:
            raging = Storm(site, proxy, random.Random(seed), say)
            raging.rage(minutes * 60)
        say("calm: the job runs until nothing is left to do")
        found = raging.finish()
        say(f"seed {seed}: {raging.summary(found)}")
    finally:
        local.down(folder / "home")
    return int(bool(found))


def matrix(chosen: list[Kill]) -> int:
    """Run these kills, a home for each fail point and victim; 1 if one of them made a difference.

    Each start recovers from the kill before it, is compared with the oracle, and is then killed itself; the last one is verified deeply.
    """
    failed, done, began = [], 0, time.monotonic()
    for (point, victim), group in groupby(chosen, key=lambda kill: (kill.point, kill.victim)):
        kills = list(group)
        folder = Path(tempfile.mkdtemp(prefix=f"salestream-{point}-{victim}-"))
        site = open_site(folder / "home", folder / "site")
        try:
            for kill in kills:
                done += 1
                word = _outcome(site, kill, is_last=kill == kills[-1])
                say(f"{done:4d}/{len(chosen)}  {time.monotonic() - began:6.0f} s  {kill}: {word}")
                if word != "ok":
                    failed.append(kill)
                    site.end()
                    local.down(folder / "home")
                    folder = Path(tempfile.mkdtemp(prefix=f"salestream-{point}-{victim}-"))
                    site = open_site(folder / "home", folder / "site")
        finally:
            site.end()
            local.down(folder / "home")
    say(f"{done} kills, {len(failed)} made a difference{': ' + ', '.join(map(str, failed)) if failed else ''}")
    return int(bool(failed))


def _outcome(site: Site, kill: Kill, *, is_last: bool) -> str:
    try:
        kill_and_recover(site, kill)
        if is_last:
            recover(site)
    except (AssertionError, OSError, subprocess.SubprocessError) as exc:
        return f"DIFFERENT\n{exc}"
    return "ok"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("storm")
    one.add_argument("--minutes", type=float, default=10)
    one.add_argument("--seed", type=int, default=1)
    other = commands.add_parser("matrix")
    for name, allowed in (("point", RUN_FAILPOINTS), ("victim", VICTIMS), ("kind", KINDS)):
        other.add_argument(f"--{name}", choices=("", *allowed), default="")
    args = parser.parse_args(argv)
    if args.command == "storm":
        return storm(args.minutes, args.seed)
    wanted = (args.point, args.victim, args.kind)
    chosen = [k for k in all_kills() if all(not w or w == has for w, has in zip(wanted, (k.point, k.victim, k.kind), strict=True))]
    return matrix(chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
