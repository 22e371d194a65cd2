"""A home with running servers for each module of tests: the product as a user calls it, or as the chaos harness does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app import local
from tests.chaos.site import Site, open_site
from tests.product import Product


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    home = tmp_path_factory.mktemp("home with blank")
    local.up(home, die_with_parent=True)
    made = Product(home)
    made.call("init-db", "--seed")
    yield made
    local.down(home)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    made = open_site(home, tmp_path_factory.mktemp("site"))
    yield made
    made.end()
    local.down(home)
