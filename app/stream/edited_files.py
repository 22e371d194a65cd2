"""Configuration files that are edited while the stream runs: they are used from the next start on, and the log says so."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from app.config.load import Config
from app.config.reading import show_path
from app.contract.contract import load_contract
from app.errors import ConfigError

log = logging.getLogger(__name__)


class EditedFiles:
    """Notice edits of the contract and of the environment's file, each once; a look costs one stat of each."""

    def __init__(self, config: Config) -> None:
        self._contract = config.contract_path
        self._paths: Sequence[Path] = (config.contract_path, config.conf_dir / f"{config.env}.yml")
        self._stamps = {path: _stamp(path) for path in self._paths}
        self._contents = {path: _digest(path) for path in self._paths}

    def look(self) -> None:
        """Write a WARNING for each file whose content is another one than at the last look."""
        for path in self._paths:
            stamp = _stamp(path)
            if stamp == self._stamps[path]:
                continue
            self._stamps[path] = stamp
            content = _digest(path)
            if content != self._contents[path]:
                self._contents[path] = content
                log.warning("%s was edited: the stream goes on with what it has read; %s", show_path(path), self._advice(path))

    def _advice(self, path: Path) -> str:
        if path == self._contract:
            try:
                load_contract(path)
            except ConfigError as exc:
                return f"and the next start would refuse it: {exc}"
        return "start it again to use the new content (./spark-submit.sh check looks at it first)"


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _digest(path: Path) -> bytes | None:
    try:
        return sha256(path.read_bytes()).digest()
    except OSError:
        return None
