"""The contract is read whole or refused whole, and a header matches by name or says why not."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from app.contract.contract import Column, Contract, Rule, Settings, load_contract
from app.errors import ContractError
from app.parsing.header import normalise_name
from app.spark.schema import sales_schema

EIGHT = ["customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost"]
COLUMNS = "columns:\n  - {name: id, type: int}\n  - {name: day, type: date}\n"
CONTRACT = Contract(
    (Column("id", "int", aliases=("Number",)), Column("day", "date"), Column("note", "string", required=False, nullable=True))
)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Contract]:
    def write_and_load(text: str) -> Contract:
        (tmp_path / "contract.yml").write_text(text)
        return load_contract(tmp_path / "contract.yml")

    return write_and_load


@pytest.fixture
def fault(load: Callable[[str], Contract]) -> Callable[[str], str]:
    def fault_of(text: str) -> str:
        with pytest.raises(ContractError) as caught:
            load(text)
        return str(caught.value)

    return fault_of


# The shipped contract


def test_the_shipped_contract_has_the_eight_columns_in_order(contract: Contract) -> None:
    assert [(column.name, column.type) for column in contract.columns] == [
        ("customer_id", "int"),
        ("store_id", "int"),
        ("product_name", "string"),
        ("sales_date", "date"),
        ("sales_person_id", "int"),
        ("price", "decimal(12,4)"),
        ("quantity", "int"),
        ("total_cost", "decimal(18,4)"),
    ]
    assert all(column.required and not column.nullable and column.trim for column in contract.columns)


def test_the_shipped_rules_reject_two_faults_and_warn_of_three(contract: Contract) -> None:
    assert [(rule.name, rule.on_fail, rule.columns) for rule in contract.rules] == [
        ("quantity_not_zero", "reject", ("quantity",)),
        ("price_not_negative", "reject", ("price",)),
        ("total_matches", "warn", ("total_cost", "price", "quantity")),
        ("date_not_in_future", "warn", ("sales_date",)),
        ("product_known", "warn", ("product_name",)),
    ]


def test_the_shipped_settings_are_those_of_the_mission(contract: Contract) -> None:
    assert contract.settings == Settings("utf-8", "additional_column", 1.0, "skip", "append")


def test_the_plain_header_matches_the_shipped_contract(contract: Contract) -> None:
    assert contract.match_header(EIGHT).columns == tuple((name, at) for at, name in enumerate(EIGHT))


@pytest.mark.parametrize("written", ["Customer ID", "CUSTOMER-ID", "CustomerId", " customer_id ", '"customer_id"'])
def test_the_shipped_contract_takes_usual_spellings(contract: Contract, written: str) -> None:
    assert contract.match_header([written, *EIGHT[1:]]).ok


def test_the_schema_is_typed_and_in_order(contract: Contract) -> None:
    assert sales_schema(contract).simpleString() == (
        "struct<customer_id:int,store_id:int,product_name:string,sales_date:date,sales_person_id:int,"
        "price:decimal(12,4),quantity:int,total_cost:decimal(18,4)>"
    )
    assert not any(part.nullable for part in sales_schema(contract))


# Reading


def test_what_is_left_out_has_its_default(load: Callable[[str], Contract]) -> None:
    contract = load(COLUMNS)
    assert contract.columns == (Column("id", "int"), Column("day", "date", date_formats=("yyyy-MM-dd",)))
    assert (contract.rules, contract.settings) == ((), Settings())


def test_everything_can_be_said(load: Callable[[str], Contract]) -> None:
    contract = load(
        "settings: {encoding: windows-1252, extra_columns: rest, max_reject_ratio: 0.5, duplicates: reject, redelivery: replace}\n"
        "columns:\n"
        "  - {name: mail, type: string, required: false, nullable: true, aliases: [E-Mail], trim: false, sensitive: true, max_length: 80}\n"
        "  - {name: day, type: date, date_formats: [dd.MM.yyyy, yyyyMMdd]}\n"
        "  - {name: price, type: 'decimal(10, 2)'}\n"
        "rules:\n"
        "  - {name: cheap, expression: price < 5, columns: [price], on_fail: warn}\n"
    )
    assert contract == Contract(
        (
            Column("mail", "string", required=False, nullable=True, aliases=("E-Mail",), trim=False, sensitive=True, max_length=80),
            Column("day", "date", date_formats=("dd.MM.yyyy", "yyyyMMdd")),
            Column("price", "decimal(10,2)"),
        ),
        (Rule("cheap", "price < 5", ("price",), "warn"),),
        Settings("windows-1252", "rest", 0.5, "reject", "replace"),
    )


def test_a_decimal_knows_its_precision_and_scale() -> None:
    assert Column("price", "decimal(12,4)").precision_scale == (12, 4)
    assert Column("id", "int").precision_scale is None


def test_a_contract_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        CONTRACT.columns = ()  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize("kind", ["float", "double", "varchar(3)", "decimal", "decimal(39,2)", "decimal(3,4)", "decimal(0,0)", "timestamp"])
def test_an_unknown_type_is_a_fault(fault: Callable[[str], str], kind: str) -> None:
    assert "columns[1] (a).type: must be int, bigint, string, date or decimal(p,s)" in fault(f"columns: [{{name: a, type: '{kind}'}}]\n")


@pytest.mark.parametrize("name", ["Customer", "1a", "_file", "a b", "a-b", "ä", ""])
def test_a_name_is_lower_case_and_no_technical_column(fault: Callable[[str], str], name: str) -> None:
    assert ".name: must be a name of a-z, 0-9 and _ that begins with a letter" in fault(f"columns: [{{name: '{name}', type: int}}]\n")


@pytest.mark.parametrize("pattern", ["yyyy-MM-dd", "dd.MM.yyyy", "d/M/yyyy", "dd-MMM-yyyy", "MMMM d, yyyy", "yyyyMMdd"])
def test_sound_date_formats_are_taken(load: Callable[[str], Contract], pattern: str) -> None:
    assert load(f"columns: [{{name: day, type: date, date_formats: ['{pattern}']}}]\n").columns[0].date_formats == (pattern,)


@pytest.mark.parametrize(
    "pattern", ["YYYY-MM-dd", "yyyy-mm-dd", "dd.MM.yy", "yyyy-MM", "yyyy-MM-DD", "yyyy-MM-dd HH:mm", "MM-dd-MM-yyyy", ""]
)
def test_date_formats_that_would_misread_are_faults(fault: Callable[[str], str], pattern: str) -> None:
    message = fault(f"columns: [{{name: day, type: date, date_formats: ['{pattern}']}}]\n")
    assert "columns[1] (day).date_formats.0: must hold yyyy" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns: is missing or empty"),
        ("columns: []\n", "columns: is missing or empty"),
        ("columns: 5\n", "columns: must be a list"),
        ("columns: [5]\n", "columns[1]: must be a mapping of keys to values"),
        ("columns: [{type: int}]\n", "columns[1].name: is missing"),
        ("columns: [{name: a}]\n", "columns[1] (a).type: is missing"),
        ("columns: [{name: a, type: int, sensitiv: true}]\n", "columns[1] (a).sensitiv: is not a known key; did you mean sensitive?"),
        ("columns: [{name: a, type: int, trim: perhaps}]\n", "columns[1] (a).trim: must be true or false, is 'perhaps'"),
        ("columns: [{name: a, type: int, aliases: b}]\n", "columns[1] (a).aliases: must be a list, is 'b'"),
        ("columns: [{name: a, type: string, max_length: 0}]\n", "columns[1] (a).max_length: must be a positive integer, is '0'"),
        ("columns: [{name: a, type: int, max_length: 5}]\n", "columns: a.max_length: is for strings, the type is int"),
        ("columns: [{name: a, type: int, date_formats: [yyyyMMdd]}]\n", "columns: a.date_formats: is for dates, the type is int"),
        ("columns: [{name: a, type: int, required: false}]\n", "columns: a.nullable: must be true for a column that is not required"),
        ("columns: [{name: a, type: int}, {name: a, type: int}]\n", "columns: a: the name or alias a is taken by a"),
        ("columns: [{name: a, type: int}, {name: b, type: int, aliases: [' A ']}]\n", "columns: b: the name or alias a is taken by a"),
        ("columns: [{name: additional_column, type: int}]\n", "columns: additional_column: is the name of settings.extra_columns"),
        (COLUMNS + "column: 1\n", "column: is not a known key; did you mean columns?"),
        (COLUMNS + "settings: 5\n", "settings: must be a mapping of keys to values"),
        (COLUMNS + "settings: {encoding: latin-1}\n", "settings.encoding: must be one of utf-8, windows-1252, is 'latin-1'"),
        (COLUMNS + "settings: {max_reject_ratio: 1.1}\n", "settings.max_reject_ratio: must be a number from 0 to 1, is '1.1'"),
        (COLUMNS + "settings: {max_reject_ratio: nan}\n", "settings.max_reject_ratio: must be a number from 0 to 1, is 'nan'"),
        (COLUMNS + "settings: {duplicates: drop}\n", "settings.duplicates: must be one of skip, process, reject, is 'drop'"),
        (COLUMNS + "settings: {duplicate: skip}\n", "settings.duplicate: is not a known key; did you mean duplicates?"),
        (COLUMNS + "rules: [{name: r, expression: x, columns: [id]}]\n", "rules[1] (r).on_fail: is missing"),
        (COLUMNS + "rules: [{name: r, expression: ' ', columns: [id], on_fail: warn}]\n", "rules[1] (r).expression: must not be empty"),
        (COLUMNS + "rules: [{name: r, expression: x, columns: [], on_fail: warn}]\n", "rules[1] (r).columns: must not be empty"),
        (COLUMNS + "rules: [{name: r, expression: x, columns: [dai], on_fail: warn}]\n", "dai is not a known column; did you mean day?"),
        (
            COLUMNS + "rules:\n" + "  - {name: r, expression: x, columns: [id], on_fail: warn}\n" * 2,
            "rules: r: occurs 2 times",
        ),
        (COLUMNS + f"rules: [{{name: {'r' * 61}, expression: x, columns: [id], on_fail: warn}}]\n", "must have at most 60 characters"),
        ("columns: [\n", "contract.yml: line 2: "),
    ],
)
def test_a_fault_names_its_entry(fault: Callable[[str], str], text: str, message: str) -> None:
    assert message in fault(text)


def test_every_fault_is_named_at_once(fault: Callable[[str], str]) -> None:
    message = fault("columns:\n  - {name: a, type: flot}\n  - {name: b}\nrules:\n  - {name: r, expression: x, columns: [a], on_fail: x}\n")
    assert message.startswith("CONTRACT 3 faults: (1) ")
    assert "(a).type" in message and "(b).type: is missing" in message and "(r).on_fail" in message


def test_a_column_with_a_fault_is_still_known_to_the_rules(fault: Callable[[str], str]) -> None:
    text = "columns: [{name: a, type: flot}]\nrules: [{name: r, expression: a > 1, columns: [a], on_fail: warn}]\n"
    assert "is not a known column" not in fault(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="contract.yml cannot be read: No such file"):
        load_contract(tmp_path / "contract.yml")


# Hash


def test_the_hash_is_the_same_on_every_machine_and_day() -> None:
    contract = Contract((Column("id", "int"),), (Rule("r", "id > 0", ("id",), "warn"),))
    # sha256sum of {"columns":[{"name":"id","type":"int"}],
    # "rules":[{"columns":["id"],"expression":"id > 0","name":"r","on_fail":"warn"}],"settings":{}} on one line
    assert contract.hash == "316371350f903db5dd0d517acc73f0537d92643a7e1239a14e1bf8ada133b73a"


def test_layout_comments_and_spelt_out_defaults_keep_the_hash(load: Callable[[str], Contract]) -> None:
    spelt_out = "# comment\nsettings: {duplicates: skip}\ncolumns:\n- name: id\n  type: int\n  trim: yes\n- {type: date, name: day}\n"
    assert load(COLUMNS).hash == load(spelt_out).hash


@pytest.mark.parametrize(
    "changed",
    [
        replace(CONTRACT, columns=CONTRACT.columns[::-1]),
        replace(CONTRACT, columns=(Column("id", "bigint"), *CONTRACT.columns[1:])),
        replace(CONTRACT, settings=Settings(duplicates="reject")),
        replace(CONTRACT, rules=(Rule("r", "id > 0", ("id",), "warn"),)),
    ],
)
def test_a_change_of_meaning_changes_the_hash(changed: Contract) -> None:
    assert changed.hash != CONTRACT.hash


# Header


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("customer_id", "customer_id"),
        (" Customer ID ", "customer_id"),
        ("CUSTOMER-ID", "customer_id"),
        ("Customer  - ID", "customer_id"),
        ("\ufeffid", "id"),
        ('\ufeff"id"', "id"),
        ("' id '", "id"),
        ("id\u00a0", "id"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Cafe\u0301", "café"),
        ('"', '"'),
        ("", ""),
    ],
)
def test_names_are_compared_in_one_form(raw: str, normal: str) -> None:
    assert normalise_name(raw) == normal


def test_columns_are_found_in_any_order() -> None:
    assert CONTRACT.match_header(["note", "DAY", "id"]).columns == (("note", 0), ("day", 1), ("id", 2))


def test_an_alias_stands_for_its_column() -> None:
    assert CONTRACT.match_header(["number", "day"]).columns == (("id", 0), ("day", 1))


def test_a_column_that_is_not_required_may_be_missing() -> None:
    match = CONTRACT.match_header(["id", "day"])
    assert match.ok and match.columns == (("id", 0), ("day", 1))


def test_extra_columns_keep_their_own_name_and_place() -> None:
    match = CONTRACT.match_header(["id", " Payment Mode ", "day", '"x"'])
    assert (match.extra, match.width) == ((("Payment Mode", 1), ("x", 3)), 4)


def test_fields_without_a_name_are_kept_under_their_place() -> None:
    assert CONTRACT.match_header(["id", "day", "", " "]).extra == (("_column_3", 2), ("_column_4", 3))


def test_a_name_of_an_unnamed_column_that_is_taken_gives_way() -> None:
    assert CONTRACT.match_header(["id", "day", "", "_column_3"]).extra == (("__column_3", 2), ("_column_3", 3))
    assert CONTRACT.match_header(["_column_4", "id", "day", ""]).extra == (("_column_4", 0), ("__column_4", 3))


def test_an_unnamed_column_and_one_named_like_its_place_are_two() -> None:
    assert CONTRACT.match_header(["id", "day", "", "2"]).extra == (("_column_3", 2), ("2", 3))


def test_what_names_no_column_of_ours_is_not_repeated_in_the_reason() -> None:
    match = CONTRACT.match_header(["mallory", "mallory"])
    assert (match.reason, match.message) == ("MISSING_COLUMN", "the header lacks id, day")


def test_missing_columns_are_named_in_the_contracts_order() -> None:
    match = CONTRACT.match_header(["note"])
    assert (match.reason, match.names, match.message) == ("MISSING_COLUMN", ("id", "day"), "the header lacks id, day")


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (["id", "day", "id"], ("id",)),
        (["id", "day", " ID "], ("id",)),
        (["id", "day", "number"], ("id",)),
        (["id", "day", "x", "X"], ("x",)),
        (["id", "id", "day", "day"], ("id", "day")),
        (["id", "id"], ("id",)),
    ],
)
def test_a_column_named_twice_rejects_the_file(header: list[str], names: tuple[str, ...]) -> None:
    match = CONTRACT.match_header(header)
    assert (match.reason, match.names) == ("DUPLICATE_COLUMN", names)


@pytest.mark.parametrize(
    "line", [["17", "oats"], ["oats", "2024-01-31"], ["-3.50", ""], ["x", "31.12.2024"], ["x", "2024-01-31 10:00"], ["1e5", "y"]]
)
def test_a_first_line_of_data_is_no_header(line: list[str]) -> None:
    assert CONTRACT.match_header(line).reason == "NO_HEADER"


@pytest.mark.parametrize("line", [["foo", "bar"], [""], [], ["id", "2024"], ["x1", "v2-3"]])
def test_a_line_of_names_is_a_header_even_if_they_are_wrong(line: list[str]) -> None:
    assert CONTRACT.match_header(line).reason == "MISSING_COLUMN"


def test_a_good_match_has_no_reason_and_no_message() -> None:
    match = CONTRACT.match_header(["id", "day"])
    assert (match.ok, match.reason, match.names, match.message) == (True, None, (), "")
