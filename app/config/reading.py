"""Read configuration text: YAML without guessed types, variables and encrypted values in it, faults as one line each."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from app.config import credentials
from app.errors import ConfigError, CredentialError

REPOSITORY = Path(__file__).resolve().parents[2]
LOCAL_UP = "run ./spark-submit.sh local up"
_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_]\w*)(?P<with_default>:-(?P<default>[^}]*))?\}|\$\{", re.ASCII)
_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "unexpected_keyword_argument": "is not a known key",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path",
    "dict_type": "must be a mapping",
    "dataclass_type": "must be a mapping of keys to values",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}
_WITHOUT_VALUE = ("missing", "extra_forbidden", "unexpected_keyword_argument", "dataclass_type")


@dataclass(frozen=True)
class Given:
    """A value as it was written: its key, the value, and where it stands."""

    key: str
    value: Any
    place: str
    literal: bool  # values of overrides are taken as they are: a password may hold ${


@dataclass
class Draft:
    """What has been gathered while loading."""

    environ: Mapping[str, str]
    defaults: Mapping[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    embedded: bool = False
    ignores_aws: bool = False
    needs_local: bool = False


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigError: the file cannot be read or is malformed.
    """
    return parse_yaml(read_text(path), path)


def read_text(path: Path) -> str:
    """Read a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigError(f"{show_path(path)} cannot be read: {reason}") from None


def parse_yaml(text: str, path: Path) -> dict[str, Any]:
    """Parse a YAML mapping; every plain value comes back as text (so `off` stays "off" and `0123` stays "0123"), null as None.

    Raises:
        ConfigError: the text is malformed, with the line; the text of the line is not shown.
    """
    try:
        tree = yaml.load(text, Loader=_TextLoader)  # noqa: S506 - derives from SafeLoader
    except yaml.YAMLError as exc:
        raise ConfigError(f"{show_path(path)}: {_yaml_fault(exc, text)}") from None
    except ValueError:
        raise ConfigError(f"{show_path(path)}: a value does not fit its !! tag; remove the tag") from None
    if tree is not None and not isinstance(tree, dict):
        raise ConfigError(f"{show_path(path)}: must be a mapping of keys to values")
    return tree or {}


def show_path(path: Path) -> str:
    """Give a path as messages show it: relative to the repository where it lies in it."""
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else str(path)


def config_error(faults: list[str], *, cure: str | None = None, kind: type[ConfigError] = ConfigError) -> ConfigError:
    """Make one error of all faults."""
    if len(faults) == 1:
        return kind(faults[0], cure=cure)
    return kind(f"{len(faults)} faults: " + " ".join(f"({number}) {fault}" for number, fault in enumerate(faults, 1)), cure=cure)


def unknown_key(key: str, candidates: Iterable[str]) -> str:
    """Say that a key is unknown, and which known one it resembles."""
    known = list(candidates)
    # A cut-off key resembles many by letters; the one it begins is meant.
    close = [name for name in known if key and name.startswith(key)] or difflib.get_close_matches(key, known, n=1)
    return "is not a known key" + (f"; did you mean {close[0]}?" if close else "")


def resolve(item: Given, draft: Draft) -> None:
    """Fill in variables and decrypt; what fails becomes a fault of the key."""
    used = [item.place if item.literal else item.place.split(":")[0]]
    try:
        value = _mapping_of(item) if item.key == "spark.conf" else item.value
        if isinstance(value, dict):
            value = {str(name): _fill(entry, item, draft, used) for name, entry in value.items() if entry is not None}
        elif isinstance(value, list):
            value = [_fill(entry, item, draft, used) for entry in value]
        else:
            value = _fill(value, item, draft, used)
    except (ValueError, CredentialError) as exc:
        draft.faults[item.key] = f"{item.place}: {exc.what if isinstance(exc, CredentialError) else exc}"
        return
    if value is not None:
        draft.values[item.key] = value
        draft.origins[item.key] = ", ".join(dict.fromkeys(used))


def _mapping_of(item: Given) -> Any:
    """Read an override of a mapping, written as YAML on one line: {spark.ui.port: 4041}."""
    try:
        return yaml.load(item.value, Loader=_TextLoader) if item.literal else item.value  # noqa: S506 - derives from SafeLoader
    except (yaml.YAMLError, ValueError):
        raise ValueError("must be a mapping such as {spark.ui.port: 4041}") from None


def _fill(value: Any, item: Given, draft: Draft, used: list[str]) -> Any:
    if not isinstance(value, str):
        return value
    if not item.literal:
        missing: list[str] = []
        value = _VARIABLE.sub(lambda match: _variable(match, draft, used, missing), value)
        if missing:
            draft.needs_local = draft.needs_local or draft.embedded
            raise ValueError(f"the variable {' and '.join(dict.fromkeys(missing))} is not set")
    if credentials.is_token(value):
        value = credentials.decrypt(value, key=credentials.load_key(draft.environ))
        used.append("encrypted")
    return value


def _variable(match: re.Match[str], draft: Draft, used: list[str], missing: list[str]) -> str:
    if match[0] == "$${":
        return "${"
    name = match["name"]
    if name is None:
        raise ValueError("holds a ${ that is not ${NAME} or ${NAME:-default}; write $${ for the two characters themselves")
    foreign = draft.ignores_aws and name.startswith("AWS_")
    if not foreign and (draft.environ.get(name) or (name in draft.environ and not match["with_default"])):
        used.append(f"${name}")
        return draft.environ[name]
    if draft.embedded and name in draft.defaults:
        used.append(f"embedded ${name}")
        return draft.defaults[name]
    if match["with_default"]:
        return match["default"]
    missing.append(name)
    return ""


class _TextLoader(yaml.SafeLoader):
    """YAML without guessed types, and without silently dropped duplicate keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML reads it from the class
        first: [(tag, pattern) for tag, pattern in resolvers if tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {name} occurs twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def _yaml_fault(exc: yaml.YAMLError, text: str) -> str:
    if not isinstance(exc, yaml.MarkedYAMLError) or exc.problem_mark is None:
        line = text.count("\n", 0, getattr(exc, "position", 0)) + 1
        return f"line {line}: a character that YAML does not allow"
    # These two quote the value they stumble over, and it may be a password that begins with * or !.
    quotes_value = isinstance(exc, yaml.composer.ComposerError | yaml.constructor.ConstructorError)
    problem = "a value begins with * or ! or is no key; put quotes around it" if quotes_value else exc.problem
    return f"line {exc.problem_mark.line + 1}: {problem}"


def faults_in(error: ValidationError, *, hide: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """Turn pydantic's errors into (field, message) pairs; the values of the fields in `hide` are not shown."""
    found = []
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"])
        if item["type"] == "value_error":
            message = str(item["ctx"]["error"])
        elif item["type"] == "literal_error":
            message = "must be one of " + str(item["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
        elif item["type"] == "string_pattern_mismatch":
            message = "must be a whole number and a unit k, m, g or t, such as 1g"
        else:
            message = _MESSAGES.get(item["type"], item["msg"])
        shown = "" if item["type"] in _WITHOUT_VALUE or field.split(".")[0] in hide else _shown(item["input"])
        found.append((field, message + shown))
    return found


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", is a mapping"
    if isinstance(value, list | tuple):
        return ", is a list"
    text = re.sub(r"//[^/@]*@", "//***@", str(value))
    return f", is {text[:60] + '...' if len(text) > 60 else text!r}"
