"""Log lines go where the configuration says: text or JSON, one record a line, times in UTC."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.batch.step_log import step
from app.config.load import LoggingConfig
from app.logs import JsonFormatter, set_up


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Give logging back as it was: set_up changes the process's loggers."""
    loggers = [logging.getLogger(name) for name in ("", "app", "py4j")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    loggers[0].handlers.clear()
    yield
    for handler in loggers[0].handlers:
        handler.close()
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def record(message: str, *args: object) -> logging.LogRecord:
    made = logging.LogRecord("app.batch.process", logging.INFO, __file__, 1, message, args, None)
    made.created, made.msecs = 1704067200.123, 123.0
    return made


def test_a_json_line_holds_time_level_logger_and_message() -> None:
    assert json.loads(JsonFormatter().format(record("batch=%s rows=%d", "7-1-1", 3))) == {
        "time": "2024-01-01T00:00:00.123Z",
        "level": "INFO",
        "logger": "app.batch.process",
        "message": "batch=7-1-1 rows=3",
    }


def test_a_json_line_is_one_line_whatever_the_message_holds() -> None:
    line = JsonFormatter().format(record("key=%r é", "a\nb"))
    assert "\n" not in line
    assert "é" in line


def test_a_trace_stays_inside_its_json_line() -> None:
    made = record("failed")
    try:
        raise ValueError("why")
    except ValueError as exc:
        made.exc_info = (ValueError, exc, exc.__traceback__)
    line = JsonFormatter().format(made)
    assert "\n" not in line
    assert json.loads(line)["trace"].endswith("ValueError: why")


def test_text_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingConfig())
    logging.getLogger("app.batch.process").info("batch=%s committed", "7-1-1")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    app\.batch\.process batch=7-1-1 committed\n", err)


def test_text_times_are_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(LoggingConfig())
    [handler] = logging.getLogger().handlers
    assert handler.format(record("x")).startswith("2024-01-01 00:00:00,123 ")


def test_json_lines_go_to_standard_error_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingConfig(format="json"))
    logging.getLogger("app.batch.process").info("here")
    assert json.loads(capsys.readouterr().err)["message"] == "here"


@pytest.mark.parametrize(("level", "shown"), [("DEBUG", ["d", "i", "w"]), ("INFO", ["i", "w"]), ("WARNING", ["w"])])
def test_our_own_lines_follow_the_level(level: str, shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingConfig(level=level))
    log = logging.getLogger("app.any")
    log.debug("d")
    log.info("i")
    log.warning("w")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == shown


def test_other_libraries_speak_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingConfig(level="DEBUG"))
    logging.getLogger("botocore.auth").debug("signature of a secret")
    logging.getLogger("botocore.auth").warning("careful")
    logging.getLogger("py4j.clientserver").warning("connection closed")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["careful"]


def test_a_log_file_is_made_with_its_folder_and_beside_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "log" / "job.log"
    set_up(LoggingConfig(file=path, format="json"))
    logging.getLogger("app.any").info("zwölf")
    assert json.loads(path.read_text(encoding="utf-8"))["message"] == "zwölf"
    assert "zwölf" in capsys.readouterr().err


def test_setting_up_again_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingConfig())
    set_up(LoggingConfig())
    logging.getLogger("app.any").info("once")
    assert capsys.readouterr().err.count("once") == 1


# One line for each step of a batch


def test_a_step_is_one_line_with_its_figures_and_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingConfig())
    with step("7-1-1", "facts", rows=3) as figures:
        figures["parts"] = 2
    assert re.search(r" INFO    app\.batch\.step_log batch=7-1-1 step=facts rows=3 parts=2 seconds=\d+\.\d{3}\n$", capsys.readouterr().err)


def test_a_step_that_fails_is_not_logged_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingConfig())
    with pytest.raises(ValueError, match="why"), step("7-1-1", "facts"):
        raise ValueError("why")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_hostile_name_is_one_inert_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingConfig(format=form))
    logging.getLogger("app.any").warning("key=%s", "a\x1b[2Jb\nc\u202e\x9b.csv")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.rstrip("\n").isprintable()
    assert "a\\x1b[2Jb\\nc\\u202e\\x9b.csv" in err.replace("\\\\", "\\")
