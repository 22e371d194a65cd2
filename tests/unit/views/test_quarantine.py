"""The quarantine for people: files by id or key, rows in the order of lines, exports to mend."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.cli import quarantine
from app.cli.quarantine import _lines_of, _print_findings, _write_new
from app.errors import S3Error, UsageError
from app.views.quarantine import (
    BookedFile,
    Exported,
    Finding,
    Reason,
    RejectedRow,
    export_rows,
    find_file,
    find_files,
    first_rows,
    header_of,
    list_findings,
    printable,
    rejected_rows,
)
from tests.doubles import FakeDatabase, FakeS3
from tests.shipped import SHIPPED_CONF

FILE = BookedFile(7, "sales_data/a.csv", "COMMITTED", None, "done/a.csv")


def booked(number: int, state: str = "COMMITTED", **values: Any) -> dict[str, Any]:
    empty = {"reason_code": None, "reason_detail": None, "archived_key": None}
    return {"id": number, "object_key": b"sales_data/a.csv", "state": state, **empty, **values}


def row(line: int, *codes: str, raw: str = "") -> RejectedRow:
    return RejectedRow(line, raw or f"row {line}", tuple(Reason(code, None, None) for code in codes or ("INVALID_INT",)))


# Finding files


def test_a_file_is_found_by_its_id() -> None:
    db = FakeDatabase([booked(7, "REJECTED", reason_code="EMPTY", reason_detail="no bytes", archived_key=b"err/a.csv")])
    assert find_file(db, "sales_data/", "7") == BookedFile(7, "sales_data/a.csv", "REJECTED", "EMPTY: no bytes", "err/a.csv")


def test_a_file_is_found_by_its_key_with_and_without_the_prefix() -> None:
    db = FakeDatabase([booked(7)])
    assert find_file(db, "sales_data/", "a'; DROP TABLE x.csv").id == 7
    assert db.asked[0][1] == (b"a'; DROP TABLE x.csv", b"sales_data/a'; DROP TABLE x.csv")


def test_digits_that_are_no_id_are_a_key() -> None:
    assert find_file(FakeDatabase([], [booked(3)]), "sales_data/", "2024").id == 3


def test_a_key_of_several_versions_asks_for_the_id() -> None:
    db = FakeDatabase([booked(9, "REJECTED"), booked(7)])
    with pytest.raises(UsageError, match=r"'a.csv' was dropped 2 times, as files 9 \(REJECTED\), 7 \(COMMITTED\); give the id"):
        find_file(db, "sales_data/", "a.csv")


def test_an_unknown_file_is_one_harmless_line() -> None:
    with pytest.raises(UsageError) as caught:
        find_files(FakeDatabase([]), "sales_data/", "x\x1b[2J\n.csv")
    assert "'x\\x1b[2J\\n.csv'" in str(caught.value)


# Listing


def test_findings_are_filtered_by_parameters_and_masked() -> None:
    found = {
        "file_id": 7,
        "object_key": "sales_data/ü.csv".encode(),
        "state": "COMMITTED",
        "reason_code": "TOO_LONG",
        "row_count": 2,
        "first_line": 5,
        "first_column": "email",
        "first_text": "a@b.c",
        "planned_at": datetime(2024, 5, 1, 23, 59),
        "is_deleted": 0,
    }
    db = FakeDatabase([found])
    (finding,) = list_findings(db, frozenset({"email"}), files=[7, 8], reason="TOO_LONG", since=date(2024, 5, 1), limit=9)
    assert finding == Finding(7, "sales_data/ü.csv", "COMMITTED", "TOO_LONG", 2, 5, "email", "***", date(2024, 5, 1))
    sql, values = db.asked[0]
    assert sql.count("%s") == 5
    assert values == (7, 8, "TOO_LONG", date(2024, 5, 1), 9)


def test_a_list_shows_no_control_characters_and_no_markup(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # As wide as it is, also in a narrow terminal or a pipe.
    monkeypatch.setenv("COLUMNS", "40")
    _print_findings([Finding(7, "[red]a\x1b.csv", "COMMITTED", "TOO_LONG", 2, 5, None, None, date(2024, 5, 1))], is_cut=True)
    shown = capsys.readouterr().out
    assert [line.split()[-1] for line in shown.splitlines()[:2]] == ["file", "[red]a\\x1b.csv"]
    assert "1 lines, perhaps more: see --limit" in shown
    _print_findings([], is_cut=False)
    assert capsys.readouterr().out == "no rejected rows\n"


# Rows


def parquet(*rows: tuple[int, int, str | None, list[dict[str, Any]]]) -> bytes:
    columns = list(zip(*rows, strict=True))
    reasons = pa.list_(pa.struct([("code", pa.string()), ("column", pa.string()), ("value", pa.string())]))
    arrays = [
        pa.array(columns[0], pa.int64()),
        pa.array(columns[1], pa.int64()),
        pa.array(columns[2], pa.string()),
        pa.array(columns[3], reasons),
    ]
    out = io.BytesIO()
    pq.write_table(pa.table(arrays, ["_file_id", "_line", "_raw", "_reasons"]), out)
    return out.getvalue()


BAD_INT = [{"code": "INVALID_INT", "column": "a", "value": "x"}]
PREFIX = "err/quarantine/load_date=2024-05-01/reason=INVALID_INT/batch_key=1-1-1/"
CONFIG = SimpleNamespace(bucket="b", error_prefix="err/")


def part(rows: int) -> dict[str, Any]:
    return {"batch_key": "1-1-1", "load_date": date(2024, 5, 1), "reason": "INVALID_INT", "row_count": rows}


def test_rows_come_from_the_parts_of_the_ledger_and_only_those_of_the_file() -> None:
    objects = {
        PREFIX + "p1.parquet": parquet((7, 5, "x,1", BAD_INT), (8, 5, "y,1", BAD_INT)),
        PREFIX + "p2.parquet": parquet((7, 3, None, BAD_INT)),
        PREFIX + "_SUCCESS": b"",
        PREFIX.replace("1-1-1", "1-1-0") + "dead.parquet": parquet((7, 4, "dead", BAD_INT)),
    }
    found = list(rejected_rows(FakeDatabase([part(3)]), FakeS3.holding(objects, "b"), CONFIG, FILE))
    assert found == [
        RejectedRow(5, "x,1", (Reason("INVALID_INT", "a", "x"),)),
        RejectedRow(3, "", (Reason("INVALID_INT", "a", "x"),)),
    ]


def test_a_quarantine_that_lost_objects_is_an_error_and_no_short_answer() -> None:
    objects = {PREFIX + "p1.parquet": parquet((7, 5, "x,1", BAD_INT))}
    with pytest.raises(S3Error, match="holds 1 of 3 rows"):
        list(rejected_rows(FakeDatabase([part(3)]), FakeS3.holding(objects, "b"), CONFIG, FILE))


def test_a_file_without_rejected_rows_says_so() -> None:
    with pytest.raises(UsageError, match=r"file 7 'sales_data/a.csv' has no rejected rows"):
        list(rejected_rows(FakeDatabase([], None), FakeS3(), CONFIG, FILE))
    whole = BookedFile(7, "sales_data/a.csv", "REJECTED", "REJECT_RATIO: 7 of 10", "err/7/a.csv")
    with pytest.raises(UsageError, match=r"rejected as a whole, REJECT_RATIO: 7 of 10; mend the file itself: s3://b/err/7/a.csv"):
        list(rejected_rows(FakeDatabase(), FakeS3(), CONFIG, whole))


def test_rejected_rows_that_clean_has_deleted_are_told_from_none() -> None:
    said = r"clean has deleted the rejected rows of file 7, .*retention.quarantine_days; the file itself is s3://b/done/a.csv"
    with pytest.raises(UsageError, match=said):
        list(rejected_rows(FakeDatabase([], 1), FakeS3(), CONFIG, FILE))
    gone = BookedFile(7, "sales_data/a.csv", "COMMITTED", None, None)
    with pytest.raises(UsageError, match="the file's own object has been deleted as well"):
        list(rejected_rows(FakeDatabase([], 1), FakeS3(), CONFIG, gone))


def test_the_list_marks_rows_that_clean_has_deleted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _print_findings([Finding(7, "a.csv", "COMMITTED", "TOO_LONG", 2, 5, None, None, date(2024, 5, 1), is_deleted=True)], is_cut=False)
    assert "2 (deleted by clean)" in capsys.readouterr().out


def test_the_first_rows_are_those_of_the_lowest_lines() -> None:
    rows = [row(9), row(2, "TOO_LONG", "INVALID_INT"), row(5, "TOO_LONG"), row(3)]
    assert [one.line for one in first_rows(rows, 2, None)] == [2, 3]
    assert [one.line for one in first_rows(rows, 9, "TOO_LONG")] == [2, 5]


def test_a_row_is_shown_with_every_reason_and_its_text_unless_a_column_is_sensitive() -> None:
    shown = RejectedRow(
        5, "x,\x1b", (Reason("INVALID_INT", "email", "x"), Reason("INVALID_DATE", "day", "\n"), Reason("TOO_FEW_FIELDS", None, "2"))
    )
    assert _lines_of(shown, frozenset()) == [
        "line 5",
        "  INVALID_INT email = x",
        "  INVALID_DATE day = \\n",
        "  TOO_FEW_FIELDS = 2",
        "  | x,\\x1b",
    ]
    assert _lines_of(shown, frozenset({"email"})) == [
        "line 5",
        "  INVALID_INT email = ***",
        "  INVALID_DATE day = \\n",
        "  TOO_FEW_FIELDS = 2",
        "  | ***",
    ]


# Exports


def exported(rows: Iterator[RejectedRow] | list[RejectedRow], header: str = "a;b", encoding: str = "utf-8") -> tuple[bytes, Exported]:
    out = io.BytesIO()
    found = export_rows(rows, header, encoding, out)
    return out.getvalue(), found


def test_an_export_is_the_header_and_the_texts_in_the_order_of_lines() -> None:
    text, found = exported([row(9), row(2, raw='"two\nlines";é'), row(1000)])
    assert text.decode() == 'a;b\n"two\nlines";é\nrow 9\nrow 1000\n'
    assert found == Exported(3, 0, ())


def test_an_export_has_the_files_encoding_and_what_was_not_valid_in_it_stays_escaped() -> None:
    assert exported([row(2, raw="é;\\x81")], encoding="windows-1252")[0] == b"a;b\n\xe9;\\x81\n"


def test_an_export_of_a_file_whose_mark_won_over_the_contracts_encoding_is_utf_8_with_a_mark() -> None:
    utf_8 = b"\xef\xbb\xbfa;b\n\xc3\xa9\n\xc4\x80\n"
    assert exported([row(2, raw="é"), row(3, raw="Ā")], encoding="windows-1252")[0] == utf_8
    assert exported([row(2, raw="é")], header="Ā", encoding="windows-1252")[0] == b"\xef\xbb\xbf\xc4\x80\n\xc3\xa9\n"


def test_lines_that_were_too_long_are_left_out_and_named() -> None:
    text, found = exported([row(n, "RECORD_TOO_LONG") for n in range(30, 1, -1)] + [row(1)])
    assert text == b"a;b\nrow 1\n"
    assert found == Exported(1, 29, tuple(range(2, 12)))


def test_a_new_file_is_private_and_an_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "mend.csv"
    _write_new(path, lambda target: Exported(target.write(b"x"), 0, ()))
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"x", 0o600)
    with pytest.raises(UsageError, match="File exists"):
        _write_new(path, lambda target: Exported(target.write(b"y"), 0, ()))
    assert path.read_bytes() == b"x"


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(_: Any) -> Exported:
        raise S3Error("gone")

    with pytest.raises(S3Error):
        _write_new(tmp_path / "mend.csv", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_an_earlier_version_has_no_header() -> None:
    assert header_of(FakeDatabase("a;b"), FILE) == "a;b"
    with pytest.raises(UsageError, match="kept no header; take its first line from done/a.csv"):
        header_of(FakeDatabase(None), FILE)


@pytest.mark.parametrize(
    ("text", "shown"), [("é a", "é a"), ("a\tb\x1b", "a\\tb\\x1b"), ("\u202eabc", "\\u202eabc"), ("\ud800", "\\ud800")]
)
def test_what_moves_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_json_holds_every_field(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "file_id": 7,
        "object_key": b"sales_data/a.csv",
        "state": "COMMITTED",
        "reason_code": "TOO_LONG",
        "row_count": 2,
        "first_line": 5,
        "first_column": "product_name",
        "first_text": "x",
        "planned_at": datetime(2024, 5, 1),
        "is_deleted": 1,
    }
    config = SimpleNamespace(contract_path=SHIPPED_CONF / "contract.yml", s3=SimpleNamespace(source_prefix="sales_data/"))
    monkeypatch.setattr(quarantine, "open_database", lambda env: (config, FakeDatabase([found])))
    quarantine.list_command(as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {
            "file_id": 7,
            "file": "sales_data/a.csv",
            "state": "COMMITTED",
            "reason": "TOO_LONG",
            "rows": 2,
            "first_line": 5,
            "first_column": "product_name",
            "first_text": "x",
            "load_date": "2024-05-01",
            "is_deleted": True,
        }
    ]
