"""A run of pytest in CI passes with no skip that no list names, and tells the order that it has drawn."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

CONFTEST = """
from tests import shuffle, skips


def pytest_addoption(pluginmanager):
    pluginmanager.register(shuffle)
    pluginmanager.register(skips)
"""
TESTS = """
import unittest

import pytest


def test_skips_itself():
    pytest.skip("no reason at all")


@pytest.mark.skip(reason="marked")
def test_marked():
    pass


@pytest.mark.skipif(True, reason="under a condition")
def test_under_a_condition():
    pass


@pytest.fixture
def broken():
    pytest.skip("in a fixture")


def test_with_a_fixture(broken):
    pass


class TestOfUnittest(unittest.TestCase):
    def test_of_unittest(self):
        self.skipTest("unittest's")


@pytest.mark.xfail(strict=True)
def test_expected_failure():
    assert False


def test_passes():
    pass
"""


def run(folder: Path, *args: str, ci: str | None = None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "CI"} | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--rootdir", str(folder), *args, str(folder)]
    return subprocess.run(
        command, cwd=folder, env=environ | ({} if ci is None else {"CI": ci}), capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def test_in_ci_a_skip_of_any_kind_that_no_list_names_is_a_failure(folder: Path) -> None:
    (folder / "test_some.py").write_text(TESTS)
    done = run(folder, ci="1")
    assert done.returncode != 0
    assert "1 passed, 1 xfailed" in done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]
    for name in ("test_skips_itself", "test_marked", "test_under_a_condition", "test_with_a_fixture", "TestOfUnittest::test_of_unittest"):
        assert f"test_some.py::{name} is skipped (" in done.stdout


def test_in_ci_a_skipped_module_is_a_failure(folder: Path) -> None:
    (folder / "test_whole_module.py").write_text("import pytest\n\npytest.importorskip('no_such_module')\n")
    done = run(folder, ci="1")
    assert done.returncode not in (0, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "test_whole_module.py is skipped (" in done.stdout


def test_elsewhere_a_skip_is_said_loudly_and_a_drawn_order_is_told(folder: Path) -> None:
    (folder / "test_some.py").write_text(TESTS)
    done = run(folder, "--shuffle", "random", ci="false")
    assert done.returncode == 0, done.stdout
    assert "NOT TESTED: test_some.py (1): no reason at all" in done.stdout
    assert re.search(r"the same order again: --shuffle [0-9]+$", done.stdout, re.MULTILINE)
