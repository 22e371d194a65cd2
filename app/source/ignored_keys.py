"""Which objects below the source prefix are not sales files, each by a named rule; everything else is loaded or rejected."""

from __future__ import annotations

import re

IGNORED_NAMES = {"_SUCCESS": "success_marker", ".DS_Store": "desktop_file", "Thumbs.db": "desktop_file"}
IGNORED_ENDINGS = {"/": "folder_marker", "_$folder$": "folder_marker", ".crc": "checksum_file"}
# Begins the name of what `check` writes for a moment to see whether it may.
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
    for ending, rule in IGNORED_ENDINGS.items():
        if key.endswith(ending):
            return rule
    name = key.rsplit("/", 1)[-1]
    return "check_probe" if name.startswith(CHECK_PROBE) else IGNORED_NAMES.get(name)
