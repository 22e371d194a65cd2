"""Shares of the test files: together they are all of them, each once."""

from __future__ import annotations

import pytest

from tests.shares import parsed, share_of

FILES = [(f"test_{n}.py", n * n * 37 % 1009) for n in range(40)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_file_is_in_exactly_one_share(count: int) -> None:
    shares = [share_of(FILES, number, count) for number in range(1, count + 1)]
    assert sorted(name for share in shares for name in share) == sorted(name for name, _ in FILES)


def test_shares_are_about_equally_heavy_and_do_not_depend_on_the_order_of_the_files() -> None:
    first, second = (sum(size for name, size in FILES if name in share_of(FILES, number, 2)) for number in (1, 2))
    assert abs(first - second) < (first + second) / 100
    assert share_of(FILES, 1, 2) == share_of(FILES[::-1], 1, 2)


@pytest.mark.parametrize("written", ["", "1", "0/2", "3/2", "1/x", "1/0", "-1/2"])
def test_what_is_no_share_is_said_before_anything_runs(written: str) -> None:
    with pytest.raises(pytest.UsageError, match=r"--share .*must be a number of a count, such as 1/2"):
        parsed(written)
