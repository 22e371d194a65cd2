"""The embedded servers' life cycle, on the real servers: start, stop, crash, repair, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import boto3
import pymysql
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from app.local import LocalEnv, down, is_up, mariadb, processes, root_connection_args, s3proxy, up
from app.local.servers import watch_marker
from app.local.state import BUCKET, load_ports, load_secrets

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
START = "import sys, time; from pathlib import Path; from app.local import up; up(Path(sys.argv[1]))"
ODD_KEYS = [
    "sales_data/plain.csv",
    "sales_data/Plain.csv",
    "sales_data/é ü.csv",
    "sales_data/x=1/a+b%20c.csv",
    "sales_data/_hidden.csv",
    "sales_data/.dot.csv",
    "sales_data/q?#&;'\".csv",
    "sales_data/日本語.csv",
    "sales_data/" + "n" * 218,  # S3Proxy adds 37 bytes to the last part of a name while it writes
]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that keeps its data from test to test: it starts in half the time of a new one."""
    return tmp_path_factory.mktemp("used") / "a home"


@pytest.fixture
def home(used: Path) -> Iterator[Path]:
    """A home with nothing running; no process of it is left after the test."""
    yield used
    down(used)
    assert pids(used) == []


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A home in which nothing was ever started; no process of it is left after the test."""
    folder = tmp_path / "fresh home"
    yield folder
    down(folder)
    assert pids(folder) == []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home whose servers run throughout the module, for the tests that only look."""
    folder = tmp_path_factory.mktemp("running")
    up(folder, die_with_parent=True)
    yield folder
    down(folder)
    assert pids(folder) == []


def pids(home: Path) -> list[int]:
    markers = [s3proxy.marker(home), mariadb.marker(home), watch_marker(home)]
    return [pid for marker in markers for pid in processes.find(marker)]


def server_pids(home: Path) -> list[int]:
    return [*processes.find(s3proxy.marker(home)), *processes.find(mariadb.marker(home))]


def s3(env: LocalEnv, secret: str | None = None, style: str = "path"):
    return boto3.client(
        "s3",
        endpoint_url=env.endpoint_url,
        aws_access_key_id=env.access_key_id,
        aws_secret_access_key=secret or env.secret_access_key,
        region_name=env.region,
        config=Config(s3={"addressing_style": style}, retries={"max_attempts": 1}),
    )


def mysql(env: LocalEnv, **changes: str) -> pymysql.Connection:
    login = {"user": env.mysql_user, "password": env.mysql_password, "database": env.mysql_database, **changes}
    return pymysql.connect(host=env.mysql_host, port=env.mysql_port, connect_timeout=5, **login)


def answers(env: LocalEnv) -> None:
    """Both servers serve the job."""
    assert s3(env).list_objects_v2(Bucket=env.bucket)["KeyCount"] >= 0
    with mysql(env) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DATABASE()")
        assert cursor.fetchone() == ("salestream",)


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


# -- life cycle ------------------------------------------------------------------------------------------------------


def test_up_down_up_keeps_data_ports_and_passwords(fresh):
    first = up(fresh)
    s3(first).put_object(Bucket=first.bucket, Key="kept", Body=b"x")
    with mysql(first) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (id INT)")
    assert is_up(fresh)
    assert down(fresh)
    assert not is_up(fresh)
    assert pids(fresh) == []
    assert up(fresh) == first
    assert s3(first).get_object(Bucket=first.bucket, Key="kept")["Body"].read() == b"x"
    with mysql(first) as connection, connection.cursor() as cursor:
        assert cursor.execute("SHOW TABLES") == 1


def test_up_twice_returns_the_running_servers_at_once(running):
    before = server_pids(running)
    begin = time.monotonic()
    answers(up(running))
    assert server_pids(running) == before
    assert len(before) == 2
    assert time.monotonic() - begin < 3


def test_a_home_reached_by_a_link_is_the_same_home(running, tmp_path):
    (tmp_path / "link").symlink_to(running)
    before = server_pids(running)
    up(tmp_path / "link")
    assert server_pids(running) == before
    assert is_up(tmp_path / "link")


def test_two_starts_at_the_same_time_make_one_pair_of_servers(fresh):
    code = "import sys; from pathlib import Path; from app.local import up; print(up(Path(sys.argv[1])).variables())"
    starts = [python(code, str(fresh)) for _ in range(3)]
    printed = {start.communicate()[0] for start in starts}
    assert len(printed) == 1
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert len(server_pids(fresh)) == 2


def test_threads_that_start_at_the_same_time_make_one_pair_of_servers(home):
    threads = [threading.Thread(target=up, args=(home,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server_pids(home)) == 2


def test_down_stops_mariadb_cleanly(home):
    up(home)
    down(home)
    assert (home / "log" / "mariadb.log").read_text().rstrip().endswith("Shutdown complete")


def test_down_twice_says_that_nothing_ran(home):
    up(home)
    assert down(home)
    assert not down(home)


# -- crashes and repair ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [s3proxy, mariadb], ids=["s3proxy", "mariadb"])
def test_a_crashed_server_is_started_again_and_the_other_left_alone(home, server):
    env = up(home)
    other = mariadb if server is s3proxy else s3proxy
    untouched = processes.find(other.marker(home))
    [pid] = processes.find(server.marker(home))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes.find(server.marker(home)))
    assert not is_up(home)
    answers(up(home))
    assert processes.find(other.marker(home)) == untouched
    assert env == up(home)


def test_a_row_committed_before_a_crash_is_there_after_it(home):
    env = up(home)
    with mysql(env, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB")
        cursor.execute("INSERT INTO t VALUES (7)")
    for pid in server_pids(home):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server_pids(home))
    with mysql(up(home)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM t")
        assert cursor.fetchall() == ((7,),)


def test_another_program_on_a_remembered_port_moves_the_server_to_another(home):
    first = up(home)
    down(home)
    with socket.socket() as one, socket.socket() as two:
        for thief, port in ((one, first.mysql_port), (two, load_ports(home)["s3proxy"])):
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", port))
            thief.listen()
        second = up(home)
        assert second.mysql_port != first.mysql_port
        assert second.endpoint_url != first.endpoint_url
        answers(second)


def test_a_data_directory_left_half_made_is_made_again(fresh):
    (fresh / "mysql" / "new-half").mkdir(parents=True)
    (fresh / "mysql" / "new-half" / "ibdata1").write_bytes(b"half")
    answers(up(fresh))
    assert [path.name for path in (fresh / "mysql").iterdir()] == ["data"]


def test_lost_run_files_do_not_lose_the_servers(home):
    up(home)
    for path in (home / "run").iterdir():
        path.unlink()
    answers(up(home))
    assert len(server_pids(home)) == 2


def test_a_deep_home_is_no_problem_for_the_unix_socket(fresh):
    deep = fresh / ("d" * 120)
    try:
        answers(up(deep))
    finally:
        down(deep)
    assert pids(deep) == []


# -- nothing is left behind ------------------------------------------------------------------------------------------


def test_servers_outlive_the_command_that_started_them(home):
    assert python(START, str(home)).wait() == 0
    assert is_up(home)
    assert processes.find(watch_marker(home)) == []


def test_ctrl_c_in_the_terminal_does_not_reach_running_servers(home):
    code = f"{START}; print('up', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home)], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as command:
        assert command.stdout is not None
        command.stdout.readline()
        os.killpg(command.pid, signal.SIGINT)
        command.wait()
    assert is_up(home)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_servers_that_belong_to_a_process_end_with_it(home, number):
    code = (
        "import sys, time, threading; from pathlib import Path; from app.local import up\n"
        # From a thread that ends: what counts is the process.
        "t = threading.Thread(target=up, args=(Path(sys.argv[1]),), kwargs={'die_with_parent': True}); t.start(); t.join()\n"
        "print('up', flush=True); time.sleep(60)"
    )
    with python(code, str(home)) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        assert is_up(home)
        owner.send_signal(number)
    wait_until(lambda: pids(home) == [])


def test_the_watcher_leaves_after_down(home):
    up(home, die_with_parent=True)
    assert len(processes.find(watch_marker(home))) == 1
    down(home)
    assert processes.find(watch_marker(home)) == []


@pytest.mark.parametrize(
    ("number", "delay"),
    [
        (signal.SIGKILL, 0.05),
        (signal.SIGKILL, 0.3),
        (signal.SIGKILL, 0.8),
        (signal.SIGTERM, 0.3),
        (signal.SIGINT, 0.3),
        (signal.SIGINT, 0.8),
    ],
)
def test_a_start_cut_off_leaves_no_process(fresh, number, delay):
    cut_off(fresh, number, delay)


def test_a_start_after_one_that_was_cut_off_works(fresh):
    cut_off(fresh, signal.SIGKILL, 0.6)
    answers(up(fresh))


def cut_off(home: Path, number: signal.Signals, delay: float) -> None:
    code = f"print('go', flush=True); {START}; time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home)], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as command:
        assert command.stdout is not None
        command.stdout.readline()
        time.sleep(delay)
        if is_up(home):
            command.kill()
            pytest.skip("the start was too quick for this delay")
        command.send_signal(number)
        command.wait(10)
    wait_until(lambda: pids(home) == [])


# -- secrets and doors -----------------------------------------------------------------------------------------------


def test_no_secret_is_in_the_process_list(running):
    known = load_secrets(running)
    listed = subprocess.run(["ps", "axeww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert mariadb.marker(running) in listed
    for secret in (known.secret_access_key, known.mysql_password, known.mysql_root_password):
        assert secret not in listed


def test_the_servers_listen_on_this_machine_only(running):
    for pid in server_pids(running):
        mine = {address for address, inode in listening_rows() if f"socket:[{inode}]" in open_files(pid)}
        assert mine, "it listens somewhere"
        assert mine <= {"0100007F", "0000000000000000FFFF00000100007F"}


def listening_rows() -> list[tuple[str, str]]:
    rows = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            row = line.split()
            if row[3] == "0A":
                rows.append((row[1].partition(":")[0], row[9]))
    return rows


def open_files(pid: int) -> set[str]:
    return {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}


def test_a_wrong_key_is_refused(running):
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3(up(running), secret="wrong").list_buckets()


@pytest.mark.parametrize(("user", "password"), [("root", ""), ("salestream", ""), ("salestream", "wrong"), ("", "")])
def test_a_wrong_password_is_refused(running, user, password):
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        mysql(up(running), user=user, password=password)


def test_the_jobs_user_sees_its_own_database_only(running):
    with mysql(up(running)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES")
        assert set(cursor.fetchall()) == {("information_schema",), ("salestream",)}
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            cursor.execute("SELECT * FROM mysql.global_priv")


def test_root_administers(running):
    with pymysql.connect(**root_connection_args(running)) as connection, connection.cursor() as cursor:
        assert cursor.execute("SELECT User, Host FROM mysql.user WHERE User = 'root'") == 2


# -- S3 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_odd_key_comes_back_with_its_content(running, key):
    env = up(running)
    client = s3(env)
    client.put_object(Bucket=env.bucket, Key=key, Body=key.encode(), Metadata={"m": "1"})
    assert client.get_object(Bucket=env.bucket, Key=key)["Body"].read() == key.encode()
    assert client.get_object(Bucket=env.bucket, Key=key, Range="bytes=0-4")["Body"].read() == b"sales"
    head = client.head_object(Bucket=env.bucket, Key=key)
    assert (head["ContentLength"], head["Metadata"]) == (len(key.encode()), {"m": "1"})
    assert key in [one["Key"] for one in client.list_objects_v2(Bucket=env.bucket, Prefix="sales_data/")["Contents"]]
    client.copy_object(Bucket=env.bucket, Key=f"done/{key}", CopySource={"Bucket": env.bucket, "Key": key}, CopySourceIfMatch=head["ETag"])
    client.delete_object(Bucket=env.bucket, Key=key)
    assert client.get_object(Bucket=env.bucket, Key=f"done/{key}")["Body"].read() == key.encode()
    with pytest.raises(ClientError, match="NoSuchKey"):
        client.get_object(Bucket=env.bucket, Key=key)


def test_an_upload_in_parts_comes_back_whole(running):
    env = up(running)
    client = s3(env)
    parts = [b"a" * (5 << 20), b"b" * 1000]
    upload = client.create_multipart_upload(Bucket=env.bucket, Key="parts")["UploadId"]
    tags = []
    for number, body in enumerate(parts, start=1):
        sent = client.upload_part(Bucket=env.bucket, Key="parts", UploadId=upload, PartNumber=number, Body=body)
        tags.append({"PartNumber": number, "ETag": sent["ETag"]})
    assert [one["Key"] for one in client.list_multipart_uploads(Bucket=env.bucket)["Uploads"]] == ["parts"]
    client.complete_multipart_upload(Bucket=env.bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": tags})
    assert client.get_object(Bucket=env.bucket, Key="parts")["Body"].read() == b"".join(parts)


def test_more_than_a_page_is_listed_page_by_page(running):
    env = up(running)
    client = s3(env)
    for number in range(25):
        client.put_object(Bucket=env.bucket, Key=f"pages/{number:02d}", Body=b"x")
    pages = list(client.get_paginator("list_objects_v2").paginate(Bucket=env.bucket, Prefix="pages/", PaginationConfig={"PageSize": 10}))
    assert [one["Key"] for page in pages for one in page["Contents"]] == [f"pages/{number:02d}" for number in range(25)]
    assert len(pages) == 3


def test_a_condition_that_does_not_hold_is_refused(running):
    env = up(running)
    client = s3(env)
    client.put_object(Bucket=env.bucket, Key="condition", Body=b"x")
    for request in (
        lambda: client.get_object(Bucket=env.bucket, Key="condition", IfMatch='"other"'),
        lambda: client.put_object(Bucket=env.bucket, Key="condition", Body=b"y", IfNoneMatch="*"),
        lambda: client.copy_object(Bucket=env.bucket, Key="copy", CopySource=f"{env.bucket}/condition", CopySourceIfMatch='"other"'),
    ):
        with pytest.raises(ClientError) as refused:
            request()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412


def test_deleting_a_directory_marker_with_files_below_does_not_stall(running):
    """Without scripts/unpack_servers.py's mended class this takes ten seconds."""
    env = up(running)
    client = s3(env)
    client.put_object(Bucket=env.bucket, Key="tree/a/b", Body=b"x")
    begin = time.monotonic()
    client.delete_objects(Bucket=env.bucket, Delete={"Objects": [{"Key": "tree/"}, {"Key": "tree/a/"}, {"Key": "tree/a/b"}]})
    assert time.monotonic() - begin < 3
    assert client.list_objects_v2(Bucket=env.bucket, Prefix="tree/").get("Contents", []) == []


def test_the_bucket_is_there_from_the_start(running):
    env = up(running)
    assert BUCKET in [bucket["Name"] for bucket in s3(env).list_buckets()["Buckets"]]


# -- MySQL -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def cursor(running: Path) -> Iterator[pymysql.cursors.Cursor]:
    with mysql(up(running), autocommit=True) as connection, connection.cursor() as one:
        yield one
        one.execute("DROP TABLE IF EXISTS t")


def test_too_long_a_text_is_an_error_and_not_cut(cursor):
    cursor.execute("CREATE TABLE t (name VARCHAR(3))")
    with pytest.raises(pymysql.err.DataError, match="too long"):
        cursor.execute("INSERT INTO t VALUES ('abcd')")


def test_a_date_that_does_not_exist_is_an_error(cursor):
    cursor.execute("CREATE TABLE t (day DATE)")
    with pytest.raises(pymysql.err.OperationalError, match="Incorrect date"):
        cursor.execute("INSERT INTO t VALUES ('2024-02-30')")


def test_the_clock_is_utc(cursor):
    cursor.execute("SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW()), FROM_UNIXTIME(0)")
    assert cursor.fetchone() == (0, datetime(1970, 1, 1))


def test_every_letter_fits(cursor):
    cursor.execute("CREATE TABLE t (name VARCHAR(10))")
    cursor.execute("INSERT INTO t VALUES ('😀日é')")
    cursor.execute("SELECT name FROM t")
    assert cursor.fetchone() == ("😀日é",)


def test_a_local_lock_can_be_taken(cursor):
    cursor.execute("SELECT GET_LOCK('owner', 0)")
    assert cursor.fetchone() == (1,)


def test_a_commit_is_on_disk_before_it_is_answered(cursor):
    cursor.execute("SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@local_infile, @@skip_name_resolve, @@bind_address")
    assert cursor.fetchone() == (1, 0, 1, 1, "127.0.0.1")
