"""docs/configuration.md: every key with its type, default and meaning, read from app/config/sections.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import PydanticUndefined

from app.config.sections import SECTIONS, Section, TopLevel
from scripts.docgen import CONF, code, page, table

ENVS = ("dev", "qa", "prod")
TYPES = {
    "Text": "text",
    "OptionalText": "text or empty",
    "BlankText": "text or empty",
    "OptionalSecret": "secret or empty",
    "SecretStr": "secret",
    "OptionalPath": "path or empty",
    "Path": "path",
    "Positive": "positive integer",
    "Port": "port number",
    "Seconds": "seconds, 0 or more",
    "NotNegative": "integer, 0 or more",
    "Bytes": "size, such as 64k or 1g",
    "Interval": "time, such as 2 seconds",
    "Rate": "number from 0 to 1",
    "Level": "log level",
    "MemorySize": "memory, such as 1g",
    "Patterns": "list of patterns (with commas between them in a variable)",
    "bool": "true or false",
    "dict[str, str]": "mapping of settings",
}
# Keys whose own text says more, or less, than the job does.
MEANINGS = {
    "stream.max_attempts": "Attempts at a failing batch; the last failure ends the run with exit code 1, and the next start tries again.",
}


def configuration_page(conf: Path = CONF) -> str:
    """Describe every key, and what the files of a folder set."""
    shipped = {env: _flat(yaml.load((conf / f"{env}.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)) for env in ENVS}
    intro = [
        "`conf/dev.yml`, `conf/qa.yml` and `conf/prod.yml` hold the same keys; `--env` chooses one. In a value `${NAME}` is an",
        "environment variable and `${NAME:-text}` has a default. The override variable of a key wins over the file and is taken as it is.",
        "`SALESTREAM_CONF_DIR` names another folder than `conf/`.",
        "A value may be encrypted (`enc:v1:...`); the key to it is in `SALESTREAM_KEY`, or in the file that `SALESTREAM_KEY_FILE` names.",
        "What a sales file must look like stands in `conf/contract.yml`, with its explanation.",
        "",
    ]
    models: dict[str, type[Section]] = {"": TopLevel, **SECTIONS}
    parts = [line for name, model in models.items() for line in _section_part(name, model)]
    differ = [key for key in _keys() if len({shipped[env].get(key, "") for env in ENVS}) > 1]
    rows = [(code(key), *[code(shipped[env].get(key, "")) or "(empty)" for env in ENVS]) for key in differ]
    shown = ["## Where the shipped files differ", "", *table(("Key", *ENVS), rows)]
    return page("app/config/sections.py", "Configuration", intro, parts, shown)


def _keys() -> list[str]:
    return list(TopLevel.model_fields) + [f"{name}.{key}" for name, model in SECTIONS.items() for key in model.model_fields]


def _flat(tree: dict[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in tree.items():
        flat |= {f"{name}.{key}": str(item) for key, item in value.items()} if isinstance(value, dict) else {name: str(value)}
    return flat


def _section_part(name: str, model: type[Section]) -> Iterator[str]:
    yield from (f"## {name or 'Top level'}", "", model.__doc__ or "", "")
    rows = []
    for key, info in model.model_fields.items():
        full = f"{name}.{key}" if name else key
        default = (
            "required"
            if info.default is PydanticUndefined and info.default_factory is None
            else _default(info.get_default(call_default_factory=True), _annotation(model, key))
        )
        meaning = MEANINGS.get(full, str(info.description)).rstrip(".") + "."
        rows.append((code(full), _type(_annotation(model, key)), default, meaning, code("SALESTREAM__" + full.upper().replace(".", "__"))))
    yield from table(("Key", "Type", "Default", "Meaning", "Override"), rows)


def _annotation(model: type[Section], key: str) -> str:
    return str(model.__annotations__[key])


def _type(annotation: str) -> str:
    if annotation.startswith("Literal"):
        *most, last = re.findall(r"'(.*?)'", annotation)
        return f"{', '.join(map(code, most))} or {code(last)}"
    return TYPES[annotation]


def _default(value: Any, annotation: str) -> str:
    if value is None or value in ({}, "", ()):
        return "empty"
    if annotation == "Bytes":
        power = next(power for power in (30, 20, 10, 0) if value % (1 << power) == 0)
        return code(f"{value >> power}{ {30: 'g', 20: 'm', 10: 'k', 0: ''}[power] }")
    return code(str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value)
