"""Read the text of a rule: Spark SQL with Spark's own literals, brackets and names of functions.

sqlglot parses. It reads SQL of many databases, takes more than Spark takes, and binds some operators in another order. What Spark reads in
another way is refused here, or read again from the text (strings and numbers).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import SqlglotError
from sqlglot.parsers.spark import SparkParser
from sqlglot.tokenizer_core import Token, TokenType

from app.contract.rule_parts import Refused


class _Parser(SparkParser):
    """Spark's parser, but functions keep the names and arguments that the rule gives them."""

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CAST": SparkParser.FUNCTION_PARSERS["CAST"]}
    # Spark sees no literal in +1, which matters beside a decimal; sqlglot drops the sign.
    UNARY_PARSERS: ClassVar[dict[Any, Any]] = {
        token: parse for token, parse in SparkParser.UNARY_PARSERS.items() if token != TokenType.PLUS
    }
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}


class _Dialect(Spark):
    Parser = _Parser


CONNECTIVES = (exp.And, exp.Or, exp.Not)
COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "<=>",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
PREDICATES = (exp.Between, exp.In, exp.Is, exp.Like, exp.Escape, exp.RegexpLike)
ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
# What a node may hold; whatever else sqlglot finds in the text changes what it means.
_PARTS: dict[type[exp.Expr], set[str]] = {
    **{kind: {"this", "expression"} for kind in (*COMPARISONS, *ARITHMETIC)},
    exp.And: {"this", "expression"},
    exp.Or: {"this", "expression"},
    exp.Column: {"this"},
    exp.Identifier: {"this", "quoted"},
    exp.Literal: {"this", "is_string"},
    exp.Null: set(),
    exp.Boolean: {"this"},
    exp.Paren: {"this"},
    exp.Neg: {"this"},
    exp.Not: {"this"},
    exp.DPipe: {"this", "expression", "safe"},
    exp.Div: {"this", "expression", "typed", "safe"},
    exp.Between: {"this", "low", "high", "negate"},
    exp.In: {"this", "expressions", "negate"},
    exp.Is: {"this", "expression", "negate"},
    exp.Like: {"this", "expression", "negate"},
    exp.Escape: {"this", "expression"},
    exp.RegexpLike: {"this", "expression", "negate"},
    exp.Case: {"this", "ifs", "default"},
    exp.If: {"this", "true", "false"},
    exp.Anonymous: {"this", "expressions"},
    exp.Cast: {"this", "to"},
    exp.TryCast: {"this", "to"},
    exp.DataType: {"this", "expressions", "nested"},
    exp.DataTypeParam: {"this"},
}
_NAMES: dict[type[exp.Expr], str] = {
    exp.Select: "a subquery",
    exp.Subquery: "a subquery",
    exp.Window: "OVER",
    exp.Alias: "AS",
    exp.Block: ";",
}
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)


def parse(text: str) -> exp.Expr:
    """Return the syntax tree of a rule, whose literals are as Spark reads them: a text, or a number with its suffix.

    Raises:
        Refused: the text is no expression, or holds what Spark reads otherwise.
    """
    dialect = _Dialect()
    try:
        trees = dialect.parser().parse(list(_spark_literals(dialect.tokenize(text), text)), text)
    except SqlglotError as exc:
        raise Refused(f"is no expression of Spark SQL: {_in_one_line(exc)}") from exc
    if len(trees) != 1 or trees[0] is None or isinstance(trees[0], exp.Command):
        raise Refused("is no expression of Spark SQL")
    _check(trees[0])
    return trees[0]


def operator_name(node: exp.Expr) -> str:
    """Return how a user knows a construct."""
    named = COMPARISONS.get(type(node)) or ARITHMETIC.get(type(node)) or _NAMES.get(type(node))
    return named or str(node.key).upper().replace("_", " ")


def negated(node: exp.Expr) -> bool:
    """Tell whether NOT stands inside a predicate, as in NOT LIKE."""
    return bool(node.args.get("negate"))


def _in_one_line(exc: SqlglotError) -> str:
    errors = getattr(exc, "errors", None)
    said = errors[0].get("description") if errors else str(exc).splitlines()[0]
    return " ".join(re.sub(r"<class '[\w.]*?(\w+)'>", r"\1", str(said)).split()).rstrip(".")


def _spark_literals(tokens: Sequence[Token], text: str) -> Iterator[Token]:
    """Yield the tokens with literals as Spark reads them: sqlglot knows neither '' within a text nor all escapes, and cuts suffixes off."""
    at = 0
    while at < len(tokens):
        first = last = tokens[at]
        run = [first]
        if first.token_type == TokenType.STRING:
            while at + len(run) < len(tokens) and tokens[at + len(run)].token_type == TokenType.STRING:
                run.append(tokens[at + len(run)])
            yield _token(first, _joined(run, text))
        elif first.token_type == TokenType.NUMBER or _is_point(tokens, at):
            last = tokens[at + 1] if first.token_type == TokenType.DOT else first
            run = [token for token in tokens[at:] if token.start <= last.end]
            yield _token(last, text[first.start : last.end + 1])
        else:
            yield first
        at += len(run)


def _is_point(tokens: Sequence[Token], at: int) -> bool:
    """Tell whether a number begins with its point."""
    if tokens[at].token_type != TokenType.DOT or at + 1 == len(tokens):
        return False
    before, point, number = tokens[at - 1], tokens[at], tokens[at + 1]
    is_member = at > 0 and before.end + 1 == point.start and before.token_type in (TokenType.VAR, TokenType.IDENTIFIER)
    return number.token_type == TokenType.NUMBER and number.start == point.end + 1 and not is_member


def _token(like: Token, text: str) -> Token:
    return Token(like.token_type, text, like.line, like.col, like.start, like.end)


def _joined(tokens: Iterable[Token], text: str) -> str:
    """Return the text of string literals that follow each other: two without a blank between are one with a quote in it."""
    parts: list[str] = []
    quote, end = "", -2
    for token in tokens:
        source = text[token.start : token.end + 1]
        if source[0] not in "'\"":
            raise Refused(f"the literal {source} is not on the list: write '...'")
        if token.start == end + 1 and source[0] == quote:
            parts.append(quote)
        parts.append(_ESCAPE.sub(_unescaped, source[1:-1]))
        quote, end = source[0], token.end
    return "".join(parts)


def _unescaped(match: re.Match[str]) -> str:
    short, long, octal, char = match.groups()
    if char is not None:
        return _ESCAPES.get(char, char)
    code = int(octal, 8) if octal else int(short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise Refused(f"{match[0]} is no character")
    return chr(code)


def _check(tree: exp.Expr) -> None:
    for node in tree.walk():
        known = _PARTS.get(type(node))
        if known is None:
            raise Refused(f"{operator_name(node)} is not on the list")
        extra = [name for name, value in node.args.items() if value and name not in known]
        if extra:
            raise Refused(f"{operator_name(node)} with {extra[0].replace('_', ' ')} is not on the list")
        if isinstance(node, (*COMPARISONS, *PREDICATES, *ARITHMETIC, exp.DPipe, exp.Neg)):
            for child in _operands(node):
                _check_operand(node, child)


def _operands(node: exp.Expr) -> Iterator[exp.Expr]:
    yield from (value for name in ("this", "expression", "low", "high") if isinstance(value := node.args.get(name), exp.Expr))


def _check_operand(node: exp.Expr, child: exp.Expr) -> None:
    """Refuse operators side by side that Spark binds in another order than sqlglot."""
    is_condition = isinstance(child, (*CONNECTIVES, *COMPARISONS, *PREDICATES))
    is_pattern = isinstance(node, exp.Escape) and isinstance(child, exp.Like)
    joins_and_adds = {type(node) is exp.DPipe, type(child) is exp.DPipe} == {True, False} and (
        isinstance(node, (exp.Add, exp.Sub)) or isinstance(child, (exp.Add, exp.Sub))
    )
    if (is_condition and not is_pattern) or joins_and_adds:
        raise Refused(f"put brackets around the {operator_name(child)} beside {operator_name(node)}")
