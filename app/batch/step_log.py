"""One log line for each step of a micro-batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def step(batch_key: str, name: str, **figures: object) -> Iterator[dict[str, object]]:
    """Log a step when it is done: batch key, name, figures and seconds. Figures may be added to the yielded dict on the way."""
    started = time.monotonic()
    yield figures
    shown = "".join(f" {key}={value}" for key, value in figures.items())
    log.info("batch=%s step=%s%s seconds=%.3f", batch_key, name, shown, time.monotonic() - started)
