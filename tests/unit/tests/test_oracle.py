from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import pytest

from tests.data import expected
from tests.oracle import Dimensions, Marts, expected_marts

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"


def csv(folder: Path, *lines: str, name: str = "sales.csv", header: str = HEADER) -> Path:
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_tied_leaders_both_get_one_percent(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "1,121,sugar,2024-02-01,1,50.00,4,200.00",
        "1,121,nutrella,2024-02-29,2,40.00,5,200.00",
        "2,121,maida,2024-02-15,3,20.00,3,60.00",
    )
    marts = expected_marts([path])
    assert marts.customers == {(1, "2024-02"): D("400.00"), (2, "2024-02"): D("60.00")}
    assert marts.team == {
        (121, 1, "2024-02"): (D("200.00"), D("2.00")),
        (121, 2, "2024-02"): (D("200.00"), D("2.00")),
        (121, 3, "2024-02"): (D("60.00"), D("0.00")),
    }


def test_a_best_total_below_or_at_zero_earns_nothing(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "1,122,besan,2024-03-02,4,52.00,-3,-156.00",
        "1,122,maida,2024-04-01,6,20.00,1,20.00",
        "1,122,maida,2024-04-02,6,20.00,-1,-20.00",
    )
    assert expected_marts([path]).team == {
        (122, 4, "2024-03"): (D("-156.00"), D("0.00")),
        (122, 6, "2024-04"): (D("0.00"), D("0.00")),
    }


def test_half_a_cent_goes_up_and_less_than_half_goes_down(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "1,123,clinic plus,2024-02-05,7,1.50,3,4.50",
        "1,121,clinic plus,2024-02-05,1,0.4499,10,4.4990",
        "1,122,clinic plus,2024-02-05,4,250.00,1,250.00",
    )
    team = expected_marts([path]).team
    assert team[123, 7, "2024-02"] == (D("4.50"), D("0.05"))
    assert team[121, 1, "2024-02"] == (D("4.499"), D("0.04"))
    assert team[122, 4, "2024-02"] == (D("250.00"), D("2.50"))


def test_the_rate_can_be_another(tmp_path: Path) -> None:
    path = csv(tmp_path, "1,121,sugar,2024-02-01,1,50.00,4,200.00")
    assert expected_marts([path], rate=D("0.0125")).team == {(121, 1, "2024-02"): (D("200.00"), D("2.50"))}


def test_rows_of_unknown_members_wait_and_are_counted(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "1,121,sugar,2024-02-01,1,50.00,1,50.00",
        "9001,121,sugar,2024-02-01,1,50.00,1,50.00",
        "9001,999,sugar,2024-02-01,1,50.00,1,50.00",
        "1,121,sugar,2024-02-01,77,50.00,1,50.00",
    )
    marts = expected_marts([path])
    assert marts.customers == {(1, "2024-02"): D("50.00")}
    assert marts.pending == {("customer", 9001): 2, ("store", 999): 1, ("sales_team", 77): 1}
    assert marts.pending_rows == 3
    assert marts.files == {str(path): (4, 1, 3)}


def test_a_member_that_gets_a_row_counts(tmp_path: Path) -> None:
    path = csv(tmp_path, "9001,121,sugar,2024-02-01,1,50.00,1,50.00")
    marts = expected_marts([path], Dimensions(customers=[9001]))
    assert (marts.customers, marts.pending) == ({(9001, "2024-02"): D("50.00")}, {})


def test_columns_are_found_by_name_in_any_order_and_number(tmp_path: Path) -> None:
    reordered = csv(
        tmp_path,
        '50.00,"a, b",1,50.00,1,2024-02-01,"sugar, brown",121,1',
        name="extra [1].csv",
        header="total_cost,note,quantity,price,sales_person_id,sales_date,product_name,store_id,customer_id",
    )
    plain = csv(tmp_path, "1,121,sugar,2024-02-29,1,50.00,2,100.00")
    assert expected_marts([reordered, plain]).customers == {(1, "2024-02"): D("150.00")}


def test_a_path_is_a_name_and_no_pattern(tmp_path: Path) -> None:
    named = csv(tmp_path, "1,121,sugar,2024-02-01,1,50.00,1,50.00", name="a*.csv")
    csv(tmp_path, "1,121,sugar,2024-02-01,1,50.00,2,100.00", name="ab.csv")
    assert expected_marts([named]).customers == {(1, "2024-02"): D("50.00")}


def test_many_small_amounts_add_up_to_the_last_decimal(tmp_path: Path) -> None:
    path = csv(tmp_path, *["1,121,sugar,2024-02-01,1,0.10,1,0.10"] * 1000, "1,121,sugar,2024-02-01,1,0.0001,1,0.0001")
    assert expected_marts([path]).customers == {(1, "2024-02"): D("100.0001")}


def test_a_path_given_twice_counts_twice(tmp_path: Path) -> None:
    path = csv(tmp_path, "1,121,sugar,2024-02-01,1,50.00,1,50.00")
    assert expected_marts([path, path]).customers == {(1, "2024-02"): D("100.00")}


@pytest.mark.parametrize(
    "line",
    [
        "1,121,sugar,2024-02-01,1,50.00,x,50.00",
        "1,121,sugar,2024-02-30,1,50.00,1,50.00",
        "1,121,sugar,2024,1,50.00,1,50.00",
        "1,121,sugar,2024-02-01,1,50.00,1,50.12345",
        "1,121,sugar,2024-02-01,1,50.00,1,5e1",
        ",121,sugar,2024-02-01,1,50.00,1,50.00",
        "1,121,,2024-02-01,1,50.00,1,50.00",
    ],
)
def test_a_row_that_is_not_clean_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match="clean rows only"):
        expected_marts([csv(tmp_path, line)])


def test_no_files_and_files_without_rows_give_empty_marts(tmp_path: Path) -> None:
    path = csv(tmp_path)
    assert expected_marts([]) == Marts()
    assert expected_marts([path]) == Marts(files={str(path): (0, 0, 0)})


def test_the_facts_are_counted_by_month_and_store(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "1,121,sugar,2024-02-01,1,50.00,1,50.00",
        "9001,121,sugar,2024-02-29,1,50.00,2,100.00",
        "1,122,sugar,2024-03-01,4,50.00,-1,-50.00",
    )
    with_9001 = Dimensions(customers=[1, 9001])
    assert expected_marts([path], with_9001).facts == {("2024-02", 121): (2, D("150.00")), ("2024-03", 122): (1, D("-50.00"))}
    assert expected_marts([path]).facts == {("2024-02", 121): (1, D("50.00")), ("2024-03", 122): (1, D("-50.00"))}


def test_the_hand_made_first_drop_is_as_worked_out_on_paper() -> None:
    marts = expected_marts(expected.FIRST_DROP)
    assert marts.customers == expected.CUSTOMERS_AFTER_FIRST
    assert marts.team == expected.TEAM_AFTER_FIRST
    assert marts.pending == expected.PENDING
    assert {Path(path).name: rows for path, rows in marts.files.items()}.items() <= expected.ROWS.items()
    assert marts.facts == expected.FACTS_AFTER_FIRST


def test_the_hand_made_second_drop_is_as_worked_out_on_paper() -> None:
    both = expected.FIRST_DROP + expected.SECOND_DROP
    marts = expected_marts(both)
    assert marts.customers == expected.CUSTOMERS_AFTER_SECOND
    assert marts.team == expected.TEAM_AFTER_SECOND
    assert marts.pending == expected.PENDING
    assert {Path(path).name: rows for path, rows in marts.files.items()} == expected.ROWS
    assert marts.facts == expected.FACTS_AFTER_SECOND


def test_the_hand_made_release_is_as_worked_out_on_paper() -> None:
    both = expected.FIRST_DROP + expected.SECOND_DROP
    with_9001 = Dimensions(customers=[*range(1, 26), 9001])
    marts = expected_marts(both, with_9001)
    assert marts.customers == expected.CUSTOMERS_AFTER_RELEASE
    assert marts.team == expected.TEAM_AFTER_RELEASE
    assert marts.pending == expected.PENDING_AFTER_RELEASE
    assert marts.facts == expected.FACTS_AFTER_RELEASE
