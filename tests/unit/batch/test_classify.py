"""Every row is loaded, rejected or pending, none is lost; a waiting row says what it waits for, a rejected one why."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from app.batch.classify import REJECT_COLUMNS, Classified, Classifier, classify_waiting, months, sales_columns
from app.contract.contract import Column, Contract, Rule
from app.contract.rules import CompiledRules
from app.model.pieces import month_text
from tests.frames import known, scanned
from tests.shipped import shipped_contract

CLAIMED_ON = date(2024, 5, 1)

# By name, what makes each row differ from a good one.
ROWS: dict[str, dict[str, Any]] = {
    "good": {},
    "unknown customer": {"customer_id": "99"},
    "unknown store": {"store_id": "999"},
    "unknown seller": {"sales_person_id": "9"},
    "all unknown": {"customer_id": "99", "store_id": "999", "sales_person_id": "9"},
    "unknown in another file": {"customer_id": "99", "_file_id": 8},
    "another unknown customer": {"customer_id": "98"},
    "unknown product": {"product_name": "tea"},
    "product in capitals": {"product_name": "Sugar"},
    "no last names": {"customer_id": "2", "sales_person_id": "2", "store_id": "122"},
    "bad and unknown": {"customer_id": "99", "quantity": "two"},
    "two faults": {"price": "1e5", "customer_id": "x"},
    "no customer": {"customer_id": ""},
    "broken line": {
        **dict.fromkeys(("customer_id", "store_id", "price", "total_cost")),
        "_faults": [("WRONG_FIELD_COUNT", None, "7 of 8")],
        "_raw": "1,121,sugar",
    },
    "extra columns": {"_extra": [("note", 'a "b"\n\u00e9'), ("payment_mode", "UPI")]},
    "no extra columns": {"_extra": []},
    "quantity zero": {"quantity": "0", "total_cost": "0"},
    "negative price": {"price": "-50.00", "quantity": "-2"},
    "returned": {"quantity": "-2", "total_cost": "-100.00"},
    "wrong total": {"total_cost": "100.02"},
    "a cent off": {"total_cost": "100.01"},
    "tomorrow": {"sales_date": "2024-05-02"},
    "day after tomorrow": {"sales_date": "2024-05-03"},
    "marker": {
        **dict.fromkeys(("customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost")),
        "_marker": '{"file_id": 7}',
        "_raw": None,
    },
}


Found = dict[str, Any]


def found_in(classified: Classified) -> list[Found]:
    """Return all rows, each with what became of it."""
    groups = {"loaded": classified.loaded, "pending": classified.waiting, "rejected": classified.rejected}
    return [row | {"_outcome": outcome} for outcome, rows in groups.items() for row in (rows.to_pylist() if rows is not None else ())]


@pytest.fixture(scope="module")
def classified() -> Classified:
    contract = shipped_contract()
    return Classifier(contract, CompiledRules.of(contract), CLAIMED_ON).of(scanned(contract, *ROWS.values()))


@pytest.fixture(scope="module")
def by_name(classified: Classified) -> dict[str, Found]:
    names = list(ROWS)
    return {names[row["_line"] - 1]: row for row in found_in(classified)}


def missing(row: Found) -> list[str]:
    """Return what a waiting row waits for: a loaded one is not asked."""
    return [name for name, bit in {"customer": 1, "store": 2, "sales_team": 4}.items() if not row["_known"] & bit]


def test_no_row_is_lost_or_doubled_and_a_marker_is_no_row(classified: Classified) -> None:
    assert sorted(row["_line"] for row in found_in(classified)) == list(range(1, len(ROWS)))
    assert list(ROWS)[-1] == "marker"
    assert classified.markers == ['{"file_id": 7}']


def test_the_columns_are_those_that_later_steps_need(classified: Classified, contract: Contract) -> None:
    sales = [
        "customer_id",
        "store_id",
        "product_name",
        "sales_date",
        "sales_person_id",
        "price",
        "quantity",
        "total_cost",
        "additional_column",
        "_warnings",
        "_file_id",
        "_split",
        "_line",
    ]
    assert sales_columns(contract) == sales
    assert classified.loaded.schema.names == [*sales, "_month"]
    assert classified.waiting.schema.names == [*sales, "_known", "_month"]
    assert classified.rejected is not None
    assert classified.rejected.schema.names == list(REJECT_COLUMNS) == ["_file_id", "_split", "_line", "_raw", "_faults", "_reason"]
    # As the contract and the quarantine have them.
    types = {field.name: str(field.type) for field in classified.loaded.schema}
    assert (types["customer_id"], types["price"], types["total_cost"]) == ("int32", "decimal128(12, 4)", "decimal128(18, 4)")
    assert (types["sales_date"], types["additional_column"], types["_month"]) == ("date32[day]", "string", "int64")


def test_a_good_row_is_loaded_with_typed_values_and_its_month(by_name: dict[str, Found]) -> None:
    row = by_name["good"]
    assert (row["customer_id"], row["store_id"], row["product_name"], row["sales_person_id"]) == (1, 121, "sugar", 1)
    assert (row["sales_date"], month_text(row["_month"])) == (date(2024, 4, 30), "2024-04")
    assert (row["price"], row["quantity"], row["total_cost"]) == (Decimal("50.0000"), 2, Decimal("100.0000"))
    assert row["_outcome"] == "loaded"
    assert (row["_file_id"], row["_warnings"], row["additional_column"]) == (7, None, None)


@pytest.mark.parametrize(
    ("day", "month"), [("0001-01-31", "0001-01"), ("1969-12-31", "1969-12"), ("2024-12-01", "2024-12"), ("9999-12-31", "9999-12")]
)
def test_the_month_of_any_day_is_a_number_and_a_text(day: str, month: str) -> None:
    [number] = months(pa.array([date.fromisoformat(day)])).to_pylist()
    assert number == 12 * int(month[:4]) + int(month[5:]) - 1
    assert month_text(number) == month


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("unknown customer", ["customer"]),
        ("unknown store", ["store"]),
        ("unknown seller", ["sales_team"]),
        ("all unknown", ["customer", "store", "sales_team"]),
    ],
)
def test_a_row_with_an_unknown_key_waits_and_says_for_what(by_name: dict[str, Found], name: str, unknown: list[str]) -> None:
    assert (by_name[name]["_outcome"], missing(by_name[name])) == ("pending", unknown)


@pytest.mark.parametrize("name", ["unknown product", "product in capitals"])
def test_an_unknown_product_is_loaded_with_a_warning(by_name: dict[str, Found], name: str) -> None:
    assert (by_name[name]["_outcome"], by_name[name]["_warnings"]) == ("loaded", ["product_known"])


def test_a_missing_last_name_or_manager_is_no_reason_to_wait(by_name: dict[str, Found]) -> None:
    assert by_name["no last names"]["_outcome"] == "loaded"


def test_a_bad_row_is_rejected_even_if_its_customer_is_unknown(by_name: dict[str, Found]) -> None:
    assert (by_name["bad and unknown"]["_outcome"], by_name["bad and unknown"]["_reason"]) == ("rejected", "INVALID_INT")


def test_a_rejected_row_keeps_its_text_and_every_reason_and_counts_under_the_first(by_name: dict[str, Found]) -> None:
    row = by_name["two faults"]
    assert (row["_outcome"], row["_raw"], row["_reason"]) == ("rejected", "the text", "INVALID_INT")
    assert [tuple(fault.values()) for fault in row["_faults"]] == [("INVALID_INT", "customer_id", "x"), ("INVALID_DECIMAL", "price", "1e5")]


def test_a_missing_key_is_a_fault_and_not_an_unknown_one(by_name: dict[str, Found]) -> None:
    assert (by_name["no customer"]["_outcome"], by_name["no customer"]["_reason"]) == ("rejected", "NULL_VALUE")


def test_a_structural_fault_is_the_only_reason(by_name: dict[str, Found]) -> None:
    row = by_name["broken line"]
    assert (row["_outcome"], row["_reason"], row["_raw"]) == ("rejected", "WRONG_FIELD_COUNT", "1,121,sugar")
    assert row["_faults"] == [{"code": "WRONG_FIELD_COUNT", "column": None, "value": "7 of 8"}]


def test_extra_columns_become_json(by_name: dict[str, Found]) -> None:
    assert json.loads(by_name["extra columns"]["additional_column"]) == {"payment_mode": "UPI", "note": 'a "b"\n\u00e9'}
    # By name, as short as it can be, letters as they are.
    assert by_name["extra columns"]["additional_column"] == '{"note":"a \\"b\\"\\n\u00e9","payment_mode":"UPI"}'
    assert by_name["no extra columns"]["additional_column"] is None


@pytest.mark.parametrize(
    ("name", "reason", "value"), [("quantity zero", "QUANTITY_NOT_ZERO", "0"), ("negative price", "PRICE_NOT_NEGATIVE", "-50.0000")]
)
def test_a_broken_rule_rejects_the_row(by_name: dict[str, Found], name: str, reason: str, value: str) -> None:
    assert (by_name[name]["_outcome"], by_name[name]["_reason"]) == ("rejected", reason)
    assert [fault["value"] for fault in by_name[name]["_faults"]] == [value]


@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("returned", None),
        ("wrong total", ["total_matches"]),
        ("a cent off", None),
        ("tomorrow", None),
        ("day after tomorrow", ["date_not_in_future"]),
    ],
)
def test_what_is_only_odd_is_loaded(by_name: dict[str, Found], name: str, warnings: list[str] | None) -> None:
    assert (by_name[name]["_outcome"], by_name[name]["_warnings"]) == ("loaded", warnings)


# What broken rules make of a row


@dataclass(frozen=True)
class Judge:
    """Stands for the compiled rules: says which lines break which rule, and notes what it is asked with."""

    lines: dict[str, Collection[int]]
    asked: list[tuple[date, list[bool]]] = field(default_factory=list)

    def broken(self, rows: pa.RecordBatch, batch_date: date, product_known: pa.BooleanArray) -> dict[str, pa.BooleanArray]:
        self.asked.append((batch_date, product_known.to_pylist()))
        return {name: pa.array([line in lines for line in rows.column("_line").to_pylist()]) for name, lines in self.lines.items()}


def rule(name: str, *columns: str, on_fail: str = "reject") -> Rule:
    return Rule(name, "true", columns, on_fail)


RULES = (
    rule("late", "sales_date", on_fail="warn"),
    rule("first", "product_name"),
    rule("second", "note", "price", "empty", "sales_date", "customer_id"),
    rule("odd", "price", on_fail="warn"),
    rule("third", "empty", "note"),
)
WIDER = replace(
    shipped_contract(),
    columns=(
        *shipped_contract().columns,
        Column("note", "string", required=False, nullable=True),
        Column("empty", "int", required=False, nullable=True),
    ),
    rules=RULES,
)


def judged(lines: dict[str, Collection[int]], *rows: Found) -> tuple[dict[int, Found], Judge]:
    judge = Judge({one.name: () for one in RULES} | lines)
    rules: Any = judge
    made = scanned(WIDER, *({"note": None, "empty": None} | row for row in rows))
    found = found_in(Classifier(WIDER, rules, CLAIMED_ON).of(made))
    assert len(found) == len(rows)
    return {row["_line"]: row for row in found}, judge


def faults_of(row: Found) -> list[tuple[str, str, str]]:
    return [(fault["code"], fault["column"], fault["value"]) for fault in row["_faults"]]


def test_a_row_that_keeps_all_rules_has_neither_faults_nor_warnings() -> None:
    found, _ = judged({"first": [2], "odd": [3]}, {}, {}, {})
    assert (found[1]["_outcome"], found[1]["_warnings"]) == ("loaded", None)


def test_all_broken_rules_of_a_row_are_named_in_the_order_of_the_contract() -> None:
    note = {"note": "n,1", "empty": "5"}
    found, _ = judged({"third": [1, 2, 4], "first": [4], "second": [2, 4]}, note, note, {}, note, {"price": "-0.5"})
    assert {line: row["_outcome"] for line, row in found.items()} == {1: "rejected", 2: "rejected", 3: "loaded", 4: "rejected", 5: "loaded"}
    second = ("SECOND", "note,price,empty,sales_date,customer_id", "n,1,50.0000,5,2024-04-30,1")
    third = ("THIRD", "empty,note", "5,n,1")
    assert [faults_of(found[line]) for line in (1, 2, 4)] == [[third], [second, third], [("FIRST", "product_name", "sugar"), second, third]]
    assert [found[line]["_reason"] for line in (1, 2, 4)] == ["THIRD", "SECOND", "FIRST"]
    assert found[1]["_raw"] == "the text"


def test_values_that_are_not_there_are_left_out_of_the_text() -> None:
    found, _ = judged({"second": [1], "third": [2, 3]}, {}, {"note": "n"}, {"empty": "-7"})
    assert faults_of(found[1]) == [("SECOND", "note,price,empty,sales_date,customer_id", "50.0000,2024-04-30,1")]
    assert faults_of(found[2]) == [("THIRD", "empty,note", "n")]
    assert faults_of(found[3]) == [("THIRD", "empty,note", "-7")]


def test_the_text_of_the_values_is_cut_after_200_letters() -> None:
    found, _ = judged({"third": [1, 2]}, {"note": "\u00e9" * 300, "empty": "12"}, {"note": "\U0001f600" * 200})
    assert faults_of(found[1]) == [("THIRD", "empty,note", "12," + "\u00e9" * 197)]
    assert faults_of(found[2]) == [("THIRD", "empty,note", "\U0001f600" * 200)]


def test_a_warning_leaves_the_row_good_and_is_named_in_the_order_of_the_contract() -> None:
    found, _ = judged({"odd": [1, 2], "late": [2, 3, 4]}, {}, {}, {"customer_id": "99"}, {}, {})
    assert {line: row["_warnings"] for line, row in found.items()} == {1: ["odd"], 2: ["late", "odd"], 3: ["late"], 4: ["late"], 5: None}
    assert {line: row["_outcome"] for line, row in found.items()} == {1: "loaded", 2: "loaded", 3: "pending", 4: "loaded", 5: "loaded"}


def test_a_row_that_breaks_both_kinds_of_rules_is_rejected_for_those_that_reject() -> None:
    found, _ = judged({"odd": [1], "first": [1]}, {}, {})
    assert found[1]["_outcome"] == "rejected"
    assert faults_of(found[1]) == [("FIRST", "product_name", "sugar")]


def test_a_row_that_is_already_faulty_is_not_judged() -> None:
    found, _ = judged({"first": [1, 2], "third": [1], "late": [1]}, {"quantity": "two"}, {}, {})
    assert faults_of(found[1]) == [("INVALID_INT", "quantity", "two")]
    assert faults_of(found[2]) == [("FIRST", "product_name", "sugar")]
    assert found[3]["_warnings"] is None


def test_rules_are_asked_with_the_day_of_the_batch_and_whether_the_product_is_known() -> None:
    _, judge = judged({}, {}, {"product_name": "tea"}, {"product_name": "maida", "customer_id": "99"})
    assert judge.asked == [(CLAIMED_ON, [True, False, True])]


@pytest.mark.parametrize("rows", [[], [{"_marker": "a"}, {"_marker": "b"}]], ids=["no rows", "markers alone"])
def test_rules_are_not_asked_about_nothing(rows: list[Found]) -> None:
    judge = Judge({"first": [1]})
    rules: Any = judge
    found = Classifier(WIDER, rules, CLAIMED_ON).of(scanned(WIDER, *({"note": None, "empty": None} | row for row in rows)))
    assert (found.loaded.num_rows, found.waiting.num_rows, found.rejected) == (0, 0, None)
    assert list(found.markers) == [row["_marker"] for row in rows]
    assert judge.asked == []


def test_without_rules_nothing_is_broken() -> None:
    contract = replace(shipped_contract(), rules=())
    found = Classifier(contract, CompiledRules.of(contract), CLAIMED_ON).of(scanned(contract, {"quantity": "0", "product_name": "tea"}))
    assert str(found.loaded.schema.field("_warnings").type) == "list<item: string>"
    assert (found.rejected, found.loaded.column("_warnings").to_pylist()) == (None, [None])


# Rows that waited


@pytest.fixture(scope="module")
def waited(classified: Classified) -> dict[str, Found]:
    """Classify the waiting rows again after customer 99 has come."""
    stored = classified.waiting.select(sales_columns(shipped_contract()))
    again = classify_waiting(stored, known(99))
    assert again.loaded.schema.names == [*stored.schema.names, "_month"]
    assert again.waiting.schema.names == [*stored.schema.names, "_known", "_month"]
    assert (again.rejected, list(again.markers)) == (None, [])
    return {list(ROWS)[row["_line"] - 1]: row for row in found_in(again)}


def test_no_waiting_row_is_lost(waited: dict[str, Found]) -> None:
    assert sorted(waited, key=list(ROWS).index) == [
        "unknown customer",
        "unknown store",
        "unknown seller",
        "all unknown",
        "unknown in another file",
        "another unknown customer",
    ]


def test_a_row_is_released_when_its_key_has_come(waited: dict[str, Found]) -> None:
    row = waited["unknown customer"]
    assert (row["_outcome"], row["customer_id"], month_text(row["_month"])) == ("loaded", 99, "2024-04")


def test_a_row_goes_on_waiting_for_the_keys_that_are_still_missing(waited: dict[str, Found]) -> None:
    row = waited["all unknown"]
    assert (row["_outcome"], missing(row)) == ("pending", ["store", "sales_team"])


def test_a_rule_none_of_whose_values_is_there_is_broken_with_an_empty_text() -> None:
    found, _ = judged({"third": [1, 2]}, {}, {"note": "n"}, {})
    assert faults_of(found[1]) == [("THIRD", "empty,note", "")]
    assert faults_of(found[2]) == [("THIRD", "empty,note", "n")]
