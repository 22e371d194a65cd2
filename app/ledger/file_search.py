"""Find files of the ledger by state, time and name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from app.ledger.types import FileState


@dataclass(frozen=True)
class Choice:
    """Which files a command is about: by name, or all that fulfil its conditions.

    Attributes:
        names: ids, keys, or keys below the source prefix.
        states: only files in one of these states.
        since: only files finished since then (UTC), or not yet.
        like: only keys below the source prefix that match this SQL pattern (% and _), letter case included.
    """

    names: tuple[str, ...] = ()
    states: tuple[FileState, ...] = ()
    since: datetime | None = None
    like: str | None = None


def matching(choice: Choice, source_prefix: str) -> tuple[str, list[object]]:
    """Return the SQL condition on `source_file f` that states, time and pattern of a choice come to, and its values."""
    conditions = ["1 = 1"]
    values: list[object] = []
    if choice.states:
        conditions.append(f"f.state IN ({', '.join(['%s'] * len(choice.states))})")
        values += choice.states
    if choice.since is not None:
        conditions.append("(f.finished_at >= %s OR f.finished_at IS NULL)")
        values.append(choice.since)
    if choice.like is not None:
        # An argument that is no text matches nothing: keys are UTF-8.
        pattern = _escaped(source_prefix) + choice.like.encode(errors="replace").decode()
        beginning = re.split(r"[%_\\]", choice.like, maxsplit=1)[0]
        # The bytes alone would make _ one byte; the beginning by bytes lets the index on keys find the others.
        conditions += ["f.object_key LIKE %s", "CONVERT(f.object_key USING utf8mb4) COLLATE utf8mb4_bin LIKE %s"]
        values += [_escaped(source_prefix + beginning).encode(errors="replace") + b"%", pattern]
    return " AND ".join(conditions), values


def _escaped(text: str) -> str:
    return re.sub(r"([%_\\])", r"\\\1", text)
