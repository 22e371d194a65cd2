#!/usr/bin/env python3
"""Write standard sales CSVs: random dates over a period; on request with bad rows and unknown customers."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import generator_cli as cli
from scripts import generators


def main(argv: list[str] | None = None) -> None:
    """Write the files that the arguments ask for."""
    parser = cli.parser(__doc__, rows=500)
    parser.add_argument("--bad-rows", type=cli.at_least(0), default=0, metavar="N", help="rows per file with a value of the wrong type (0)")
    parser.add_argument(
        "--unknown-customers", type=cli.at_least(0), default=0, metavar="N", help="rows per file of customers without a row, 9001..9005 (0)"
    )
    args = cli.checked(parser, argv)
    dirt = args.bad_rows + args.unknown_customers
    if dirt > args.rows:
        parser.error(f"--bad-rows and --unknown-customers ask for {dirt} rows, --rows gives {args.rows}")

    def rows(rng: random.Random) -> Iterable[generators.Row]:
        sales = generators.standard_rows(rng, args.rows, start=args.start, end=args.end)
        if not dirt:
            return sales
        return generators.with_dirt(rng, sales, args.rows, bad=args.bad_rows, unknown_customers=args.unknown_customers)

    kind = "standard_dirty" if dirt else "standard"
    files = ((name, rows(rng)) for name, rng in cli.numbered(kind, args))
    cli.write_files(parser, args, generators.SALES_HEADER, files)


if __name__ == "__main__":
    main()
