"""The pins of the runtime and of the tools, and that make and the commit hooks run the same tools."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from app.config.reading import REPOSITORY
from app.version import VERSION

RUNTIME, TOOLS = "requirements", "requirements-dev"
# Packages whose module has another name.
PACKAGE_OF = {"yaml": "pyyaml", "yoyo": "yoyo-migrations"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked_for(stem: str) -> set[str]:
    lines = (REPOSITORY / f"{stem}.in").read_text(encoding="utf-8").splitlines()
    return {canonical(match[0]) for line in lines if (match := re.match(r"[A-Za-z][\w.-]*", line))}


def pins(stem: str) -> dict[str, str]:
    lines = (REPOSITORY / f"{stem}.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.lstrip().startswith("#"))


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level modules that a file imports when it runs: not those that only its types need."""
    todo: list[ast.AST] = [ast.parse(path.read_bytes())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo.extend(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]
        else:
            todo.extend(ast.iter_child_nodes(node))


def test_whatever_the_job_imports_is_installed_without_the_tools() -> None:
    runtime = pins(RUNTIME)
    missing = {
        (module, str(path.relative_to(REPOSITORY)))
        for path in (REPOSITORY / "app").rglob("*.py")
        for module in imported(path)
        if module not in sys.stdlib_module_names and module != "app" and canonical(PACKAGE_OF.get(module, module)) not in runtime
    }
    assert missing == set()


@pytest.mark.parametrize("stem", [RUNTIME, TOOLS])
def test_everything_asked_for_is_pinned(stem: str) -> None:
    assert asked_for(stem) - set(pins(stem)) == set()
    assert len(asked_for(stem)) > 5


def test_what_both_need_has_one_version() -> None:
    runtime, tools = pins(RUNTIME), pins(TOOLS)
    assert {name: runtime[name] for name in runtime.keys() & tools.keys()} == {name: tools[name] for name in runtime.keys() & tools.keys()}
    assert asked_for(RUNTIME) & asked_for(TOOLS) == set()


def recipe(target: str) -> list[str]:
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^{target}:.*\n((?:\t.+\n)+)", text, re.MULTILINE)
    assert found, target
    return [line.strip() for line in found[1].splitlines()]


def test_the_commit_hooks_run_what_make_runs_and_fetch_nothing() -> None:
    (repository,) = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    entries = [hook["entry"] for hook in repository["hooks"] if hook["entry"].startswith(".venv/")]
    assert entries == recipe("lint") + recipe("type")


def test_fast_is_lint_type_and_two_lanes_of_unit() -> None:
    (command,) = recipe("fast")
    assert command.endswith(" lint type unit-lane-1 unit-lane-2")
    assert recipe("unit-lane-%") == ["@$(PYTEST) $(ORDER) $(call LANE,unit) tests/unit"]


def test_the_version_of_the_code_is_that_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["name"], project["version"]) == ("salestream", VERSION)
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_code_that_travels_in_a_zip_knows_its_version(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "salestream.zip", "w") as package:
        for name in ("app/__init__.py", "app/version.py"):
            package.write(REPOSITORY / name, name)
    said = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path / 'salestream.zip')!r}); import app.version as v; print(v.VERSION)",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd="/",
    )
    assert said.stdout == f"{VERSION}\n"
