"""CSV text as Python's csv module writes it, and what any reader must find in it: the other side of the round trip."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

COLUMNS = ("customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost")
QUOTINGS = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)
ENDINGS = ("\n", "\r\n")
DELIMITERS = (",", ";", "\t", "|")
# Names that make the header itself hard to read; none of them is a contract's column, and none makes the delimiter ambiguous.
EXTRA_NAMES = ("note", "größe", 'say "x" twice', "a,b;c|d", "two\nlines", "数量", "back\\slash")


@dataclass(frozen=True)
class Written:
    """One CSV file: its bytes, the line on which each row begins, and the text of each row's cells by column."""

    data: bytes
    lines: list[int]
    cells: list[dict[str, str]]


def write_csv(
    header: Sequence[str], rows: Sequence[Sequence[Any]], *, quoting: Literal[0, 1, 2, 3], ending: str, delimiter: str
) -> Written:
    """Write a file row by row."""
    texts = []
    for row in (header, *rows):
        buffer = io.StringIO(newline="")
        csv.writer(buffer, quoting=quoting, lineterminator=ending, delimiter=delimiter).writerow(row)
        texts.append(buffer.getvalue())
    begins = [1]
    for text in texts:
        begins.append(begins[-1] + text.count("\n"))
    cells = [dict(zip(header, _seen(row, text, ending), strict=True)) for row, text in zip(rows, texts[1:], strict=True)]
    return Written("".join(texts).encode(), begins[1:-1], cells)


def _seen(row: Sequence[Any], text: str, ending: str) -> list[str]:
    cells = [str(cell) for cell in row]
    # csv does not quote a CR where lines end in LF: at the end of a line nobody can tell it from one half of CRLF.
    is_last_quoted = text.removesuffix(ending).endswith('"')
    if ending == "\n" and not is_last_quoted:
        cells[-1] = cells[-1].removesuffix("\r")
    return cells
