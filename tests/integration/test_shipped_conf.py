"""The tests run on tests/data/conf, a copy of conf/: it is what is shipped, and whoever makes conf/ their own turns no unit test red."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.shipped import SHIPPED_CONF

NAMES = sorted(path.name for path in SHIPPED_CONF.glob("*.yml"))
CURE = (
    "tests/data/conf/{0} is not the conf/{0} of this commit. If all users of Salestream are to get this change:"
    " cp conf/{0} tests/data/conf/{0}, and mend the tests that speak of it. If it is yours alone: remove this test;"
    " all others go on with the shipped copy."
)
# What lies beside the files of the repository: what setup fetches, git's own, data and caches.
LEFT_OUT = {".venv", ".cache", ".git", ".local", ".hypothesis", "build", "spark-warehouse", "metastore_db"}

# What README invites to: other settings, another alias, type and length, a new column, another rule and new ones.
CONTRACT_EDITS = (
    ("encoding: utf-8\n", "encoding: windows-1252\n"),
    ("extra_columns: additional_column\n", "extra_columns: rest\n"),
    ("max_reject_ratio: 1.0\n", "max_reject_ratio: 0.5\n"),
    ("duplicates: skip\n", "duplicates: reject\n"),
    ("redelivery: append\n", "redelivery: replace\n"),
    ("aliases: [qty]\n", "aliases: [qty, pieces]\n"),
    ("max_length: 255\n", "max_length: 40\n"),
    (
        "type: decimal(12,4)\n",
        "type: decimal(10,2)\n  - {name: payment_mode, type: string, required: false, nullable: true, sensitive: true}\n",
    ),
    ("expression: price >= 0\n", "expression: price > 0\n"),
)
MORE_RULES = """  - {name: not_too_many, expression: quantity < 1000, columns: [quantity], on_fail: reject}
  - {name: cheap, expression: price < 9, columns: [price], on_fail: warn}
"""
SETTINGS = {
    "bucket": "mine",
    "region": "eu-west-1",
    "source_prefix": "in/",
    "processed_prefix": "done/",
    "facts_prefix": "f/",
    "host": "db.mine",
    "port": "3399",
    "tls": "required",
    "max_files_per_trigger": "7",
    "takeover_seconds": "21",
    "tie_rule": "first",
    "incentive_rate": "0.5",
    "archive_days": "9",
    "shuffle_partitions": "3",
    "level": "DEBUG",
    "format": "json",
}


def is_edited(name: str) -> bool:
    """Tell whether a file of conf/ is not what git has of it: somebody tries a change, or there is no git."""
    found = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", f"conf/{name}"], cwd=REPOSITORY, capture_output=True, check=False)
    return found.returncode != 0


def edit_contract(path: Path) -> None:
    text = path.read_text()
    for old, new in CONTRACT_EDITS:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text + MORE_RULES)


def edit_settings(path: Path) -> None:
    text = path.read_text()
    for key, value in SETTINGS.items():
        text, found = re.subn(rf"^(  {key}:).*$", rf"\1 {value}", text, flags=re.MULTILINE)
        assert found == 1, key
    path.write_text(text)


@pytest.mark.parametrize("name", NAMES)
def test_the_copy_that_the_tests_read_is_what_conf_ships(name: str) -> None:
    if is_edited(name):
        pytest.skip(f"conf/{name} is edited here: its copy in tests/data/conf is what is shipped")
    assert (SHIPPED_CONF / name).read_bytes() == (REPOSITORY / "conf" / name).read_bytes(), CURE.format(name)


@pytest.mark.timeout(600)
def test_no_unit_test_depends_on_what_a_user_makes_of_conf(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    for source in REPOSITORY.iterdir():
        if source.name in LEFT_OUT or source.name.endswith("_cache"):
            continue
        if source.is_dir():
            shutil.copytree(source, clone / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, clone / source.name)
    for name in (".venv", ".cache"):
        (clone / name).symlink_to(REPOSITORY / name)
    # Beside the shipped files, whatever is in conf/ of this working copy.
    shutil.copytree(SHIPPED_CONF, clone / "conf", dirs_exist_ok=True)
    edit_contract(clone / "conf" / "contract.yml")
    for env in ("dev", "qa", "prod"):
        edit_settings(clone / "conf" / f"{env}.yml")
    shutil.copy(clone / "conf" / "dev.yml", clone / "conf" / "staging.yml")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"]
    done = subprocess.run(command, cwd=clone, text=True, capture_output=True, timeout=540)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
