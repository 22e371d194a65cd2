"""The corpus is complete and sound: every reason occurs, every case has its bytes, no two cases get in each other's way."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

from app.batch.classify import rule_code
from app.batch.file_outcomes import REJECT_RATIO
from app.contract.values import ROW_FAULTS
from app.parsing.preamble import FILE_REASONS
from app.parsing.record_rules import REASONS
from tests.corpus.build import BUILT, FILES, NAMED, body
from tests.corpus.expected import CASES, COMMITTED, SETTINGS, Case
from tests.shipped import shipped_contract

SOURCE_PREFIX = "sales_data/"
# S3 itself knows no such limit; the embedded server keeps a segment as a file name, with an ending of its own.
LONGEST_SEGMENT = 218


def codes_of(case: Case) -> set[str]:
    """Return every reason code and broken rule that a case expects."""
    rows = {fault.split()[0] for faults in case.rejected.values() for fault in faults}
    return rows | {rule for rules in case.warned.values() for rule in rules} | ({case.reason} if case.reason else set())


def twins() -> dict[str, list[Case]]:
    groups = defaultdict(list)
    for case in CASES:
        if case.twin:
            groups[case.twin].append(case)
    return groups


USED = {code for case in CASES for code in codes_of(case)}
RULES = shipped_contract().rules


def test_the_corpus_holds_at_least_eighty_files() -> None:
    assert sum(case.ignored_by is None for case in CASES) >= 80


def test_every_reason_against_a_file_occurs() -> None:
    assert {*FILE_REASONS, REJECT_RATIO} - USED == set()
    assert max(len(group) for group in twins().values()) > 1, "DUPLICATE"


def test_every_reason_against_a_row_occurs() -> None:
    assert {*REASONS, *ROW_FAULTS, *(rule_code(rule) for rule in RULES if rule.on_fail == "reject")} - USED == set()


def test_every_warning_occurs() -> None:
    assert {rule.name for rule in RULES if rule.on_fail == "warn"} - USED == set()


def test_no_name_and_no_key_occurs_twice() -> None:
    assert [name for name, times in Counter(case.name for case in CASES).items() if times > 1] == []
    assert [key for key, times in Counter(case.key for case in CASES).items() if times > 1] == []


def test_every_case_says_what_it_is_about() -> None:
    assert [case.name for case in CASES if not case.about.strip()] == []


def test_every_case_has_its_bytes_and_all_bytes_belong_to_a_case() -> None:
    stored = [path.stem for path in FILES.glob("*.csv")]
    assert Counter(case.name for case in CASES) == Counter([*stored, *BUILT, *NAMED])


def test_every_key_is_one_that_s3_and_the_embedded_server_take() -> None:
    too_long = [case.name for case in CASES if len((SOURCE_PREFIX + case.key).encode()) > 1024]
    too_wide = [case.name for case in CASES for part in case.key.split("/") if len(part.encode()) > LONGEST_SEGMENT]
    assert (too_long, too_wide) == ([], [])


def test_some_key_is_as_long_as_a_key_may_be() -> None:
    assert max(len((SOURCE_PREFIX + case.key).encode()) for case in CASES) == 1024


def test_the_rows_of_every_case_add_up() -> None:
    wrong = []
    for case in CASES:
        read, loaded, rejected, pending = case.rows
        is_sound = read == loaded + rejected + pending and rejected == len(case.rejected) and set(case.warned).isdisjoint(case.rejected)
        wrong += [] if is_sound else [case.name]
    assert wrong == []


def test_only_files_that_are_loaded_have_rows() -> None:
    loaded = (COMMITTED, None, None)
    others = [case for case in CASES if (case.state, case.reason, case.ignored_by) != loaded and (any(case.rows) or case.total)]
    assert [(case.reason, case.rows[1], case.rows[3], case.total) for case in others] == [(REJECT_RATIO, 0, 0, 0)]


def test_only_twins_have_the_same_content() -> None:
    groups = defaultdict(set)
    for case in CASES:
        if any(case.rows):
            groups[hashlib.sha256(body(case.name)).digest()].add(case.name)
    shared = {frozenset(names) for names in groups.values() if len(names) > 1}
    assert shared == {frozenset(case.name for case in group) for group in twins().values()}


def test_one_file_only_has_more_rows_rejected_than_the_contract_of_the_corpus_allows() -> None:
    assert [case.reason for case in CASES if case.rows[2] > SETTINGS["max_reject_ratio"] * case.rows[0]] == [REJECT_RATIO]
