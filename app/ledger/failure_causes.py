"""The cause of a failure without what differs from file to file, so that equal causes are known as equal. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

LONGEST_CAUSE = 500
_PLACE = re.compile(r"\S*/\S*")
# Ids, numbers, hashes, addresses, moments: any word that holds a digit.
_NUMBER = re.compile(r"\S*\d\S*")


def cause_of(error: str, names: Collection[str]) -> str:
    """Return an error without file names, places, numbers and ids.

    Args:
        error: the text of the error.
        names: the names of the files that the error is about, with and without their folders.
    """
    # The longest first, as one name may be part of another; printed names may be escaped.
    forms = {form for name in names if name for form in (name, repr(name)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):
        # As a word: a file may be called `a`.
        error = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", "#", error)
    return " ".join(_NUMBER.sub("#", _PLACE.sub("#", error)).split())[:LONGEST_CAUSE]
