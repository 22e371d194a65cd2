"""Text for people."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text that is safe to show: a file may hold what moves a terminal's cursor."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
