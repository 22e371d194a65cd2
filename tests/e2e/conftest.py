"""A home with running servers for each module of tests: the product as a user calls it, or as the chaos harness does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app import local
from tests.chaos.site import Site, open_site
from tests.product import Product


@contextmanager
def running_product(home: Path) -> Iterator[Product]:
    """Start servers below a home, and stop them at the end."""
    local.up(home, die_with_parent=True)
    try:
        made = Product(home)
        made.call("init-db", "--seed")
        yield made
    finally:
        local.down(home)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product that the tests of a module share, in any order: each of them has months of its own."""
    with running_product(tmp_path_factory.mktemp("home with blank")) as made:
        yield made


@pytest.fixture
def empty_product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product of one test alone, which has loaded nothing yet."""
    with running_product(tmp_path_factory.mktemp("home with blank")) as made:
        yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    made = open_site(home, tmp_path_factory.mktemp("site"))
    yield made
    made.end()
    local.down(home)
