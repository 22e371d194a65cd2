"""Look at everything a run needs: configuration, S3, MySQL, this machine.

Called by the command `check`, and by every run before it starts.
Each check answers with one clause, or raises the error that a run would meet later; all of them run, whatever fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from app.checks import contract, database, machine, storage
from app.checks.caution import Caution
from app.config.load import Config, describe
from app.config.reading import show_path
from app.contract.contract import load_contract
from app.errors import CheckFailed, PipelineError, S3Error, S3Unavailable, TransientError, printable
from app.mysql.bucket_info import with_bucket

__all__ = ["Check", "Finding", "check_all", "checks_of", "look", "machine_checks", "raise_failures"]

THREADS = 8
# Of one failure, where several are told in one line.
MOST_CHARS = 300


@dataclass(frozen=True)
class Check:
    """One thing to look at: its name, and the look, which returns what it found in one clause."""

    name: str
    look: Callable[[], str]


@dataclass(frozen=True)
class Finding:
    """What a check found: a clause, or an error. A caution is a clause that a user should read."""

    name: str
    detail: str
    error: PipelineError | None = None
    is_caution: bool = False

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
    failed = one_per_server(findings)
    if not failed:
        return
    may_pass = all(isinstance(error, TransientError) for _, error in failed)
    error = failed[0][1]
    if len(failed) > 1:
        listed = " ".join(f"({number}) {name}: {shortened(str(fault))}" for number, (name, fault) in enumerate(failed, 1))
        error = CheckFailed(f"{len(failed)} checks failed: {listed}")
    error.exit_code = 1 if may_pass else 2
    raise error


def one_per_server(findings: Iterable[Finding]) -> list[tuple[str, PipelineError]]:
    """Return the failed checks with their errors; a server out of reach fails every check that asks it, and is named once."""
    failed = [(found.name, found.error) for found in findings if found.error is not None]
    is_one_kind = len({type(error) for _, error in failed}) == 1
    first: dict[type[PipelineError], str] = {}
    others: dict[str, list[str]] = {}
    kept = []
    for name, error in failed:
        if type(error) in first:
            others.setdefault(first[type(error)], []).append(name)
            continue
        kept.append((name, error))
        if is_one_kind or isinstance(error, TransientError):
            first[type(error)] = name
    return [(name, _with_others(error, name, others[name]) if name in others else error) for name, error in kept]


def _with_others(error: PipelineError, name: str, others: Sequence[str]) -> PipelineError:
    return type(error)(f"{shortened(error.what)} (check {name}; likewise {', '.join(others)})", cure=error.cure)


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding, for people; what several checks find of one server is told with the first of them."""
    told = {name for name, _ in one_per_server(findings)}
    first = {type(found.error): found.name for found in reversed(findings) if found.name in told}
    width = max(len(found.name) for found in findings)
    return [
        printable(f"{'FAIL' if not found.ok else 'warn' if found.is_caution else 'ok':<5} {found.name:<{width}} ")
        + printable(shortened(found.detail) if found.ok or found.name in told else f"like {first[type(found.error)]}")
        for found in findings
    ]


def shortened(text: str) -> str:
    """Return a text of bounded length: what a driver says of a lost connection may be a page."""
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]} ..."


def _look(check: Check) -> Finding:
    try:
        detail = check.look()
        return Finding(check.name, str(detail), is_caution=isinstance(detail, Caution))
    except S3Unavailable as exc:
        # Under a running stream a bucket that is missing may come back; here its name may be wrong.
        error = S3Error(exc.what) if " NoSuchBucket" in exc.what else exc
        return Finding(check.name, str(error), error)
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
    found = load_contract(config.contract_path)
    contract.check_contract(found)
    return f"{show_path(config.contract_path)}: {len(found.columns)} columns, {len(found.rules)} rules"
