"""The skips that are allowed, and where. In CI (the variable CI is set) every other skip is a failure; elsewhere it is said loudly."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Allowed:
    """A skip that is no failure.

    Attributes:
        tests: how the ids of the tests begin.
        reason: what the skip says of itself, as a pattern.
        why: why it may be skipped, and on which machines.
        here: whether this is such a machine.
    """

    tests: str
    reason: str
    why: str
    here: Callable[[], bool]


def _fails(*command: str) -> bool:
    try:
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False, timeout=60).returncode != 0
    except OSError:
        return True


@cache
def cannot_get_mysql() -> bool:
    """Tell whether no MySQL can be fetched here: no apt that knows Debian, or another kind of machine."""
    return _fails("scripts/fetch_mysql.sh", "--can-fetch")


@cache
def has_no_user_namespaces() -> bool:
    """Tell whether this machine lets no user mount a disk of its own."""
    return _fails("unshare", "--user", "--map-root-user", "--mount", "true")


@cache
def has_no_git() -> bool:
    """Tell whether this is no clone, such as an unpacked archive."""
    return _fails("git", "rev-parse", "HEAD")


ALLOWED = (
    Allowed(
        "tests/integration/test_real_mysql.py::",
        r"no MySQL server in \.cache/mysql: ",
        "scripts/fetch_mysql.sh needs Linux x86_64 with an apt that knows Debian; where there is one, run make mysql",
        cannot_get_mysql,
    ),
    Allowed(
        "tests/e2e/test_disk_full.py::",
        r"this machine gives no user namespace to mount a small disk in",
        "a small disk without root needs user namespaces, which some machines and containers forbid",
        has_no_user_namespaces,
    ),
    Allowed(
        "tests/integration/test_local_servers.py::",
        r"the start was too quick for this delay",
        "which moment of a start a kill meets depends on the machine; the other delays of the same test run",
        lambda: True,
    ),
    Allowed(
        "tests/integration/test_shipped_conf.py::test_the_copy_that_the_tests_read_is_what_conf_ships",
        r"conf/\S+ is edited here: ",
        "without git nobody knows whether conf/ is as it was shipped",
        has_no_git,
    ),
)


def in_ci() -> bool:
    """Tell whether CI runs the tests, where nobody reads what was skipped."""
    return os.environ.get("CI", "").strip().lower() not in ("", "0", "false", "no")


def refusal(test: str, reason: str) -> str | None:
    """Return why a skip is a failure in CI; None if it is on the list and this is a machine where it may happen."""
    listed = [one for one in ALLOWED if test.startswith(one.tests) and re.match(one.reason, reason)]
    if any(one.here() for one in listed):
        return None
    if listed:
        return f"{test} may not be skipped on this machine ({reason}): {listed[0].why}"
    return f"{test} is skipped ({reason}), and tests/skips.py does not allow it: mend the test, or list the skip with its reason"


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return what a skip says of itself."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    # An expected failure is reported as a skip too; it has run.
    if not report.skipped or hasattr(report, "wasxfail") or not in_ci():
        return
    refused = refusal(report.nodeid, reason_of(report))
    if refused is not None:
        report.outcome = "failed"
        report.longrepr = refused  # pytest shows a text as it stands


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _judge(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _judge(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found: dict[tuple[str, str], int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        place = (report.nodeid.partition("::")[0], reason_of(report))
        found[place] = found.get(place, 0) + 1
    if found:
        terminalreporter.section("NOT TESTED on this machine", sep="!", red=True, bold=True)
    for (module, reason), count in found.items():
        terminalreporter.write_line(f"NOT TESTED: {module} ({count}): {reason}", red=True)
