"""`python -m tests.chaos storm --minutes 10 --seed 1` and `python -m tests.chaos matrix [--point P] [--rounds 1] [--begin N]`."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from app import local
from app.failpoints import RUN_FAILPOINTS
from tests.chaos import processes
from tests.chaos.kills import KINDS, Kill, all_kills, kill_and_recover, recover
from tests.chaos.lines import lines
from tests.chaos.processes import VICTIMS
from tests.chaos.site import Site, open_site
from tests.chaos.storm import Storm


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def storm(minutes: float, seed: int) -> int:
    """Let a storm rage in a home of its own; 1 if it did harm."""
    folder = Path(tempfile.mkdtemp(prefix="salestream-chaos-"))
    say(f"seed {seed}, {minutes:g} minutes, logs in {folder}")
    site = open_site(folder / "home", folder / "site", seed)
    try:
        with lines(site.product) as between:
            raging = Storm(site, between, random.Random(seed), say)
            raging.rage(minutes * 60)
        say("calm: the job runs until nothing is left to do")
        found = raging.finish()
        say(f"seed {seed}, {minutes:g} minutes\n{raging.summary(found)}")
    finally:
        # None is left, unless the storm itself failed.
        processes.signal_all(processes.members(folder / "home"), signal.SIGKILL)
        local.down(folder / "home")
    return int(bool(found))


def matrix(chosen: list[Kill], begin: int = 1) -> int:
    """Run these kills from number `begin` on; 1 if one of them made a difference.

    Each start recovers from the kill before it, is compared with the oracle, and is then killed itself. A home lasts until a kill needs
    an empty ledger; before it goes it is verified deeply.
    """
    failed, started = [], time.monotonic()
    for kills in homes(chosen[begin - 1 :]):
        folder = Path(tempfile.mkdtemp(prefix=f"salestream-{kills[0].point}-"))
        site: Site | None = None
        for kill in kills:
            site = site or open_site(folder / "home", folder / "site")
            word = _outcome(site, kill, is_last=kill == kills[-1])
            say(f"{chosen.index(kill) + 1:4d}/{len(chosen)}  {time.monotonic() - started:6.0f} s  {kill}: {word}")
            if word != "ok":
                failed.append(kill)
                _close(site)
                # What it left is kept, to be looked into.
                folder, site = Path(tempfile.mkdtemp(prefix=f"salestream-{kill.point}-")), None
        if site is not None:
            _close(site)
        shutil.rmtree(folder)
    done = len(chosen) - begin + 1
    say(f"{done} kills, {len(failed)} made a difference{': ' + ', '.join(map(str, failed)) if failed else ''}")
    return int(bool(failed))


def homes(kills: list[Kill]) -> list[list[Kill]]:
    """Cut the kills where one needs a ledger without any batch."""
    cuts = [0, *(number for number, kill in enumerate(kills) if number and kill.kind == "first"), len(kills)]
    return [kills[begin:end] for begin, end in pairwise(cuts) if begin < end]


def _close(site: Site) -> None:
    site.end()
    local.down(site.product.home)


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
    other.add_argument("--rounds", type=int, default=len(VICTIMS), help="1: every fail point and kind of batch once, victims in turn")
    other.add_argument("--begin", type=int, default=1, help="go on with the kill of this number")
    args = parser.parse_args(argv)
    if args.command == "storm":
        return storm(args.minutes, args.seed)
    wanted = (args.point, args.victim, args.kind)
    kills = all_kills(args.rounds)
    chosen = [k for k in kills if all(not w or w == has for w, has in zip(wanted, (k.point, k.victim, k.kind), strict=True))]
    return matrix(chosen, args.begin)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
