"""Why attempts ended, kept in the job's own folder while the ledger is out of reach: an outage is no fault of a batch."""

from __future__ import annotations

import logging
from hashlib import sha256
from pathlib import Path

from app.config.load import Config
from app.ledger.ledger import Ledger

log = logging.getLogger(__name__)


def keep_note(config: Config, batch_key: str, words: str) -> None:
    """Write down why an attempt ended, for the next start on this machine."""
    try:
        folder = _folder(config)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / batch_key).write_text(words, encoding="utf-8")
    except OSError as exc:
        log.warning("batch=%s: why it failed could not be kept: %s", batch_key, exc)


def hand_in_notes(config: Config, ledger: Ledger) -> int:
    """Tell the ledger what was kept. Returns how many notes there were."""
    folder = _folder(config)
    notes = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in folder.iterdir()} if folder.is_dir() else {}
    if notes:
        ledger.note_attempts(notes)
        for batch_key in notes:
            (folder / batch_key).unlink(missing_ok=True)
    return len(notes)


def _folder(config: Config) -> Path:
    source = f"{config.mysql.database} s3://{config.s3.bucket}/{config.s3.source_prefix}"
    return config.home / "unnoted" / sha256(source.encode()).hexdigest()[:16]
