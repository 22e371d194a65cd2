"""One home with running servers for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app import local
from tests.product import Product


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    home = tmp_path_factory.mktemp("home with blank")
    local.up(home, die_with_parent=True)
    made = Product(home)
    made.call("init-db", "--seed")
    yield made
    local.down(home)
