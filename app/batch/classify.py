"""Classify rows: loaded, waiting or rejected, where the rows are, as Arrow. Pure: each row comes out once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from app.contract.contract import Contract, Rule
from app.contract.rules import CompiledRules
from app.model.dimensions import PRODUCT, REQUIRED_BITS, known_keys
from app.model.lookup import LookupSource
from app.parsing.rows import FAULTS, VALUE_CHARS

REJECT_COLUMNS = ("_file_id", "_split", "_line", "_raw", "_faults", "_reason")


@dataclass(frozen=True)
class Classified:
    """Rows by what becomes of them.

    Attributes:
        loaded: rows of `sales_columns` and `_month` (see `months`).
        waiting: the same, and `_known` (see `app.model.dimensions`).
        rejected: rows of REJECT_COLUMNS.
        markers: markers of splits, as text.
    """

    loaded: pa.RecordBatch
    waiting: pa.RecordBatch
    rejected: pa.RecordBatch | None = None
    markers: Sequence[str] = ()


def sales_columns(contract: Contract) -> list[str]:
    """Return the columns of a typed sales row: the contract's, extra columns, warnings and lineage."""
    return [*contract.names, contract.settings.extra_columns, "_warnings", "_file_id", "_split", "_line"]


def rule_code(rule: Rule) -> str:
    """Return the reason code of a broken rule: its name in upper case."""
    return rule.name.upper()


@dataclass(frozen=True)
class Classifier:
    """Classifies what a SplitReader yields. It is pickled to the workers. `batch_date` is the day that rules may speak of."""

    contract: Contract
    rules: CompiledRules
    batch_date: date

    def of(self, rows: pa.RecordBatch) -> Classified:
        """Classify typed rows with `_known`, or the markers of a task.

        The contract's rules judge rows whose values are sound. Each one that a row breaks is a fault (`reject`) or a warning (`warn`).
        """
        markers = rows.column("_marker").drop_null().to_pylist()
        if markers:
            rows = rows.filter(rows.column("_marker").is_null())
        is_sound = rows.column("_faults").is_null()
        product_known = pc.not_equal(pc.bit_wise_and(rows.column("_known"), PRODUCT.bit), 0)
        broken = self.rules.broken(rows, self.batch_date, product_known) if rows.num_rows else {}
        sound_only = {name: mask if is_sound.false_count == 0 else pc.and_(mask, is_sound) for name, mask in broken.items()}
        rejecting = [rule for rule in self.contract.rules if rule.on_fail == "reject" and sound_only and sound_only[rule.name].true_count]
        warning = [rule for rule in self.contract.rules if rule.on_fail == "warn" and sound_only and sound_only[rule.name].true_count]
        faults = rows.column("_faults")
        if rejecting:
            of_rules = _fault_lists(rows, rejecting, [sound_only[rule.name] for rule in rejecting])
            faults = pc.if_else(is_sound, of_rules, faults)
        count = rows.num_rows
        warnings = _warning_lists(warning, sound_only, count) if warning else pa.nulls(count, pa.list_(pa.string()))
        is_rejected = faults.is_valid()
        extra = self.contract.settings.extra_columns
        found = {name: rows.column(name) for name in rows.schema.names}
        found |= {"_warnings": warnings, extra: _extra_texts(rows.column("_extra"))}
        rejected = None
        if is_rejected.true_count:
            first = pc.struct_field(pc.list_element(faults.filter(is_rejected), 0), "code")
            columns = [found[name].filter(is_rejected) for name in REJECT_COLUMNS[:4]]
            rejected = pa.RecordBatch.from_arrays([*columns, faults.filter(is_rejected), first], list(REJECT_COLUMNS))
        names = [*sales_columns(self.contract), "_known"]
        sales = pa.RecordBatch.from_arrays([found[name] for name in names], names)
        return _by_known(sales.filter(pc.invert(is_rejected)) if rejected is not None else sales, rejected, markers)


def classify_waiting(rows: pa.RecordBatch, lookups: LookupSource) -> Classified:
    """Classify rows of `sales_columns` that were waiting for a dimension row: they are sound, so each is loaded or goes on waiting."""
    return _by_known(rows.append_column("_known", known_keys(rows, lookups.value)))


def _by_known(sales: pa.RecordBatch, rejected: pa.RecordBatch | None = None, markers: Sequence[str] = ()) -> Classified:
    sales = sales.append_column("_month", months(sales.column("sales_date")))
    is_known = pc.equal(pc.bit_wise_and(sales.column("_known"), REQUIRED_BITS), REQUIRED_BITS)
    is_all = is_known.false_count == 0
    waiting = sales.slice(0, 0) if is_all else sales.filter(pc.invert(is_known))
    loaded = sales if is_all else sales.filter(is_known)
    return Classified(loaded.drop_columns(["_known"]), waiting, rejected, markers)


def months(days: pa.Array) -> pa.Array:
    """Return the month of each day as a number: twelve times the year and the months before."""
    return pc.add(pc.multiply(pc.year(days), 12), pc.subtract(pc.month(days), 1))


def _fault_lists(rows: pa.RecordBatch, rules: Sequence[Rule], masks: Sequence[pa.BooleanArray]) -> pa.Array:
    """Return the faults of each row in the order of the rules, NULL where there is none."""
    places = [pc.indices_nonzero(mask) for mask in masks]
    texts = [_values(rows, rule.columns, at) for rule, at in zip(rules, places, strict=True)]
    kinds = [pa.repeat(number, len(at)) for number, at in enumerate(places)]
    by_row = pa.table({"row": pa.concat_arrays(places), "rule": pa.concat_arrays(kinds), "value": pa.concat_arrays(texts)})
    by_row = by_row.sort_by([("row", "ascending"), ("rule", "ascending")]).combine_chunks()
    rule = by_row.column("rule").chunk(0)
    codes, columns = pa.array([rule_code(one) for one in rules]), pa.array([",".join(one.columns) for one in rules])
    of_entry = [codes.take(rule), columns.take(rule), by_row.column("value").chunk(0)]
    entries = pa.StructArray.from_arrays(of_entry, fields=list(FAULTS.value_type))
    return _lists(masks, entries, FAULTS)


def _warning_lists(rules: Sequence[Rule], broken: dict[str, pa.BooleanArray], count: int) -> pa.Array:
    """Return the names of the rules that each row breaks, NULL where it breaks none."""
    masks = [broken[rule.name] for rule in rules]
    places = [pc.indices_nonzero(mask) for mask in masks]
    kinds = [pa.repeat(number, len(at)) for number, at in enumerate(places)]
    by_row = pa.table({"row": pa.concat_arrays(places), "rule": pa.concat_arrays(kinds)})
    by_row = by_row.sort_by([("row", "ascending"), ("rule", "ascending")]).combine_chunks()
    names = pa.array([rule.name for rule in rules]).take(by_row.column("rule").chunk(0))
    return _lists(masks, names, pa.list_(pa.string()))


def _lists(masks: Sequence[pa.BooleanArray], entries: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return one list for each row: as many of the entries, which come in order, as masks are true for it; NULL instead of an empty one."""
    sizes = reduce(pc.add, [mask.cast(pa.int32()) for mask in masks])
    ends = pc.cumulative_sum(sizes)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, entries, type=kind, mask=pc.equal(sizes, 0))


def _values(rows: pa.RecordBatch, columns: Sequence[str], at: pa.Array) -> pa.Array:
    """Return the values of some columns of some rows as one text each."""
    texts = [rows.column(name).take(at).cast(pa.string()) for name in columns]
    # Arrow (26) loses a row of which all values are NULL: something stands before each, and is taken away again with its comma.
    joined = pc.binary_join_element_wise(pa.repeat("", len(at)), *texts, ",", null_handling="skip")
    return pc.utf8_slice_codeunits(joined, 1, 1 + VALUE_CHARS)


def _extra_texts(extra: pa.Array) -> pa.Array:
    """Return extra columns by name as JSON, NULL where a file has none."""
    if extra.null_count == len(extra):
        return pa.nulls(len(extra), pa.string())
    texts = [json.dumps(dict(row), ensure_ascii=False, separators=(",", ":")) if row else None for row in extra.to_pylist()]
    return pa.array(texts, pa.string())
