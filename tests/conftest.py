"""Fixtures for every kind of test, made only for the tests that ask for them. Where what lies: README.md, beside this file."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.contract.contract import Contract
from tests import shuffle, skips
from tests.shipped import shipped_contract

REPOSITORY = Path(__file__).resolve().parent.parent
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
# As spark-submit.sh arranges it for the real job: Spark's Python processes take pyspark from .venv, and the package from here.
os.environ.setdefault("SPARK_HOME", str(REPOSITORY / ".cache" / "spark"))
os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (str(REPOSITORY), os.environ.get("PYTHONPATH", "")) if p)


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    # Here and not as `pytest_plugins`, which no conftest.py below the root may name.
    pluginmanager.register(shuffle)
    pluginmanager.register(skips)


@pytest.fixture(autouse=True)
def _no_foreign_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep a developer's own overrides out of the tests."""
    for name in list(os.environ):
        if name.upper().startswith("SALESTREAM__"):
            monkeypatch.delenv(name)
    yield


@pytest.fixture(scope="session")
def contract() -> Contract:
    """The shipped contract, whatever a user has made of conf/contract.yml."""
    return shipped_contract()


@pytest.fixture(autouse=True)
def _no_handlers_of_another_test() -> Iterator[None]:
    """Take away what `logs.set_up` has installed: it writes to a standard error that ends with the test."""
    yield
    root = logging.getLogger()
    for handler in list(root.handlers):
        # pytest's own are of classes of their own.
        if type(handler) in (logging.StreamHandler, logging.handlers.RotatingFileHandler):
            root.removeHandler(handler)
            handler.close()
