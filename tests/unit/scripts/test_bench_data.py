"""What the benchmark expects of several data sets is added up from the oracle's answers for each."""

from decimal import Decimal as D

from scripts.bench.data import Expected, joined


def test_totals_and_facts_add_up_and_who_leads_is_found_anew() -> None:
    first = Expected(
        customers={(1, "2024-05"): D("10.0001"), (2, "2024-05"): D("5")},
        team={(121, 1, "2024-05"): (D("300"), D("3.00")), (121, 2, "2024-05"): (D("200"), D("0.00"))},
        facts={("2024-05", 121): (7, D("500"))},
    )
    second = Expected(
        customers={(1, "2024-05"): D("0.9999"), (1, "2024-06"): D("1")},
        team={(121, 2, "2024-05"): (D("150.50"), D("1.51")), (122, 4, "2024-06"): (D("-1"), D("0.00"))},
        facts={("2024-05", 121): (2, D("150.50")), ("2024-06", 122): (1, D("-1"))},
    )
    assert joined(first, second) == Expected(
        customers={(1, "2024-05"): D("11.0000"), (2, "2024-05"): D("5"), (1, "2024-06"): D("1")},
        team={
            (121, 1, "2024-05"): (D("300"), D("0.00")),
            (121, 2, "2024-05"): (D("350.50"), D("3.51")),
            (122, 4, "2024-06"): (D("-1"), D("0.00")),
        },
        facts={("2024-05", 121): (9, D("650.50")), ("2024-06", 122): (1, D("-1"))},
    )
    assert joined(first) == first
