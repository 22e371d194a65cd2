"""Which objects below the source prefix are not sales files, or not yet, each by a named rule; everything else is loaded or rejected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property

from app.config.load import Config

IGNORED_NAMES = {"_SUCCESS": "success_marker", ".DS_Store": "desktop_file", "Thumbs.db": "desktop_file"}
IGNORED_ENDINGS = {"/": "folder_marker", "_$folder$": "folder_marker", ".crc": "checksum_file"}
# Begins the key, below its prefix, of what `check` writes for a moment to see whether it may.
CHECK_PROBE = "_salestream_check_"

# The embedded S3 server lists an upload that is still going on under its key and a random suffix; AWS never does.
UPLOAD_IN_PROGRESS = re.compile(r"-[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")


def ignore_rule(key: str, *, embedded: bool = False) -> str | None:
    """Return the name of the rule by which a key (relative to the source prefix) is ignored, or None when it is a sales file.

    Args:
        key: the key behind the source prefix.
        embedded: whether the embedded S3 server lists it.
    """
    if not key:
        return "folder_marker"
    if embedded and UPLOAD_IN_PROGRESS.search(key):
        return "upload_in_progress"
    if key.startswith(CHECK_PROBE):
        return "check_probe"
    for ending, rule in IGNORED_ENDINGS.items():
        if key.endswith(ending):
            return rule
    return IGNORED_NAMES.get(key.rsplit("/", 1)[-1])


TEMPORARY, NOT_INCLUDED, DONE_MARKER = "temporary_name", "not_included", "done_marker"
# These two pass by themselves: the object is looked at again.
TOO_YOUNG, NO_DONE_MARKER = "too_young", "no_done_marker"
# Nobody waits for these to be loaded.
UNREMARKABLE = frozenset({"folder_marker", "check_probe"})


@dataclass(frozen=True)
class NameRules:
    """What the names of objects say, by the built-in rules and by those of the configuration; letter case does not matter.

    Attributes:
        temporary: patterns of files that are still being written. One without a slash is tried on each part of the key, so that it
            also names folders; one with a slash on the whole key below the source prefix.
        include: patterns of the files that are loaded; empty: all. One without a slash is tried on the name, without its folders.
        done_marker: ending of the markers that say that a file is complete; None: files need none.
        embedded: whether the embedded S3 server lists the objects.
    """

    temporary: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    done_marker: str | None = None
    embedded: bool = False

    @classmethod
    def of(cls, config: Config) -> NameRules:
        """Take the rules of the configuration."""
        stream = config.stream
        return cls(stream.temporary_names, stream.include, stream.done_marker, config.embedded)

    def rule(self, key: str) -> str | None:
        """Return the name of the rule by which a key (relative to the source prefix) is no sales file, or None."""
        built_in = ignore_rule(key, embedded=self.embedded)
        if built_in:
            return built_in
        if self.is_marker(key):
            return DONE_MARKER
        parts, whole = self._temporary
        if (parts and any(parts.fullmatch(part) for part in key.split("/"))) or (whole and whole.fullmatch(key)):
            return TEMPORARY
        names, keys = self._include
        is_included = not self.include or (names and names.fullmatch(key.rsplit("/", 1)[-1])) or (keys and keys.fullmatch(key))
        return None if is_included else NOT_INCLUDED

    def is_marker(self, key: str) -> bool:
        """Tell whether a key is that of a marker."""
        return self.done_marker is not None and key.endswith(self.done_marker)

    @cached_property
    def _temporary(self) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
        return _compiled(self.temporary)

    @cached_property
    def _include(self) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
        return _compiled(self.include)


def _compiled(patterns: Sequence[str]) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """Return one expression of the patterns for names, and one of those for whole keys."""
    names = [translate(pattern) for pattern in patterns if "/" not in pattern]
    keys = [translate(pattern.removeprefix("/")) for pattern in patterns if "/" in pattern]
    return _any_of(names), _any_of(keys)


def _any_of(expressions: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{one})" for one in expressions), re.IGNORECASE) if expressions else None
