"""Look at everything a run needs: configuration, S3, MySQL, this machine.

Called by the command `check`, and by every run before it starts.
Each check answers with one clause, or raises the error that a run would meet later; all of them run, whatever fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from app.checks import database, machine, storage
from app.config.load import Config, describe
from app.config.reading import show_path
from app.contract.contract import load_contract
from app.errors import CheckFailed, PipelineError, TransientError
from app.mysql.bucket_table import with_bucket

__all__ = ["Check", "Finding", "check_all", "checks_of", "look", "machine_checks", "raise_failures"]

THREADS = 8


@dataclass(frozen=True)
class Check:
    """One thing to look at: its name, and the look, which returns what it found in one clause."""

    name: str
    look: Callable[[], str]


@dataclass(frozen=True)
class Finding:
    """What a check found: a clause, or an error."""

    name: str
    detail: str
    error: PipelineError | None = None

    @property
    def ok(self) -> bool:
        """Tell whether the check passed."""
        return self.error is None


def checks_of(config: Config) -> list[Check]:
    """Return all checks of a configuration that could be loaded; its bucket is known."""
    return [
        Check("configuration", lambda: _configuration(config)),
        Check("contract", lambda: _contract(config)),
        *[Check(name, look) for name, look in storage.checks(config.s3).items()],
        *[Check(name, look) for name, look in database.checks(config).items()],
        *machine_checks(config),
    ]


def check_all(load: Callable[[], Config]) -> list[Finding]:
    """Load the configuration and run every check that can be run with what it gives.

    Without a configuration there is nothing to reach a server by; without a bucket no S3 prefix to look at.
    """
    try:
        config = load()
    except PipelineError as exc:
        return [Finding("configuration", str(exc), exc), *look(machine_checks())]
    try:
        return look(checks_of(with_bucket(config)))
    except PipelineError as exc:
        others = [check for check in checks_of(config) if not check.name.startswith("s3 ") and check.name != "clock"]
        return [*look(others), Finding("s3 bucket", str(exc), exc)]


def machine_checks(config: Config | None = None) -> list[Check]:
    """Return the checks that need no server; without a configuration those that need none either."""
    return [Check(name, look) for name, look in machine.checks(config).items()]


def look(checks: Sequence[Check]) -> list[Finding]:
    """Run all checks, several at a time, and return what they found in their order."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="check") as pool:
        return list(pool.map(_look, checks))


def raise_failures(findings: Iterable[Finding]) -> None:
    """Stop a run that cannot work.

    The exit code is 1 when starting again later may help (a server out of reach), else 2.

    Raises:
        PipelineError: the one that a check found, or a CheckFailed that lists several.
    """
    failed = [(found.name, found.error) for found in findings if found.error is not None]
    if not failed:
        return
    may_pass = all(isinstance(error, TransientError) for _, error in failed)
    (name, error), others = failed[0], failed[1:]
    if others and all(type(other) is type(error) for _, other in others):
        # A server out of reach fails every check that asks it.
        error = type(error)(f"{error.what} (check {name}; likewise {', '.join(name for name, _ in others)})", cure=error.cure)
    elif others:
        listed = " ".join(f"({number}) {name}: {fault}" for number, (name, fault) in enumerate(failed, 1))
        error = CheckFailed(f"{len(failed)} checks failed: {listed}")
    error.exit_code = 1 if may_pass else 2
    raise error


def _look(check: Check) -> Finding:
    try:
        return Finding(check.name, check.look())
    except PipelineError as exc:
        return Finding(check.name, str(exc), exc)


def _configuration(config: Config) -> str:
    settings = describe(config)
    origins = [setting.origin for setting in settings]
    variables = sum("$" in origin or origin.startswith("SALESTREAM__") for origin in origins)
    encrypted = sum("encrypted" in origin for origin in origins)
    path = show_path(config.conf_dir / f"{config.env}.yml")
    return f"{path}: {len(settings)} values, {variables} from variables, {encrypted} encrypted"


def _contract(config: Config) -> str:
    contract = load_contract(config.contract_path)
    return f"{show_path(config.contract_path)}: {len(contract.columns)} columns, {len(contract.rules)} rules"
