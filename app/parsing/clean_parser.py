"""The fast path of the scan: pieces of whole lines, each of which is one good record, through Arrow's CSV reader. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from app.parsing.record_rules import Limits
from app.parsing.rows import FAULTS, Layout, batches_of, counting, line_starts, pieces, values_of_cells

# Arrow's reader needs some kilobytes and microseconds for each column of each piece: rows with more columns are cut by hand.
MOST_ARROW_COLUMNS = 2000
_BOM = b"\xef\xbb\xbf"
_CRS = re.compile(rb"\r++(?=\n)")
_BLANK_LINE = re.compile(rb"^[ \t\r]*$", re.MULTILINE)


@lru_cache(maxsize=16)
def _clean_quotes_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Match text in which every quote belongs to a well-formed quoted field without line breaks."""
    mark = re.escape(delimiter.encode())
    # Atomic groups: before 3.11.5 Python matches a possessive group that has to give up wrongly (gh-106052).
    quoted = rb'(?<![^%b\n])"[^"\r\n]*+(?>(?:""[^"\r\n]*+)*)"(?![^%b\r\n])' % (mark, mark)
    return re.compile(rb'(?>(?:[^"]*+' + quoted + rb")*)[^\"]*+")


@dataclass(frozen=True)
class CleanLines:
    """Whole lines, each of which is one good record."""

    layout: Layout
    cells: Sequence[pa.Array]
    raw: pa.Array

    def batches(self, first_line: int) -> Iterator[pa.RecordBatch]:
        """Yield the records in batches of bounded size."""
        lines = pc.add(counting(len(self.raw)), first_line)
        faults = pa.nulls(len(self.raw), FAULTS)
        return batches_of(self.layout, lines, self.raw, faults, partial(values_of_cells, self.layout, self.cells))


def read_clean(piece: bytes, layout: Layout, limits: Limits) -> CleanLines | None:
    """Read whole lines at once; None unless every line is one good record."""
    if b"\0" in piece or piece.startswith(_BOM) or _has_long_line(piece, limits):
        return None
    if b"\r" in piece and piece.count(b"\r") != piece.count(b"\r\n"):
        # Line ends that were converted twice. CRs anywhere else are text, which Arrow would take for line breaks.
        piece = _CRS.sub(b"", piece)
        if b"\r" in piece:
            return None
    if len(layout.names) == 1 and _BLANK_LINE.search(piece, 0, len(piece) - 1):
        return None
    lines = piece.count(b"\n")
    try:
        text = piece if layout.encoding == "utf-8" else piece.decode(layout.encoding).encode()
        cells = read_cells(text, layout, pa.string())
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    if len(cells[0]) != lines or (b'"' in piece and not _has_clean_quotes(piece, layout, cells)):
        return None
    return CleanLines(layout, cells, pc.ascii_rtrim(pieces(text, line_starts(text), pa.string()), characters="\r\n"))


def _has_clean_quotes(piece: bytes, layout: Layout, cells: Sequence[pa.Array]) -> bool:
    """Tell whether no quote is out of place, for text in which Arrow found one record of the right width in each line."""
    quotes = piece.count(b'"')
    # Counting takes half as long as the pattern where most fields are quoted, and twice as long where few are.
    if quotes > len(piece) // 8 and _is_quoted_simply(piece, quotes, layout.delimiter.encode(), cells):
        return True
    return _clean_quotes_pattern(layout.delimiter).fullmatch(piece) is not None


def _is_quoted_simply(piece: bytes, quotes: int, mark: bytes, cells: Sequence[pa.Array]) -> bool:
    """Tell whether quotes are clean and no quoted field holds a quote, a delimiter or a line break.

    Where there are no more delimiters than columns need, each one is a real one, and each quote must stand beside one.
    """
    # Arrow takes a quote that the last field of all leaves open as closed; the line break is then part of the field.
    is_closed = "\n" not in cells[-1][-1].as_py()
    if not is_closed or piece.count(mark) != len(cells[0]) * (len(cells) - 1):
        return False
    opening = piece.count(mark + b'"') + piece.count(b'\n"') + piece.startswith(b'"')
    closing = piece.count(b'"' + mark) + piece.count(b'"\n') + (piece.count(b'"\r\n') if b"\r" in piece else 0)
    return opening + closing == quotes


def _has_long_line(piece: bytes, limits: Limits) -> bool:
    at = 0
    while len(piece) - at > limits.max_record_bytes:
        at = piece.rfind(b"\n", at, at + limits.max_record_bytes + 1) + 1
        if at == 0:
            return True
    return False


def read_cells(text: bytes, layout: Layout, kind: pa.DataType) -> list[pa.Array]:
    """Return the columns of a text of records, one a line, in the file's order."""
    names = [str(at) for at in range(len(layout.names))]
    table = arrow_csv.read_csv(
        pa.py_buffer(text),
        arrow_csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
        arrow_csv.ParseOptions(delimiter=layout.delimiter),
        arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, kind), strings_can_be_null=False),
    )
    return [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]
