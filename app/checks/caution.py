"""A finding that stops nobody."""

from __future__ import annotations


class Caution(str):
    """What a check found and a user should know: the run works, but something of the server may cost data one day."""

    __slots__ = ()
