#!/usr/bin/env python3
"""Write the customer table as CSV: names, addresses, phone numbers, joining dates. A dimension, not sales: keep it out of the drop."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import generator_cli as cli
from scripts import generators


def main(argv: list[str] | None = None) -> None:
    """Write the files that the arguments ask for."""
    parser = cli.parser(__doc__, rows=25, out=cli.CUSTOMER_FOLDER, start=date(2019, 1, 1), end=date(2023, 12, 31))
    args = cli.checked(parser, argv)
    files = (
        (name, generators.customer_rows(rng, args.rows, start=args.start, end=args.end)) for name, rng in cli.numbered("customers", args)
    )
    cli.write_files(parser, args, generators.CUSTOMER_HEADER, files)


if __name__ == "__main__":
    main()
