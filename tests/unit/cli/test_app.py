"""The command line: help with examples, exit codes, and errors in one line."""

import json
import logging
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from app.cli import app as cli
from app.cli.options import configuration
from app.config.credentials import encrypt
from app.config.load import Config, LoggingConfig
from app.errors import BatchFailed, MySqlUnavailable, OwnershipError, PipelineError, UsageError
from app.version import VERSION
from tests.conftest import REPOSITORY
from tests.doubles import FakeS3
from tests.shipped import SHIPPED_CONF

PROGRAM = "./spark-submit.sh"


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Walk all commands with their path of names."""
    for name, command in (group or typer.main.get_command(cli.app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())
each = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep servers and settings of this machine out of reach."""
    monkeypatch.setenv("SALESTREAM_HOME", str(tmp_path))
    for name in ("SALESTREAM_BUCKET", "SALESTREAM_MYSQL_HOST", "SALESTREAM_MYSQL_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def failing() -> Iterator[Callable[[Exception], None]]:
    """Give the command line one more command, `fail`, for this test: it raises what it is told to."""
    errors: list[Exception] = []

    def fail(debug: bool = False) -> None:
        raise errors[-1]

    cli.app.command("fail")(fail)
    yield errors.append
    cli.app.registered_commands.pop()


# Help


def test_the_version_is_said_without_a_command_or_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr() == (f"salestream {VERSION}\n", "")


def test_all_commands_are_walked() -> None:
    assert {("run",), ("status",), ("init-db",), ("upload",), ("local", "up"), ("local", "down"), ("local", "env")} <= set(COMMANDS)


@each
def test_help_says_what_a_command_does_and_gives_an_example(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: {PROGRAM} {' '.join(path)} ")
    assert (COMMANDS[path].help or "").splitlines()[0] in " ".join(shown.split())
    assert re.search(rf"^  Example: .*{re.escape(PROGRAM)} {' '.join(path)}", shown, re.MULTILINE)


@each
def test_an_example_uses_only_options_that_the_command_has(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    words = shlex.split(command.epilog.replace('"$(', "").replace(')"', ""))
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= known


@each
def test_every_command_shows_the_trace_on_request(path: tuple[str, ...]) -> None:
    assert any("--debug" in parameter.opts for parameter in COMMANDS[path].params)


@each
def test_every_command_occurs_in_the_readme(path: tuple[str, ...]) -> None:
    assert f"{PROGRAM} {' '.join(path)}" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_help_of_the_program_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: {PROGRAM} [OPTIONS] COMMAND")
    for path in COMMANDS:
        assert re.search(rf"^  {path[0]} +\w", shown, re.MULTILINE), path


# Bad usage: 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nope"], "'nope'"),
        (["local", "nope"], "'nope'"),
        (["run", "--bogus"], "--bogus"),
        (["run", "--env"], "--env"),
        (["run", "--fail-on-rejected"], "goes with --once"),
        (["upload"], "FOLDER"),
        (["upload", "x", "--threads", "0"], "--threads"),
        (["status", "surplus"], "surplus"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused_by_name(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert named.lower() in err.lower()
    assert "Traceback" not in err


def test_a_refusal_says_where_to_read_on(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["upload"])
    assert f"Try '{PROGRAM} upload --help' for help." in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["local"]], ids=["program", "group"])
def test_no_command_shows_the_help_and_is_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert "Commands:" in "".join(capsys.readouterr())


def test_the_environment_of_servers_that_never_ran_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["local", "env"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "local up" in err


# Errors of our own: one line, and the trace only on request


def test_an_unknown_environment_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESTREAM_CONF_DIR", str(SHIPPED_CONF))
    assert cli.main(["status", "--env", "nowhere"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "salestream: CONFIG there is no tests/data/conf/nowhere.yml; choose an environment: dev, prod, qa\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 2),
        (OwnershipError("the source is held by host b pid 9"), 3),
        (MySqlUnavailable("mysql.host=db:3306: error 2003: refused"), 1),
        (BatchFailed("first line\nsecond line"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_becomes_its_exit_code_and_one_line(
    error: PipelineError, code: int, failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(error)
    assert cli.main(["fail"]) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"salestream: {error}\n")
    assert err.count("\n") == 1


def test_debug_shows_the_trace_and_then_the_line(failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str]) -> None:
    failing(OwnershipError("held"))
    assert cli.main(["fail", "--debug"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):\n")
    assert "raise errors[-1]" in err
    assert err.endswith("salestream: OWNED held; stop the other instance first, or leave the work to it\n")


def test_a_fault_of_the_program_itself_is_one_line_and_its_trace_is_there_on_request(
    failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ZeroDivisionError("a bug\nin two lines"))
    assert cli.main(["fail"]) == 1
    assert capsys.readouterr().err == (
        "salestream: PIPELINE ZeroDivisionError: a bug; run the command again with --debug and read the trace\n"
    )
    assert cli.main(["fail", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_exit_code_of_a_command_is_passed_on(code: int, failing: Callable[[Exception], None]) -> None:
    failing(typer.Exit(code))
    assert cli.main(["fail"]) == code


# The tables of `status`


def test_status_for_people_names_the_backlog_and_what_rows_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    cli.print_status(
        {
            "files": {"COMMITTED": 3, "REJECTED": 1},
            "rows": {"read": 10, "loaded": 7, "rejected": 2, "pending": 1},
            "last_batch": {"id": 7, "state": "COMMITTED", "committed_at": None, "planned_at": "2024-01-01T00:00:00Z", "rows_loaded": 7},
            "backlog_files": 2,
            "backlog_bytes": 99,
            "archive_due": 4,
            "ignored_objects": [{"rule": "temporary_name", "objects": 2, "example": "sales_data/a\x1b[2J.part"}],
            "failed_operations": [{"id": 5, "kind": "RELEASE", "detail": "no such\ncolumn"}],
            "held_files": 1,
            "unreadable_files": 8,
            "archive_refused": 6,
            "warnings": {"total_matches": 3},
            "pending_keys": [{"dimension": "customer", "key": 26, "rows": 1}],
        }
    )
    shown = capsys.readouterr().out
    assert re.search(r"COMMITTED\W+3\b", shown)
    assert re.search(r"REJECTED\W+1\b", shown)
    assert "Last batch 7 COMMITTED at 2024-01-01T00:00:00Z: 7 rows loaded" in shown
    assert "Backlog 2 files, 99 bytes; waiting to be archived 4" in shown
    assert "1 rows wait for customer 26" in shown
    assert "3 accepted rows break the rule total_matches" in shown
    assert "2 objects are not loaded by the rule temporary_name, first of them sales_data/a\\x1b[2J.part\n" in shown
    assert "operation 5 RELEASE was given up: no such\\ncolumn\n" in shown
    assert "1 files fail again and again and are held back" in shown
    assert "8 files are refused by S3 and stay in place: ./spark-submit.sh files --state UNREADABLE" in " ".join(shown.split())
    assert "6 loaded files stay in the source prefix, as S3 refuses their move" in shown


def test_status_of_an_empty_ledger_has_no_last_batch(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"read": 0, "loaded": 0, "rejected": 0, "pending": 0}
    cli.print_status(
        {
            "files": {},
            "rows": rows,
            "last_batch": None,
            "backlog_files": 0,
            "backlog_bytes": 0,
            "archive_due": 0,
            "ignored_objects": [],
            "failed_operations": [],
            "warnings": {},
            "pending_keys": [],
        }
    )
    assert "Last batch" not in capsys.readouterr().out


def test_a_failure_is_json_where_log_lines_are(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        assert cli.main(["run", "--env", "nope", "--log-format", "json"]) == 2
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["level"] for line in lines] == ["ERROR"]
    assert json.loads(lines[0])["message"].startswith("CONFIG there is no conf/nope.yml; ")


def test_check_is_a_line_for_each_thing_and_2_when_one_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--env", "nope"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["FAIL", "configuration"], ["ok", "java"], ["ok", "spark"]]
    assert cli.main(["check", "--env", "nope", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [(one["check"], one["ok"]) for one in found] == [("configuration", False), ("java", True), ("spark", True)]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_run_is_told_whether_rejected_rows_fail_it(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(cli, "configuration", lambda _env: SimpleNamespace(logging=LoggingConfig()))
    monkeypatch.setattr("app.stream.run.run", lambda _config, **options: told.append(options))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        assert cli.main(["run", "--once", *(["--fail-on-rejected"] if wanted else [])]) == 0
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert told == [{"once": True, "fail_on_rejected": wanted}]


def test_upload_leaves_out_what_the_stream_would_not_load(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "files").mkdir()
    for name in ("day.csv", "day.csv.part"):
        (tmp_path / "files" / name).write_text("x")
    client = FakeS3()
    monkeypatch.setattr(cli, "configuration", lambda _env: config)
    monkeypatch.setattr("app.mysql.bucket_info.with_bucket", lambda config: config)
    monkeypatch.setattr("app.s3.read.make_client", lambda _config: client)
    assert cli.main(["upload", str(tmp_path / "files")]) == 0
    assert [key for _, key in client.objects] == ["sales_data/day.csv"]
    assert "by the rule temporary_name" in capsys.readouterr().out


def test_rotate_key_says_which_files_have_the_new_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SALESTREAM_KEY", "old")
    path = tmp_path / "prod.yml"
    path.write_text(f"a: {encrypt('one', key='old')}\n")
    assert cli.main(["rotate-key", str(tmp_path)]) == 2
    assert "there is no new key" in capsys.readouterr().err
    monkeypatch.setenv("SALESTREAM_NEW_KEY", "new")
    assert cli.main(["rotate-key", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{path}: 1 values have the new key\n"
    assert cli.main(["rotate-key", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no value has the old key; nothing was changed\n"


EMBEDDED = {
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "SALESTREAM_BUCKET": "salestream",
    "SALESTREAM_MYSQL_HOST": "127.0.0.1",
    "SALESTREAM_MYSQL_PORT": "1",
    "SALESTREAM_MYSQL_USER": "job",
    "SALESTREAM_MYSQL_PASSWORD": "password",
    "SALESTREAM_MYSQL_DATABASE": "salestream",
}


def test_embedded_servers_that_do_not_run_are_one_line_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SALESTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("SALESTREAM_CONF_DIR", str(SHIPPED_CONF))
    monkeypatch.setattr("app.cli.options.local.read_env", lambda _home: SimpleNamespace(variables=lambda: EMBEDDED))
    monkeypatch.setattr("app.cli.options.local.greet", lambda _home: False)
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().err == "salestream: LOCAL_SERVER the embedded servers do not run; run ./spark-submit.sh local up\n"
    # As wide as it is, also in a narrow terminal or a pipe: a line for each value.
    monkeypatch.setenv("COLUMNS", "40")
    assert cli.main(["config", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({line.split()[0] for line in lines}) == len(lines)
    assert any(line.startswith("stream.temporary_names ") and line.endswith("dev.yml") for line in lines)


def test_a_configuration_of_other_servers_asks_for_no_embedded_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("SALESTREAM_CONF_DIR", str(SHIPPED_CONF))
    for name, value in EMBEDDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("app.cli.options.local.greet", lambda _home: pytest.fail("looked at embedded servers"))
    assert configuration("dev").mysql.host == "127.0.0.1"
