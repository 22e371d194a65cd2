"""MySQL's errors: which of them may pass by themselves, and how often a transaction is tried again."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from app.errors import MySqlError, MySqlUnavailable

log = logging.getLogger(__name__)

# Server and client error numbers after which the same statement may succeed: too many connections, shutdown in progress, lock wait
# time-out, deadlock, read-only during a fail-over, connection refused / lost / gone, query interrupted.
TRANSIENT_ERRORS = frozenset({1040, 1053, 1205, 1213, 1290, 1317, 1836, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031})


def retrying(attempts: int) -> Retrying:
    """Return the retry policy for Transient MySQL errors: exponential back-off with jitter, 0.1 s to 5 s."""
    return Retrying(
        retry=retry_if_exception_type(MySqlUnavailable),
        stop=stop_after_attempt(attempts),
        wait=wait_exponential_jitter(multiplier=0.1, max=5),
        before_sleep=lambda state: log.warning("mysql retry=%d error=%s", state.attempt_number, _outcome(state)),
        reraise=True,
    )


def _outcome(state: Any) -> str:
    return str(state.outcome.exception()) if state.outcome else ""


@contextmanager
def translated(target: str) -> Iterator[None]:
    """Turn driver errors into MySqlUnavailable (Transient) or MySqlError (Terminal), naming `target`."""
    try:
        yield
    except pymysql.MySQLError as exc:
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
        text = str(exc.args[1] if len(exc.args) > 1 else exc)
        # The driver gives a certificate that is refused the number of a server that does not answer (2003).
        is_refused = isinstance(getattr(exc, "original_exception", None), ssl.SSLCertVerificationError)
        if (number in TRANSIENT_ERRORS or isinstance(exc, pymysql.InterfaceError)) and not is_refused:
            raise MySqlUnavailable(f"{target}: error {number}: {text}") from exc
        refused = MySqlError(f"{target}: error {number}: {text}")
        refused.number = number
        raise refused from exc
    except (ConnectionError, TimeoutError) as exc:
        raise MySqlUnavailable(f"{target}: {exc}") from exc
