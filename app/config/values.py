"""The types of configuration values: each takes the text of a file or variable, or the value itself, and says what it must be."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

_SIZE = re.compile(r"(\d+)\s*([kmgt]?)b?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_INTERVAL = re.compile(r"(\d+)\s*(ms|milliseconds?|s|seconds?|minutes?)", re.IGNORECASE)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]+", str(value).strip()):
        raise ValueError("must be an integer")
    return int(value)


def _positive(value: Any) -> int:
    try:
        number = _whole(value)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError("must be a positive integer")
    return number


def _not_negative(value: Any) -> int:
    try:
        number = _whole(value)
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError("must be an integer, 0 or more")
    return number


def _port(value: Any) -> int:
    try:
        number = _whole(value)
    except ValueError:
        number = 0
    if not 1 <= number <= 65535:
        raise ValueError("must be a port number from 1 to 65535")
    return number


def _seconds(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        raise ValueError("must be a number of seconds, 0 or more")
    return number


def _bytes(value: Any) -> int:
    match = _SIZE.fullmatch(str(value).strip())
    size = int(match[1]) << (10 * _POWER[match[2].lower()]) if match else 0
    if size < 1:
        raise ValueError("must be a size such as 1048576, 64k, 32m or 1g")
    return size


def _rate(value: Any) -> Decimal:
    try:
        rate = Decimal(str(value).strip())
    except InvalidOperation:
        rate = Decimal("NaN")
    if not rate.is_finite() or not 0 <= rate <= 1:
        raise ValueError("must be a number from 0 to 1")
    return rate


def _interval(value: Any) -> str:
    match = _INTERVAL.fullmatch(str(value).strip())
    if not match:
        raise ValueError("must be a time such as '500 milliseconds', '2 seconds' or '1 minute'")
    unit = match[2].lower()
    full = "seconds" if unit.startswith("s") else "minutes" if unit.startswith("min") else "milliseconds"
    return f"{int(match[1])} {full}"


def _patterns(value: Any) -> tuple[str, ...]:
    """Read names or patterns: a list, or a text (an override) in which commas stand between them."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("must be a list of patterns such as ['*.tmp', '*.part']")
    if isinstance(value, str) and not value.strip():
        return ()
    if not all(part.strip() for part in parts):
        raise ValueError("must not hold an empty pattern, which would match nothing")
    return tuple(part.strip() for part in parts)


def _text(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise ValueError("must not be empty")
    return value


def _blank_to_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_text)]
BlankText = Annotated[str, BeforeValidator(lambda value: value or "")]
OptionalText = Annotated[str | None, BeforeValidator(_blank_to_none)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_to_none)]
OptionalPath = Annotated[Path | None, BeforeValidator(_blank_to_none)]
Positive = Annotated[int, BeforeValidator(_positive)]
NotNegative = Annotated[int, BeforeValidator(_not_negative)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Bytes = Annotated[int, BeforeValidator(_bytes)]
OptionalPositive = Annotated[int | None, BeforeValidator(lambda value: None if value is None else _positive(value))]
Port = Annotated[int, BeforeValidator(_port)]
Interval = Annotated[str, BeforeValidator(_interval)]
Rate = Annotated[Decimal, BeforeValidator(_rate)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
MemorySize = Annotated[str, Field(pattern=r"^[1-9][0-9]*[kmgt]$")]
