"""What was dropped, and what must come of it: made-up contents whose outcome is known, for the oracle and for the ledger.

A content is known by its MD5, which S3 shows as its ETag. Whatever happens on the way, each good content counts exactly once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import md5
from pathlib import Path

from scripts.generators import PRICES, SALES_HEADER, SELLERS_OF_STORE
from tests.chaos.contracts import OPTIONAL, optional_values

KINDS = ("good", "rejects", "pending", "empty", "wrong_header")
# Versions that lost a race or came too late; what they held is counted elsewhere.
PASSED_OVER = {"DUPLICATE", "OVERWRITTEN", "GONE"}
# Versions of a content whose only object was deleted before it could be read.
REMOVED = {"GONE"}
FIRST_LATE_CUSTOMER = 9001


@dataclass(frozen=True)
class Content:
    """The bytes of a file and their outcome.

    Attributes:
        rows, rejected: of the file, as the ledger must have them.
        late: the customer whose rows wait until it is known.
        clean: its good rows alone, for the oracle.
    """

    body: bytes
    verdict: str
    rows: int = 0
    rejected: int = 0
    late: int | None = None
    clean: Path | None = None

    @property
    def etag(self) -> str:
        """The content as S3 names it."""
        return md5(self.body, usedforsecurity=False).hexdigest()


@dataclass
class Book:
    """All contents of one test, and the clean rows of them in files for the oracle.

    Attributes:
        removed: by ETag, contents whose only object was deleted before it could be read: they count nowhere.
    """

    folder: Path
    rng: random.Random
    contents: dict[str, Content] = field(default_factory=dict)
    removed: dict[str, Content] = field(default_factory=dict)
    clean: list[Path] = field(default_factory=list)
    customers: set[int] = field(default_factory=lambda: set(range(1, 26)))
    made: int = 0

    def make(self, kind: str, rows: int = 12, *, more: bool = False) -> Content:
        """Make a content that there was not yet. It counts only once it is noted by `expect`.

        Args:
            kind: what becomes of it.
            rows: how many good ones.
            more: also give it some of the columns that the contract may have or not.
        """
        self.made += 1
        if kind == "empty":
            return Content(b"", "REJECTED")
        if kind == "wrong_header":
            return Content(f"customer_id,nothing_else\n{self.made},1\n".encode(), "REJECTED")
        late = FIRST_LATE_CUSTOMER + self.made if kind == "pending" else None
        good = [self._row() for _ in range(rows)] + [self._row(late) for _ in range(3 if late else 0)]
        bad = [(*self._row()[:6], "x", "1") for _ in range(2 if kind == "rejects" else 0)]
        names = [name for name in OPTIONAL if more and self.rng.random() < 0.5]
        body = _csv([(*row, *(optional_values(self.rng)[name] for name in names)) for row in (*bad, *good)], names)
        path = self.folder / f"clean{self.made}.csv"
        path.write_bytes(_csv(good))
        return Content(body, "COMMITTED", len(good) + len(bad), len(bad), late, path)

    def expect(self, content: Content) -> None:
        """Note that this content has been dropped and must count."""
        if content.etag not in self.contents and content.clean is not None:
            self.clean.append(content.clean)
        self.contents[content.etag] = content

    def withdraw(self, content: Content) -> None:
        """Note that the only object of this content was deleted before anybody read it."""
        del self.contents[content.etag]
        self.removed[content.etag] = content
        if content.clean is not None:
            self.clean.remove(content.clean)

    def unknown(self) -> list[int]:
        """Return the customers that rows wait for."""
        return sorted({c.late for c in self.contents.values() if c.late is not None} - self.customers)

    @property
    def rows(self) -> int:
        """Rows of all contents that count."""
        return sum(content.rows for content in self.contents.values())

    def _row(self, customer: int | None = None) -> tuple[str, ...]:
        store = self.rng.choice(sorted(SELLERS_OF_STORE))
        product = self.rng.choice(sorted(PRICES))
        quantity, price = self.rng.randint(1, 9), PRICES[product] + Decimal(self.rng.randint(0, 9999)) / 100
        day = f"2024-{self.rng.randint(1, 2):02d}-{self.rng.randint(1, 28):02d}"
        seller = self.rng.choice(SELLERS_OF_STORE[store])
        who = customer or self.rng.randint(1, 20)
        return (str(who), str(store), product, day, str(seller), str(price), str(quantity), str(price * quantity))


def _csv(rows: Sequence[tuple[str, ...]], more: Sequence[str] = ()) -> bytes:
    return "\n".join([",".join((*SALES_HEADER, *more)), *(",".join(row) for row in rows), ""]).encode()


def judge(book: Book, versions: Sequence[dict[str, object]]) -> list[str]:
    """Compare the ledger's versions (etag, state, rows_read, rows_rejected, name) with what must have come of each content."""
    by_etag: dict[str, list[dict[str, object]]] = {}
    for version in versions:
        by_etag.setdefault(str(version["etag"]).strip('"'), []).append(version)
    known = book.contents.keys() | book.removed.keys()
    wrong = [f"{found[0]['name']}: a content that nobody dropped" for etag, found in by_etag.items() if etag not in known]
    for etag in book.removed:
        states = {str(v["state"]) for v in by_etag.get(etag, [])} - REMOVED
        if states:
            name = by_etag[etag][0]["name"]
            wrong.append(f"{name}: {', '.join(sorted(states))} instead of GONE, its object was deleted before it was read")
    for etag, content in book.contents.items():
        found = by_etag.get(etag, [])
        counted = [v for v in found if v["state"] == content.verdict]
        others = sorted({str(v["state"]) for v in found} - PASSED_OVER - {content.verdict})
        names = ", ".join(sorted({str(v["name"]) for v in found})) or etag
        if others:
            wrong.append(f"{names}: {', '.join(others)} instead of {content.verdict}")
        elif not counted:
            wrong.append(f"{names}: LOST, no version of it is {content.verdict}")
        elif content.verdict == "COMMITTED" and len(counted) > 1:
            wrong.append(f"{names}: DOUBLED, counted {len(counted)} times")
        elif content.verdict == "COMMITTED":
            seen = (counted[0]["rows_read"], counted[0]["rows_rejected"])
            if seen != (content.rows, content.rejected):
                wrong.append(f"{names}: {seen} rows read and rejected instead of {(content.rows, content.rejected)}")
    return wrong
