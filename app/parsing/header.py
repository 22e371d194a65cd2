"""Match the header of a file with the contract, by name. Pure: names in, positions or a reason out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The column that a file of corrected rows has before those of the contract: the line that each row had.
LINE_COLUMN = "_line"

# Longer names stay as they are written: putting accents in order takes the square of their number.
MOST_NORMALISED_CHARS = 1000

MISSING_COLUMN = "MISSING_COLUMN"
DUPLICATE_COLUMN = "DUPLICATE_COLUMN"
NO_HEADER = "NO_HEADER"

# What only data looks like: 12  -3.50  1,234.5  .5  1e5  2024-01-31  31.12.2024  1/2/24 (with a time or without)
_NUMBER = re.compile(r"[+-]?(\d[\d.,']*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?")


@dataclass(frozen=True)
class HeaderMatch:
    """What a header holds, or why the file is rejected.

    `columns` and `extra` are (name, position) pairs, positions count from 0. Columns of the contract that the file lacks (and
    may lack) are not among them. `reason` is None or one of the codes of this module, then `names` are the columns it is about.
    """

    width: int
    columns: tuple[tuple[str, int], ...] = ()
    extra: tuple[tuple[str, int], ...] = ()
    reason: str | None = None
    names: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether the file can be read."""
        return self.reason is None

    @property
    def message(self) -> str:
        """Say in one clause why the file is rejected; empty if it is not."""
        listed = ", ".join(self.names)
        return {
            None: "",
            MISSING_COLUMN: f"the header lacks {listed}",
            DUPLICATE_COLUMN: f"the header names {listed} more than once",
            NO_HEADER: "the first line is data, not a header",
        }[self.reason]


def clean_name(raw: str) -> str:
    """Give a header field without BOM, surrounding blanks and quotes, as it is shown and stored."""
    text = raw.replace("\ufeff", "").strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return unicodedata.normalize("NFC", text) if len(text) <= MOST_NORMALISED_CHARS else text


def normalise_name(raw: str) -> str:
    """Give the form in which names are compared: case folded, runs of blanks, hyphens and underscores as one underscore."""
    return re.sub(r"[\s_-]+", "_", clean_name(raw).casefold())


def match_header(fields: Sequence[str], accepted: Mapping[str, str], required: Sequence[str]) -> HeaderMatch:
    """Find the contract's columns in a header.

    Args:
        fields: the fields of the first line, in their order.
        accepted: normalised name or alias -> name of the contract's column.
        required: the contract's columns that must be there.
    """
    width = len(fields)
    targets = [accepted.get(normalise_name(name)) for name in fields]
    if not any(targets) and any(_is_data(clean_name(name)) for name in fields):
        return HeaderMatch(width, reason=NO_HEADER)
    extra = _extra_columns(fields, targets)
    seen = Counter(target or normalise_name(name) or f"\0{at}" for at, (name, target) in enumerate(zip(fields, targets, strict=True)))
    duplicates = tuple(name for name, times in seen.items() if times > 1)
    missing = tuple(name for name in required if name not in targets)
    # What names none of our columns is hardly a header: its text may be data, which must not be repeated as names.
    if duplicates and (any(targets) or not missing):
        return HeaderMatch(width, reason=DUPLICATE_COLUMN, names=duplicates)
    columns = tuple((target, at) for at, target in enumerate(targets) if target is not None)
    if missing:
        return HeaderMatch(width, columns, extra, MISSING_COLUMN, missing)
    return HeaderMatch(width, columns, extra)


def _extra_columns(fields: Sequence[str], targets: Sequence[str | None]) -> tuple[tuple[str, int], ...]:
    """Name the extra columns. One without a name (a trailing comma makes one) is known by its place, counted from 1 as people do."""
    taken = {clean_name(name) for name in fields}
    extra = []
    for at, field in enumerate(fields):
        if targets[at] is None:
            name = clean_name(field) or f"_column_{at + 1}"
            # Somebody may have called another column just that.
            while not clean_name(field) and name in taken:
                name = f"_{name}"
            taken.add(name)
            extra.append((name, at))
    return tuple(extra)


def _is_data(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text) or _DATE.fullmatch(text))
