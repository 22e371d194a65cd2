"""The module map of docs/architecture.md, the layers of pyproject.toml and the folders of app/ are one and the same."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
APP = ROOT / "app"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = [[name.strip() for name in layer.split("|")] for layer in next(c for c in CONTRACTS if c["type"] == "layers")["layers"]]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
MAP = re.findall(
    r"^\| (\d+) \| \[([\w.]+)/?\]\(\.\./app/([\w.]+)/?\) \| (.+) \|$",
    (ROOT / "docs/architecture.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
FOLDERS = sorted(path.name for path in APP.iterdir() if (path / "__init__.py").is_file())
MODULES = sorted(path.stem for path in APP.glob("*.py") if path.stem != "__init__")


def docstring(folder: str) -> str:
    """Return the docstring of a folder."""
    return ast.get_docstring(ast.parse((APP / folder / "__init__.py").read_text(encoding="utf-8"))) or ""


def test_the_map_has_the_rungs_of_the_linter() -> None:
    rungs = [(int(rung), name.removesuffix(".py")) for rung, name, _, _ in MAP]
    assert rungs == [(number, name) for number, names in enumerate(LAYERS, 1) for name in names]


def test_every_folder_and_module_of_app_has_a_rung() -> None:
    assert sorted(name for names in LAYERS for name in names) == sorted([*FOLDERS, *MODULES])


def test_the_map_links_what_it_names() -> None:
    assert MAP
    assert all(name == target for _, name, target, _ in MAP)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_what_lives_there_as_the_map_does_and_who_may_call_it(folder: str) -> None:
    what, _, who = docstring(folder).partition("\n\n")
    assert what == next(text for _, name, _, text in MAP if name == folder)
    assert who.strip()


@pytest.mark.parametrize(("name", "driver"), [("mysql", {"pymysql"}), ("s3", {"boto3", "botocore"})])
def test_the_contract_on_a_driver_is_about_every_folder_but_its_own(name: str, driver: set[str]) -> None:
    contract = next(c for c in CONTRACTS if c["name"].startswith(f"Only {name}/"))
    assert set(contract["forbidden_modules"]) == driver
    assert sorted(contract["source_modules"]) == sorted(f"app.{other}" for other in [*FOLDERS, *MODULES] if other != name)
