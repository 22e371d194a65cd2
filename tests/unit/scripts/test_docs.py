"""The documentation keeps its word: pages are current, links resolve, and every path, command and test it names exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from scripts import generate_docs
from scripts.docgen.messages import commands
from scripts.docgen.schema import read_tables
from tests.shipped import SHIPPED_CONF

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What tools leave in a working copy; none of it is in the repository.
LEFT_BY_TOOLS = {"build", "spark-warehouse", "metastore_db", "__pycache__"}

# Columns that later SQL files add to tables of earlier ones.
ADDED = {
    "file_reject": ["first_text"],
    "micro_batch": ["unexplained", "cause"],
    "pending_part": ["failures", "not_before", "failed_contract"],
    "source_file": ["retries", "retry_at"],
    "stream_owner": ["process", "stop_epoch", "stop_by"],
}


def prose(path: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_rows(heading: str) -> list[list[str]]:
    """Return the rows of the README's table below a heading, without its head."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("|")][2:]


@cache
def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


TABLES = ("What it does, and where to see it", "The batch workflow, step by step", "Errors, and the rest of the batch job")
ROWS = [row for heading in TABLES for row in table_rows(heading)]
STEPS = (
    "Retrieve AWS access keys",
    "Create S3 client",
    "List buckets",
    "Check last run status",
    "List files in S3",
    "Download files from S3",
    "Validate file schemas",
    "Move invalid files",
    "Update staging table",
    "Process CSV files",
    "Enrich data",
    "Generate data marts",
    "Write data",
    "Calculations",
    "Move processed files",
    "Clean up",
    "Update staging table",
)
PHRASES = (
    "long-running streaming query",
    "file stream with an enforced schema",
    "error sink",
    "foreachBatch",
    "dimension tables over JDBC",
    "marts",
    "partitioned Parquet",
    "file status in MySQL",
    "trigger-once",
)
SUBJECTS = ("Missing columns", "Download errors", "Schema validation", "Database errors", "Configuration", "Logging", "Upload")
GENERATORS = ("standard", "date-wise", "extra columns", "fewer columns", "customer table")


@pytest.mark.parametrize("name", generate_docs.PAGES)
def test_a_generated_page_is_what_it_would_be_now(name: str) -> None:
    page, make = (ROOT / "docs" / name).read_text(encoding="utf-8"), generate_docs.PAGES[name]
    # It tells of the shipped conf/; whoever has made conf/ their own may have it tell of that instead.
    assert page == make(SHIPPED_CONF) or page == make(), "run scripts/generate_docs.py"


def test_the_schema_page_has_every_table_and_column() -> None:
    page = text_of("docs/schema.md")
    for path in sorted((ROOT / "scripts" / "sql").glob("0*.sql")):
        tables = read_tables(path)
        assert [one.name for one in tables] == re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+)", path.read_text(), re.MULTILINE)
        for one in tables:
            section = page.split(f"### {one.name}\n", 1)[1].split("\n##", 1)[0]
            body = path.read_text().split(f"CREATE TABLE IF NOT EXISTS {one.name} (", 1)[1].split("\n)", 1)[0]
            written = re.findall(r"^  (?!PRIMARY|UNIQUE|KEY)(\w+) ", body, re.MULTILINE)
            assert re.findall(r"^\| `(\w+)` ", section, re.MULTILINE) == written + ADDED.get(one.name, [])


def test_the_schema_page_shows_what_later_files_changed() -> None:
    page = text_of("docs/schema.md")
    section = page.split("### sales_team_data_mart\n", 1)[1].split("\n##", 1)[0]
    assert re.findall(r"^\| `(total_sales|incentive)` \| ([^|]+) \| +\| ([^|]*) \|", section, re.MULTILINE) == [
        ("total_sales", "DECIMAL(30, 4)", ""),
        ("incentive", "DECIMAL(30, 2)", "0"),
    ]


def test_the_readme_names_every_command() -> None:
    for path in commands():
        assert f"./spark-submit.sh {' '.join(path)}" in README, path


def test_the_readme_names_every_folder_at_the_top() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - LEFT_BY_TOOLS
    listed = set(re.findall(r"^\| \[([\w.]+)/\]", README, re.MULTILINE))
    assert listed == folders | {".ci"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_of_the_readme_names_modules_a_command_and_tests_that_exist(row: list[str]) -> None:
    modules, command, tests = row[-3:]
    for path in re.findall(r"`([\w./]+)`", modules):
        assert (ROOT / path).is_file(), path
    assert re.search(r"`(\./spark-submit\.sh|\.venv/bin/python) ", command)
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", tests)
    assert named
    for path, test in named:
        assert re.search(rf"^def {test}\(", text_of(path), re.MULTILINE), f"{path}::{test}"


def test_a_script_or_program_in_the_readme_is_there() -> None:
    for path in re.findall(r"(?:^|[ `])((?:\./|scripts/)[\w./-]+\.(?:py|sh))\b", README, re.MULTILINE):
        assert (ROOT / path).is_file(), path


def test_all_phrases_are_mapped() -> None:
    assert [row[0] for row in table_rows(TABLES[0])] == list(PHRASES)


def test_all_seventeen_steps_are_mapped_in_their_order() -> None:
    titles = [row[0] for row in table_rows(TABLES[1])]
    assert len(titles) == len(STEPS) == 17
    for number, (title, step) in enumerate(zip(titles, STEPS, strict=True), start=1):
        assert title.startswith(f"{number}. {step}")


def test_error_handling_generators_and_the_rest_are_mapped() -> None:
    subjects = [row[0] for row in table_rows(TABLES[2])]
    for wanted in (*SUBJECTS, *(f"Generator: {name}" for name in GENERATORS)):
        assert wanted in subjects


def test_every_runtime_dependency_has_its_reason() -> None:
    block = text_of("requirements.in").split("--- runtime additions", 1)[1]
    packages = re.findall(r"^([a-z][\w-]*)", block, re.MULTILINE)
    assert packages == re.findall(r"^\| ([a-z][\w-]*) \|", text_of("docs/decisions/0003-dependencies.md"), re.MULTILINE)


def test_the_first_decision_holds_every_case_of_its_script() -> None:
    script = text_of("scripts/spikes/readstream_faults.py")
    dropped = re.findall(r'Case\(\s*"([^"]+)"', script)
    shown = re.findall(r"^\| ([^|]+?) \|", text_of("docs/decisions/0001-own-streaming-source.md"), re.MULTILINE)
    assert len(dropped) == script.count("    Case(")
    assert [case for case in dropped if case not in shown] == []


def test_no_page_breaks_its_pictures() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("```") % 2 == 0, page
        for picture in re.findall(r"^```mermaid\n(\w+)", text, re.MULTILINE):
            assert picture in ("flowchart", "sequenceDiagram", "stateDiagram", "erDiagram")


def test_every_module_that_a_page_names_is_there() -> None:
    there = ["/" + path.relative_to(ROOT).as_posix() for folder in ("app", "scripts", "tests") for path in (ROOT / folder).rglob("*.py")]
    for page in PAGES:
        for path in re.findall(r"`([\w/]+\.py)(?:::\w+)?`", page.read_text(encoding="utf-8")):
            assert any(known.endswith(f"/{path}") for known in there), f"{page.name} names {path}"


def test_every_decision_that_the_code_cites_is_there_and_nothing_outside_the_repository() -> None:
    for folder in ("app", "scripts", "tests", "conf"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix not in (".py", ".sh", ".sql", ".yml") or path == Path(__file__):
                continue
            text = path.read_text(encoding="utf-8")
            assert "design: D" not in text, path
            assert "design.md" not in text, path
            for cited in re.findall(r"\b(\d{4}-[a-z][a-z-]+)\.md", text):
                assert (ROOT / "docs/decisions" / f"{cited}.md").is_file(), f"{path} cites {cited}"
