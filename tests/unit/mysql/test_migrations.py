"""The SQL files as text: what every one of them must have, so that a server's defaults do not decide about it."""

from __future__ import annotations

import re

import pytest

from app.mysql.migrations import SQL_FOLDER

# The first five were released without; 006 sets right what they made.
LATER = [path for path in sorted(SQL_FOLDER.glob("[0-9]*.sql")) if path.name >= "006"]
COLLATION = "utf8mb4_bin"


@pytest.mark.parametrize("path", LATER, ids=lambda path: path.stem)
def test_a_table_names_its_collation(path: object) -> None:
    text = path.read_text()  # type: ignore[attr-defined]
    for table in re.findall(r"CREATE TABLE.*?;", text, re.DOTALL):
        assert f"COLLATE = {COLLATION}" in table or f"COLLATE={COLLATION}" in table, f"{table[:60]}: say COLLATE = {COLLATION}"


def test_the_collation_of_every_earlier_table_of_ours_is_pinned() -> None:
    earlier = "".join(path.read_text() for path in sorted(SQL_FOLDER.glob("00[2-5]*.sql")))
    made = set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", earlier))
    pinned = set(re.findall(r"ALTER TABLE (\w+) CONVERT", (SQL_FOLDER / "006_collation.sql").read_text()))
    assert pinned == made
