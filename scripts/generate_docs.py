#!/usr/bin/env python3
"""Write the generated pages of docs/ from the SQL, the types, the error classes, the command line and the list of what a rule may hold.

`--check` writes nothing and exits 1 when one of them is stale.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.docgen import ROOT
from scripts.docgen.configuration import configuration_page
from scripts.docgen.messages import commands_page, errors_page
from scripts.docgen.rules import rules_page
from scripts.docgen.schema import schema_page

PAGES = {
    "schema.md": schema_page,
    "configuration.md": configuration_page,
    "errors.md": errors_page,
    "commands.md": commands_page,
    "rules.md": rules_page,
}


def stale() -> list[str]:
    """Return the names of the pages that are not what they would be now."""
    docs = ROOT / "docs"
    return [name for name, made in PAGES.items() if not (docs / name).exists() or (docs / name).read_text(encoding="utf-8") != made()]


def main(argv: list[str] | None = None) -> int:
    """Write the pages, or check them. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is stale")
    args = parser.parse_args(argv)
    for name in stale():
        print(f"docs/{name} is stale: run scripts/generate_docs.py" if args.check else f"wrote docs/{name}")
        if not args.check:
            (ROOT / "docs" / name).write_text(PAGES[name](), encoding="utf-8")
    return int(args.check and bool(stale()))


if __name__ == "__main__":
    sys.exit(main())
