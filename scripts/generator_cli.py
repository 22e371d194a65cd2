"""What the generate_*.py scripts share: arguments, checks, writing CSV files, the one line at the end."""

from __future__ import annotations

import argparse
import csv
import os
import random
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

from scripts import generators

SALES_FOLDER = Path("build/sales_data")
CUSTOMER_FOLDER = Path("build/customer_table")
START, END = date(2024, 1, 1), date(2024, 6, 30)


def parser(what: str, *, rows: int, out: Path = SALES_FOLDER, start: date = START, end: date | None = END) -> argparse.ArgumentParser:
    """Build the arguments that every generator takes."""
    made = argparse.ArgumentParser(description=what)
    made.add_argument("--rows", type=at_least(0), default=rows, metavar="N", help=f"rows per file ({rows})")
    made.add_argument("--files", type=at_least(1), metavar="N", help="number of files (1)")
    made.add_argument("--seed", type=int, default=1, help="same seed, same bytes (1)")
    made.add_argument("--out", type=Path, default=out, metavar="DIR", help=f"folder to write into, made if need be ({out})")
    made.add_argument("--start", type=day, default=start, metavar="YYYY-MM-DD", help=f"first date ({start})")
    made.add_argument("--end", type=day, default=end, metavar="YYYY-MM-DD", help=f"last date ({end})")
    return made


def at_least(smallest: int) -> Callable[[str], int]:
    """Return an argument type: a whole number not below the smallest."""

    def whole_number(text: str) -> int:
        if not text.isdecimal() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {smallest}")
        return int(text)

    return whole_number


def day(text: str) -> date:
    """Return an argument as a date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date YYYY-MM-DD") from None


def checked(made: argparse.ArgumentParser, argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; leave with exit code 2 where the dates contradict each other."""
    args = made.parse_args(argv)
    if args.end is not None and args.end < args.start:
        made.error(f"--end {args.end} is before --start {args.start}")
    return args


def rng_of(kind: str, seed: int, part: object) -> random.Random:
    """Return the random state of one file: it depends on nothing but the kind, the seed and the part."""
    return random.Random(f"{kind}/{seed}/{part}")


def numbered(kind: str, args: argparse.Namespace) -> list[tuple[str, random.Random]]:
    """Return name and random state of each file, named by the kind, the seed and a number."""
    return [(f"{kind}_seed{args.seed}_{n:04d}.csv", rng_of(kind, args.seed, n)) for n in range(1, (args.files or 1) + 1)]


def write_files(
    made: argparse.ArgumentParser, args: argparse.Namespace, header: generators.Row, files: Iterable[tuple[str, Iterable[generators.Row]]]
) -> None:
    """Write each (name, rows) below --out and say so in one line; leave with exit code 2 where --out cannot be written."""
    names, size = [], 0
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        for name, rows in files:
            size += _write_csv(args.out / name, header, rows)
            names.append(name)
    except OSError as exc:
        made.error(f"cannot write {exc.filename2 or exc.filename or args.out}: {exc.strerror}")
    except KeyboardInterrupt:
        made.exit(130, f"{made.prog}: interrupted after {len(names)} files\n")
    which = names[0] if len(names) == 1 else f"{names[0]} .. {names[-1]}"
    counted = f"{len(names)} file{'s' if len(names) != 1 else ''}, {args.rows * len(names):,} rows, {size:,} bytes"
    print(f"wrote {counted} to {args.out}: {which}")


def _write_csv(path: Path, header: generators.Row, rows: Iterable[generators.Row]) -> int:
    # Hidden until complete, so that an upload or a reader of the same folder never takes half a file.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path.stat().st_size
