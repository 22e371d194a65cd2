"""The statements that change the marts are fixed text; every value is bound."""

import re
from decimal import Decimal

import pytest

from app.config.load import MartsConfig
from app.errors import LedgerError
from app.model.marts import CUSTOMERS, MARTS, SALES_TEAM, Mart
from app.model.totals import Totals
from app.mysql.migrations import SQL_FOLDER
from app.sinks.marts import check_stage, incentive_sql, merge, merge_sql
from tests.doubles import FakeTx


def test_the_customer_mart_adds_totals_and_overwrites_attributes() -> None:
    assert merge_sql(CUSTOMERS) == (
        "INSERT INTO customers_data_mart"
        " (customer_id, sales_date_month, full_name, address, phone_number, total_sales, row_count, updated_at)"
        " SELECT s.customer_id, s.sales_date_month, s.full_name, s.address, s.phone_number, s.total_sales, s.row_count, UTC_TIMESTAMP(6)"
        " FROM stage_customers_data_mart s WHERE s.batch_key = %s"
        " ON DUPLICATE KEY UPDATE total_sales = customers_data_mart.total_sales + s.total_sales,"
        " row_count = customers_data_mart.row_count + s.row_count,"
        " full_name = IF(s.row_count > 0, s.full_name, customers_data_mart.full_name),"
        " address = IF(s.row_count > 0, s.address, customers_data_mart.address),"
        " phone_number = IF(s.row_count > 0, s.phone_number, customers_data_mart.phone_number), updated_at = UTC_TIMESTAMP(6)"
    )


def test_the_team_mart_adds_totals_and_leaves_the_incentive_to_the_ranking() -> None:
    assert merge_sql(SALES_TEAM) == (
        "INSERT INTO sales_team_data_mart (store_id, sales_person_id, sales_month, full_name, total_sales, row_count, updated_at)"
        " SELECT s.store_id, s.sales_person_id, s.sales_month, s.full_name, s.total_sales, s.row_count, UTC_TIMESTAMP(6)"
        " FROM stage_sales_team_data_mart s WHERE s.batch_key = %s"
        " ON DUPLICATE KEY UPDATE total_sales = sales_team_data_mart.total_sales + s.total_sales,"
        " row_count = sales_team_data_mart.row_count + s.row_count,"
        " full_name = IF(s.row_count > 0, s.full_name, sales_team_data_mart.full_name), updated_at = UTC_TIMESTAMP(6)"
    )


def test_every_tied_leader_is_first_under_the_rule_all() -> None:
    assert incentive_sql(SALES_TEAM, "all") == (
        "UPDATE sales_team_data_mart t JOIN"
        " (SELECT m.store_id, m.sales_month, m.sales_person_id,"
        " RANK() OVER (PARTITION BY m.store_id, m.sales_month ORDER BY m.total_sales DESC) AS place"
        " FROM sales_team_data_mart m JOIN"
        " (SELECT DISTINCT store_id, sales_month FROM stage_sales_team_data_mart WHERE batch_key = %s) g"
        " ON g.store_id = m.store_id AND g.sales_month = m.sales_month) r"
        " ON t.store_id = r.store_id AND t.sales_month = r.sales_month AND t.sales_person_id = r.sales_person_id"
        " SET t.incentive = IF(r.place = 1 AND t.total_sales > 0, ROUND(t.total_sales * %s, 2), 0), t.updated_at = UTC_TIMESTAMP(6)"
    )


def test_only_the_lowest_id_of_tied_leaders_is_first_under_the_rule_first() -> None:
    place = "ROW_NUMBER() OVER (PARTITION BY m.store_id, m.sales_month ORDER BY m.total_sales DESC, m.sales_person_id) AS place"
    assert place in incentive_sql(SALES_TEAM, "first")
    assert "RANK()" not in incentive_sql(SALES_TEAM, "first")


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.table)
@pytest.mark.parametrize("tie_rule", ["all", "first"])
def test_values_are_bound_in_order_and_never_part_of_the_text(mart: Mart, tie_rule: str) -> None:
    tx = FakeTx()
    key = "7-1-1' OR 1=1 -- "
    merge(tx, mart, key, MartsConfig(incentive_rate=Decimal("0.0375"), tie_rule=tie_rule))
    for sql, args in tx.changes:
        assert sql.count("%") == sql.count("%s") == len(args)
        assert not re.search(r"7-1-1|OR 1=1|0\.0375|'", sql)
    assert [args for _, args in tx.changes] == [(key,), (key, Decimal("0.0375"))][: 2 if mart.ranked_within else 1]


def test_a_mart_without_a_ranking_is_not_ranked() -> None:
    tx = FakeTx(matched=2)
    assert merge(tx, CUSTOMERS, "1-1-1", MartsConfig()) == 2
    assert [sql.split()[0] for sql, _ in tx.changes] == ["INSERT"]


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.table)
def test_a_stage_that_agrees_with_the_facts_passes(mart: Mart) -> None:
    tx = FakeTx({"row_total": Decimal(3), "amount": Decimal("10.5000")})
    check_stage(tx, mart, "1-1-1", Totals(3, Decimal("10.5")))
    assert tx.asked == [
        (
            "SELECT COALESCE(SUM(row_count), 0) AS row_total, COALESCE(SUM(total_sales), 0) AS amount"
            f" FROM stage_{mart.table} WHERE batch_key = %s",
            ("1-1-1",),
        )
    ]


@pytest.mark.parametrize(
    "facts", [Totals(2, Decimal("10.5")), Totals(4, Decimal("10.5")), Totals(3, Decimal("10.4999"))], ids=["fewer", "more", "amount"]
)
def test_a_stage_that_differs_from_the_facts_stops_the_commit(facts: Totals) -> None:
    with pytest.raises(LedgerError, match="batch 1-1-1: stage_customers_data_mart holds "):
        check_stage(FakeTx({"row_total": 3, "amount": Decimal("10.5")}), CUSTOMERS, "1-1-1", facts)


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.table)
def test_the_tables_of_the_schema_have_the_columns_of_the_mart(mart: Mart) -> None:
    ddl = (SQL_FOLDER / "003_marts.sql").read_text()
    bodies = dict(re.findall(r"EXISTS (\w+) \((.*?)\n\)", ddl, re.DOTALL))
    tables = {name: re.findall(r"^  ([a-z_]+) ", body, re.MULTILINE) for name, body in bodies.items()}
    assert set(tables[mart.stage_table]) == {"batch_key", *mart.columns}
    assert set(tables[mart.table]) == {*mart.columns, "updated_at", *(["incentive"] if mart.ranked_within else [])}
