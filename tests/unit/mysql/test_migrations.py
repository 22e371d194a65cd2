"""The SQL files as text: what every one of them must have, so that a server's defaults do not decide about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.mysql.migrations import SQL_FOLDER

# The first five were released without; 006 sets right what they made.
LATER = [path for path in sorted(SQL_FOLDER.glob("[0-9]*.sql")) if path.name >= "006"]
COLLATION = "utf8mb4_bin"


@pytest.mark.parametrize("path", LATER, ids=lambda path: path.stem)
def test_every_text_of_a_table_has_a_collation_that_is_named(path: Path) -> None:
    for table in re.findall(r"CREATE TABLE.*?;", path.read_text(), re.DOTALL):
        columns, _, end = table.rpartition(")\x20ENGINE")
        texts = [line.strip() for line in columns.splitlines() if re.search(r"\b(VAR)?CHAR\b|TEXT\b", line)]
        unnamed = [line for line in texts if not re.search(r"COLLATE \w+_bin", line)]
        assert unnamed == [] or re.search(rf"COLLATE ?= ?{COLLATION}", end), f"say COLLATE = {COLLATION} after DEFAULT CHARSET: {unnamed}"


def test_the_collation_of_every_earlier_table_of_ours_is_pinned() -> None:
    earlier = "".join(path.read_text() for path in sorted(SQL_FOLDER.glob("00[2-5]*.sql")))
    made = set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", earlier))
    pinned = set(re.findall(r"ALTER TABLE (\w+) CONVERT", (SQL_FOLDER / "006_collation.sql").read_text()))
    assert pinned == made
