"""MySQL's errors: which of them may pass by themselves, and how often a transaction is tried again."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_exponential_jitter

from app.errors import MySqlError, MySqlUnavailable, TransactionTooLarge

log = logging.getLogger(__name__)

# Server and client error numbers after which the same statement may succeed, be it on another connection or in some minutes.
TRANSIENT_ERRORS = frozenset(
    {
        # Too many connections or threads: of the server, of the user, or by an hourly limit of the account; no memory for one more.
        *(1037, 1038, 1040, 1041, 1135, 1203, 1226, 1637, 3168),
        # The server shuts down, starts, is offline or is read-only: a fail-over, in which another one takes over.
        *(1053, 1077, 1079, 1290, 1792, 1836, 3032),
        # A member of a cluster that is not ready (Galera), or that rolls back what another one has changed first.
        *(1047, 1180, 1213, 3101),
        # Somebody else was faster, or has locked or changed what the statement needs.
        *(1020, 1205, 1412, 1615, 3058, 3572),
        # The statement or the connection was ended from outside.
        *(1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 1969, 3024, 3169, 4031),
        # The driver: no connection, or one that is lost, gone or out of step.
        *(2002, 2003, 2006, 2012, 2013, 2014, 2055),
        # ProxySQL's own: no server of the group answers, is online or is up to date. 9003 is a command that it does not know.
        *(number for number in range(9001, 9020) if number != 9003),
    }
)
# What proxies say under a number that means something else: https://github.com/sysown/proxysql/issues/761, and Vitess under 1105.
TRANSIENT_WORDS = re.compile(r"Max connect timeout reached|reparent operation in progress|no healthy tablet|is not serving")
# The server refuses a transaction for its size: more than max_allowed_packet, max_binlog_cache_size, the lock table, or what the members of
# a group accept (3100). A smaller one may pass.
TOO_LARGE_ERRORS = frozenset({1153, 1197, 1206, 3100})
# Galera says so by the number of an error at COMMIT (1180), which may be any.
TOO_LARGE_WORDS = re.compile(r"Message too long|wsrep_max_ws|maximum writeset size", re.IGNORECASE)
# InnoDB can write no row of a READ COMMITTED session into a binary log of statements.
ER_BINLOG_STATEMENT = 1665
BINLOG_CURE = "set binlog_format=ROW (or MIXED) on the server: sessions of READ COMMITTED cannot write to a binary log of statements"

# A call that has failed for so long is not tried again where it is: a run begins again for stream.retry_seconds, a command ends.
PATIENCE_SECONDS = 30


def retrying(attempts: int) -> Retrying:
    """Return the retry policy for Transient MySQL errors: exponential back-off with jitter, 0.1 s to 5 s."""
    return Retrying(
        retry=retry_if_exception_type(MySqlUnavailable),
        stop=stop_after_attempt(attempts) | stop_after_delay(PATIENCE_SECONDS),
        wait=wait_exponential_jitter(multiplier=0.1, max=5),
        before_sleep=lambda state: log.warning("mysql retry=%d error=%s", state.attempt_number, _outcome(state)),
        reraise=True,
    )


def _outcome(state: Any) -> str:
    return str(state.outcome.exception()) if state.outcome else ""


@contextmanager
def translated(target: str) -> Iterator[None]:
    """Turn driver errors into MySqlUnavailable (Transient), TransactionTooLarge or MySqlError (Terminal), naming `target`."""
    try:
        yield
    except pymysql.MySQLError as exc:
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
        text = str(exc.args[1] if len(exc.args) > 1 else exc)
        # The driver gives a certificate that is refused the number of a server that does not answer (2003).
        is_refused = isinstance(getattr(exc, "original_exception", None), ssl.SSLCertVerificationError)
        if number in TOO_LARGE_ERRORS or (number == 1180 and TOO_LARGE_WORDS.search(text)):
            raise TransactionTooLarge(f"{target}: error {number}: {text}") from exc
        may_pass = number in TRANSIENT_ERRORS or TRANSIENT_WORDS.search(text) or isinstance(exc, pymysql.InterfaceError)
        if may_pass and not is_refused:
            raise MySqlUnavailable(f"{target}: error {number}: {text}") from exc
        refused = MySqlError(f"{target}: error {number}: {text}", cure=BINLOG_CURE if number == ER_BINLOG_STATEMENT else None)
        refused.number = number
        raise refused from exc
    except (ConnectionError, TimeoutError) as exc:
        raise MySqlUnavailable(f"{target}: {exc}") from exc
