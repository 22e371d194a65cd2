"""The chaos harness judges rightly: what was lost, doubled or misjudged is named, and what may happen is not."""

from __future__ import annotations

import random
import re
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from app.checks.contract import check_columns
from app.contract.contract import load_contract
from app.failpoints import RUN_FAILPOINTS
from scripts.generators import SALES_HEADER
from tests.chaos.__main__ import homes
from tests.chaos.book import Book, Content, judge
from tests.chaos.contracts import LADDERS, Contracts
from tests.chaos.kills import KINDS, Kill, all_kills, applies, one_kill_each
from tests.chaos.lines import Lines
from tests.chaos.processes import VICTIMS, role_of
from tests.chaos.runs import Frozen, Run, Runs, is_deaf
from tests.chaos.site import Running, Site
from tests.fault_proxy import FaultProxy, Request
from tests.oracle import Dimensions, expected_marts
from tests.product import Product


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


def test_a_content_whose_object_was_deleted_before_it_was_read_is_gone_and_nothing_else(book: Book) -> None:
    content, kept = book.make("pending"), book.make("good")
    for one in (content, kept):
        book.expect(one)
    book.withdraw(content)
    assert (book.rows, book.unknown(), book.clean) == (12, [], [kept.clean])
    assert judge(book, [seen(kept)]) == []
    assert judge(book, [seen(kept), seen(content, "GONE")]) == []
    assert judge(book, [seen(kept), seen(content)]) == [
        "a.csv: COMMITTED instead of GONE, its object was deleted before it was read",
    ]


def test_more_columns_change_neither_the_clean_rows_nor_the_counts(book: Book) -> None:
    made = [book.make("rejects", more=True) for _ in range(20)]
    headers = {content.body.split(b"\n")[0].decode().removeprefix(",".join(SALES_HEADER)) for content in made}
    assert {"", ",discount,visits,channel"} < headers
    for content in made:
        book.expect(content)
    assert len(expected_marts(book.clean).files) == 20
    assert all(line.count(b",") == content.body.split(b"\n")[0].count(b",") for content in made for line in content.body.splitlines())


def test_every_contract_of_a_storm_can_be_used_and_holds_all_values_of_those_before_it(tmp_path: Path) -> None:
    contracts = Contracts(tmp_path / "conf", random.Random(1))
    before = load_contract(tmp_path / "conf" / "contract.yml")
    kinds = set()
    for _ in range(40):
        kinds.add(contracts.edit().split()[0])
        after = load_contract(tmp_path / "conf" / "contract.yml")
        assert after.hash != before.hash
        check_columns(after)
        types = {column.name: column.type for column in before.columns}
        for column in after.columns:
            ladder = LADDERS.get(column.name, (column.type,))
            assert ladder.index(column.type) >= ladder.index(types.get(column.name, column.type))
        assert {column.name for column in after.columns if column.required} == set(SALES_HEADER)
        before = after
    assert kinds == {"gained", "lost", "widened", "another", "extra"}


OWNED = "salestream: OWNED the source is held by a; stop it\n"
STARTED = "2024-01-01 10:00:00,000 INFO    app.ledger owner epoch=7 holder=a\n"


def made_runs(folder: Path, *made: tuple[str, int | None, float, float | None]) -> Runs:
    """Make runs from what they said, their codes, begin and end."""
    runs = Runs(Site(Product(folder), folder / "site"), {}, 5.0)
    for number, (text, code, began, ended) in enumerate(made):
        (folder / f"{number}.log").write_text(text)
        # A process that has ended already, but for its code.
        process = subprocess.Popen(["true"])
        process.wait()
        process.returncode = code
        runs.all.append(Run(Running(process, folder / f"{number}.log", began), "job", ended, code))
    return runs


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([(STARTED, 0, 0.0, 9.0), (OWNED, 3, 1.0, 2.0)], []),
        ([(STARTED, 0, 0.0, 9.0), (OWNED, 3, 20.0, 22.0)], ["1.log: gave up the source, and nobody else was there"]),
        ([(STARTED, 0, 0.0, 9.0), (OWNED.replace("OWNED", "RESTORED"), 3, 1.0, 2.0)], ["1.log: gave up the source"]),
        ([(STARTED, 1, 0.0, 9.0)], ["0.log: ended with code 1 and 0 lines instead of one"]),
        ([("salestream: CHECK two things\n", 2, 0.0, 9.0)], ["0.log: ended with code 2"]),
        ([("salestream: S3 s3://b: 404 NoSuchBucket; check s3.*\n", 2, 0.0, 9.0)], []),
        ([("Traceback (most\nsalestream: S3 it\n", 1, 0.0, 9.0)], ["0.log: ended with code 1 and a trace"]),
        ([(STARTED, 0, 0.0, 9.0), (STARTED, 0, 10.0, 19.0)], ["epoch 7 was given out 2 times"]),
    ],
)
def test_runs_that_end_otherwise_than_they_may_are_named(
    tmp_path: Path, made: list[tuple[str, int, float, float]], said: list[str]
) -> None:
    found = list(made_runs(tmp_path, *made).wrong())
    assert len(found) == len(said)
    assert all(text.startswith(begin) for text, begin in zip(found, said, strict=True)), found


def test_a_run_that_is_killed_while_it_ends_may_say_so_twice_and_no_other(tmp_path: Path) -> None:
    runs = made_runs(tmp_path, (OWNED + "salestream: SPARK was killed\n", 1, 0.0, 9.0))
    assert [text.split(":")[1] for text in runs.wrong()] == [" ended with code 1 and 2 lines instead of one"]
    runs.all[0].is_hit = True
    assert list(runs.wrong()) == []


@pytest.mark.parametrize(
    ("code", "ended", "hit", "said"),
    [
        (3, 20.0, False, []),
        (0, 20.0, False, ["0.log: was taken over while it was frozen, and ended with code 0"]),
        (1, 20.0, True, []),
        (3, 200.0, False, ["0.log: lived on for more than 90 s after it was taken over"]),
    ],
)
def test_a_frozen_run_that_was_taken_over_must_end_as_displaced(
    tmp_path: Path, code: int, ended: float, hit: bool, said: list[str]
) -> None:
    text = OWNED if code == 3 else "salestream: S3 it\n"
    runs = made_runs(tmp_path, (STARTED + text, code, 0.0, ended), (STARTED.replace("=7", "=8"), 0, 5.0, 19.0))
    runs.freezes.append(Frozen(runs.all[0], [], 1.0, runs.all[1], woken=15.0))
    runs.all[0].is_hit = hit
    assert list(runs.wrong()) == said


def test_an_edit_of_the_contract_that_a_running_stream_does_not_say_is_named(tmp_path: Path) -> None:
    committed = "2024-01-01 10:05:00,000 INFO    app.batch batch=3-7-1 committed files=1\n"
    edited = "2024-01-01 10:01:02,000 WARNING app.stream conf/contract.yml was edited: the stream\n"
    silent, telling = made_runs(tmp_path, (STARTED + committed, 0, 0.0, 1.0), (STARTED + edited + committed, 0, 0.0, 1.0)).all
    assert is_deaf(silent, datetime(2024, 1, 1, 10, 1))
    assert not is_deaf(telling, datetime(2024, 1, 1, 10, 1))
    # The next one it has not said, and one before it had the source is what it has read.
    assert is_deaf(telling, datetime(2024, 1, 1, 10, 2))
    assert not is_deaf(silent, datetime(2024, 1, 1, 9, 59))


def test_faults_are_counted_by_kind_as_far_as_they_have_befallen_requests() -> None:
    between = Lines(FaultProxy(""), {})
    for number in range(40):
        between.add_fault(random.Random(number))
    assert between.hits() == {}
    made = {fault.code: fault.times for fault in between.s3.faults if fault.code != "InjectedFault"}
    assert {"NoSuchKey", "NoSuchBucket", "PreconditionFailed", "SlowDown", "InternalError"} == set(made)
    probe = Request("GET", "b", "sales_data/_salestream_check_1", {})
    denied = [fault for fault in between.s3.faults if fault.code in ("NoSuchKey", "PreconditionFailed")]
    assert not [fault for fault in denied if re.search(fault.pattern, probe.text)]
    assert [fault.when(probe) for fault in between.s3.faults if fault.code == "PreconditionFailed"][:1] == [False]
    request = Request("GET", "b", "sales_data/a.csv", {}, headers={"if-match": "a"})
    while between.s3.due(request) is not None:
        pass
    assert between.s3.hits == sum(between.hits().values()) > 20
    assert {"404 NoSuchKey", "412 PreconditionFailed", "slow", "truncated"} < set(between.hits())


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
