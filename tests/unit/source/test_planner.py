"""The planner lists no more than a batch needs, misses nothing, and after a freeze sees nothing new."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.load import Config
from app.ledger.types import Ignored
from app.s3.read import ObjectVersion
from app.source.done_markers import DoneMarkers
from app.source.planner import Planner
from tests.doubles import FakeLedger

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
HOUR_AGO = NOW - timedelta(hours=1)


class FakePages:
    """A prefix of some objects, listed in pages; notes behind which key each page was asked for."""

    def __init__(self, *keys: str, size: int = 10, page: int = 2) -> None:
        self.objects: dict[str, ObjectVersion] = {}
        self.page = page
        self.calls: list[str] = []
        for key in keys:
            self.put(key, size=size)

    def put(self, key: str, *, size: int = 10, at: datetime = HOUR_AGO) -> None:
        full = f"sales_data/{key}"
        self.objects[full] = ObjectVersion("lake", full, "e", size, at)

    def __call__(self, *, start_after: str) -> tuple[list[ObjectVersion], bool]:
        self.calls.append(start_after.removeprefix("sales_data/"))
        left = [self.objects[key] for key in sorted(self.objects) if key > start_after]
        return left[: self.page], len(left) > self.page


Make = Callable[..., Planner]


@pytest.fixture
def make(config: Config) -> Make:
    def planner(ledger: FakeLedger, pages: FakePages, now: datetime = NOW, **stream: object) -> Planner:
        limits = {"max_files_per_trigger": 3, "max_bytes_per_trigger": 1000, "settle_seconds": 60.0} | stream
        return Planner(config.model_copy(update={"stream": config.stream.model_copy(update=limits)}), ledger, pages, lambda: now)

    return planner


# What is listed


def test_nothing_is_listed_while_a_whole_batch_is_claimable(make: Make) -> None:
    ledger, pages = FakeLedger("a", "b", "c"), FakePages("d")
    assert make(ledger, pages).next_batch(0) == 101
    assert pages.calls == []
    assert ledger.claimed == [["a", "b", "c"]]


def test_nothing_is_listed_while_a_batch_of_bytes_is_claimable(make: Make) -> None:
    ledger, pages = FakeLedger("a", "b"), FakePages("d")
    make(ledger, pages, max_bytes_per_trigger=20).next_batch(0)
    assert pages.calls == []


def test_less_than_a_batch_is_filled_up_from_a_listing(make: Make) -> None:
    ledger, pages = FakeLedger("a", "b"), FakePages("c", "d")
    make(ledger, pages).next_batch(0)
    assert pages.calls == [""]
    assert ledger.claimed == [["a", "b", "c"]]


def test_listing_stops_when_the_batch_is_full(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages(*"abcdefgh")
    make(ledger, pages).next_batch(0)
    assert pages.calls == ["", "b"]
    assert ledger.known == {f"sales_data/{key}" for key in "abcd"}


def test_listing_stops_when_the_bytes_are_full(make: Make) -> None:
    pages = FakePages(*"abcdefgh")
    make(FakeLedger(), pages, max_files_per_trigger=100, max_bytes_per_trigger=40).next_batch(0)
    assert pages.calls == ["", "b"]


def test_a_listing_goes_on_where_the_last_one_stopped(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages(*"abcdefgh")
    planner = make(ledger, pages)
    assert [planner.next_batch(0) for _ in range(4)] == [101, 102, 103, None]
    assert ledger.claimed == [["a", "b", "c"], ["d", "e", "f"], ["g", "h"]]
    # The third batch found only two to the end and looked from the beginning up to where it had set out.
    assert pages.calls == ["", "b", "d", "f", "", "b", "d", "f", "", "b", "d"]


def test_a_key_before_the_resume_point_is_found_after_wrapping_round(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages(*"cdefgh")
    planner = make(ledger, pages)
    planner.next_batch(0)
    pages.put("a")
    planner.next_batch(0)
    planner.next_batch(0)
    assert ledger.claimed == [["c", "d", "e"], ["f", "g", "h"], ["a"]]


def test_an_idle_walk_asks_for_each_page_once(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages(*"abcdef")
    planner = make(ledger, pages, max_files_per_trigger=100)
    planner.next_batch(0)
    assert planner.next_batch(0) is None
    assert pages.calls == ["", "b", "d"] * 2


def test_an_empty_prefix_is_one_request_and_no_batch(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages()
    assert make(ledger, pages).next_batch(0) is None
    assert pages.calls == [""]


def test_the_resume_point_may_have_been_deleted(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages(*"abcdef")
    planner = make(ledger, pages)
    planner.next_batch(0)
    del pages.objects["sales_data/d"]
    planner.next_batch(0)
    assert ledger.claimed == [["a", "b", "c"], ["d", "e", "f"]]


# What comes first


def test_a_batch_planned_earlier_goes_first_and_nothing_is_listed(make: Make) -> None:
    ledger, pages = FakeLedger("a", planned=[7, 8], operations=[55]), FakePages("b")
    planner = make(ledger, pages)
    assert [planner.next_batch(6), planner.next_batch(7)] == [7, 8]
    assert ledger.asked_behind == [6, 7]
    assert (pages.calls, ledger.claimed, ledger.operations) == ([], [], [55])


def test_operations_and_files_take_turns_and_an_operation_begins(make: Make) -> None:
    ledger, pages = FakeLedger("a", "b", operations=[55, 56, 57]), FakePages()
    planner = make(ledger, pages, max_files_per_trigger=1)
    assert [planner.next_batch(0) for _ in range(6)] == [55, 101, 56, 102, 57, None]


def test_an_operation_is_claimed_without_a_listing(make: Make) -> None:
    ledger, pages = FakeLedger("a", operations=[55]), FakePages("b")
    assert make(ledger, pages).next_batch(0) == 55
    assert (pages.calls, ledger.claimed) == ([], [])


# Freeze: what `--once` loads


def test_freeze_lists_everything_once_and_nothing_after(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages(*"abcdefg")
    planner = make(ledger, pages)
    planner.freeze()
    assert pages.calls == ["", "b", "d", "f"]
    pages.put("late")
    assert [planner.next_batch(0) for _ in range(4)] == [101, 102, 103, None]
    assert ledger.claimed == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert pages.calls == ["", "b", "d", "f"]


def test_freeze_in_the_middle_of_a_walk_still_lists_everything(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages(*"bcdefg")
    planner = make(ledger, pages)
    planner.next_batch(0)
    pages.put("a")
    planner.freeze()
    assert ledger.known == {f"sales_data/{key}" for key in "abcdefg"}


def test_a_frozen_planner_still_hands_out_operations(make: Make) -> None:
    ledger = FakeLedger()
    planner = make(ledger, FakePages())
    planner.freeze()
    ledger.operations.append(55)
    assert [planner.next_batch(0), planner.next_batch(55)] == [55, None]


# What is no sales file, or not yet


def test_markers_are_never_booked(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages("", "2024/", "_SUCCESS", "a.csv", ".a.csv.crc", "_SUCCESS/b.csv", page=100)
    make(ledger, pages).next_batch(0)
    assert ledger.claimed == [["_SUCCESS/b.csv", "a.csv"]]


def test_a_page_of_markers_does_not_end_the_walk(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages("a/", "b/", "c/", "d/", "e.csv")
    make(ledger, pages).next_batch(0)
    assert ledger.claimed == [["e.csv"]]


@pytest.mark.parametrize(
    ("size", "age", "booked"),
    [(0, 59, False), (0, 60, True), (1, 0, True)],
    ids=["young and empty waits", "empty and settled", "young with content"],
)
def test_only_an_empty_object_waits_until_it_has_settled(make: Make, size: int, age: int, booked: bool) -> None:
    ledger, pages = FakeLedger(), FakePages()
    pages.put("a.csv", size=size, at=NOW - timedelta(seconds=age))
    assert (make(ledger, pages, settle_seconds=60.0).next_batch(0) is not None) is booked


def test_an_empty_object_is_taken_by_a_later_look(config: Config) -> None:
    ledger, pages = FakeLedger(), FakePages()
    pages.put("a.csv", size=0, at=NOW)
    times = iter([NOW, NOW + timedelta(seconds=2)])
    planner = Planner(config, ledger, pages, lambda: next(times))
    assert [planner.next_batch(0), planner.next_batch(0)] == [None, 101]


# What the configuration says of names and ages


def test_names_of_uploads_in_progress_wait_for_nothing(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages("a.csv", "b.csv.filepart", "c.csv.part", page=100)
    planner = make(ledger, pages)
    planner.next_batch(0)
    assert ledger.claimed == [["a.csv"]]
    assert ledger.ignored == [{"temporary_name": Ignored(2, "sales_data/b.csv.filepart")}]


def test_what_is_ignored_is_recorded_once_and_again_when_it_changes(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages("a.part", "b.part", "c.part")
    planner = make(ledger, pages)
    for _ in range(3):
        planner.next_batch(0)
    del pages.objects["sales_data/a.part"]
    planner.next_batch(0)
    pages.objects.clear()
    planner.next_batch(0)
    assert ledger.ignored == [
        {"temporary_name": Ignored(3, "sales_data/a.part")},
        {"temporary_name": Ignored(2, "sales_data/b.part")},
        {},
    ]


def test_only_a_whole_walk_is_recorded(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages("a.part", "b.csv", "c.csv", "d.csv", "e.csv", "f.part")
    planner = make(ledger, pages)
    planner.next_batch(0)
    assert ledger.ignored == []
    planner.next_batch(0)
    assert ledger.ignored[0] == {"temporary_name": Ignored(2, "sales_data/a.part")}


def test_an_object_younger_than_the_minimal_age_waits(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages()
    pages.put("old.csv", at=NOW - timedelta(seconds=30))
    pages.put("young.csv", at=NOW - timedelta(seconds=29))
    make(ledger, pages, min_age_seconds=30.0).next_batch(0)
    assert ledger.claimed == [["old.csv"]]
    assert ledger.ignored == [{"too_young": Ignored(1, "sales_data/young.csv")}]


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_a_file_is_taken_once_its_marker_is_there_on_whatever_page(make: Make, page: int) -> None:
    keys = ("a.csv", "a.csv-old", "a.csv.ab", "a.csv.done", "b.csv", "c.csv", "c.csv.done", "d.csv.done")
    ledger, pages = FakeLedger(), FakePages(*keys, page=page)
    planner = make(ledger, pages, done_marker=".done", max_files_per_trigger=100)
    planner.next_batch(0)
    assert ledger.claimed == [["a.csv", "c.csv"]]
    assert ledger.ignored[-1]["no_done_marker"] == Ignored(3, "sales_data/a.csv-old")
    pages.put("b.csv.done")
    planner.next_batch(0)
    assert ledger.claimed[1:] == [["b.csv"]]


def test_a_marker_of_an_earlier_version_does_not_count(make: Make) -> None:
    ledger, pages = FakeLedger(), FakePages(page=100)
    pages.put("a.csv", at=NOW)
    pages.put("a.csv.done", at=NOW - timedelta(seconds=1))
    planner = make(ledger, pages, done_marker=".done")
    assert planner.next_batch(0) is None
    pages.put("a.csv.done", at=NOW)
    planner.next_batch(0)
    assert ledger.claimed == [["a.csv"]]


@given(
    st.lists(st.sampled_from(["a", "b", "a.done", "b.done", "ab", "ab.done", "a.d", "a.done.done", "a!", "a!.done"]), unique=True),
    st.integers(1, 4),
)
def test_files_and_markers_meet_whatever_lies_between_them(keys: list[str], page: int) -> None:
    found = sorted(keys)
    markers = DoneMarkers(".done")
    complete, incomplete = [], []
    for at in range(0, len(found), page):
        objects = [ObjectVersion("lake", key, "e", 1, NOW) for key in found[at : at + page]]
        files = [one for one in objects if not one.key.endswith(".done")]
        done, open_files = markers.complete(files, objects, more=at + page < len(found))
        complete += [one.key for one in done]
        incomplete += [one.key for one in open_files]
    files = [key for key in found if not key.endswith(".done")]
    assert sorted(complete) == [key for key in files if f"{key}.done" in keys]
    assert sorted([*complete, *incomplete]) == files


# Files that S3 refused


def test_refused_files_are_looked_for_every_few_seconds_and_not_at_every_trigger(make: Make) -> None:
    ledger = FakeLedger()
    planner = make(ledger, FakePages())
    for _ in range(3):
        planner.next_batch(0)
    assert ledger.retried == 1
    now = planner.monotonic()
    planner.monotonic = lambda: now + 5
    planner.next_batch(0)
    assert ledger.retried == 2
