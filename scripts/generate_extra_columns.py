#!/usr/bin/env python3
"""Write sales CSVs with an extra column, payment_mode (cash or UPI): accepted, kept in additional_column."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import generator_cli as cli
from scripts import generators


def main(argv: list[str] | None = None) -> None:
    """Write the files that the arguments ask for."""
    parser = cli.parser(__doc__, rows=1000)
    args = cli.checked(parser, argv)
    files = (
        (name, generators.extra_column_rows(rng, args.rows, start=args.start, end=args.end))
        for name, rng in cli.numbered("extra_columns", args)
    )
    cli.write_files(parser, args, generators.EXTRA_HEADER, files)


if __name__ == "__main__":
    main()
