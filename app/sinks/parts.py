"""What is written of the pieces of each kind, and where: facts, quarantine and waiting rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from app.config.load import S3Config
from app.model.dimensions import FactRows
from app.model.pieces import Piece, month_text
from app.s3.prefixes import fact_part_prefix, pending_part_prefix, quarantine_part_prefix
from app.sinks.part_writer import Part

FACTS_WRITTEN, REJECTS_WRITTEN, WAITERS_WRITTEN = "facts", "rejected rows", "waiting rows"
# More splits than a file ever has.
_SPLITS = 1 << 24


@dataclass(frozen=True)
class FileLines:
    """Turns lines of a split into lines of its file. `bases` says what is added, by (file, split); where it says nothing, nothing is."""

    bases: Mapping[tuple[int, int], int]

    def of(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Needs `_file_id`, `_split` and `_line`. Same rows."""
        if not self.bases:
            return rows
        split = pc.fill_null(rows.column("_split"), 0).cast(pa.int64())
        place = pc.add(pc.multiply(rows.column("_file_id"), _SPLITS), split).dictionary_encode()
        added = pa.array([self.bases.get(divmod(one, _SPLITS), 0) for one in place.dictionary.to_pylist()], pa.int64())
        at = rows.schema.get_field_index("_line")
        return rows.set_column(at, rows.schema.field(at), pc.add(rows.column("_line"), added.take(place.indices)))


@dataclass(frozen=True)
class _Below:
    """The prefix of a batch's parts."""

    config: S3Config
    batch_key: str

    def facts(self, piece: Piece) -> str:
        assert piece.name is not None, "facts have a month"
        assert piece.keys is not None, "facts have a store"
        return fact_part_prefix(self.config, piece.name, piece.keys[0], self.batch_key)

    def waiting(self, _piece: Piece) -> str:
        return pending_part_prefix(self.config, self.batch_key)


@dataclass(frozen=True)
class _QuarantineBelow:
    config: S3Config
    batch_key: str
    load_date: date

    def __call__(self, piece: Piece) -> str:
        assert piece.name is not None, "rejected rows have a reason"
        return quarantine_part_prefix(self.config, self.load_date, piece.name, self.batch_key)


def fact_part(config: S3Config, batch_key: str, complete: CompleteFacts | ConformedFacts) -> Part:
    """Facts lie below `<facts>/sales_month=/store_id=/batch_key=/`; month and store are in the path alone."""
    return Part(FACTS_WRITTEN, _Below(config, batch_key).facts, complete, "total_cost")


@dataclass(frozen=True)
class CompleteFacts:
    """Makes fact rows of sales rows: attaches the dimensions' attributes. `target` is what a part has that gets other rows as well."""

    made: FactRows
    lines: FileLines
    target: pa.Schema | None = None

    def __call__(self, _piece: Piece, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Same rows."""
        complete = self.made.of(self.lines.of(rows))
        if self.target is None:
            return complete
        return conformed({name: complete.column(name) for name in complete.schema.names}, rows.num_rows, self.target)


@dataclass(frozen=True)
class ConformedFacts:
    """Makes rows of a new part of rows that were facts before, with the attributes of their day.

    `extra` is the name of the column of extra columns; a piece's `value` is the one that it had when the rows were written.
    """

    target: pa.Schema
    extra: str

    def __call__(self, piece: Piece, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Same rows."""
        found = {name: rows.column(name) for name in rows.schema.names if name != piece.value}
        if piece.value is not None:
            old = rows.column(piece.value)
            found[self.extra] = pc.coalesce(found[self.extra], old) if self.extra in found else old
        return conformed(found, rows.num_rows, self.target)


def conformed(columns: Mapping[str, pa.Array], count: int, target: pa.Schema) -> pa.RecordBatch:
    """Return rows with the columns of a schema, in its order: casted where they are narrower, NULL where they have none."""
    arrays = [columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type) for field in target]
    return pa.RecordBatch.from_arrays(arrays, schema=target)


@dataclass(frozen=True)
class _Rejected:
    """Makes rows of the quarantine: adds the name of each row's file, NULL for a file that is not known."""

    names: Mapping[int, str]
    lines: FileLines

    def __call__(self, _piece: Piece, rows: pa.RecordBatch) -> pa.RecordBatch:
        rows = self.lines.of(rows)
        ids = rows.column("_file_id").dictionary_encode()
        names = pa.array([self.names.get(one) for one in ids.dictionary.to_pylist()], pa.string()).take(ids.indices)
        columns = {
            "_file_id": rows.column("_file_id"),
            "_file_name": names,
            "_line": rows.column("_line"),
            "_raw": rows.column("_raw"),
            "_reasons": rows.column("_faults"),
        }
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def quarantine_part(config: S3Config, batch_key: str, load_date: date, names: Mapping[int, str], lines: FileLines) -> Part:
    """Rejected rows lie below `<error>/quarantine/load_date=/reason=/batch_key=/`; `reason` is a row's first reason.

    The Parquet holds `_file_id`, `_file_name`, `_line`, `_raw` and `_reasons`. `names` are the keys of the rows' files.
    """
    return Part(REJECTS_WRITTEN, _QuarantineBelow(config, batch_key, load_date), _Rejected(names, lines))


@dataclass(frozen=True)
class _Waiting:
    """Makes rows of a waiting part: sales rows with their month as text."""

    lines: FileLines
    columns: Sequence[str]

    def __call__(self, _piece: Piece, rows: pa.RecordBatch) -> pa.RecordBatch:
        rows = self.lines.of(rows)
        month = rows.column("_month").dictionary_encode()
        texts = pa.array([month_text(one) for one in month.dictionary.to_pylist()], pa.string()).take(month.indices)
        return pa.RecordBatch.from_arrays([*(rows.column(name) for name in self.columns), texts], [*self.columns, "sales_month"])


def waiting_part(config: S3Config, batch_key: str, columns: Sequence[str], lines: FileLines) -> Part:
    """Rows that wait for a dimension row lie below `<pending>/batch_key=/`, with these columns and `sales_month`."""
    return Part(WAITERS_WRITTEN, _Below(config, batch_key).waiting, _Waiting(lines, columns))
