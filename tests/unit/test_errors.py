"""Every error tells what happened and what to do, in one line, with an exit code that a script can use."""

import importlib
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import app
from app.errors import PipelineError, TerminalError, TransientError, UsageError

ROOTS = (PipelineError, TerminalError, TransientError)


def subclasses(kind: type[PipelineError]) -> Iterator[type[PipelineError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def concrete() -> list[type[PipelineError]]:
    """Import every module of the job, so that none of its error classes is missed."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith((".__main__", "app.main")):
            importlib.import_module(module.name)
    return sorted(
        {kind for kind in subclasses(PipelineError) if kind not in ROOTS and kind.__module__.startswith("app.")}, key=lambda k: k.__name__
    )


ERRORS = concrete()
each = pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)


def test_the_errors_of_all_modules_are_looked_at() -> None:
    assert {"ConfigError", "OwnershipError", "MySqlUnavailable", "InjectedFailure", "InputChanged"} <= {kind.__name__ for kind in ERRORS}


@each
def test_an_error_is_either_terminal_or_transient(kind: type[PipelineError]) -> None:
    assert issubclass(kind, TerminalError) != issubclass(kind, TransientError)


@each
def test_an_error_has_a_code_of_its_own_an_exit_code_a_cause_and_a_cure(kind: type[PipelineError]) -> None:
    own = vars(kind)
    assert {"code", "cause", "cure"} <= set(own)
    assert own["code"].replace("_", "").isalnum()
    assert own["code"] == own["code"].upper()
    assert kind.exit_code in (1, 2, 3)
    for text in (kind.cause, kind.cure, kind.__doc__ or ""):
        assert text.strip()
    assert kind.cause.splitlines() == [kind.cause]
    assert kind.cure.splitlines() == [kind.cure]


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in ERRORS]
    assert sorted(set(codes)) == sorted(codes)


@each
def test_the_text_is_one_line_of_code_event_and_cure(kind: type[PipelineError]) -> None:
    assert str(kind("file a.csv\n  cannot\tbe\r\nread")) == f"{kind.code} file a.csv cannot be read; {kind.cure}"


@each
def test_an_error_survives_the_way_from_a_worker_process(kind: type[PipelineError]) -> None:
    again = pickle.loads(pickle.dumps(kind("what", cure="do this")))
    assert (type(again), str(again), again.what) == (kind, f"{kind.code} what; do this", "what")


def test_a_cure_of_its_own_replaces_the_general_one_for_that_error_only() -> None:
    assert str(UsageError("no folder", cure="name one")) == "USAGE no folder; name one"
    assert str(UsageError("no folder")) == "USAGE no folder; see the command's --help"


def test_exit_codes_tell_usage_and_configuration_and_ownership_from_failure() -> None:
    exit_codes = {kind.code: kind.exit_code for kind in ERRORS}
    assert {exit_codes[code] for code in ("USAGE", "CONFIG", "CONTRACT", "CREDENTIAL", "MACHINE")} == {2}
    assert exit_codes["OWNED"] == 3
    assert {exit_codes[code] for code in ("MYSQL", "MYSQL_UNAVAILABLE", "S3", "S3_UNAVAILABLE", "LEDGER", "BATCH", "DIMENSION")} == {1}


def test_a_hostile_name_in_an_error_is_inert() -> None:
    assert str(UsageError("no file a\x1b[2J\u202e.csv", cure="x")) == "USAGE no file a\\x1b[2J\\u202e.csv; x"
