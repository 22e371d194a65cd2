"""Generated sales: the same bytes for the same size, made by DuckDB once and kept in the cache, with what the oracle says of them."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import duckdb

from tests import oracle

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "bench"
HEADER = b"customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost\n"
CUSTOMERS = 20_000
STORES = range(121, 126)
SELLERS = range(1, 16)
PRODUCTS = {
    "quaker oats": Decimal("212.00"),
    "sugar": Decimal("50.00"),
    "maida": Decimal("20.00"),
    "besan": Decimal("52.00"),
    "refined oil": Decimal("110.00"),
    "clinic plus": Decimal("1.50"),
    "dantkanti": Decimal("100.00"),
    "nutrella": Decimal("40.00"),
}
# What makes a row of a large file about 160 bytes long.
WIDE = " of the best quality and from our own fields" * 3
DIMENSIONS = oracle.Dimensions(customers=range(1, CUSTOMERS + 1), stores=STORES, sellers=SELLERS)
CHUNK_ROWS = 400_000
NOTHING = Decimal(0)
RATE = Decimal("0.01")
ONE_MONTH = (date(2024, 5, 1), 31)
TWO_YEARS = (date(2023, 1, 1), 731)
WARM_MONTH = (date(2019, 1, 1), 31)

CustomerMart = dict[tuple[int, str], Decimal]
TeamMart = dict[tuple[int, int, str], tuple[Decimal, Decimal]]
Facts = dict[tuple[str, int], tuple[int, Decimal]]


@dataclass(frozen=True)
class Expected:
    """What the oracle says: both marts, and rows and amount for each partition of the facts."""

    customers: CustomerMart
    team: TeamMart
    facts: Facts


@dataclass(frozen=True)
class DataSet:
    """Some CSV files. `wide` puts a long product description into each row."""

    name: str
    rows: int
    files: int
    period: tuple[date, int] = ONE_MONTH
    seed: int = 1
    wide: bool = False
    stores: int = len(STORES)

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return CACHE / "data" / f"{self.name}-{self.rows}-{self.files}-{self.seed}"

    @property
    def paths(self) -> list[Path]:
        """Its files, in order."""
        return sorted((self.folder / "files").iterdir())

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(path.stat().st_size for path in self.paths)

    def make(self) -> DataSet:
        """Write the files, unless they are there."""
        done = self.folder / "done"
        if not done.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            (self.folder / "files").mkdir(parents=True)
            for number, texts in enumerate(self._texts()):
                path = self.folder / "files" / f"sales_{number:06}.csv"
                with path.open("wb") as sink:
                    sink.write(HEADER)
                    for text in texts:
                        sink.write(text)
                as_object(path)
            done.touch()
        return self

    def expected(self) -> Expected:
        """Return what the oracle says, who is asked once; the answer is kept for the next run as well."""
        return _answer(self)

    def _texts(self) -> Iterator[list[bytes]]:
        """Yield the pieces of each file."""
        with duckdb.connect() as db:
            each = self.rows // self.files
            many = max(1, CHUNK_ROWS // each)
            for first in range(0, self.files, many):
                count = min(many, self.files - first)
                if count > 1:
                    yield from ([text] for text in self._query(db, first * each, (first + count) * each, each))
                else:
                    begin, end = first * each, (first + 1) * each
                    yield [self._query(db, at, min(at + CHUNK_ROWS, end), each)[0] for at in range(begin, end, CHUNK_ROWS)]

    def _query(self, db: duckdb.DuckDBPyConnection, begin: int, end: int, each: int) -> list[bytes]:
        start, days = self.period
        names = [name + (WIDE if self.wide else "") for name in PRODUCTS]
        found = db.execute(
            f"""
            WITH drawn AS (
                SELECT i, hash(i, {self.seed}) AS h FROM range({begin}, {end}) t(i)
            ), sale AS (
                SELECT i, 1 + h % {CUSTOMERS} AS customer, (h >> 16) % {self.stores} AS store, (h >> 24) % 3 AS seller,
                       1 + CAST((h >> 32) % {len(PRODUCTS)} AS INTEGER) AS product, 1 + (h >> 40) % 10 AS quantity,
                       strftime(DATE '{start}' + CAST((h >> 44) % {days} AS INTEGER), '%Y-%m-%d') AS day
                FROM drawn
            )
            SELECT string_agg(concat_ws(',', customer, {STORES[0]} + store, ?[product], day, store * 3 + 1 + seller,
                              CAST(?[product] AS DECIMAL(12, 2)), quantity, CAST(?[product] * quantity AS DECIMAL(18, 2))), chr(10)
                              ORDER BY i) || chr(10)
            FROM sale GROUP BY i // {each} ORDER BY i // {each}
            """,
            [names, list(PRODUCTS.values()), list(PRODUCTS.values())],
        ).fetchall()
        return [text.encode() for (text,) in found]


def joined(*parts: Expected) -> Expected:
    """Add up what is expected of several data sets; who leads a store and month is found anew."""
    customers: CustomerMart = {}
    totals: dict[tuple[int, int, str], Decimal] = {}
    facts: Facts = {}
    for part in parts:
        for customer, total in part.customers.items():
            customers[customer] = customers.get(customer, NOTHING) + total
        for seller, (total, _) in part.team.items():
            totals[seller] = totals.get(seller, NOTHING) + total
        for partition, (rows, amount) in part.facts.items():
            before = facts.get(partition, (0, NOTHING))
            facts[partition] = (before[0] + rows, before[1] + amount)
    return Expected(customers, oracle.with_incentives(totals, RATE), facts)


@cache
def _answer(data: DataSet) -> Expected:
    path = data.folder / f"expected-{_oracles_version()}.pickle"
    if not path.exists():
        marts = oracle.expected_marts(data.paths, DIMENSIONS)
        path.write_bytes(pickle.dumps(Expected(marts.customers, marts.team, marts.facts)))
    found: Expected = pickle.loads(path.read_bytes())
    return found


def _oracles_version() -> str:
    return hashlib.sha256(Path(oracle.__file__).read_bytes()).hexdigest()[:16]


def as_object(path: Path) -> None:
    """Make a file what the embedded S3 server would have made of its upload: it keeps digest and type in the file's attributes."""
    digest = hashlib.md5(path.read_bytes()).digest()
    for name, value in (("content-md5", digest), ("content-type", b"text/csv"), ("storage-tier", b"STANDARD")):
        os.setxattr(path, f"user.user.{name}", value)
