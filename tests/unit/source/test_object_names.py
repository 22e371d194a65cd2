"""Every key is a sales file or is ignored by a rule with a name."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.sections import TEMPORARY_NAMES
from app.source.object_names import NameRules, ignore_rule


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("", "folder_marker"),
        ("2024/", "folder_marker"),
        ("2024_$folder$", "folder_marker"),
        ("_SUCCESS", "success_marker"),
        ("2024/01/_SUCCESS", "success_marker"),
        (".part-0.csv.crc", "checksum_file"),
        (".DS_Store", "desktop_file"),
        ("a/Thumbs.db", "desktop_file"),
    ],
)
def test_a_marker_is_ignored_by_a_named_rule(key: str, rule: str) -> None:
    assert ignore_rule(key) == rule


@pytest.mark.parametrize(
    "key",
    [
        "sales.csv",
        "a/x.csv",
        "SALES.CSV",
        "sales.csv.gz",
        "no_ending",
        "_hidden.csv",
        ".hidden.csv",
        "a//x.csv",
        "../x.csv",
        "a b é %20.csv",
        "_SUCCESS.csv",
        "my_SUCCESS",
        "_SUCCESS/x.csv",
        "_success",
        "crc",
        "x.crc.csv",
    ],
)
def test_anything_else_is_a_sales_file_however_odd_its_name(key: str) -> None:
    assert ignore_rule(key) is None


SHIPPED = NameRules(temporary=TEMPORARY_NAMES)


@pytest.mark.parametrize(
    "key",
    [
        "day.csv.filepart",
        "day.csv._COPYING_",
        "DAY.CSV.PART",
        "a/day.csv.partial",
        "day.tmp",
        "day.csv.temp",
        "day.csv.crdownload",
        "day.csv.uploading",
        "~$day.csv",
        ".day.csv.swp",
        "a/.day.csv.swx",
        "day.csv~",
        ".~lock.day.csv#",
        ".#day.csv",
        "#day.csv#",
        ".day.csv.Ab3xYz",
        ".day.csv.gz.Ab3xYz",
        "in.part/day.csv",
    ],
)
def test_an_upload_in_progress_is_ignored_by_the_shipped_patterns(key: str) -> None:
    assert SHIPPED.rule(key) == "temporary_name"


@pytest.mark.parametrize(
    "key",
    [
        "day.csv",
        "part.csv",
        "tmp.csv",
        "a.part.csv",
        "x.tmp.csv",
        "partial/day.csv",
        "swp",
        "department.csv",
        ".hidden.csv",
        "_temporary/0/x.csv",
    ],
)
def test_the_shipped_patterns_hit_no_finished_file(key: str) -> None:
    assert SHIPPED.rule(key) is None


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("final-1.csv", None),
        ("FINAL-1.CSV", None),
        ("a/b/final-1.csv", None),
        ("shops/121/day.txt", None),
        ("day.csv", "not_included"),
        ("shops/day.txt", "not_included"),
        ("final-1.csv.part", "temporary_name"),
        ("final-1.csv.done", "done_marker"),
        ("_SUCCESS", "success_marker"),
    ],
)
def test_only_what_is_included_is_a_sales_file(key: str, rule: str | None) -> None:
    names = NameRules(temporary=("*.part",), include=("final-*.csv", "shops/*/*.txt"), done_marker=".done")
    assert names.rule(key) == rule


def test_a_pattern_with_a_slash_is_tried_on_the_whole_key() -> None:
    names = NameRules(temporary=("in/*",))
    assert [names.rule(key) for key in ("in/a.csv", "x/in/a.csv")] == ["temporary_name", None]


@given(st.text(alphabet="a*?[].~#$-_/ é", max_size=40), st.lists(st.text(alphabet="a*?[]!.~#/", min_size=1, max_size=12), max_size=5))
def test_any_pattern_and_any_key_has_an_answer(key: str, patterns: list[str]) -> None:
    assert NameRules(temporary=tuple(patterns), include=tuple(patterns)).rule(key) in (
        None,
        "temporary_name",
        "not_included",
        "folder_marker",
        "success_marker",
    )


def test_a_hostile_name_costs_no_time() -> None:
    names = NameRules(temporary=("*a*a*a*a*a*a*a*a*b",))
    began = time.process_time()
    assert names.rule("a" * 1000) is None
    assert time.process_time() - began < 1
