"""Recompute marts, parts and counts from the Parquet and compare them with MySQL; repair a restored ledger.

Called by the command `verify`; it shares no code with what it checks.
MySQL is read first, at one moment; S3 afterwards. So it may run beside the stream: what the ledger of that moment names is on S3, and
what came later is looked up again before it is called a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.config.load import Config
from app.contract.contract import load_contract
from app.model.marts import MARTS
from app.mysql.database import Database
from app.s3.read import make_client
from app.verify import compare
from app.verify.archive_side import archive
from app.verify.deep import column_types
from app.verify.deep import deep as read_again
from app.verify.difference import Difference
from app.verify.ledger_side import load_ledger
from app.verify.objects import load_objects, orphans
from app.verify.parquet import recompute
from app.verify.scratch_database import Scratch, open_scratch

__all__ = ["Difference", "Verification", "differences"]


@dataclass
class Verification:
    """What was looked at; complete when all differences have been taken."""

    parts: int = 0
    rows: int = 0
    marts: int = len(MARTS)
    files: int = 0
    csv_files: int | None = None

    def summary(self) -> str:
        """Say in one clause what was looked at."""
        read_again = "" if self.csv_files is None else f", {self.csv_files:,} CSV files read again"
        return f"{self.parts:,} parts, {self.rows:,} rows, {self.marts} marts, {self.files:,} files{read_again}"


def differences(config: Config, seen: Verification, *, deep: bool = False) -> Iterator[Difference]:
    """Yield every difference between MySQL and S3, and count in `seen` what was looked at. Nothing is written.

    Raises:
        PipelineError: MySQL or S3 cannot be read.
    """
    db, client = Database(config.mysql), make_client(config.s3)
    contract = load_contract(config.contract_path)
    with open_scratch() as scratch:
        load_ledger(db, scratch, replaces=contract.replaces)
        load_objects(client, config, scratch)
        yield from recompute(config, scratch, column_types(contract) if deep else None)
        _count(seen, scratch)
        yield from compare.marts(config.marts, scratch)
        yield from compare.parts(db, config, scratch)
        yield from compare.files(scratch)
        yield from compare.duplicates(scratch)
        yield from orphans(db, config, scratch)
        yield from archive(db, config, scratch)
        if deep:
            seen.csv_files = 0
            for one in read_again(client, config, contract, scratch):
                if one is None:
                    seen.csv_files += 1
                else:
                    yield one


def _count(seen: Verification, scratch: Scratch) -> None:
    seen.parts = int(scratch.scalar("SELECT count(*) FROM part"))
    seen.rows = int(scratch.scalar("SELECT coalesce(sum(row_count), 0) FROM calc_part"))
    seen.files = int(scratch.scalar("SELECT count(*) FROM file"))
