"""The torture corpus through the real stream: every file becomes what its entry in tests/corpus/expected.py says, in any order.

Two worlds: one drop and one query with batches of 75 files; and shuffled drops in waves, with other batch sizes and small splits.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pymysql
import pytest
import yaml
from pyspark.sql import SparkSession

from app import local
from app.local import LocalEnv
from app.s3.read import list_all
from app.source.object_names import ignore_rule
from app.verify import Verification
from tests.corpus.build import body
from tests.corpus.expected import CASES, COMMITTED, DUPLICATE, SETTINGS, Case
from tests.verified import found_by_verify
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

FILES = [case for case in CASES if case.ignored_by is None]
FILES_IN_A_BATCH = 75
IGNORED = [case for case in CASES if case.ignored_by is not None]


@dataclass(frozen=True)
class Wave:
    """Files that are dropped together, and how they are loaded."""

    cases: Sequence[Case]
    max_files: int
    split_bytes: str = "32m"


def in_one_run() -> list[Wave]:
    return [Wave(CASES, FILES_IN_A_BATCH)]


def in_shuffled_waves() -> list[Wave]:
    rng = random.Random(20240301)
    cases = rng.sample(CASES, len(CASES))
    cuts = [0, *sorted(rng.sample(range(1, len(cases)), 2)), len(cases)]
    # 3 MB: the files of 10 MB are cut into splits, one of them within its long line.
    return [Wave(cases[begin:end], rng.choice((70, 110)), "3m") for begin, end in pairwise(cuts)]


@dataclass
class Run:
    """A world through which the corpus has gone."""

    world: World
    shuffled: bool

    @cached_property
    def books(self) -> dict[str, dict[str, Any]]:
        """The ledger's rows by key below the source prefix."""
        found = self.world.rows("SELECT * FROM source_file")
        return {bytes(row["object_key"]).decode().removeprefix(self.world.config.s3.source_prefix): dict(row) for row in found}

    @cached_property
    def keys(self) -> dict[int, str]:
        """Key below the source prefix by file id."""
        return {row["id"]: key for key, row in self.books.items()}

    @cached_property
    def facts(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Loaded rows by key and line."""
        rows = parquet(self.world, self.world.config.s3.facts_prefix, "sales_month VARCHAR", "store_id INTEGER")
        return self._by_key_and_line(rows)

    @cached_property
    def quarantine(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Rejected rows by key and line."""
        return self._by_key_and_line(parquet(self.world, self.world.config.s3.error_prefix + "quarantine/", "reason VARCHAR"))

    def _by_key_and_line(self, rows: Iterable[dict[str, Any]]) -> dict[str, dict[int, dict[str, Any]]]:
        found: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        for row in rows:
            lines = found[self.keys[row["_file_id"]]]
            assert row["_line"] not in lines, f"{self.keys[row['_file_id']]}: line {row['_line']} twice"
            lines[row["_line"]] = row
        return dict(found)

    @cached_property
    def originals(self) -> list[Case]:
        """The cases whose rows count: all but the twins of a file that was there before."""
        return [case for case in FILES if case.twin is None or self.books[case.key]["state"] != DUPLICATE]


def parquet(world: World, prefix: str, *types: str) -> list[dict[str, Any]]:
    """Read all Parquet below a prefix with DuckDB, whatever the ledger says."""
    folder = world.download(prefix)
    hive = "{" + ", ".join(f"'{name}': {kind}" for name, kind in (item.split() for item in types)) + "}"
    with duckdb.connect() as con:
        found = con.execute(
            f"SELECT * FROM read_parquet(?, hive_partitioning = true, union_by_name = true, hive_types = {hive})",
            [f"{folder}/**/*.parquet"],
        )
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.fixture(scope="module", params=[in_one_run, in_shuffled_waves], ids=["one_run", "shuffled_waves"])
def run(
    servers: LocalEnv, home: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Run]:
    with pymysql.connect(**local.root_connection_args(home), autocommit=True) as root:
        world = World.make(servers, root, tmp_path_factory.mktemp("corpus"))
        change_contract(world.folder / "conf" / "contract.yml")
        for wave in request.param():
            world.set("stream", max_files_per_trigger=wave.max_files, split_bytes=wave.split_bytes)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda case: world.drop(case.key, body(case.name)), wave.cases))
            world.run_once(spark)
        yield Run(world, request.param is in_shuffled_waves)
        world.destroy(root)


def change_contract(path: Path) -> None:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["settings"] |= SETTINGS
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")


def test_every_object_is_in_the_ledger_or_ignored_by_a_named_rule(run: Run) -> None:
    assert set(run.books) == {case.key for case in FILES}
    assert {case.name: ignore_rule(case.key, embedded=True) for case in IGNORED} == {case.name: case.ignored_by for case in IGNORED}


def test_every_file_has_its_state_and_its_reason(run: Run) -> None:
    found = {case.name: (run.books[case.key]["state"], run.books[case.key]["reason_code"]) for case in FILES if case.twin is None}
    assert found == {case.name: (case.state, case.reason) for case in FILES if case.twin is None}


def test_of_the_files_with_one_content_exactly_one_counts(run: Run) -> None:
    found: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for case in FILES:
        if case.twin:
            found[case.twin].append((run.books[case.key]["state"], run.books[case.key]["reason_code"]))
    once = [("COMMITTED", None)]
    again = ("DUPLICATE", "DUPLICATE")
    assert {twin: sorted(states) for twin, states in found.items()} == {"three": [*once, again, again], "bad_row": [*once, again]}


def test_every_file_has_its_counts_and_they_add_up(run: Run) -> None:
    columns = ("rows_read", "rows_loaded", "rows_rejected", "rows_pending")
    counts = {case.name: tuple(run.books[case.key][column] for column in columns) for case in FILES}
    counting = {case.name for case in run.originals}
    assert counts == {case.name: case.rows if case.name in counting else (0, 0, 0, 0) for case in FILES}
    assert [name for name, (read, loaded, rejected, pending) in counts.items() if read != loaded + rejected + pending] == []


def test_every_rejected_row_is_in_the_quarantine_with_its_line_and_all_its_reasons(run: Run) -> None:
    found = {
        key: {
            line: tuple(" ".join(filter(None, (fault["code"], fault["column"]))) for fault in row["_reasons"])
            for line, row in sorted(rows.items())
        }
        for key, rows in run.quarantine.items()
    }
    assert found == {case.key: dict(case.rejected) for case in run.originals if case.rejected and case.state == COMMITTED}


def test_the_reasons_of_a_file_with_too_many_bad_rows_are_kept_though_the_file_lies_in_the_error_prefix_as_a_whole(run: Run) -> None:
    rows = run.world.rows(
        "SELECT r.reason_code, r.row_count, r.first_line, r.first_column FROM file_reject r JOIN source_file f ON f.id = r.file_id"
        " WHERE f.reason_code = 'REJECT_RATIO' ORDER BY r.first_line"
    )
    assert [tuple(row.values()) for row in rows] == [("INVALID_INT", 2, 2, "customer_id")]


def test_the_quarantine_names_the_file_and_files_a_row_under_its_first_reason(run: Run) -> None:
    rows = [(key, row) for key, lines in run.quarantine.items() for row in lines.values()]
    assert [key for key, row in rows if row["_file_name"] != f"sales_data/{key}"] == []
    assert [key for key, row in rows if row["reason"] != row["_reasons"][0]["code"]] == []


def test_the_facts_hold_the_loaded_rows_of_every_file(run: Run) -> None:
    found = {key: (len(rows), sum((row["total_cost"] for row in rows.values()), Decimal(0))) for key, rows in run.facts.items()}
    assert found == {case.key: (case.rows[1], case.total) for case in run.originals if case.rows[1]}


def test_every_broken_warning_rule_is_named_beside_its_row(run: Run) -> None:
    found = {
        key: {line: tuple(row["_warnings"]) for line, row in sorted(rows.items()) if row["_warnings"] is not None}
        for key, rows in run.facts.items()
    }
    assert {key: lines for key, lines in found.items() if lines} == {case.key: dict(case.warned) for case in run.originals if case.warned}


def test_values_arrive_exactly(run: Run) -> None:
    wanted = {(case.name, line): dict(columns) for case in run.originals for line, columns in case.holds.items()}
    found = {
        (case.name, line): {column: run.facts[case.key][line][column] for column in columns}
        for case in run.originals
        for line, columns in case.holds.items()
    }
    assert found == wanted


def test_what_waits_is_noted_with_its_key(run: Run) -> None:
    rows = run.world.rows("SELECT file_id, dimension, key_value, row_count FROM pending_key")
    found: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    for row in rows:
        found[run.keys[row["file_id"]]][row["dimension"], row["key_value"]] = row["row_count"]
    assert found == {case.key: dict(case.waits) for case in run.originals if case.waits}


def test_both_marts_add_up_to_the_loaded_rows(run: Run) -> None:
    wanted = (sum(case.rows[1] for case in run.originals), sum((case.total for case in run.originals), Decimal(0)))
    for table in ("customers_data_mart", "sales_team_data_mart"):
        mart = run.world.rows(f"SELECT SUM(row_count) AS n, SUM(total_sales) AS total FROM {table}")[0]
        assert (mart["n"], mart["total"]) == wanted, table


def test_the_parquet_is_what_the_ledger_calls_live(run: Run) -> None:
    assert run.world.parquet_parts() == run.world.live_parts()


def test_only_ignored_objects_are_left_in_the_source_prefix(run: Run) -> None:
    found = {version.key.removeprefix("sales_data/") for version in list_all(run.world.client, run.world.bucket, "sales_data/")}
    # S3Proxy makes folders of both kinds of folder markers, and shows every folder, whether somebody put a marker there or not.
    markers = {case.key.removesuffix("/") + "/" for case in IGNORED if case.ignored_by == "folder_marker"}
    assert markers <= found
    assert {key for key in found if not key.endswith("/")} == {case.key for case in IGNORED if case.ignored_by != "folder_marker"}


def test_every_file_is_in_the_archive_byte_for_byte(run: Run) -> None:
    kept = [
        found
        for prefix in ("sales_data_processed/", "sales_data_error/")
        for found in run.world.objects(prefix)
        if not found.key.startswith("sales_data_error/quarantine/")
    ]
    booked = {bytes(row["archived_key"]).decode(): key for key, row in run.books.items()}
    assert sorted(found.key for found in kept) == sorted(booked)
    digests = {case.key: hashlib.md5(body(case.name)).hexdigest() for case in FILES}
    assert [found.key for found in kept if found.etag != digests[booked[found.key]]] == []


def test_the_old_staging_table_shows_every_name_as_done(run: Run) -> None:
    rows = run.world.rows("SELECT file_location, status FROM product_staging_table")
    assert Counter((row["file_location"], row["status"]) for row in rows) == Counter((f"sales_data/{case.key}", "I") for case in FILES)


def test_the_run_had_several_batches(run: Run) -> None:
    sizes = [row["files"] for row in run.world.rows("SELECT files FROM micro_batch WHERE operation_id IS NULL ORDER BY id")]
    assert sum(sizes) == len(FILES)
    assert run.shuffled or sizes == [FILES_IN_A_BATCH] * (len(FILES) // FILES_IN_A_BATCH) + [len(FILES) % FILES_IN_A_BATCH]


def test_verify_finds_nothing_in_any_file_however_it_was_read(run: Run) -> None:
    seen = Verification()
    assert found_by_verify(run.world.config, seen=seen) == []
    assert seen.csv_files == sum(row["in_force"] for row in run.books.values())
