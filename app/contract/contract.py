"""The contract of conf/contract.yml: what a sales file must look like, and which rows are good. Reading it needs no JVM."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from app.config.reading import config_error, faults_in, read_yaml, show_path, unknown_key
from app.config.values import OptionalPositive, Text
from app.errors import ConfigError, ContractError
from app.parsing.header import HeaderMatch, match_header, normalise_name

# A rule's name is a reason code, which is a key in MySQL.
MOST_RULE_CHARS = 60
_STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True)
_DECIMAL = re.compile(r"decimal\(([0-9]+),([0-9]+)\)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PARTS = ("settings", "columns", "rules")
_Part = TypeVar("_Part", "Column", "Rule", "Settings")


def _name(value: Any) -> Any:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("must be a name of a-z, 0-9 and _ that begins with a letter")
    return value


def _type(value: Any) -> str:
    text = re.sub(r"\s+", "", str(value)).lower()
    match = _DECIMAL.fullmatch(text)
    right_decimal = match is not None and 1 <= int(match[1]) <= 38 and int(match[2]) <= int(match[1])
    if not right_decimal and text not in ("int", "bigint", "string", "date"):
        raise ValueError("must be int, bigint, string, date or decimal(p,s) with p from 1 to 38 and s at most p")
    return text


def _date_format(value: Any) -> Any:
    # Java's own letters: YYYY is the week's year, DD the day of the year, mm minutes; yy guesses the century.
    parts = re.sub(r"[-/. ,_]", " ", str(value)).replace("yyyy", " y ", 1)
    parts = re.sub(r"M{1,4}", " M ", parts, count=1)
    if sorted(re.sub(r"d{1,2}", " d ", parts, count=1).split()) != ["M", "d", "y"]:
        raise ValueError("must hold yyyy, M to MMMM and d or dd once each, with - / . , _ or blanks between, such as dd.MM.yyyy")
    return value


Name = Annotated[str, BeforeValidator(_name)]
TypeName = Annotated[str, BeforeValidator(_type)]
DateFormat = Annotated[str, BeforeValidator(_date_format)]


@dataclass(frozen=True, config=_STRICT)
class Column:
    """One column of the contract."""

    name: Name
    type: TypeName
    required: bool = True
    nullable: bool = False
    aliases: tuple[Text, ...] = ()
    trim: bool = True
    date_formats: tuple[DateFormat, ...] = ()
    sensitive: bool = False
    max_length: OptionalPositive = None

    def __post_init__(self) -> None:
        if self.type == "date" and not self.date_formats:
            object.__setattr__(self, "date_formats", ("yyyy-MM-dd",))

    @property
    def precision_scale(self) -> tuple[int, int] | None:
        """Give (precision, scale) of a decimal, else None."""
        match = _DECIMAL.fullmatch(self.type)
        return (int(match[1]), int(match[2])) if match else None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield (field, message) for what does not fit together."""
        if not self.required and not self.nullable:
            yield "nullable", "must be true for a column that is not required"
        if self.type != "date" and self.date_formats:
            yield "date_formats", f"is for dates, the type is {self.type}"
        if self.type != "string" and self.max_length is not None:
            yield "max_length", f"is for strings, the type is {self.type}"


@dataclass(frozen=True, config=_STRICT)
class Rule:
    """A named Spark SQL expression; a row for which it is false breaks the rule."""

    name: Name
    expression: Text
    columns: Annotated[tuple[Text, ...], Field(min_length=1)]
    on_fail: Literal["reject", "warn"]


@dataclass(frozen=True, config=_STRICT)
class Settings:
    """What holds for whole files."""

    encoding: Literal["utf-8", "windows-1252"] = "utf-8"
    extra_columns: Name = "additional_column"
    max_reject_ratio: float = 1.0
    duplicates: Literal["skip", "process", "reject"] = "skip"
    redelivery: Literal["append", "replace"] = "append"

    @field_validator("max_reject_ratio", mode="before")
    @classmethod
    def _check_ratio(cls, value: Any) -> float:
        try:
            ratio = float(value)
        except (TypeError, ValueError):
            ratio = -1.0
        if not 0 <= ratio <= 1:
            raise ValueError("must be a number from 0 to 1")
        return ratio


@dataclass(frozen=True, config=_STRICT)
class Contract:
    """Columns in their order, rules and settings."""

    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    settings: Settings = field(default_factory=Settings)

    @property
    def names(self) -> tuple[str, ...]:
        """Give the names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def replaces(self) -> bool:
        """Whether a file takes the place of an earlier one of its name."""
        return self.settings.redelivery == "replace"

    @property
    def hash(self) -> str:
        """Give the SHA-256 of the meaning: comments, layout and spelt-out defaults do not change it."""
        canonical = json.dumps(_meaning(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def match_header(self, names: Sequence[str]) -> HeaderMatch:
        """Find the columns in a file's header by name, or say why they cannot be found."""
        accepted = {normalise_name(name): column.name for column in self.columns for name in (column.name, *column.aliases)}
        return match_header(names, accepted, [column.name for column in self.columns if column.required])


def load_contract(path: Path) -> Contract:
    """Read and check a contract.

    Raises:
        ContractError: anything is wrong; it names every fault with the file and the entry.
    """
    try:
        tree = read_yaml(path)
    except ConfigError as exc:
        raise ContractError(exc.what) from exc
    faults = [f"{key}: {unknown_key(key, _PARTS)}" for key in tree if key not in _PARTS]
    settings = _read_one(Settings, tree.get("settings") or {}, "settings", faults)
    columns = _read_list(Column, tree.get("columns"), "columns", faults)
    rules = _read_list(Rule, tree.get("rules"), "rules", faults)
    if not tree.get("columns"):
        faults.append("columns: is missing or empty")
    faults += _column_faults(columns, settings.extra_columns if settings else "")
    # A column with a fault of its own is still a column to the rules.
    written = [entry.get("name") for entry in tree.get("columns") or () if isinstance(entry, dict)]
    faults += _rule_faults(rules, frozenset(name for name in written if isinstance(name, str)))
    if faults or settings is None:
        raise config_error([f"{show_path(path)}: {fault}" for fault in faults], kind=ContractError)
    return Contract(tuple(columns), tuple(rules), settings)


def _read_list(kind: type[_Part], tree: Any, place: str, faults: list[str]) -> list[_Part]:
    if not isinstance(tree, list):
        faults += [f"{place}: must be a list"] if tree is not None else []
        return []
    parts = []
    for at, entry in enumerate(tree, 1):
        name = f" ({entry['name']})" if isinstance(entry, dict) and entry.get("name") else ""
        parts.append(_read_one(kind, entry, f"{place}[{at}]{name}", faults))
    return [part for part in parts if part is not None]


def _read_one(kind: type[_Part], tree: Any, place: str, faults: list[str]) -> _Part | None:
    given = {key: value for key, value in tree.items() if value is not None} if isinstance(tree, dict) else tree
    try:
        return TypeAdapter(kind).validate_python(given)
    except ValidationError as exc:
        known = [item.name for item in fields(kind)]
        for name, message in faults_in(exc):
            unknown = message == "is not a known key"
            faults.append(f"{place}{'.' if name else ''}{name}: {unknown_key(name, known) if unknown else message}")
    return None


def _column_faults(columns: Sequence[Column], reserved: str) -> Iterator[str]:
    owner: dict[str, str] = {}
    for column in columns:
        yield from (f"columns: {column.name}.{name}: {message}" for name, message in column.contradictions())
        if column.name == reserved:
            yield f"columns: {column.name}: is the name of settings.extra_columns"
        for name in dict.fromkeys(normalise_name(name) for name in (column.name, *column.aliases)):
            if name in owner:
                yield f"columns: {column.name}: the name or alias {name} is taken by {owner[name]}"
            owner.setdefault(name, column.name)


def _rule_faults(rules: Sequence[Rule], known: frozenset[str]) -> Iterator[str]:
    for name, times in Counter(rule.name for rule in rules).items():
        if times > 1:
            yield f"rules: {name}: occurs {times} times"
        if len(name) > MOST_RULE_CHARS:
            yield f"rules: {name}: must have at most {MOST_RULE_CHARS} characters"
    for rule in rules:
        for column in rule.columns:
            if column not in known:
                yield f"rules: {rule.name}.columns: {column} {unknown_key(column, known).replace('key', 'column')}"


def _meaning(part: Any) -> Any:
    """Give a part as plain data, without the fields that have their default."""
    if isinstance(part, tuple):
        return [_meaning(item) for item in part]
    if not is_dataclass(part):
        return part
    given = {item.name: getattr(part, item.name) for item in fields(part) if getattr(part, item.name) != item.default}
    return {name: _meaning(value) for name, value in given.items()}
