"""Discovery and planning: list the prefix, write new object versions into the ledger, claim them for a batch.

docs/decisions/0011-ledger-and-identity.md says why.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from app import local
from app.config.load import Config, home_of, load_config
from app.config.reading import read_text
from app.failpoints import failpoint
from app.ledger.ledger import Ledger
from app.ledger.ownership import owners_database
from app.ledger.types import Ignored
from app.lifeline import follow_jvm
from app.mysql.bucket_info import with_bucket
from app.s3.read import Listing, ObjectVersion, make_client
from app.source.done_markers import DoneMarkers
from app.source.object_names import NO_DONE_MARKER, TOO_YOUNG, UNREMARKABLE, NameRules

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]

# How often the planner looks for refused files whose pause is over, and most of them that it takes at a time.
RETRY_LOOK_SECONDS = 5.0
RETRY_FILES = 200


class Pages(Protocol):
    """Lists one page of the prefix behind a key: the objects, and whether more follow."""

    def __call__(self, *, start_after: str) -> tuple[list[ObjectVersion], bool]:
        """List the page behind a key."""
        ...


class Planner:
    """Plans one micro-batch at a time: what is claimable first, then what a listing adds."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        pages: Pages,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.ledger = ledger
        self.pages = pages
        self.clock = clock
        self.sleep = sleep
        self._frozen = False
        self._is_unsettled = False
        self._is_files_turn = False
        # Where the last listing stopped. A long backlog is walked page by page instead of from its beginning at every trigger.
        self._resume_after = ""
        self._names = NameRules.of(config)
        self._markers = DoneMarkers(self._names.done_marker)
        # What the walk that is under way has passed over, by rule, and what the last whole one had.
        self._passed: dict[str, Ignored] = {}
        self._passed_before: dict[str, Ignored] | None = None
        self.monotonic = monotonic
        self._retry_look_at = monotonic()

    def freeze(self) -> None:
        """List everything that is there now, and nothing after that; empty objects get the time to settle."""
        self._is_unsettled = False
        while self.ledger.retry_unreadable(RETRY_FILES):
            pass
        for _ in self._listing():
            pass
        if self._is_unsettled:
            self.sleep(self.config.stream.settle_seconds)
            for _ in self._listing():
                pass
        self._frozen = True

    def next_batch(self, after: int) -> int | None:
        """Return the number of the next batch to run: planned earlier, an operation, or newly claimed files.

        Operations and files take turns, so that neither a long request nor a long backlog keeps the other waiting.
        """
        waiting = self.ledger.next_batch(after)
        if waiting is not None:
            return waiting
        turns = [self._claim_files, self._claim_operation] if self._is_files_turn else [self._claim_operation, self._claim_files]
        return next((batch for claim in turns if (batch := claim()) is not None), None)

    def _claim_operation(self) -> int | None:
        batch = self.ledger.claim_operation()
        if batch is not None:
            self._is_files_turn = True
            failpoint("release_claimed")
        return batch

    def _claim_files(self) -> int | None:
        self._is_files_turn = False
        limits = self.config.stream
        if not self._frozen and not self._is_full():
            for _ in self._listing():
                if self._is_full():
                    break
        batch = self.ledger.claim_files(limits.max_files_per_trigger, limits.max_bytes_per_trigger)
        if batch is not None:
            failpoint("after_claim")
        return batch

    def _is_full(self) -> bool:
        limits = self.config.stream
        files, size = self.ledger.claimable(limits.max_files_per_trigger)
        return files >= limits.max_files_per_trigger or size >= limits.max_bytes_per_trigger

    def _listing(self) -> Iterator[int]:
        """Walk the whole prefix once, beginning where the last walk stopped; yield the new files of each page."""
        if self.monotonic() >= self._retry_look_at:
            self._retry_look_at = self.monotonic() + RETRY_LOOK_SECONDS
            self.ledger.retry_unreadable(RETRY_FILES)
        began_after, wrapped = self._resume_after, False
        while True:
            if not self._resume_after:
                self._passed = {}
                self._markers.restart()
            page, more = self.pages(start_after=self._resume_after)
            more = more and bool(page)
            self._resume_after = page[-1].key if more else ""
            new = self.ledger.discover(self._sales_files(page, more=more))
            if new:
                failpoint("after_discovery")
            if not more:
                self._record_passed()
            yield new
            if not more:
                if wrapped or not began_after:
                    return
                wrapped = True
            elif wrapped and self._resume_after >= began_after:
                return

    def _sales_files(self, page: Sequence[ObjectVersion], *, more: bool) -> list[ObjectVersion]:
        """Return the objects of a page that may be loaded now, and those of earlier pages whose marker it has."""
        prefix = self.config.s3.source_prefix
        named = []
        for version in page:
            rule = self._names.rule(version.key.removeprefix(prefix))
            if rule in UNREMARKABLE:
                continue
            if rule:
                self._pass_over(version, rule)
            elif self._is_settled(version):
                named.append(version)
        complete, incomplete = self._markers.complete(named, page, more=more)
        for version in incomplete:
            self._pass_over(version, NO_DONE_MARKER)
        return complete

    def _is_settled(self, version: ObjectVersion) -> bool:
        limits, age = self.config.stream, self.clock() - version.last_modified
        if version.size == 0 and age < timedelta(seconds=limits.settle_seconds):
            self._is_unsettled = True
            return False
        if age < timedelta(seconds=limits.min_age_seconds):
            self._pass_over(version, TOO_YOUNG)
            return False
        return True

    def _pass_over(self, version: ObjectVersion, rule: str) -> None:
        log.debug("ignored key=%r rule=%s", version.key, rule)
        found = self._passed.get(rule)
        self._passed[rule] = Ignored(found.objects + 1, found.example) if found else Ignored(1, version.key)

    def _record_passed(self) -> None:
        """Tell the ledger what a whole walk has passed over, when it is not what the last one had."""
        if self._passed != self._passed_before:
            self.ledger.record_ignored(self._passed)
            self._passed_before = self._passed


def open_planner(env: str, conf_dir: Path, read: Path, epoch: int) -> Planner:
    """Build the planner of the planner process from a reference to the configuration.

    `read` is a copy of the environment's file as the stream has read it: an edit is for the next start of the stream, not of the planner.

    Raises:
        ConfigError: the configuration cannot be read in the planner process.
    """
    follow_jvm()
    found = local.read_env(home_of())
    config = with_bucket(load_config(env, conf_dir=conf_dir, defaults=found.variables() if found else {}, text=read_text(read)))
    return planner_of(config, Ledger(owners_database(config), epoch))


def planner_of(config: Config, ledger: Ledger) -> Planner:
    """Build a planner on real S3 and the real clock."""
    client = make_client(config.s3)
    pages = Listing(client, config.s3.bucket, config.s3.source_prefix)
    return Planner(config, ledger, pages.page, lambda: datetime.now(UTC))
