"""The configuration and the contract as they are shipped.

tests/data/conf is a copy of conf/. The tests read the copy, so that no test depends on what a user makes of conf/;
tests/integration/test_shipped_conf.py holds the two together as long as nobody edits conf/.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from app.contract.contract import Contract, load_contract

SHIPPED_CONF = Path(__file__).resolve().parent / "data" / "conf"


@cache
def shipped_contract() -> Contract:
    """Return the shipped contract; it is frozen, so all tests share one."""
    return load_contract(SHIPPED_CONF / "contract.yml")
