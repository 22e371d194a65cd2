"""The checks before a run: what each one says, what fails, and how a failed one ends a run."""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.checks import Check, Finding, check_all, checks_of, lines, look, raise_failures
from app.checks.caution import Caution
from app.checks.database import check_binlog
from app.checks.durability import unsafe_settings
from app.checks.grants import NEEDED
from app.checks.machine import check_disk, check_java
from app.checks.storage import check_condition, check_listing, check_own, check_source, check_versions
from app.config.load import Config
from app.errors import (
    CheckFailed,
    ConfigError,
    ContractError,
    EnvironmentFault,
    MySqlError,
    MySqlUnavailable,
    PipelineError,
    S3Error,
    S3Unavailable,
)
from app.launch.__main__ import launch
from app.source.object_names import CHECK_PROBE, ignore_rule
from scripts.docgen.schema import read_tables
from tests.conftest import REPOSITORY
from tests.doubles import FakeS3, refused
from tests.shipped import SHIPPED_CONF

GRANTS = (REPOSITORY / "scripts" / "sql" / "grants.sql").read_text(encoding="utf-8")


ETAG = "f00d"


class Bucket:
    """S3 as far as the checks use it: objects, and the requests that are refused."""

    def __init__(self, *denied: str, honours: bool = True, gives: str = "its version") -> None:
        self.objects: dict[str, bytes] = {}
        self.denied = denied
        self.honours = honours
        self.gives = gives

    def _ask(self, name: str) -> None:
        if name in self.denied:
            raise refused(403, "AccessDenied")

    def _shown(self, key: str) -> dict[str, object]:
        return {"ETag": f'"{ETAG}"', "LastModified": datetime(2024, 1, 1, tzinfo=UTC)}

    def list_objects_v2(self, *, Prefix: str, **_: object) -> dict[str, object]:
        self._ask("list")
        return {"Contents": [{"Key": key, "Size": len(body), **self._shown(key)} for key, body in self.objects.items() if key == Prefix]}

    def head_object(self, *, Key: str, **_: object) -> dict[str, object]:
        return {"ContentLength": len(self.objects[Key]), **self._shown(Key)}

    def put_object(self, *, Key: str, Body: bytes, **_: object) -> None:
        self._ask("put")
        self.objects[Key] = Body

    def get_object(self, *, Key: str, IfMatch: str | None = None, Range: str | None = None, **_: object) -> dict[str, object]:
        self._ask("get")
        if Key not in self.objects:
            raise refused(404, "NoSuchKey")
        if IfMatch and {"its version": IfMatch != ETAG, "none": True, "any": False}[self.gives]:
            raise refused(412, "PreconditionFailed")
        begin, end = map(int, (Range or f"bytes=0-{len(self.objects[Key])}").removeprefix("bytes=").split("-"))
        return {"Body": io.BytesIO(self.objects[Key][begin : end + 1])}

    def delete_object(self, *, Key: str, IfMatch: str | None = None, **_: object) -> None:
        self._ask("delete")
        if IfMatch and self.honours:
            raise refused(412, "PreconditionFailed")
        self.objects.pop(Key, None)


def fails(error: PipelineError) -> Check:
    def look() -> str:
        raise error

    return Check(error.code.lower(), look)


# Settings of MySQL that lose commits


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"innodb_flush_log_at_trx_commit": "1", "innodb_doublewrite": "ON", "log_bin": "ON", "sync_binlog": "1"}, []),
        ({"innodb_flush_log_at_trx_commit": "1", "innodb_doublewrite": "DETECT_AND_RECOVER", "log_bin": "OFF", "sync_binlog": "0"}, []),
        ({}, []),
        ({"innodb_flush_log_at_trx_commit": "2"}, ["innodb_flush_log_at_trx_commit=2"]),
        (
            {"innodb_flush_log_at_trx_commit": "0", "innodb_doublewrite": "OFF"},
            ["innodb_flush_log_at_trx_commit=0", "innodb_doublewrite=OFF"],
        ),
        ({"innodb_doublewrite": "DETECT_ONLY"}, ["innodb_doublewrite=DETECT_ONLY"]),
        ({"log_bin": "ON", "sync_binlog": "1000"}, ["sync_binlog=1000"]),
        ({"log_bin": "1", "sync_binlog": "0"}, ["sync_binlog=0"]),
    ],
    ids=["safe", "no log", "nothing shown", "flush once a second", "two at once", "torn pages", "log", "as a number"],
)
def test_a_setting_that_loses_commits_is_named(settings: dict[str, str], named: list[str]) -> None:
    assert [found.split(":")[0] for found in unsafe_settings(settings)] == named


def test_a_caution_is_no_failure() -> None:
    (found,) = look([Check("mysql commits", lambda: Caution("innodb_doublewrite=OFF"))])
    assert (found.ok, found.is_caution, found.detail) == (True, True, "innodb_doublewrite=OFF")
    raise_failures([found])


# How findings end a run


def test_all_checks_run_and_keep_their_order_whatever_fails() -> None:
    found = look([Check("a", lambda: "fine"), fails(S3Error("no")), Check("b", lambda: "fine too")])
    assert [(one.name, one.ok) for one in found] == [("a", True), ("s3", False), ("b", True)]
    assert found[1].detail == "S3 no; check s3.* in the configuration and the IAM policy"


def test_nothing_failed_is_no_error() -> None:
    raise_failures([Finding("a", "fine")])


@pytest.mark.parametrize(
    ("errors", "kind", "exit_code"),
    [
        ([MySqlError("refused")], MySqlError, 2),
        ([MySqlUnavailable("away")], MySqlUnavailable, 1),
        ([MySqlUnavailable("away"), MySqlUnavailable("away")], MySqlUnavailable, 1),
        ([S3Error("no"), MySqlUnavailable("away")], CheckFailed, 2),
    ],
)
def test_a_failed_check_ends_a_run_and_only_what_may_pass_by_itself_with_1(
    errors: list[PipelineError], kind: type[PipelineError], exit_code: int
) -> None:
    with pytest.raises(kind) as caught:
        raise_failures([Finding(f"check{number}", str(error), error) for number, error in enumerate(errors)])
    assert type(caught.value) is kind
    assert caught.value.exit_code == exit_code


def test_several_failures_are_one_line_with_each_of_them() -> None:
    with pytest.raises(CheckFailed) as caught:
        raise_failures(look([fails(S3Error("no such bucket")), fails(MySqlError("no such table"))]))
    assert "(1) s3: S3 no such bucket; " in str(caught.value)
    assert "(2) mysql: MYSQL no such table; " in str(caught.value)


def test_the_same_failure_of_many_checks_is_told_once() -> None:
    errors = [MySqlUnavailable("db:3306 is away") for _ in range(3)]
    with pytest.raises(MySqlUnavailable) as caught:
        raise_failures([Finding(name, str(error), error) for name, error in zip(("mysql", "clock", "dimensions"), errors, strict=True)])
    assert str(caught.value).count("db:3306 is away") == 1
    assert "likewise clock, dimensions" in str(caught.value)


def test_without_a_configuration_the_machine_is_still_checked() -> None:
    def load() -> None:
        raise ConfigError("conf/dev.yml: s3: is missing")

    found = check_all(load)
    assert [one.name for one in found] == ["configuration", "java", "spark"]
    assert [one.ok for one in found] == [False, True, True]


def test_a_contract_whose_columns_a_run_refuses_fails_the_check(config: Config, tmp_path: Path) -> None:
    tree = yaml.safe_load((SHIPPED_CONF / "contract.yml").read_text())
    tree["columns"].append({"name": "batch_key", "type": "string", "required": False, "nullable": True})
    (tmp_path / "contract.yml").write_text(yaml.safe_dump(tree))
    config = config.model_copy(update={"contract_path": tmp_path / "contract.yml"})
    [check] = [one for one in checks_of(config) if one.name == "contract"]
    with pytest.raises(ContractError, match="column batch_key: the facts already have a column of that name"):
        check.look()


# S3


def test_a_prefix_of_the_jobs_own_is_listed_written_read_and_cleaned_up() -> None:
    bucket = Bucket()
    assert check_own(bucket, "lake", "sales_facts/") == "s3://lake/sales_facts/: list, read, write, delete"
    assert bucket.objects == {}


@pytest.mark.parametrize(("right", "named"), [("list", "sales_facts/: 403"), ("put", "(write)"), ("get", "(read)"), ("delete", "(delete)")])
def test_a_missing_right_on_a_prefix_is_named(right: str, named: str) -> None:
    with pytest.raises(S3Error, match=re.escape(named)):
        check_own(Bucket(right), "lake", "sales_facts/")


def test_a_probe_that_cannot_be_read_is_still_deleted() -> None:
    bucket = Bucket("get")
    with pytest.raises(S3Error):
        check_own(bucket, "lake", "sales_facts/")
    assert bucket.objects == {}


def test_the_job_need_not_write_to_the_source_prefix() -> None:
    assert check_source(Bucket(), "lake", "sales_data/").endswith("list, read, delete, write")
    assert check_source(Bucket("put"), "lake", "sales_data/").endswith("write is refused, which only upload needs")


@pytest.mark.parametrize(("right", "named"), [("list", "sales_data/: 403"), ("get", "(read)"), ("delete", "(delete)")])
def test_a_missing_right_on_the_source_prefix_is_named(right: str, named: str) -> None:
    with pytest.raises(S3Error, match=re.escape(named)):
        check_source(Bucket(right), "lake", "sales_data/")


@pytest.mark.parametrize(("honours", "said"), [(True, "is honoured"), (False, "not honoured")])
def test_whether_a_conditional_delete_is_honoured_is_found_out(honours: bool, said: str) -> None:
    bucket = Bucket(honours=honours)
    assert said in check_condition(bucket, "lake", "sales_data_processed/")
    assert bucket.objects == {}


@pytest.mark.parametrize(
    ("gives", "said"), [("its version", "gives the version asked for and no other"), ("any", "each answer's ETag is compared instead")]
)
def test_whether_a_conditional_get_gives_only_the_version_asked_for_is_found_out(gives: str, said: str) -> None:
    bucket = Bucket(gives=gives)
    assert check_versions(bucket, "lake", "sales_data_processed/").endswith(said)  # type: ignore[arg-type]
    assert bucket.objects == {}


def test_a_server_that_refuses_its_own_etag_could_not_load_a_file() -> None:
    bucket = Bucket(gives="none")
    with pytest.raises(S3Error, match=f"a GET under the etag {ETAG}, which HEAD and listing show, is refused; no file could be loaded"):
        check_versions(bucket, "lake", "sales_data_processed/")  # type: ignore[arg-type]
    assert bucket.objects == {}


def test_the_stream_ignores_the_probe_of_a_check() -> None:
    assert ignore_rule(f"{CHECK_PROBE}0a1b") == "check_probe"
    # What a start leaves that is killed while it looks at listings is nobody's file either.
    assert ignore_rule(f"{CHECK_PROBE}0a1b/month=1") == "check_probe"
    assert ignore_rule(f"shops/{CHECK_PROBE}0a1b/a.csv") is None
    assert ignore_rule("_salestream.csv") is None


# MySQL


def test_grants_sql_gives_the_job_exactly_what_the_check_tries() -> None:
    given = {
        table: tuple(re.split(r",\s*", privileges))
        for privileges, table in re.findall(r"^GRANT (.+) ON (\w+) TO 'salestream_job'@'%';$", GRANTS, re.MULTILINE)
    }
    assert given == dict(NEEDED)


def test_every_table_of_the_schema_is_granted_or_named_as_not_needed() -> None:
    tables = {table.name for path in (REPOSITORY / "scripts" / "sql").glob("0*.sql") for table in read_tables(path)}
    assert set(NEEDED) - {"schema_migration"} == tables


# This machine


def test_a_user_that_has_only_a_number_is_told_so_instead_of_seventy_lines_of_java(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load() -> None:
        raise ConfigError("conf/dev.yml: s3: is missing")

    monkeypatch.setattr("os.getuid", lambda: 1_234_567)
    [found] = [one for one in check_all(load) if one.name == "spark"]
    assert re.match(r"MACHINE user 1234567 has no name on this machine, .*/etc/passwd \(salestream:x:1234567:", found.detail)
    assert launch(["--", "spark-submit", "--", "main.py", "run"]) == 2
    assert capsys.readouterr().err == f"salestream: {found.detail}\n"


@pytest.mark.parametrize("loses_plus", [False, True])
def test_a_listing_that_shows_a_blank_for_a_plus_sign_is_named(loses_plus: bool) -> None:
    class Client(FakeS3):
        def _listed(self, bucket: str, key: str) -> dict[str, Any]:
            found = super()._listed(bucket, key)
            return found | {"Key": key.replace("+", " ") if loses_plus else key}

    client = Client()
    found = check_listing(client, "lake", "processed/")
    assert ("plus sign" in found) is loses_plus
    assert client.keys() == []


def fake_java(folder: Path, text: str) -> dict[str, str]:
    java = folder / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    return {"JAVA_HOME": str(folder)}


@pytest.mark.parametrize("version", ["17.0.15", "21.0.4", "25"])
def test_java_17_and_newer_will_do(tmp_path: Path, version: str) -> None:
    assert check_java(fake_java(tmp_path, f'openjdk version "{version}" 2025-04-15')).startswith(f"{version} (")


@pytest.mark.parametrize(
    ("text", "shown"),
    [('openjdk version "11.0.2" 2019-01-15', "is 11.0.2"), ('java version "1.8.0_292"', "is 1.8.0_292"), ("hello", "is hello")],
)
def test_an_older_java_is_named(tmp_path: Path, text: str, shown: str) -> None:
    with pytest.raises(EnvironmentFault, match=re.escape(shown)):
        check_java(fake_java(tmp_path, text))


def test_no_java_is_a_fault_of_the_machine() -> None:
    with pytest.raises(EnvironmentFault, match="Java was not found") as caught:
        check_java({"PATH": "/nowhere"})
    assert caught.value.exit_code == 2


def test_folders_with_room_are_fine(tmp_path: Path) -> None:
    assert re.fullmatch(r"checkpoints \S+/a [\d.]+ GB free, scratch \S+ [\d.]+ GB free", check_disk(tmp_path / "a", tmp_path))


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match=r"checkpoints \S+/file/dev cannot be written to"):
        check_disk(tmp_path / "file" / "dev", tmp_path)


def test_a_disk_that_is_nearly_full_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.checks.machine.FREE_BYTES", 1 << 60)
    with pytest.raises(EnvironmentFault, match="MB left"):
        check_disk(tmp_path, tmp_path)


def test_a_server_that_is_down_is_told_once_in_a_line_of_bounded_length() -> None:
    away = MySqlUnavailable("db:3306 " + "x" * 3000)
    found = [Finding(name, str(error), error) for name, error in (("mysql", away), ("s3", S3Unavailable("s3 is away")), ("clock", away))]
    assert lines([Finding("s3 bucket", "lake\x1b[2J\n")]) == ["ok    s3 bucket lake\\x1b[2J\\n"]
    assert [line[:40].rstrip() for line in lines(found)] == [
        "FAIL  mysql MYSQL_UNAVAILABLE db:3306 xx",
        "FAIL  s3    S3_UNAVAILABLE s3 is away; c",
        "FAIL  clock like mysql",
    ]
    assert max(map(len, lines(found))) < 330
    with pytest.raises(CheckFailed) as caught:
        raise_failures(found)
    assert caught.value.exit_code == 1
    assert str(caught.value).count("db:3306") == 1
    assert len(str(caught.value)) < 1000


# The binary log


class Server:
    """A MySQL that answers the one question about its binary log."""

    def __init__(self, written: int, style: str) -> None:
        self._row = {"written": written, "format": style}

    def run(self, work: Callable[[Server], dict[str, object]]) -> dict[str, object]:
        return work(self)

    def row(self, _sql: str) -> dict[str, object]:
        return self._row


@pytest.mark.parametrize(
    ("written", "style", "said"), [(1, "ROW", "binary log ROW"), (1, "MIXED", "binary log MIXED"), (0, "STATEMENT", "no")]
)
def test_a_binary_log_that_takes_rows_is_fine(written: int, style: str, said: str) -> None:
    assert check_binlog(Server(written, style)).startswith(said)  # type: ignore[arg-type]


def test_a_binary_log_of_statements_is_named_before_it_refuses_every_write() -> None:
    with pytest.raises(MySqlError, match=r"binlog_format=STATEMENT.*error 1665.*; set binlog_format=ROW"):
        check_binlog(Server(1, "STATEMENT"))  # type: ignore[arg-type]
