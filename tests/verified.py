"""What `verify --deep` says, asked in this process: the last word of every test that makes an outage and recovers from it."""

from __future__ import annotations

from app.config.load import Config
from app.verify import Verification, differences


def found_by_verify(config: Config, *, remarks: bool = True, seen: Verification | None = None) -> list[str]:
    """Return a line for each difference between MySQL, the Parquet and the archived CSV files, which are read again.

    `remarks` are about what could not be compared, for instance because the contract has changed since.
    """
    return [str(one) for one in differences(config, seen or Verification(), deep=True) if remarks or one.counts]
