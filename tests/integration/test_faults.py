"""Everything that can be missing or wrong when a run starts or a batch runs: one line, what to do, and the right exit code.

Faults at the start go through the command line: some in a process of their own, as a user meets them, the others in this one. Faults in
a batch go through the stream in this process.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pymysql
import pytest
import yaml
from pyspark.sql import SparkSession

from app import local
from app.cli import app as cli
from app.config.credentials import encrypt
from app.errors import ContractError, PipelineError
from app.local import LocalEnv
from tests.conftest import REPOSITORY
from tests.fault_proxy import Fault, fault_proxy
from tests.integration.test_stream import HEADER
from tests.world import JOB, World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

GOOD = "1,121,sugar,2024-02-01,1,50,2,100"
Change = Callable[[World], Mapping[str, str] | None]
Command = Callable[[World, Mapping[str, str], Sequence[str]], "Ended"]


@dataclass(frozen=True)
class Case:
    """A fault: how it is made, what the line must say, and the exit code."""

    name: str
    make: Change
    says: str
    exit_code: int
    command: tuple[str, ...] = ("run", "--once")
    does_not_say: tuple[str, ...] = field(default=())

    @property
    def changes_mysql(self) -> bool:
        """Whether it needs a database of its own."""
        return self.make in CHANGE_MYSQL


CHANGE_MYSQL: list[Change] = []
# One of each kind: configuration, credentials, MySQL, S3, this machine, usage, another command.
IN_A_PROCESS = {
    "unreadable YAML",
    "wrong key",
    "wrong MySQL password",
    "missing bucket",
    "old Java",
    "unknown option",
    "encrypt without a key",
}


def variables(**values: str) -> Change:
    return lambda _world: {name.replace("_IN_", "__"): value for name, value in values.items()}


def conf(text_of: Callable[[str], str]) -> Change:
    """Change the text of the configuration file."""

    def change(world: World) -> None:
        path = world.folder / "conf" / "dev.yml"
        path.write_text(text_of(path.read_text()))

    return change


def contract(old: str, new: str) -> Change:
    def change(world: World) -> None:
        path = world.folder / "conf" / "contract.yml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def sql(*statements: str) -> Change:
    def change(world: World) -> None:
        for statement in statements:
            world.as_root(f"USE {world.bucket}", statement.replace("JOB", f"'{JOB}'@'%'"))

    CHANGE_MYSQL.append(change)
    return change


def edit(world: World, section: str, **values: str) -> None:
    """Change the file without loading it: the world goes on with what it had."""
    path = world.folder / "conf" / "dev.yml"
    tree = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    tree[section] |= values
    path.write_text(yaml.safe_dump(tree))


def setting(section: str, **values: str) -> Change:
    return lambda world: edit(world, section, **values)


def key_file(mode: int) -> Change:
    def change(world: World) -> Mapping[str, str]:
        path = world.folder / "key"
        path.write_text("k")
        path.chmod(mode)
        edit(world, "mysql", password=encrypt(world.users[JOB], key="k"))
        return {"SALESTREAM_KEY_FILE": str(path)}

    return change


def token(key: str, change_byte: bool = False) -> Change:
    def change(world: World) -> Mapping[str, str]:
        text = encrypt(world.users[JOB], key=key)
        edit(world, "mysql", password=text[:-3] + ("A" if text[-3] != "A" else "B") + text[-2:] if change_byte else text)
        return {"SALESTREAM_KEY": "right"}

    return change


def fake_java(text: str) -> Change:
    def change(world: World) -> Mapping[str, str]:
        java = world.folder / "java" / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.write_text(f"#!/bin/sh\necho '{text}' >&2\n")
        java.chmod(0o755)
        return {"JAVA_HOME": str(world.folder / "java")}

    return change


def unwritable_home(world: World) -> Mapping[str, str]:
    path = world.folder / "file"
    path.write_text("")
    return {"SALESTREAM_HOME": str(path)}


def no_bucket(world: World) -> None:
    world.execute("DELETE FROM s3_bucket_info")
    edit(world, "s3", bucket="")


CHANGE_MYSQL.append(no_bucket)

CASES = [
    # Configuration
    Case("no such environment", variables(), r"CONFIG there is no \S*nope\.yml; choose an environment", 2, ("run", "--env", "nope")),
    Case("unreadable YAML", conf(lambda text: text + "\n\t- x: ["), r"CONFIG \S*dev\.yml: line \d+: ", 2),
    Case("not a mapping", conf(lambda _: "- a\n- b\n"), r"must be a mapping of keys to values", 2),
    Case("unknown key", conf(lambda text: text.replace("max_attempts", "max_atempts")), r"did you mean stream\.max_attempts\?", 2),
    Case("wrong type", setting("stream", max_files_per_trigger="many"), r"must be a positive integer, is 'many'", 2),
    Case("overlapping prefixes", setting("s3", error_prefix="sales_data/bad/"), r"must not overlap with s3\.source_prefix", 2),
    Case("unknown override", variables(SALESTREAM_IN_MYSQL_IN_HOSTT="x"), r"SALESTREAM__MYSQL__HOSTT: is not a known key", 2),
    Case("variable that is not set", setting("s3", region="${NOWHERE_SET}"), r"s3\.region: the variable NOWHERE_SET is not set", 2),
    Case("several faults at once", setting("mysql", port="x", tls="maybe"), r"2 faults: \(1\) .* \(2\) ", 2),
    Case("bad prefix", setting("s3", facts_prefix="facts"), r"s3\.facts_prefix: must end in /", 2),
    # Contract
    Case("contract with an unknown type", contract("type: date", "type: datum"), r"CONTRACT .*must be int, bigint, string, date", 2),
    Case("no contract", conf(lambda text: text.replace("contract.yml", "nothing.yml", 1)), r"nothing\.yml cannot be read", 2),
    # Credentials
    Case("wrong key", token("wrong"), r"mysql\.password: an encrypted value does not open: wrong key", 2),
    Case("one changed byte", token("right", change_byte=True), r"mysql\.password: an encrypted value does not open", 2),
    Case("no key", setting("mysql", password=encrypt("x", key="k")), r"mysql\.password: there is no key", 2),
    Case("key file that others can read", key_file(0o644), r"key file \S+ can be used by others", 2),
    # MySQL
    Case("wrong MySQL host", setting("mysql", host="no-such-host.invalid"), r"MYSQL_UNAVAILABLE mysql\.host=no-such-host\.invalid", 1),
    Case("MySQL port with nobody behind", setting("mysql", port="9"), r"MYSQL_UNAVAILABLE mysql\.host=127\.0\.0\.1:9 ", 1),
    Case("wrong MySQL password", setting("mysql", password="marked-wrong"), r"MYSQL .*Access denied", 2, does_not_say=("marked-wrong",)),
    Case("no such database", setting("mysql", database="nowhere"), r"MYSQL .*nowhere", 2),
    Case("empty database", sql("DROP TABLE schema_migration"), r"has no ledger tables.*; run \./spark-submit\.sh init-db", 2),
    Case("old migration", sql("DELETE FROM schema_migration WHERE migration_id = '003_marts'"), r"lacks 003_marts.*; run \S+ init-db", 2),
    Case("missing dimension table", sql("DROP TABLE store"), r"store", 2),
    Case("missing privilege", sql("REVOKE INSERT ON micro_batch FROM JOB"), r"lacks INSERT on micro_batch; let an administrator run", 2),
    Case(
        "duplicate dimension key",
        sql("ALTER TABLE store DROP PRIMARY KEY", "INSERT INTO store (id) VALUES (121)"),
        r"DIMENSION table store holds id 121 more than once",
        2,
    ),
    Case("TLS against a server without it", setting("mysql", tls="required"), r"MYSQL.*(TLS|SSL)", 2),
    Case("CA file that is not there", setting("mysql", tls="verify", tls_ca="nowhere.pem"), r"CONFIG mysql\.tls_ca: \S*nowhere\.pem", 2),
    # S3
    Case(
        "S3 endpoint with nobody behind", setting("s3", endpoint_url="http://127.0.0.1:9"), r"S3_UNAVAILABLE s3://\S+: Could not connect", 1
    ),
    Case("missing bucket", setting("s3", bucket="no-such-bucket"), r"S3 s3://no-such-bucket/sales_data/: 404 NoSuchBucket", 2),
    Case("wrong S3 secret", setting("s3", secret_access_key="marked-wrong"), r"S3 .*403", 2, does_not_say=("marked-wrong",)),
    Case(
        "no bucket and no row for it",
        no_bucket,
        r"s3\.bucket is empty, and s3_bucket_info names no bucket",
        2,
    ),
    # This machine
    Case("no Java", variables(JAVA_HOME="/nowhere"), r"MACHINE Java was not found \(/nowhere/bin/java\); install Java 17", 2),
    Case("old Java", fake_java('openjdk version "11.0.2" 2019'), r"MACHINE Java 17 or newer is needed, but \S+ is 11\.0\.2", 2),
    Case("folder that cannot be written to", unwritable_home, r"MACHINE checkpoints \S+ cannot be written to", 2),
    # Usage, and other commands
    Case("unknown option", variables(), r"No such option: --bogus", 2, ("run", "--bogus")),
    Case("unknown log format", variables(), r"'xml' is not one of 'text', 'json'", 2, ("run", "--log-format", "xml")),
    Case(
        "status without tables",
        sql("DROP TABLE schema_migration"),
        r"has no ledger tables.*; run \./spark-submit\.sh init-db",
        1,
        ("status",),
    ),
    Case("upload of a folder that is not there", variables(), r"nowhere", 2, ("upload", "nowhere")),
    Case("encrypt without a key", variables(), r"CREDENTIAL there is no key; set SALESTREAM_KEY", 2, ("encrypt",)),
    Case("unknown fail point", variables(SALESTREAM_FAILPOINT="nope"), r"USAGE SALESTREAM_FAILPOINT='nope'", 2),
]


def test_there_are_at_least_thirty_faults() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


@pytest.fixture(scope="module")
def untouched(servers: LocalEnv, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world for all faults that change nothing but variables and files."""
    with pymysql.connect(**local.root_connection_args(home), autocommit=True) as root:
        world = World.make(servers, root, tmp_path_factory.mktemp("untouched"))
        yield world
        world.destroy(root)


@pytest.fixture
def of_case(case: Case, tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """The world of a case: its own, or the common one with configuration files of its own."""
    if case.changes_mysql:
        return request.getfixturevalue("world")
    common: World = request.getfixturevalue("untouched")
    shutil.copytree(common.folder / "conf", tmp_path / "conf")
    return replace(common, folder=tmp_path)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said to standard error."""

    code: int
    said: str


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run commands here, and put back what they change in a process: its environment, folder, signals and logging."""
    root, signals = logging.getLogger(), [signal.SIGINT, signal.SIGTERM]
    before = (root.handlers[:], root.level, [signal.getsignal(number) for number in signals])
    levels = {name: logging.getLogger(name).level for name in ("app", "py4j")}

    def run(world: World, environ: Mapping[str, str], command: Sequence[str]) -> Ended:
        for name in os.environ.keys() - environ.keys():
            monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(world.folder)
        monkeypatch.setattr("sys.stdin", io.StringIO())
        return Ended(cli.main(list(command)), capfd.readouterr().err)

    yield run
    root.handlers[:], root.level = before[:2]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    for number, handler in zip(signals, before[2], strict=True):
        signal.signal(number, handler)


def in_a_process(world: World, environ: Mapping[str, str], command: Sequence[str]) -> Ended:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "app" / "main.py"), *command],
        env=environ,
        cwd=world.folder,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    return Ended(done.returncode, done.stderr)


def test_a_fault_of_each_kind_goes_through_a_process_of_its_own() -> None:
    assert {case.name for case in CASES} >= IN_A_PROCESS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_at_the_start_is_one_line_with_its_exit_code(of_case: World, case: Case, in_process: Command) -> None:
    world = of_case
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SALESTREAM", "AWS_"))}
    environ |= world.env.variables() | {"SALESTREAM_HOME": str(world.folder / "home"), "SALESTREAM_CONF_DIR": str(world.folder / "conf")}
    changed = case.make(world)
    run = in_a_process if case.name in IN_A_PROCESS else in_process
    done = run(world, environ | dict(changed or {}), case.command)
    lines = [line for line in done.said.splitlines() if not re.match(r"\d{4}-\d\d-\d\d .* (INFO|WARNING) ", line)]
    assert done.code == case.exit_code, done.said
    assert re.search(case.says, done.said), done.said
    assert "Traceback" not in done.said
    assert not [text for text in case.does_not_say if text in done.said]
    if case.name not in ("unknown option", "unknown log format"):  # usage lines are the command line library's
        assert len(lines) == 1, lines
        assert re.fullmatch(r"salestream: [A-Z0-9_]+ .+; .+", lines[0]), lines
    assert world.keys("sales_data_processed/") == []


@pytest.mark.parametrize("rule", ["quantity <> (", "quantitty <> 0", "quantity + 1"], ids=["no SQL", "unknown column", "no condition"])
def test_a_rule_that_cannot_work_stops_the_run_before_any_file_is_touched(world: World, spark: SparkSession, rule: str) -> None:
    world.drop("a.csv", f"{HEADER}\n{GOOD}\n")
    contract("quantity <> 0", rule)(world)
    with pytest.raises(
        ContractError,
        match=r"^CONTRACT rule quantity_not_zero: .*; change the rule in conf/contract\.yml; docs/rules\.md lists what it may hold$",
    ) as caught:
        world.run_once(spark)
    assert caught.value.exit_code == 2
    assert world.states() == {}


# In a batch


def refuse(pattern: str, status: int = 403) -> Fault:
    return Fault(pattern, status=status, code="AccessDenied" if status == 403 else "InternalError")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (refuse(r"^GET \S+/sales_data/a\.csv"), r"^S3 s3://\S+/sales_data/a\.csv: 403 AccessDenied"),
        (refuse(r"^(PUT|POST) \S+/sales_facts/"), r"^S3 .*sales_facts"),
        (refuse(r"^(PUT|POST) \S+/sales_data_error/quarantine/"), r"^S3 .*sales_data_error/quarantine"),
        (refuse(r"^(PUT|POST) \S+/sales_pending/"), r"^S3 .*sales_pending"),
    ],
    ids=["source", "facts", "quarantine", "pending"],
)
@pytest.mark.usefixtures("verified")
def test_a_prefix_that_is_refused_in_a_batch_stops_the_run_at_once_with_nothing_counted(
    world: World, spark: SparkSession, fault: Fault, says: str
) -> None:
    world.drop("a.csv", f"{HEADER}\n{GOOD}\nx{GOOD}\n9{GOOD}\n")
    with fault_proxy(world.config.s3.endpoint_url) as proxy:
        world.through(proxy.url, spark)
        proxy.faults.append(fault)
        with pytest.raises(PipelineError, match=says) as caught:
            world.run_once(spark)
        proxy.faults.clear()
        assert "\n" not in str(caught.value)
        assert world.rows("SELECT state, attempt, failures FROM micro_batch") == [{"state": "STARTED", "attempt": 1, "failures": 0}]
        assert world.customer_mart() == {}
        world.run_once(spark)
    assert world.states() == {"a.csv": "COMMITTED"}


@pytest.mark.usefixtures("verified")
def test_a_privilege_that_is_revoked_under_the_stream_is_named(world: World, spark: SparkSession) -> None:
    world.drop("a.csv", f"{HEADER}\n{GOOD}\n")
    world.as_root(f"REVOKE INSERT ON {world.bucket}.stage_customers_data_mart FROM '{JOB}'@'%'")
    with pytest.raises(PipelineError, match=r"^MYSQL .*INSERT command denied .*stage_customers_data_mart"):
        world.run_once(spark)
    assert world.customer_mart() == {}
    assert world.states() == {"a.csv": "CLAIMED"}
