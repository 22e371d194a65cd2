"""Tests run in an order that can be drawn and drawn again, and in CI no skip passes that no list names."""

from __future__ import annotations

import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import skips
from tests.conftest import REPOSITORY
from tests.shuffle import shuffled


@pytest.mark.parametrize(("value", "is_ci"), [(None, False), ("", False), ("false", False), ("0", False), ("1", True), ("true", True)])
def test_ci_is_what_sets_the_variable(monkeypatch: pytest.MonkeyPatch, value: str | None, is_ci: bool) -> None:
    monkeypatch.delenv("CI", raising=False)
    if value is not None:
        monkeypatch.setenv("CI", value)
    assert skips.in_ci() is is_ci


def test_a_listed_skip_is_allowed_on_machines_it_is_listed_for_and_for_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    here = [True]
    monkeypatch.setattr(skips, "ALLOWED", (skips.Allowed("tests/a.py::", "no server", "it needs one", lambda: here[0]),))
    assert skips.refusal("tests/a.py::test_x", "no server in .cache") is None
    assert "does not allow it" in str(skips.refusal("tests/a.py::test_x", "I did not feel like it"))
    assert "does not allow it" in str(skips.refusal("tests/b.py::test_x", "no server in .cache"))
    here[0] = False
    assert (
        skips.refusal("tests/a.py::test_x", "no server")
        == "tests/a.py::test_x may not be skipped on this machine (no server): it needs one"
    )


def test_a_real_mysql_may_be_missing_only_where_none_can_be_fetched(tmp_path: Path) -> None:
    # A machine with the tools of apt; no mirror is asked for anything.
    for tool in ("apt-get", "dpkg-deb"):
        (tmp_path / tool).symlink_to("/bin/true")
    script = (REPOSITORY / "scripts" / "fetch_mysql.sh").read_text()
    places = {"APT_HELPER=/usr/lib/apt/apt-helper": "APT_HELPER=/bin/true", "$(uname -sm)": "Linux x86_64"}
    for old, new in places.items():
        assert old in script
        script = script.replace(old, new)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "fetch_mysql.sh").write_text(script)

    def can_fetch(mirror: str) -> tuple[int, str]:
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DEBIAN_MIRROR": mirror}
        command = ["bash", str(tmp_path / "scripts" / "fetch_mysql.sh"), "--can-fetch"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stderr

    assert can_fetch("http://127.0.0.1:9/debian/") == (0, "")
    code, said = can_fetch("")
    assert (code, said.splitlines()[0]) == (
        2,
        "MACHINE apt knows no Debian mirror here; name one: DEBIAN_MIRROR=http://.../debian/ scripts/fetch_mysql.sh",
    )
    [allowed] = [one for one in skips.ALLOWED if one.tests.startswith("tests/integration/test_real_mysql.py")]
    assert allowed.here is skips.cannot_get_mysql


def test_every_skip_that_the_list_allows_is_one_that_a_test_makes() -> None:
    for one in skips.ALLOWED:
        source = (REPOSITORY / one.tests.partition("::")[0]).read_text(encoding="utf-8")
        said = re.findall(r'(?:pytest\.skip\(f?"|reason=f?")([^"]+)"', source)
        assert any(re.match(one.reason, re.sub(r"\{\w+\}", "x", text)) for text in said), one.tests


# Order


def test_a_seed_draws_an_order_of_modules_and_of_the_tests_in_each_and_draws_it_again() -> None:
    plain = [SimpleNamespace(path=Path(f"test_{module}.py"), name=name) for module in "abcdef" for name in "uvwxyz"]
    first, second = shuffled(plain, "1"), shuffled(plain, "2")
    assert len(first) == len(second) == len(plain)
    assert first != plain and second != plain and first != second
    assert shuffled(plain, "1") == first
    assert [test for test in plain if test not in first] == []
    modules = [test.path for test in first]
    assert sum(one != other for one, other in pairwise(modules)) == 5
    assert [test.name for test in first if test.path.name == "test_a.py"] != list("uvwxyz")
