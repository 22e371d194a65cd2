"""The embedded servers' bookkeeping, without the servers: state, quoting, processes, ports."""

from __future__ import annotations

import json
import os
import shlex
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.errors import EnvironmentFault, LocalServerError
from app.local import LocalEnv, down, home, is_up, mariadb, processes, read_env, root_connection_args, s3proxy, servers, state, watch

ENV = LocalEnv(
    access_key_id="KEY",
    secret_access_key="se'cr et$",
    endpoint_url="http://127.0.0.1:9000",
    region="us-east-1",
    bucket="b",
    mysql_host="127.0.0.1",
    mysql_port=3306,
    mysql_user="u",
    mysql_password="p`w\\",
    mysql_database="d",
)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    state.make_folders(tmp_path)
    return tmp_path


@pytest.fixture
def sleeper(tmp_path: Path):
    """Start a process that is known by an argument; it is gone after the test."""
    started = []

    def start(marker: str, code: str = "import time; time.sleep(60)") -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-S", "-c", code, marker])
        started.append(process)
        while marker.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.001)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_home_is_named_by_the_environment(monkeypatch):
    monkeypatch.setenv("SALESTREAM_HOME", "/tmp/some where")
    assert home() == Path("/tmp/some where")


def test_a_relative_home_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALESTREAM_HOME", "here")
    assert home() == tmp_path / "here"


def test_the_home_is_in_the_clone_by_default(monkeypatch):
    monkeypatch.delenv("SALESTREAM_HOME", raising=False)
    assert home() == Path(__file__).resolve().parents[3] / ".local"


def test_the_variables_are_those_that_clients_know():
    assert list(ENV.variables()) == [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "SALESTREAM_BUCKET",
        "SALESTREAM_MYSQL_HOST",
        "SALESTREAM_MYSQL_PORT",
        "SALESTREAM_MYSQL_USER",
        "SALESTREAM_MYSQL_PASSWORD",
        "SALESTREAM_MYSQL_DATABASE",
    ]


def test_a_shell_reads_the_exported_values_unchanged():
    script = ENV.exports() + 'printf "%s\\n" "$AWS_SECRET_ACCESS_KEY" "$SALESTREAM_MYSQL_PASSWORD"'
    out = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={}).stdout
    assert out.splitlines() == ["se'cr et$", "p`w\\"]


def test_the_printed_environment_shows_no_secret():
    assert "se'cr" not in repr(ENV) and "p`w" not in repr(ENV)


def test_the_passwords_are_not_printed(made):
    known = state.load_secrets(made)
    assert known.mysql_password not in repr(known)


def test_the_passwords_are_made_once_and_for_the_owner_only(made):
    first = state.load_secrets(made)
    assert state.load_secrets(made) == first
    assert stat.S_IMODE((made / "credentials.json").stat().st_mode) == 0o600


def test_two_homes_have_different_passwords(tmp_path):
    known = []
    for name in ("a", "b"):
        state.make_folders(tmp_path / name)
        known.append(state.load_secrets(tmp_path / name))
    assert known[0].secret_access_key != known[1].secret_access_key
    assert known[0].mysql_password != known[1].mysql_password


def test_a_damaged_credentials_file_is_not_replaced(made):
    (made / "credentials.json").write_text("{half")
    with pytest.raises(LocalServerError, match=r"credentials\.json cannot be read"):
        state.load_secrets(made)
    assert (made / "credentials.json").read_text() == "{half"


def test_the_folders_are_for_the_owner_only(made):
    for folder in (made, made / "s3", made / "mysql", made / "log", made / "run"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_home_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalServerError, match="cannot be used"):
        state.make_folders(tmp_path / "file")


def test_a_port_is_remembered(made):
    assert state.choose_port(made, "mariadb") == state.choose_port(made, "mariadb")


def test_a_port_taken_since_is_chosen_anew(made):
    port = state.choose_port(made, "mariadb")
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", port))
        thief.listen()
        other = state.choose_port(made, "mariadb")
    assert other != port
    assert state.load_ports(made) == {"mariadb": other}


def test_the_other_servers_port_is_never_chosen(made):
    state.write_private(made / "run" / "ports.json", json.dumps({"s3proxy": 45001, "mariadb": 45001}))
    assert state.choose_port(made, "mariadb") != 45001


def test_a_damaged_ports_file_means_no_ports(made):
    for text in ("", "[1]", '{"mariadb": "x"}', "null"):
        (made / "run" / "ports.json").write_text(text)
        assert state.load_ports(made) == {}


def test_a_home_never_started_has_no_environment(tmp_path):
    assert read_env(tmp_path / "nowhere") is None
    assert not (tmp_path / "nowhere").exists()


def test_the_environment_comes_from_the_state_files(made):
    state.write_private(made / "run" / "ports.json", json.dumps({"s3proxy": 45001, "mariadb": 45002}))
    known = state.load_secrets(made)
    env = read_env(made)
    assert env is not None
    assert (env.endpoint_url, env.mysql_host, env.mysql_port) == ("http://127.0.0.1:45001", "127.0.0.1", 45002)
    assert (env.secret_access_key, env.mysql_password) == (known.secret_access_key, known.mysql_password)


def test_root_logs_in_only_where_servers_were_started(tmp_path):
    with pytest.raises(LocalServerError, match="there are no servers"):
        root_connection_args(tmp_path)


def test_nothing_is_up_and_nothing_to_stop_in_a_home_never_started(tmp_path):
    assert not is_up(tmp_path / "nowhere")
    assert not down(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_missing_jar_is_a_fault_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(s3proxy, "JARS", tmp_path)
    with pytest.raises(EnvironmentFault, match=r"run make setup$"):
        s3proxy.check()


def test_a_missing_mariadb_is_a_fault_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(mariadb, "BINARIES", tmp_path)
    with pytest.raises(EnvironmentFault, match=r"run make setup$"):
        mariadb.check()


def test_a_missing_java_is_a_fault_of_the_machine(monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(EnvironmentFault, match="Java was not found"):
        s3proxy.java()


def test_a_properties_file_escapes_what_java_would_change():
    written = s3proxy.properties_text({"jclouds.filesystem.basedir": "/a b/é=#\\😀:x"})
    assert written == "jclouds.filesystem.basedir=/a\\u0020b/\\u00e9\\u003d\\u0023\\u005c\\ud83d\\ude00:x\n"


def test_mariadb_is_told_to_be_local_strict_and_durable(tmp_path):
    lines = mariadb.config_text(tmp_path, 4711).splitlines()
    assert {"bind_address=127.0.0.1", "port=4711", "skip_name_resolve=1", "innodb_flush_log_at_trx_commit=1", "skip_log_bin"} <= set(lines)
    assert "default_time_zone='+00:00'" in lines
    assert any(line.startswith("sql_mode=") and "STRICT_TRANS_TABLES" in line for line in lines)


def test_a_path_in_mariadbs_configuration_is_quoted():
    lines = mariadb.config_text(Path("/a b#c\\d"), 1).splitlines()
    assert 'datadir="/a b#c\\\\d/mysql/data"' in lines
    # In /tmp the next server to start would delete them.
    assert 'tmpdir="/a b#c\\\\d/tmp"' in lines


def test_no_secret_is_on_a_command_line(made):
    known = state.load_secrets(made)
    text = " ".join([*s3proxy.command(made), *mariadb.command(made)])
    for secret in (known.access_key_id, known.secret_access_key, known.mysql_password, known.mysql_root_password):
        assert secret not in text


def test_the_files_that_hold_secrets_are_for_the_owner_only(made):
    known = state.load_secrets(made)
    (made / "mysql" / "data").mkdir()
    s3proxy.prepare(made, 45001, known)
    mariadb.prepare(made, 45002, known)
    for name in ("s3proxy.properties", "init.sql", "my.cnf"):
        assert stat.S_IMODE((made / "run" / name).stat().st_mode) == 0o600


def test_a_server_gets_no_credentials_from_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("SALESTREAM__MYSQL__PASSWORD", "x")
    assert not {"AWS_SECRET_ACCESS_KEY", "SALESTREAM__MYSQL__PASSWORD"} & servers._environment().keys()


def test_a_process_is_found_by_a_whole_argument(sleeper):
    process = sleeper("--home=/tmp/x y")
    assert processes.find("--home=/tmp/x y") == [process.pid]
    assert processes.find("--home=/tmp/x") == []


def test_a_process_that_ended_is_not_found(sleeper):
    process = sleeper("--home=/tmp/ended")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert processes.find("--home=/tmp/ended") == []


def test_stopping_ends_the_marked_process_only(sleeper):
    marked, other = sleeper("--home=/tmp/one"), sleeper("--home=/tmp/two")
    assert processes.stop(["--home=/tmp/one"], 5)
    assert processes.find("--home=/tmp/one") == []
    assert other.poll() is None
    assert not processes.stop(["--home=/tmp/one"], 5)
    marked.wait()


def test_a_process_that_does_not_listen_to_reason_is_killed(sleeper, tmp_path):
    flag = tmp_path / "deaf"
    code = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(flag)!r}, 'w'); time.sleep(60)"
    sleeper("--home=/tmp/deaf", code)
    while not flag.exists():
        time.sleep(0.001)
    assert processes.stop(["--home=/tmp/deaf"], 0.1)
    assert processes.find("--home=/tmp/deaf") == []


def test_a_spawned_process_has_a_session_of_its_own(tmp_path):
    pid = processes.spawn([sys.executable, "-S", "-c", "import os; print(os.getsid(0))"], tmp_path / "log")
    processes.wait_and_reap(pid, 10)
    assert (tmp_path / "log").read_text() == f"{pid}\n"
    assert os.getsid(0) != pid


def test_a_port_belongs_to_the_process_that_listens(sleeper):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert processes.listens(os.getpid(), port)
        assert not processes.listens(sleeper("--home=/tmp/other").pid, port)
    assert not processes.listens(os.getpid(), port)


def test_a_port_that_is_only_bound_is_not_listened_on():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert not processes.listens(os.getpid(), server.getsockname()[1])


def test_the_guard_leaves_when_the_servers_are_gone(made, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    descriptor = os.pidfd_open(os.getpid())
    try:
        assert not watch.guard(made, ["s3proxy", "mariadb"], descriptor)
    finally:
        os.close(descriptor)


def test_the_packages_file_is_read_by_shell_and_by_a_trivial_parser_alike():
    path = Path(__file__).resolve().parents[3] / "scripts" / "packages.sh"
    names = ("SPARK_PACKAGES", "SPARK_EXCLUDES", "S3PROXY_JARS", "MARIADB_JAR")
    parsed = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    script = f". {shlex.quote(str(path))}; " + "; ".join(f'printf "%s\\n" "${name}"' for name in names)
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [parsed[name].strip('"') for name in names] == shell
