"""The chaos harness judges rightly: what was lost, doubled or misjudged is named, and what may happen is not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from app.failpoints import RUN_FAILPOINTS
from tests.chaos.__main__ import homes
from tests.chaos.book import Book, Content, judge
from tests.chaos.kills import KINDS, Kill, all_kills, applies, one_kill_each
from tests.chaos.processes import VICTIMS, role_of
from tests.oracle import Dimensions, expected_marts


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path, random.Random(1))


def seen(content: Content, state: str = "", **changed: object) -> dict[str, object]:
    """What the ledger says of a version of a content."""
    row = {"name": "a.csv", "etag": content.etag, "state": state or content.verdict}
    return row | {"rows_read": content.rows, "rows_rejected": content.rejected} | changed


def test_every_content_that_counts_once_is_right_whatever_became_of_its_other_versions(book: Book) -> None:
    content = book.make("rejects")
    book.expect(content)
    assert judge(book, [seen(content)]) == []
    assert judge(book, [seen(content, "OVERWRITTEN"), seen(content, "DUPLICATE"), seen(content)]) == []


def test_a_lost_content_is_named(book: Book) -> None:
    content = book.make("good")
    book.expect(content)
    assert "LOST" in judge(book, [])[0]
    assert judge(book, [seen(content, "GONE")]) == ["a.csv: LOST, no version of it is COMMITTED"]


def test_a_doubled_content_is_named(book: Book) -> None:
    content = book.make("good")
    book.expect(content)
    assert judge(book, [seen(content), seen(content)]) == ["a.csv: DOUBLED, counted 2 times"]


def test_another_verdict_other_counts_and_foreign_contents_are_named(book: Book) -> None:
    content, foreign = book.make("rejects"), book.make("good")
    book.expect(content)
    assert judge(book, [seen(content, "FAILED")]) == ["a.csv: FAILED instead of COMMITTED"]
    assert judge(book, [seen(content, rows_read=13)]) == ["a.csv: (13, 2) rows read and rejected instead of (14, 2)"]
    assert judge(book, [seen(content), seen(foreign)]) == ["a.csv: a content that nobody dropped"]


def test_a_rejected_content_may_be_rejected_under_many_names(book: Book) -> None:
    content = book.make("empty")
    book.expect(content)
    assert judge(book, [seen(content, name="a.csv"), seen(content, name="b.csv")]) == []


def test_the_oracle_gets_the_good_rows_of_all_contents_once(book: Book) -> None:
    for kind in ("good", "rejects", "pending", "empty", "wrong_header"):
        content = book.make(kind)
        book.expect(content)
        book.expect(content)
    unknown = book.unknown()
    assert len(unknown) == 1
    before = expected_marts(book.clean, Dimensions(customers=sorted(book.customers)))
    assert (sum(counts[1] for counts in before.files.values()), before.pending_rows) == (36, 3)
    book.customers.update(unknown)
    assert book.unknown() == []
    assert expected_marts(book.clean, Dimensions(customers=sorted(book.customers))).pending_rows == 0


def test_the_short_round_has_every_fail_point_once_and_every_victim_and_kind() -> None:
    chosen = one_kill_each()
    assert [kill.point for kill in chosen] == list(RUN_FAILPOINTS)
    assert {kill.victim for kill in chosen} == set(VICTIMS)
    assert {kill.kind for kill in chosen} == set(KINDS)
    assert all(applies(kill.point, kill.victim, kill.kind) for kill in chosen)
    assert set(chosen) <= set(all_kills())


def test_the_matrix_has_every_combination_once_and_its_first_round_every_fail_point_and_kind() -> None:
    every = {Kill(p, v, k) for p in RUN_FAILPOINTS for v in VICTIMS for k in KINDS if applies(p, v, k)}
    kills, first = all_kills(), all_kills(rounds=1)
    assert len(kills) == len(every) == 188
    assert set(kills) == every
    assert kills[: len(first)] == first
    assert {(kill.point, kill.kind) for kill in first} == {(kill.point, kill.kind) for kill in every}
    assert len(first) == len({(kill.point, kill.kind) for kill in first})
    assert {kill.victim for kill in first} == set(VICTIMS)


def test_a_home_lasts_until_a_kill_needs_an_empty_ledger() -> None:
    kinds = ["later", "first", "rejects", "released", "first", "later"]
    cut = homes([Kill("after_facts", "jvm", kind) for kind in kinds])
    assert [[kill.kind for kill in kills] for kills in cut] == [["later"], ["first", "rejects", "released"], ["first", "later"]]
    assert homes([]) == []


@pytest.mark.parametrize(
    ("argv", "role"),
    [
        (["/usr/bin/java", "-cp", "x", "org.apache.spark.deploy.SparkSubmit", "app/main.py", "run"], "jvm"),
        (["/usr/bin/java", "org.apache.spark.launcher.Main"], "other"),
        (["/v/bin/python", "/w/app/main.py", "run"], "driver"),
        (["/v/bin/python3.11", "-m", "pyspark.sql.streaming.python_streaming_source_runner"], "planner"),
        (["/v/bin/python", "-m", "pyspark.daemon", "pyspark.worker"], "worker"),
        (["awk", "app/main.py"], "other"),
    ],
)
def test_a_process_is_known_by_its_arguments(argv: list[str], role: str) -> None:
    assert role_of(argv) == role
