"""Skipped duplicates whose content counts nowhere."""

from __future__ import annotations

from app.verify.compare import duplicates
from app.verify.scratch_database import open_scratch


def test_a_duplicate_is_named_unless_live_parquet_holds_its_content() -> None:
    with open_scratch() as scratch:
        scratch.run("CREATE TABLE file (id BIGINT, object_key VARCHAR, content VARCHAR)")
        scratch.run("INSERT INTO file VALUES (1, 'a', 'AA'), (2, 'b', 'AA'), (3, 'c', 'BB'), (4, 'd', 'BB'), (5, 'e', 'CC')")
        scratch.run("CREATE TABLE calc_file (kind VARCHAR, file_id BIGINT, row_count BIGINT)")
        scratch.run("INSERT INTO calc_file VALUES ('facts', 1, 2), ('quarantine', 3, 2)")
        scratch.run("CREATE TABLE unheld (id BIGINT, has_object INTEGER)")
        scratch.run("INSERT INTO unheld VALUES (2, 1), (4, 1), (5, 0)")
        found = [str(one) for one in duplicates(scratch)]
    begin = "was skipped as a duplicate, and its content counts by no file"
    assert found == [
        f"source_file id=4 'd': {begin}; replay it, or retract it: ./spark-submit.sh replay 4",
        f"source_file id=5 'e': {begin}; its object is deleted: drop it again",
    ]
