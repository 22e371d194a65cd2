"""docs/errors.md and docs/commands.md: what the job says, and what can be said to it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import app
from app.batch import file_outcomes
from app.batch.classify import rule_code
from app.cli import app as cli
from app.cli.options import PROGRAM
from app.contract import values
from app.contract.contract import load_contract
from app.errors import PipelineError, TerminalError, TransientError
from app.ledger import isolate
from app.parsing import header, preamble, record_rules
from scripts.docgen import CONF, code, page, table

FILE_REASONS = {
    preamble.EMPTY: "The object has no bytes, or holds no line.",
    preamble.NOT_CSV: "Binary content: an archive, Excel, Parquet, PDF, UTF-16, or lines that end in CR alone. The detail names it.",
    header.MISSING_COLUMN: "The header lacks a required column; the detail names it.",
    header.DUPLICATE_COLUMN: "The header names a column more than once.",
    header.NO_HEADER: "The first line is data, or no line ends within `stream.max_header_bytes`.",
    preamble.WRONG_DELIMITER: "No delimiter, or more than one, gives the contract's columns; comma, semicolon, tab and `|` are tried.",
    preamble.UNREADABLE: "The gzip data is damaged or ends too early.",
    file_outcomes.REJECT_RATIO: "A larger share of its rows is rejected than `settings.max_reject_ratio` of the contract allows. None"
    " of them is loaded, and all count as rejected; `file_reject` and `quarantine list` keep the reasons of the bad ones.",
    isolate.FAILED_REASON: "Every attempt at a batch of this file alone has failed; the detail is the last error. The state is `FAILED`.",
}
ROW_REASONS = {
    record_rules.TOO_FEW_FIELDS: "Fewer fields than the header.",
    record_rules.TOO_MANY_FIELDS: "More fields than the header.",
    record_rules.UNCLOSED_QUOTE: "A quote is never closed, or not within the limits of a record. Only its first line is rejected.",
    record_rules.MALFORMED_QUOTE: "Text follows a closing quote.",
    record_rules.INVALID_ENCODING: "Bytes that are not valid in the contract's encoding.",
    record_rules.NUL_BYTE: "A NUL byte.",
    record_rules.RECORD_TOO_LONG: "A line longer than `stream.max_record_bytes`; its beginning is kept.",
    "NULL_VALUE": "Nothing where the contract wants a value.",
    "INVALID_INT": "Not an integer.",
    "INVALID_DECIMAL": "Not a decimal number in plain digits.",
    "INVALID_DATE": "Not a date in one of the column's formats.",
    "OUT_OF_RANGE": "A number too large for the column's type.",
    "TOO_PRECISE": "More non-zero digits behind the point than the type holds.",
    "TOO_LONG": "Text longer than the column's `max_length`.",
}


def error_classes() -> list[type[PipelineError]]:
    """Import every module of the job and return its concrete errors, in the order of their codes."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith((".__main__", "app.main")):
            importlib.import_module(module.name)

    def below(kind: type[PipelineError]) -> Iterator[type[PipelineError]]:
        for child in kind.__subclasses__():
            yield from (child, *below(child))

    own = {kind for kind in below(PipelineError) if kind.__module__.startswith("app.")} - {TerminalError, TransientError}
    return sorted(own, key=lambda kind: kind.code)


def errors_page(conf: Path = CONF) -> str:
    """Describe every error, and every reason against a file or a row."""
    assert set(FILE_REASONS) == {*preamble.FILE_REASONS, file_outcomes.REJECT_RATIO, isolate.FAILED_REASON}, (
        "a reason against a file has no meaning here"
    )
    assert set(ROW_REASONS) == {*record_rules.REASONS, *values.ROW_FAULTS}, "a reason against a row has no meaning here"
    intro = [
        "An error is one line on standard error: its code, what happened, what to do. `--debug` shows the trace as well.",
        "A transient error is tried again a bounded number of times before it ends the run.",
        "",
    ]
    rows = [
        (code(k.code), str(k.exit_code), "yes" if issubclass(k, TransientError) else "", k.cause, _sentence(k.cure))
        for k in error_classes()
    ]
    listed = table(("Code", "Exit code", "Transient", "Cause", "Cure"), rows)
    files = [
        "## Reasons against a whole file",
        "",
        "The file is `REJECTED` and moved below the error prefix; `source_file.reason_code` and `reason_detail` say why.",
        "",
        *table(("Reason", "Meaning"), [(code(name), text) for name, text in FILE_REASONS.items()]),
        "`DUPLICATE`: the same content already counts in the marts. The contract's `duplicates` says whether such a file is skipped",
        "(state `DUPLICATE`, moved below the processed prefix), loaded again, or rejected. When the file that counts is retracted or",
        "superseded, the oldest skipped one is loaded in its place.",
        "",
    ]
    rules = load_contract(conf / "contract.yml").rules
    judged = [(code(rule_code(rule)), f"`{rule.expression}` is false.") for rule in rules if rule.on_fail == "reject"]
    warned = ", ".join(code(rule.name) for rule in rules if rule.on_fail == "warn")
    kept = [
        "## Reasons against a row",
        "",
        "The row goes into the quarantine with all its reasons; the other rows of the file are loaded.",
        "",
        *table(("Reason", "Meaning"), [(code(name), text) for name, text in ROW_REASONS.items()] + judged),
        "The last ones are the rules of `conf/contract.yml` with `on_fail: reject`. A rule with `on_fail: warn` lets the row be loaded and",
        f"names itself in the column `_warnings` of the facts: {warned}.",
        "`file_warning` counts such rows by file and rule, and `status` shows the totals.",
    ]
    return page("the error classes in app/", "Errors and reasons", intro, listed, files, kept)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def commands() -> dict[tuple[str, ...], Any]:
    """Return every command of the program by its path; groups themselves are left out."""
    import typer.main

    def walk(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        for name, child in getattr(command, "commands", {}).items():
            if hasattr(child, "commands"):
                yield from walk((*path, name), child)
            else:
                yield (*path, name), child

    return dict(walk((), typer.main.get_command(cli.app)))


def commands_page(_: Path = CONF) -> str:
    """Describe every command."""
    intro = [
        f"`{PROGRAM} [spark-submit options --] COMMAND [options]`. Only `run`, and the `--dry-run` of `retract`, `replay` and",
        "`quarantine replay`, start Spark and take options of spark-submit, before a `--`. Every command takes `--help`, and `--debug` to",
        "show the trace of an error.",
        "",
        *table(
            ("Exit code", "Meaning"),
            [
                ("0", "Done."),
                ("1", "The run or an operation failed, verify found a difference, or facts list a part without its rows."),
                ("2", "Bad usage or configuration."),
                ("3", "Another instance holds the source, or the ledger is older than S3."),
            ],
        ),
    ]
    parts = []
    for path, command in commands().items():
        names = [p.name.upper() if p.param_type_name == "argument" else "" for p in command.params]
        parts += [f"## {' '.join(path)}", "", command.help, "", "```bash", command.epilog.removeprefix("Example: "), "```", ""]
        rows = [
            _parameter(p, name) for p, name in zip(command.params, names, strict=True) if "--debug" not in p.opts and "--help" not in p.opts
        ]
        parts += table(("Argument or option", "Default", "Meaning"), rows) if rows else []
    return page("app/cli/app.py", "Commands", intro, parts)


def _parameter(parameter: Any, argument: str) -> tuple[str, str, str]:
    shown = argument or ", ".join(parameter.opts)
    is_flag = getattr(parameter, "is_flag", False)
    given = "" if parameter.default is None else str(parameter.default)
    default = "required" if parameter.required else "off" if is_flag else given
    return code(shown), default, str(parameter.help)
