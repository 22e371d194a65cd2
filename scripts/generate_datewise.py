#!/usr/bin/env python3
"""Write one sales CSV per date, named sales_data_<date>.csv.

Without --end: --files dates in a row from --start. With --end: that many dates spread evenly over the period, or all of them.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import generator_cli as cli
from scripts import generators


def dates_of(start: date, end: date | None, files: int) -> list[date]:
    """Return the dates of the files: consecutive from start where there is no end, else spread evenly up to the end."""
    if end is None:
        return [start + timedelta(days=n) for n in range(files)]
    period = generators.days(start, end)
    return [period[n * len(period) // files] for n in range(files)]


def main(argv: list[str] | None = None) -> None:
    """Write the files that the arguments ask for."""
    parser = cli.parser(__doc__, rows=400_000, end=None)
    args = cli.checked(parser, argv)
    last = args.end or date.max
    most = (last - args.start).days + 1
    wanted = args.files or (most if args.end else 1)
    if wanted > most:
        parser.error(f"--files {wanted} is too many: there are {most} dates from {args.start} to {last}")
    files = (
        (f"sales_data_{day}.csv", generators.datewise_rows(cli.rng_of("datewise", args.seed, day), args.rows, day=day))
        for day in dates_of(args.start, args.end, wanted)
    )
    cli.write_files(parser, args, generators.SALES_HEADER, files)


if __name__ == "__main__":
    main()
