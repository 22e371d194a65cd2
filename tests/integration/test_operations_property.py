"""Any sequence of drops, corrections, retractions, replays, late dimensions, crashes, merges and cleanings ends where the oracle says.

One world for each sequence; after every step marts, facts, counters and `verify --deep` are compared with the files in force.
SALESTREAM_SEQUENCES=n runs more sequences than CI does.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pymysql
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from pyspark.sql import SparkSession

from app import failpoints, local
from app.clean import clean
from app.errors import UsageError
from app.failpoints import InjectedFailure
from app.ledger.file_search import Choice
from app.ledger.types import OperationKind
from app.local import LocalEnv
from app.operations.compact import mergeable, request_merge
from app.operations.select_files import choose, request_files
from scripts import generators
from tests.oracle import Dimensions, expected_marts
from tests.verified import found_by_verify
from tests.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

NAMES = ("a.csv", "b.csv", "c.csv", "d.csv")
LATE = (901, 902)
# Where the driver may die, in the order of a batch.
CRASHES = ("after_begin", "after_scan", "during_facts", "after_stage", "after_facts", "in_commit", "after_commit", "archive_copied")


@dataclass
class Dropped:
    """One drop, as the model sees it: its name, its content, whether its rows count, and whether it was skipped for another's sake."""

    name: str
    content: Path
    counts: bool = False
    is_skipped: bool = False
    is_retracted: bool = False


def make_machine(make_world: Callable[[], World], destroy: Callable[[World], None], spark: SparkSession) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.world = make_world()
            contract = self.world.folder / "conf" / "contract.yml"
            contract.write_text("\n".join(_replacing(line) for line in contract.read_text().splitlines()) + "\n")
            # What an operation replaces goes at once, by the stream or by clean.
            self.world.set("retention", replaced_facts_seconds=0)
            self.drops: list[Dropped] = []
            self.known: list[int] = []
            self.point: str | None = None

        def teardown(self) -> None:
            if hasattr(self, "world"):
                destroy(self.world)

        # -- steps --------------------------------------------------------------------------------------------------

        @rule(seeds=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), min_size=1))
        def drop(self, seeds: dict[str, int]) -> None:
            self._drop({name: self._content(seed) for name, seed in seeds.items()})

        @precondition(lambda self: any(one.counts for one in self.drops))
        @rule(names=st.sets(st.sampled_from(NAMES), min_size=1), data=st.data())
        def drop_the_same_contents_again(self, names: set[str], data: st.DataObject) -> None:
            counting = st.sampled_from([one.content for one in self.drops if one.counts])
            self._drop({name: data.draw(counting) for name in sorted(names)})

        @precondition(lambda self: any(self._can_be_retracted()))
        @rule(data=st.data())
        def retract(self, data: st.DataObject) -> None:
            possible = [at for at, can in enumerate(self._can_be_retracted()) if can]
            chosen = sorted(data.draw(st.sets(st.sampled_from(possible), min_size=1, max_size=3)))
            self._ask(OperationKind.RETRACT, *chosen)
            left = [self.drops[at].content for at in chosen if self.drops[at].counts]
            for at in chosen:
                self.drops[at].counts, self.drops[at].is_retracted = False, True
            for content in left:
                self._leave(content)
            self._settle()

        @precondition(lambda self: self.drops)
        @rule(data=st.data())
        def replay(self, data: st.DataObject) -> None:
            at = data.draw(st.integers(0, len(self.drops) - 1))
            mine = self.drops[at]
            if any(one.counts and one.name == mine.name for one in self.drops[at + 1 :]):
                with pytest.raises(UsageError, match="was superseded by file"):
                    self._ask(OperationKind.REPLAY, at)
                return
            self._ask(OperationKind.REPLAY, at)
            self._load(at)
            self._settle()

        @precondition(lambda self: len(self.known) < len(LATE))
        @rule()
        def a_customer_becomes_known(self) -> None:
            self.known.append(LATE[len(self.known)])
            self.world.execute("INSERT INTO customer (customer_id, first_name) VALUES (%s, 'Late')", self.known[-1])
            self._settle()

        @rule()
        def compact(self) -> None:
            request_merge(self.world.db, mergeable(self.world.db, None), "property")
            self._settle()
            assert mergeable(self.world.db, None) == []

        @rule()
        def clean(self) -> None:
            for _, removals in clean(self.world.config, dry_run=False, safety=timedelta(0)):
                for _ in removals:
                    pass
            self._compare()
            assert self.world.rows("SELECT batch_key FROM fact_part WHERE state = 'DEAD'") == []

        @rule(point=st.sampled_from(CRASHES))
        def the_next_step_crashes(self, point: str) -> None:
            self.point = point

        # -- model --------------------------------------------------------------------------------------------------

        def _content(self, seed: int) -> Path:
            path = self.world.folder / f"content{seed}.csv"
            rng = random.Random(seed)
            rows = [list(row) for row in generators.standard_rows(rng, 4 + seed, start=date(2024, 1, 1), end=date(2024, 2, 29))]
            rows[0][0] = str(rng.choice((1, *LATE)))
            path.write_text("\n".join([",".join(generators.SALES_HEADER), *(",".join(row) for row in rows)]) + "\n")
            return path

        def _drop(self, contents: dict[str, Path]) -> None:
            """Drop files side by side: they are listed, and so judged, in the order of their keys."""
            # Another byte of name would do as well: S3 tells two drops of one content under one name apart by their time only.
            known = {(one.name, one.content) for one in self.drops}
            new = [Dropped(name, content) for name, content in sorted(contents.items()) if (name, content) not in known]
            for one in new:
                self.world.drop(one.name, one.content)
            for one in new:
                self.drops.append(one)
                self._load(len(self.drops) - 1)
            self._settle()

        def _load(self, at: int) -> None:
            """The file's content counts if it does not by another one, and then takes the place of its name's earlier version."""
            mine = self.drops[at]
            mine.counts = not any(one.counts and one.content == mine.content for one in self.drops if one is not mine)
            mine.is_skipped, mine.is_retracted = not mine.counts, False
            if mine.counts:
                earlier = [one for one in self.drops[:at] if one.counts and one.name == mine.name]
                for one in earlier:
                    one.counts = False
                for one in earlier:
                    self._leave(one.content)

        def _leave(self, content: Path) -> None:
            """A content that counts nowhere any more comes back by the oldest file that was skipped for it."""
            if any(one.counts and one.content == content for one in self.drops):
                return
            heirs = (at for at, one in enumerate(self.drops) if one.content == content and one.is_skipped and not one.is_retracted)
            heir = next((at for at in heirs if not self._is_superseded(at)), None)
            if heir is not None:
                self._load(heir)

        def _is_superseded(self, at: int) -> bool:
            return any(one.name == self.drops[at].name and not one.is_skipped for one in self.drops[at + 1 :])

        def _can_be_retracted(self) -> list[bool]:
            return [one.counts or (one.is_skipped and not one.is_retracted) for one in self.drops]

        def _ask(self, kind: OperationKind, *places: int) -> None:
            world = self.world
            names = tuple(str(at + 1) for at in places)
            files = choose(world.db, world.config, kind, Choice(names=names), replaces=kind == OperationKind.REPLAY)
            request_files(world.db, world.config, kind, files, "property")

        # -- what must hold -----------------------------------------------------------------------------------------

        def _settle(self) -> None:
            if self.point is not None:
                os.environ["SALESTREAM_FAILPOINT"] = f"{self.point}:1:raise"
                failpoints.reset()
                try:
                    self.world.run_once(spark)
                except InjectedFailure:
                    pass
                finally:
                    del os.environ["SALESTREAM_FAILPOINT"]
                    self.point = None
            self.world.run_once(spark)
            self._compare()

        def _compare(self) -> None:
            world = self.world
            in_force = {at + 1: one for at, one in enumerate(self.drops) if one.counts}
            wanted = expected_marts([one.content for one in in_force.values()], Dimensions(customers=[*range(1, 26), *self.known]))
            assert world.customer_mart() == wanted.customers
            assert world.team_mart() == wanted.team
            found = world.rows("SELECT id, rows_read, rows_loaded, rows_pending FROM source_file WHERE in_force = 1")
            counters = {row["id"]: (row["rows_read"], row["rows_loaded"], row["rows_pending"]) for row in found}
            assert counters == {file_id: wanted.files[str(one.content)] for file_id, one in in_force.items()}
            assert found_by_verify(world.config) == []
            assert world.rows("SELECT id FROM micro_batch WHERE state NOT IN ('COMMITTED', 'SPLIT')") == []
            assert world.rows("SELECT id, detail FROM file_operation WHERE state <> 'DONE'") == []
            assert world.rows("SELECT batch_key FROM batch_attempt WHERE state = 'OPEN'") == []
            assert world.objects(world.config.s3.source_prefix) == []

    return Machine


def _replacing(line: str) -> str:
    return "  redelivery: replace" if line.startswith("  redelivery:") else line


def test_every_sequence_of_steps_ends_where_the_oracle_says(
    servers: LocalEnv, home: Path, tmp_path: Path, spark: SparkSession, capfd: pytest.CaptureFixture[str]
) -> None:
    count = int(os.environ.get("SALESTREAM_SEQUENCES", "2"))
    with pymysql.connect(**local.root_connection_args(home), autocommit=True) as root:

        def make_world() -> World:
            folder = tmp_path / f"world{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return World.make(servers, root, folder)

        run_state_machine_as_test(
            make_machine(make_world, lambda world: world.destroy(root), spark),
            settings=settings(
                max_examples=count,
                stateful_step_count=10,
                deadline=None,
                derandomize=True,
                # Shrinking repeats sequences of a minute each; a failure prints its whole sequence anyway.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
