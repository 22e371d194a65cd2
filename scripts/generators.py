"""Made-up sales and customers, row by row, from a seeded random.Random. Pure: no file, no clock.

A row is a tuple of texts, as it stands in the CSV. Money is computed in Decimal. The same random state always gives the same rows.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal

Row = tuple[str, ...]

SALES_HEADER: Row = (
    "customer_id",
    "store_id",
    "product_name",
    "sales_date",
    "sales_person_id",
    "price",
    "quantity",
    "total_cost",
)
EXTRA_HEADER: Row = (*SALES_HEADER, "payment_mode")
FEWER_HEADER: Row = (*(name for name in SALES_HEADER if name != "store_id"), "payment_mode", "voucher_ids")
CUSTOMER_HEADER: Row = (
    "customer_id",
    "first_name",
    "last_name",
    "address",
    "pincode",
    "phone_number",
    "customer_joining_date",
)

CUSTOMERS = range(1, 21)
SELLERS_OF_STORE = {121: (1, 2, 3), 122: (4, 5, 6), 123: (7, 8, 9)}
PRICES = {
    "quaker oats": Decimal("212.00"),
    "sugar": Decimal("50.00"),
    "maida": Decimal("20.00"),
    "besan": Decimal("52.00"),
    "refined oil": Decimal("110.00"),
    "clinic plus": Decimal("1.50"),
    "dantkanti": Decimal("100.00"),
    "nutrella": Decimal("40.00"),
}
QUANTITIES = range(1, 11)
PAYMENT_MODES = ("cash", "UPI")
UNKNOWN_CUSTOMERS = ("9001", "9002", "9003", "9004", "9005")
# (column, text): each breaks the type of one column and leaves the rest of the row good.
BAD_VALUES = (("quantity", "x"), ("sales_date", "2024-02-30"), ("total_cost", "lots"), ("customer_id", "seven"))

FIRST_NAMES = ("Aarav", "Diya", "Ishaan", "Kavya", "Rohan", "Meera", "Arjun", "Sneha", "Vikram", "Lakshmi", "Farhan", "Zoya")
LAST_NAMES = ("Sharma", "Iyer", "Patel", "Reddy", "Khan", "D'Souza", "Banerjee", "Nair", "Singh", "Kulkarni", "Bose", "")
STREETS = ("MG Road", "Station Road", "Temple Street", "Lake View", "Market Yard", "Ring Road")
CITIES = (("Pune", 411001), ("Chennai", 600001), ("Delhi", 110001), ("Kolkata", 700001), ("Kochi", 682001))

# Values are drawn this many rows at a time: one call per column and block instead of one per value.
_BLOCK = 10_000

_STAFF = tuple((str(store), str(seller)) for store, sellers in SELLERS_OF_STORE.items() for seller in sellers)
_SALES = tuple((name, str(price), str(n), str(price * n)) for name, price in PRICES.items() for n in QUANTITIES)
_CUSTOMER_IDS = tuple(str(customer) for customer in CUSTOMERS)


def days(start: date, end: date) -> list[date]:
    """Return every day from start to end, both included."""
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def standard_rows(rng: random.Random, n: int, *, start: date, end: date) -> Iterator[Row]:
    """Yield n good sales (SALES_HEADER) with random dates from start to end, both included."""
    dates = [day.isoformat() for day in days(start, end)]
    for block in _blocks(n):
        drawn = zip(
            rng.choices(_CUSTOMER_IDS, k=block),
            rng.choices(_STAFF, k=block),
            rng.choices(_SALES, k=block),
            rng.choices(dates, k=block),
            strict=True,
        )
        for customer, (store, seller), (product, price, quantity, total), day in drawn:
            yield customer, store, product, day, seller, price, quantity, total


def datewise_rows(rng: random.Random, n: int, *, day: date) -> Iterator[Row]:
    """Yield n good sales (SALES_HEADER), all of one day."""
    return standard_rows(rng, n, start=day, end=day)


def extra_column_rows(rng: random.Random, n: int, *, start: date, end: date) -> Iterator[Row]:
    """Yield n good sales with the payment mode as an extra column (EXTRA_HEADER)."""
    for row in standard_rows(rng, n, start=start, end=end):
        yield (*row, rng.choice(PAYMENT_MODES))


def fewer_column_rows(rng: random.Random, n: int, *, start: date, end: date) -> Iterator[Row]:
    """Yield n sales without store_id (FEWER_HEADER): such a file has to be rejected as a whole."""
    store = SALES_HEADER.index("store_id")
    for row in extra_column_rows(rng, n, start=start, end=end):
        vouchers = [rng.randint(1, 9) for _ in range(3)]
        yield (*row[:store], *row[store + 1 :], str(vouchers))


def customer_rows(rng: random.Random, n: int, *, start: date, end: date) -> Iterator[Row]:
    """Yield n rows of the customer table (CUSTOMER_HEADER), ids 1..n, joined between start and end; some have no last name."""
    dates = [day.isoformat() for day in days(start, end)]
    for customer in range(1, n + 1):
        city, pincode = rng.choice(CITIES)
        yield (
            str(customer),
            rng.choice(FIRST_NAMES),
            rng.choice(LAST_NAMES),
            f"{rng.randint(1, 200)} {rng.choice(STREETS)}, {city}",
            str(pincode + rng.randint(0, 40)),
            f"90000{rng.randint(0, 99_999):05d}",
            rng.choice(dates),
        )


def with_dirt(rng: random.Random, rows: Iterable[Row], n: int, *, bad: int, unknown_customers: int) -> Iterator[Row]:
    """Spoil `bad` of the n rows with a value of the wrong type, and give `unknown_customers` others a customer without a row.

    The kinds of bad values and the unknown ids take turns, so that every kind occurs as soon as there are enough rows.
    """
    places = rng.sample(range(n), bad + unknown_customers)
    spoiled = {place: BAD_VALUES[turn % len(BAD_VALUES)] for turn, place in enumerate(places[:bad])}
    for turn, place in enumerate(places[bad:]):
        spoiled[place] = ("customer_id", UNKNOWN_CUSTOMERS[turn % len(UNKNOWN_CUSTOMERS)])
    for place, row in enumerate(rows):
        if place in spoiled:
            column, text = spoiled[place]
            at = SALES_HEADER.index(column)
            row = (*row[:at], text, *row[at + 1 :])
        yield row


def _blocks(n: int) -> Iterator[int]:
    for first in range(0, n, _BLOCK):
        yield min(_BLOCK, n - first)
