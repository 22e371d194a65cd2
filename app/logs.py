"""Logging: text for people, JSON for machines, to standard error and on request to a rotating file."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time

from app.config.load import LoggingConfig
from app.errors import printable

TEXT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"
FILE_BYTES = 10 << 20
FILE_COUNT = 5


class TextFormatter(logging.Formatter):
    """One line a record, whatever the names and values in it hold; only a trace has more."""

    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Format the line."""
        record.message = printable(record.message)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up(config: LoggingConfig) -> None:
    """Send our log lines where the configuration says; other libraries only speak from WARNING on."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if config.file is not None:
        config.file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.handlers.RotatingFileHandler(config.file, maxBytes=FILE_BYTES, backupCount=FILE_COUNT, encoding="utf-8"))
    text = TextFormatter(TEXT)
    for handler in handlers:
        handler.setFormatter(JsonFormatter() if config.format == "json" else text)
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("app").setLevel(config.level)
    # It prints the trace of every exception that passes through a callback; the run reports it in one line.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)


def is_json() -> bool:
    """Tell whether log lines are JSON, so that nothing else but JSON should go to standard error."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
