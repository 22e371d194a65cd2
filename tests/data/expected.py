"""What the hand-made drops must become, worked out on paper against the sample dimensions (scripts/sql/seed_dimensions.sql).

First drop: tie.csv, returns.csv, half_cent.csv. Second drop: leader_change.csv. Then customer 9001 gets a row and is released.
Customer mart: (customer, month) -> total. Team mart: (store, seller, month) -> (total, incentive). Facts: (month, store) -> (rows, sum).
"""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

FIRST_DROP = tuple(Path(__file__).parent / "first_drop" / name for name in ("tie.csv", "returns.csv", "half_cent.csv"))
SECOND_DROP = (Path(__file__).parent / "second_drop" / "leader_change.csv",)

# file -> (rows_read, rows_loaded, rows_pending); none is rejected.
ROWS = {"tie.csv": (5, 4, 1), "returns.csv": (5, 5, 0), "half_cent.csv": (5, 3, 2), "leader_change.csv": (6, 6, 0)}

# (dimension, key) -> rows; the same after both drops.
PENDING = {("customer", 9001): 1, ("store", 999): 1, ("sales_team", 77): 1}

CUSTOMERS_AFTER_FIRST = {
    (1, "2024-02"): D("280.00"),
    (2, "2024-02"): D("120.00"),
    (3, "2024-01"): D("100.50"),
    (7, "2024-02"): D("60.00"),
    (11, "2024-03"): D("-104.00"),
    (13, "2024-03"): D("-110.00"),
    (13, "2024-04"): D("0.00"),
    (18, "2024-02"): D("6.00"),
}

TEAM_AFTER_FIRST = {
    # Tied at the top: each gets 1 % of the own total.
    (121, 1, "2024-02"): (D("200.00"), D("2.00")),
    (121, 2, "2024-02"): (D("200.00"), D("2.00")),
    (121, 3, "2024-02"): (D("60.00"), D("0.00")),
    # The best of the month is below zero: nobody gets anything, and nobody pays.
    (122, 4, "2024-03"): (D("-104.00"), D("0.00")),
    (122, 5, "2024-03"): (D("-110.00"), D("0.00")),
    # Sold and returned: the row stays, at zero.
    (122, 6, "2024-04"): (D("0.00"), D("0.00")),
    # 0.045 and 1.005: half a cent goes up; half-even would give 0.04 and 1.00.
    (123, 7, "2024-02"): (D("4.50"), D("0.05")),
    (123, 8, "2024-02"): (D("1.50"), D("0.00")),
    (123, 9, "2024-01"): (D("100.50"), D("1.01")),
}

FACTS_AFTER_FIRST = {
    ("2024-01", 123): (1, D("100.50")),
    ("2024-02", 121): (4, D("460.00")),
    ("2024-02", 123): (2, D("6.00")),
    ("2024-03", 122): (3, D("-214.00")),
    ("2024-04", 122): (2, D("0.00")),
}

CUSTOMERS_AFTER_SECOND = {
    (1, "2024-02"): D("280.00"),
    (2, "2024-02"): D("80.00"),
    (3, "2024-01"): D("100.50"),
    (7, "2024-02"): D("216.00"),
    (11, "2024-03"): D("-54.00"),
    (13, "2024-03"): D("0.00"),
    (13, "2024-04"): D("0.00"),
    (18, "2024-02"): D("6.00"),
    (22, "2024-02"): D("3.00"),
    (25, "2024-02"): D("100.00"),
}

TEAM_AFTER_SECOND = {
    # Seller 1 is not in the second drop and still loses the incentive to the new leader.
    (121, 1, "2024-02"): (D("200.00"), D("0.00")),
    (121, 2, "2024-02"): (D("160.00"), D("0.00")),
    (121, 3, "2024-02"): (D("216.00"), D("2.16")),
    (122, 4, "2024-03"): (D("-104.00"), D("0.00")),
    (122, 5, "2024-03"): (D("50.00"), D("0.50")),
    (122, 6, "2024-04"): (D("0.00"), D("0.00")),
    # Seller 8 has caught up: a tie that only the two drops together make.
    (123, 7, "2024-02"): (D("4.50"), D("0.05")),
    (123, 8, "2024-02"): (D("4.50"), D("0.05")),
    (123, 9, "2024-01"): (D("100.50"), D("1.01")),
    (124, 10, "2024-02"): (D("100.00"), D("1.00")),
}

FACTS_AFTER_SECOND = {
    ("2024-01", 123): (1, D("100.50")),
    ("2024-02", 121): (6, D("576.00")),
    ("2024-02", 123): (3, D("9.00")),
    ("2024-02", 124): (1, D("100.00")),
    ("2024-03", 122): (5, D("-54.00")),
    ("2024-04", 122): (2, D("0.00")),
}

# Once customer 9001 has a row, its sale is released on top of the second drop.
CUSTOMERS_AFTER_RELEASE = CUSTOMERS_AFTER_SECOND | {(9001, "2024-02"): D("212.00")}
TEAM_AFTER_RELEASE = TEAM_AFTER_SECOND | {(121, 3, "2024-02"): (D("428.00"), D("4.28"))}
FACTS_AFTER_RELEASE = FACTS_AFTER_SECOND | {("2024-02", 121): (7, D("788.00"))}
PENDING_AFTER_RELEASE = {("store", 999): 1, ("sales_team", 77): 1}

# Names as the marts show them: no last name is no reason for no name.
CUSTOMER_NAMES = {
    1: "Aarti Deshmukh",
    2: "Bhavesh Trivedi",
    3: "Chitra Venkatesan",
    7: "Gowri",
    11: "Kevin D'Souza",
    13: "मीरा जोशी",
    18: "Ramesh",
    22: "Zoë Fernandes",
    25: "Zubin Contractor",
}
SELLER_NAMES = {
    1: "Anil Kapadia",
    2: "Bindu Mathew",
    3: "Chetan Arora",
    4: "Deepa Rangan",
    5: "Elango",
    6: "Fatima Baig",
    7: "Ganesh More",
    8: "Heena Vora",
    9: "Imran Pathan",
    10: "Jayanti Pillai",
}
