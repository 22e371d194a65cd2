"""Every key is a sales file or is ignored by a rule with a name."""

import pytest

from app.source.ignored_keys import ignore_rule


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
