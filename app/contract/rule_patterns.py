"""Patterns of LIKE and RLIKE as regular expressions of RE2, which Arrow has. Spark has Java's.

Of Java's expressions those are taken that say the same in both, or that can be said in RE2's words; all others are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from app.contract.rule_parts import Refused

# What ends a line for Java: a point does not match it, and $ also matches before the last one of a text.
_LINE_ENDS = "\\n\\r\\x{85}\\x{2028}\\x{2029}"
_LAST_LINE_END = "(?:\\r\\n|[" + _LINE_ENDS + "])\\z"
_META = set(".^$*+?()[]{}|\\")
_CLASSES = {"d": "0-9", "w": "a-zA-Z0-9_", "s": " \\t\\n\\x0B\\f\\r"}
_CONTROLS = {"t": "\\t", "n": "\\n", "r": "\\r", "f": "\\f"}
_QUANTIFIER = re.compile(r"[*+?]|\{(0|[1-9][0-9]{0,3})(,(0|[1-9][0-9]{0,3})?)?\}")
_MOST_REPEATS = 1000


@dataclass(frozen=True)
class Pattern:
    """An expression of RE2 that is searched in a text; with `has_end`, in the text without its last line end as well."""

    expression: str
    has_end: bool = False

    def search(self, value: pa.Array) -> pa.BooleanArray:
        """Tell in which texts the pattern occurs."""
        found = pc.match_substring_regex(value, pattern=self.expression)
        if self.has_end and pc.any(pc.match_substring_regex(value, pattern=_LAST_LINE_END)).as_py():
            shorter = pc.replace_substring_regex(value, pattern=_LAST_LINE_END, replacement="")
            found = pc.or_(found, pc.match_substring_regex(shorter, pattern=self.expression))
        return found


def _tried(pattern: Pattern) -> Pattern:
    try:
        pattern.search(pa.array([""]))
    except pa.ArrowInvalid as exc:
        raise Refused(f"the pattern is too large: {str(exc).splitlines()[0]}") from exc
    return pattern


def like_pattern(text: str, escape: str = "\\") -> Pattern:
    """Return the pattern of a LIKE: % is any text, _ one character.

    Raises:
        Refused: the escape character is not followed by what it can escape.
    """
    parts = []
    chars = iter(text)
    for char in chars:
        if char == escape:
            escaped = next(chars, None)
            if escaped not in ("%", "_", escape):
                raise Refused(f"in the pattern {text!r} {escape!r} must be followed by % or _ or itself")
            parts.append(_quoted(escaped))
        else:
            parts.append({"%": ".*", "_": "."}.get(char) or _quoted(char))
    return _tried(Pattern(f"(?s)\\A{''.join(parts)}\\z"))


def regular_expression(text: str) -> Pattern:
    """Return the pattern of an RLIKE.

    Raises:
        Refused: the expression holds what RE2 and Java read differently, or what one of them lacks.
    """
    return _tried(_Reader(text).read())


def _quoted(char: str) -> str:
    return "\\" + char if char in _META else f"\\x{{{ord(char):X}}}" if ord(char) < 0x20 else char


class _Reader:
    """Reads a regular expression of Java's from left to right and writes that of RE2."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._has_end = False
        self._has_last = False

    def read(self) -> Pattern:
        written = self._alternatives(depth=0)
        if self._at < len(self._text):
            raise self._refused("a bracket that was not opened")
        if self._has_end and self._has_last:
            raise self._refused("\\z beside $")
        return Pattern(written, self._has_end)

    def _alternatives(self, depth: int) -> str:
        parts = []
        while self._at < len(self._text) and not self._next_is(")"):
            parts.append(self._take() if self._next_is("|") else self._repeated(depth))
        return "".join(parts)

    def _repeated(self, depth: int) -> str:
        piece, may_repeat = self._piece(depth)
        match = _QUANTIFIER.match(self._text, self._at)
        if match is None:
            return piece
        self._at = match.end()
        least, most = int(match[1] or 0), int(match[3] or 0)
        if not may_repeat or max(least, most) > _MOST_REPEATS or (match[3] and least > most):
            raise self._refused(f"{match[0]} there")
        lazy = self._take() if self._next_is("?") else ""
        if _QUANTIFIER.match(self._text, self._at):
            raise self._refused("a quantifier after a quantifier")
        return piece + match[0] + lazy

    def _piece(self, depth: int) -> tuple[str, bool]:
        char = self._take()
        if char == "(":
            return self._group(depth), True
        if char == "[":
            return self._class(), True
        if char == "\\":
            return self._escaped()
        if char == ".":
            return f"[^{_LINE_ENDS}]", True
        if char == "^":
            return "\\A", False
        if char == "$":
            if depth or not (self._at == len(self._text) or self._next_is("|")):
                raise self._refused("$ before the end")
            self._has_end = True
            return "\\z", False
        if char in "*+?{":
            raise self._refused(f"{char} there")
        return _quoted(char), True

    def _group(self, depth: int) -> str:
        opened = "("
        if self._next_is("?"):
            if not self._text.startswith("?:", self._at):
                raise self._refused("(? other than (?:")
            self._at += 2
            opened = "(?:"
        inner = self._alternatives(depth + 1)
        if not self._next_is(")"):
            raise self._refused("a bracket that is not closed")
        self._at += 1
        return f"{opened}{inner})"

    def _escaped(self) -> tuple[str, bool]:
        char = self._take()
        if char in "Az":
            self._has_last |= char == "z"
            return f"\\{char}", False
        if char.lower() in _CLASSES:
            return f"[{'^' if char.isupper() else ''}{_CLASSES[char.lower()]}]", True
        return self._literal(char), True

    def _literal(self, char: str) -> str:
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum() or not char.isascii():
            raise self._refused(f"\\{char}")
        return f"\\x{{{ord(char):X}}}"

    def _class(self) -> str:
        parts = ["^"] if self._next_is("^") else []
        self._at += len(parts)
        start = self._at
        while not self._next_is("]") or self._at == start:
            char = self._take()
            is_set = char == "\\" and self._at < len(self._text) and self._text[self._at] in _CLASSES
            first = _CLASSES[self._take()] if is_set else self._member(char)
            if self._next_is("-") and not self._text.startswith("-]", self._at):
                self._at += 1
                if is_set:
                    raise self._refused("a range that begins with a class")
                last = self._member(self._take())
                if _code(first) > _code(last):
                    raise self._refused("a range that ends before it begins")
                first = f"{first}-{last}"
            parts.append(first)
        self._at += 1
        return f"[{''.join(parts)}]"

    def _member(self, char: str) -> str:
        if char in "[]&^" or (char == "-" and not self._next_is("]") and self._text[self._at - 2] not in "[^"):
            raise self._refused(f"{char} within [ ]; write \\{char}")
        if char == "\\":
            escaped = self._take()
            return self._literal(escaped)
        return f"\\x{{{ord(char):X}}}"

    def _next_is(self, char: str) -> bool:
        return self._text.startswith(char, self._at)

    def _take(self) -> str:
        if self._at == len(self._text):
            raise self._refused("an end in the middle")
        self._at += 1
        return self._text[self._at - 1]

    def _refused(self, what: str) -> Refused:
        return Refused(
            f"in the regular expression {self._text!r} {what} is not on the list: characters, . [a-z] [^a-z] \\d \\w \\s \\D \\W \\S, "
            "( ) (?: ) |, * + ? {n,m}, ^ at the beginning and $ at the end"
        )


def _code(written: str) -> int:
    plain = {"\\t": 9, "\\n": 10, "\\r": 13, "\\f": 12}
    return plain[written] if written in plain else int(written[3:-1], 16)
