"""Edits of the contract that no row minds, stored or dropped: a row counts the same under each of these contracts."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.shipped import SHIPPED_CONF

# Each type holds all values of those before it, so a column may only move to the right. Keys of dimensions must stay as they are.
LADDERS: dict[str, Sequence[str]] = {
    "quantity": ("int", "bigint"),
    "price": ("decimal(12,4)", "decimal(14,4)", "decimal(16,6)"),
    "total_cost": ("decimal(18,4)", "decimal(20,4)"),
    "discount": ("decimal(5,2)", "decimal(7,3)"),
    "visits": ("int", "bigint", "string"),
    "channel": ("string",),
}
# Columns that files have from the first one on, and the contract only at times.
OPTIONAL = ("discount", "visits", "channel")
EXTRA_NAMES = ("additional_column", "others")

Tree = dict[str, Any]


def optional_values(rng: random.Random) -> dict[str, str]:
    """Make a row's values of the optional columns; every type of theirs takes them."""
    return {
        "discount": f"{rng.randint(0, 99)}.{rng.randint(0, 99):02d}",
        "visits": str(rng.randint(0, 9999)),
        "channel": rng.choice(("web", "shop", "phone")),
    }


class Contracts:
    """A configuration folder of its own, and the edits of the contract in it."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder = folder
        self._rng = rng
        # How far up its ladder a column is. A column that is taken out and comes back is as wide as it was.
        self._widths = dict.fromkeys(LADDERS, 0)
        shutil.copytree(SHIPPED_CONF, folder)

    def edit(self) -> str:
        """Make one edit, in one step as an editor does that renames. Returns what it was."""
        path = self.folder / "contract.yml"
        tree: Tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        what, after = self._rng.choice(list(self._edits(tree)))
        if what.startswith("widened "):
            self._widths[what.split()[1]] += 1
        new = path.with_suffix(".new")
        new.write_text(yaml.safe_dump(after, allow_unicode=True, sort_keys=False), encoding="utf-8")
        new.replace(path)
        return what

    def _edits(self, tree: Tree) -> Iterator[tuple[str, Tree]]:
        """Offer every edit that is possible now."""
        columns: list[Tree] = tree["columns"]
        names = [one["name"] for one in columns]
        for name in OPTIONAL:
            if name in names:
                yield f"lost {name}", {**tree, "columns": [one for one in columns if one["name"] != name]}
            else:
                column = {"name": name, "type": LADDERS[name][self._widths[name]], "required": False, "nullable": True}
                # Twice, as there are more columns to widen than to gain.
                yield from [(f"gained {name}", {**tree, "columns": [*columns, column]})] * 2
        for name, ladder in LADDERS.items():
            if name in names and self._widths[name] + 1 < len(ladder):
                wider = ladder[self._widths[name] + 1]
                changed = [{**one, "type": wider} if one["name"] == name else one for one in columns]
                yield f"widened {name} to {wider}", {**tree, "columns": changed}
        yield "another order of the columns", {**tree, "columns": columns[::-1]}
        settings = tree["settings"]
        other = next(name for name in EXTRA_NAMES if name != settings["extra_columns"])
        yield f"extra columns in {other}", {**tree, "settings": {**settings, "extra_columns": other}}
