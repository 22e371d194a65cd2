"""Which objects below the source prefix are not sales files, each by a named rule; everything else is loaded or rejected."""

from __future__ import annotations

IGNORED_NAMES = {"_SUCCESS": "success_marker", ".DS_Store": "desktop_file", "Thumbs.db": "desktop_file"}
IGNORED_ENDINGS = {"/": "folder_marker", "_$folder$": "folder_marker", ".crc": "checksum_file"}


def ignore_rule(key: str) -> str | None:
    """Return the name of the rule by which a key (relative to the source prefix) is ignored, or None when it is a sales file."""
    if not key:
        return "folder_marker"
    for ending, rule in IGNORED_ENDINGS.items():
        if key.endswith(ending):
            return rule
    return IGNORED_NAMES.get(key.rsplit("/", 1)[-1])
