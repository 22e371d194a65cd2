"""MySQL: which errors may pass by themselves, how often they are tried again, and what Spark is told."""

import gc
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql
import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from pydantic import SecretStr

from app.config.load import Config, MySqlConfig
from app.errors import BatchFailed, ConfigError, MySqlError, MySqlUnavailable, PipelineError, TransactionTooLarge
from app.mysql import truststore
from app.mysql.database import Database, Tx, tls_context
from app.mysql.errors import retrying, translated
from app.mysql.jdbc import jdbc_options

# A CA of our own, made for this test: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=test ca" -days 36500
CA = """-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUSFryHjKFLYd61QgtrZcr8RQZeVcwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHdGVzdCBjYTAgFw0yNjExMjMyMjEwNDRaGA8yMTI2MTAzMDIy
MTA0NFowEjEQMA4GA1UEAwwHdGVzdCBjYTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABDjuvJ779oQDEz+lAUIcWpWUyQy1cbttLr349nPKX7BSaR5d5rEZHLDTu2d+
+YFs/ZjaqPqFWk9OFu9GWVlUnwGjUzBRMB0GA1UdDgQWBBSxS3EHT30kqDH7rTlv
OeA4LjG+tTAfBgNVHSMEGDAWgBSxS3EHT30kqDH7rTlvOeA4LjG+tTAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQCoHBlBCKTWUAeyIPowUNZgqr3s
bnaJ/tQqQs0rlHcwRAIgNBpLNQtAtl2NGdvLGpezQ6rSP1EY0mFFYAzmC+0f+nQ=
-----END CERTIFICATE-----
"""


# Errors


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1040, "Too many connections"),
        (1053, "Server shutdown in progress"),
        (1205, "Lock wait timeout exceeded; try restarting transaction"),
        (1213, "Deadlock found when trying to get lock; try restarting transaction"),
        (1290, "The MySQL server is running with the --read-only option"),
        # Connection limits: https://github.com/sysown/proxysql/issues/786
        (1203, "User job already has more than 'max_user_connections' active connections"),
        (1226, "User 'job' has exceeded the 'max_user_connections' resource (current value: 5)"),
        # A fail-over: https://github.com/sidorares/node-mysql2/pull/4082, https://github.com/PeerDB-io/peerdb/pull/4663
        (1792, "Cannot execute statement in a READ ONLY transaction."),
        (1836, "Running in read-only mode"),
        (3032, "The server is currently in offline mode"),
        # Galera and group replication: https://github.com/Icinga/icingadb/pull/679
        (1047, "WSREP has not yet prepared node for application use"),
        (1180, "Got error 5 'Input/output error' during COMMIT"),
        (3101, "Plugin instructed the server to rollback the current transaction."),
        # ProxySQL: https://github.com/sysown/proxysql/issues/1347
        (9001, "Max connect timeout reached while reaching hostgroup 10 after 10000ms"),
        (1045, "Max connect timeout reached while reaching hostgroup 1 after 503ms"),
        (1105, "target: sales.0.primary: primary is not serving, there may be a reparent operation in progress"),
        (9002, "Max connect failure while reaching hostgroup 10"),
        (1969, "Query execution was interrupted (max_statement_time exceeded)"),
        (1927, "Connection was killed"),
        (2002, "Can't connect to local MySQL server"),
        (2003, "Can't connect to MySQL server on 'db'"),
        (2006, "MySQL server has gone away"),
        (2013, "Lost connection to MySQL server during query"),
        (4031, "The client was disconnected by the server because of inactivity"),
    ],
)
def test_what_may_pass_by_itself_is_transient(number: int, text: str) -> None:
    with pytest.raises(MySqlUnavailable) as caught, translated("mysql.host=db:3306"):
        raise pymysql.err.OperationalError(number, text)
    assert caught.value.what == f"mysql.host=db:3306: error {number}: {text}"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1153, "Got a packet bigger than 'max_allowed_packet' bytes"),
        (1180, "Got error 90 'Message too long' during COMMIT"),
        (1197, "Multi-statement transaction required more than 'max_binlog_cache_size' bytes of storage"),
        (1206, "The total number of locks exceeds the lock table size"),
        (3100, "Error on observer while running replication hook 'before_commit'."),
    ],
)
def test_a_transaction_that_is_too_large_is_the_batchs_own_failure_so_that_it_is_split(number: int, text: str) -> None:
    with pytest.raises(TransactionTooLarge) as caught, translated("t"):
        raise pymysql.err.OperationalError(number, text)
    assert caught.value.what == f"t: error {number}: {text}"
    assert isinstance(caught.value, BatchFailed)


def test_a_binary_log_of_statements_is_told_how_to_be_cured() -> None:
    with pytest.raises(MySqlError, match="binlog_format=ROW"), translated("t"):
        raise pymysql.err.OperationalError(1665, "Cannot execute statement: impossible to write to binary log")


@pytest.mark.parametrize(
    "error",
    [
        pymysql.err.OperationalError(9003, "Command not supported"),
        pymysql.err.OperationalError(1045, "Access denied for user 'job'"),
        pymysql.err.OperationalError(1049, "Unknown database 'sales'"),
        pymysql.err.ProgrammingError(1064, "You have an error in your SQL syntax"),
        pymysql.err.ProgrammingError(1146, "Table 'sales.micro_batch' doesn't exist"),
        pymysql.err.IntegrityError(1062, "Duplicate entry '1' for key 'PRIMARY'"),
        pymysql.err.DataError(1406, "Data too long for column 'sales_month'"),
        pymysql.err.OperationalError(2026, "SSL connection error"),
    ],
    ids=lambda error: str(error.args[0]),
)
def test_a_refusal_is_terminal(error: pymysql.MySQLError) -> None:
    with pytest.raises(MySqlError, match=f"t: error {error.args[0]}: ") as caught, translated("t"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("error", "kind", "what"),
    [
        (pymysql.err.InterfaceError(0, ""), MySqlUnavailable, "t: error 0: "),
        (pymysql.err.InterfaceError("(0, '')"), MySqlUnavailable, "t: error 0: (0, '')"),
        (pymysql.err.OperationalError(), MySqlError, "t: error 0: "),
        (ConnectionResetError("reset by peer"), MySqlUnavailable, "t: reset by peer"),
        (BrokenPipeError("broken pipe"), MySqlUnavailable, "t: broken pipe"),
        (TimeoutError("timed out"), MySqlUnavailable, "t: timed out"),
    ],
    ids=["closed connection", "text only", "no number", "reset", "pipe", "time-out"],
)
def test_a_lost_connection_is_transient_whatever_the_driver_calls_it(error: Exception, kind: type[PipelineError], what: str) -> None:
    with pytest.raises(kind) as caught, translated("t"):
        raise error
    assert caught.value.what == what


def test_a_refused_certificate_is_terminal_though_the_driver_says_cannot_connect() -> None:
    error = pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'db' (certificate verify failed)")
    error.original_exception = ssl.SSLCertVerificationError(1, "certificate verify failed")  # type: ignore[attr-defined]
    with pytest.raises(MySqlError, match="certificate verify failed"), translated("t"):
        raise error


def test_errors_that_are_not_the_drivers_pass_unchanged() -> None:
    with pytest.raises(KeyError), translated("t"):
        raise KeyError("state")


# Retries


def attempts_of(limit: int, *outcomes: PipelineError | None) -> tuple[int, list[float]]:
    """Run work that ends as told, call by call. Returns the number of calls and the pauses between them."""
    pauses: list[float] = []
    left = list(outcomes)
    for attempt in retrying(limit).copy(sleep=pauses.append):
        with attempt:
            error = left.pop(0)
            if error is not None:
                raise error
    return len(outcomes) - len(left), pauses


def test_a_transient_error_is_tried_again_until_it_passes() -> None:
    calls, pauses = attempts_of(5, MySqlUnavailable("deadlock"), MySqlUnavailable("deadlock"), None)
    assert (calls, len(pauses)) == (3, 2)


def test_the_last_transient_error_is_raised_as_it_is() -> None:
    last = MySqlUnavailable("third")
    with pytest.raises(MySqlUnavailable) as caught:
        attempts_of(3, MySqlUnavailable("first"), MySqlUnavailable("second"), last, None)
    assert caught.value is last


def test_a_terminal_error_is_not_tried_again() -> None:
    with pytest.raises(MySqlError, match="syntax"):
        attempts_of(5, MySqlError("syntax"), None)


def test_pauses_grow_and_stay_below_five_seconds() -> None:
    _, pauses = attempts_of(12, *[MySqlUnavailable("gone")] * 11, None)
    assert len(pauses) == 11
    assert 0 < pauses[0] < 1.2
    assert pauses[-1] == max(pauses) == 5


# Statements


class FakeCursor:
    """A cursor that answers with fixed rows."""

    lastrowid = 41

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.found = rows
        self.ran: list[tuple[str, Any]] = []

    def __enter__(self) -> "FakeCursor":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def execute(self, sql: str, args: Any = None) -> int:
        self.ran.append((sql, args))
        return len(self.found)

    def executemany(self, sql: str, rows: Sequence[Any]) -> int | None:
        self.ran.append((sql, rows))
        return None

    def fetchall(self) -> list[dict[str, Any]]:
        return self.found


class FakeConnection:
    def __init__(self, *rows: dict[str, Any]) -> None:
        self.made = FakeCursor(list(rows))

    def cursor(self) -> FakeCursor:
        return self.made


class FakeServer(FakeConnection):
    """A connection that notes what is sent, transactions included."""

    open = True

    def __init__(self) -> None:
        super().__init__({"n": 3})
        self.sent = self.made.ran

    def begin(self) -> None:
        self.sent.append(("BEGIN", None))

    def commit(self) -> None:
        self.sent.append(("COMMIT", None))

    def rollback(self) -> None:
        self.sent.append(("ROLLBACK", None))

    def close(self) -> None:
        self.open = False


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    made = FakeServer()
    monkeypatch.setattr("app.mysql.database.BoundedConnection", lambda *_, **__: made)
    return made


def test_the_isolation_is_set_once_for_a_connection_and_a_transaction_sends_nothing_else(config: Config, server: FakeServer) -> None:
    db = Database(config.mysql)
    for _ in range(2):
        assert db.run(lambda tx: tx.scalar("SELECT 3")) == 3
    isolation, *rest = [sql for sql, _ in server.sent]
    assert isolation == "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
    assert rest == ["BEGIN", "SELECT 3", "COMMIT"] * 2


def test_a_single_statement_is_one_round_trip(config: Config, server: FakeServer) -> None:
    db = Database(config.mysql)
    db.single(lambda tx: tx.scalar("SELECT 1"))
    assert [sql for sql, _ in server.sent[1:]] == ["SELECT 1"]


def test_a_single_statement_that_fails_is_tried_again_on_a_new_connection(config: Config, server: FakeServer) -> None:
    failures = [MySqlUnavailable("lost")]

    def once(tx: Tx) -> Any:
        if failures:
            raise failures.pop()
        return tx.scalar("SELECT 1")

    assert Database(config.mysql).single(once) == 3
    assert not server.open
    assert [sql for sql, _ in server.sent].count("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED") == 2


def test_a_query_gives_rows_a_row_or_a_scalar() -> None:
    tx = Tx(FakeConnection({"n": 3, "m": 4}, {"n": 5, "m": 6}))
    assert tx.rows("SELECT") == [{"n": 3, "m": 4}, {"n": 5, "m": 6}]
    assert tx.row("SELECT") == {"n": 3, "m": 4}
    assert tx.scalar("SELECT") == 3
    assert tx.insert("INSERT", (1,)) == 41


def test_a_query_without_a_row_gives_none() -> None:
    tx = Tx(FakeConnection())
    assert (tx.rows("SELECT"), tx.row("SELECT"), tx.scalar("SELECT")) == ([], None, None)


def test_a_statement_without_values_may_hold_a_percent_sign() -> None:
    connection = FakeConnection()
    Tx(connection).execute("SELECT 'LIKE a%'")
    assert connection.made.ran == [("SELECT 'LIKE a%'", None)]


def test_no_rows_are_no_statement() -> None:
    connection = FakeConnection()
    assert Tx(connection).executemany("INSERT", []) == 0
    assert Tx(connection).executemany("INSERT", [(1,)]) == 0
    assert connection.made.ran == [("INSERT", [(1,)])]


# What Spark is told


def with_mysql(config: Config, **changes: Any) -> MySqlConfig:
    return config.mysql.model_copy(update=changes)


def test_jdbc_gets_the_database_and_its_login_beside_the_address(config: Config) -> None:
    options = jdbc_options(with_mysql(config, port=3307, password=SecretStr("p&w?='x")))
    assert options["driver"] == "com.mysql.cj.jdbc.Driver"
    assert (options["user"], options["password"]) == ("job", "p&w?='x")
    assert options["url"].startswith("jdbc:mysql://db.example.com:3307/sales?")
    assert "p&w" not in options["url"]
    assert "job" not in options["url"]


def test_jdbc_works_in_utc_and_utf8(config: Config) -> None:
    query = parse_qs(urlsplit(jdbc_options(config.mysql)["url"].removeprefix("jdbc:")).query)
    assert query["connectionTimeZone"] == ["UTC"]
    assert query["characterEncoding"] == ["UTF-8"]


def test_no_wait_of_spark_for_mysql_is_without_a_bound(config: Config) -> None:
    limits = {"connect_timeout_seconds": 3, "read_timeout_seconds": 20, "lock_wait_seconds": 10, "idle_seconds": 90}
    settings = jdbc_settings(with_mysql(config, **limits))
    assert (settings["connectTimeout"], settings["socketTimeout"]) == (["3000"], ["30000"])
    assert settings["sessionVariables"][0].endswith(",innodb_lock_wait_timeout=10,lock_wait_timeout=10,wait_timeout=90")


@pytest.mark.parametrize(("tls", "mode"), [("off", "DISABLED"), ("required", "REQUIRED"), ("verify", "VERIFY_IDENTITY")])
def test_jdbc_uses_tls_as_the_configuration_says(config: Config, tls: str, mode: str) -> None:
    assert f"sslMode={mode}&" in jdbc_options(with_mysql(config, tls=tls))["url"]


def jdbc_settings(config: MySqlConfig) -> dict[str, list[str]]:
    return parse_qs(urlsplit(jdbc_options(config)["url"].removeprefix("jdbc:")).query)


def test_jdbc_trusts_only_the_given_ca(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("the one we use:\n" + CA + CA)
    query = jdbc_settings(with_mysql(config, tls="verify", tls_ca=path))
    assert query["trustCertificateKeyStoreType"] == ["PKCS12"]
    store = Path(unquote(urlsplit(query["trustCertificateKeyStoreUrl"][0]).path))
    held = pkcs12.load_pkcs12(store.read_bytes(), None).additional_certs
    assert [entry.certificate.subject.rfc4514_string() for entry in held] == ["CN=test ca"] * 2
    assert store.parent.stat().st_mode & 0o077 == 0


def test_a_trust_store_is_made_once_for_each_content_of_the_ca_file(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(CA)
    verified = with_mysql(config, tls="verify", tls_ca=path)
    first = jdbc_options(verified)["url"]
    assert jdbc_options(verified)["url"] == first
    path.write_text(CA + CA)
    assert jdbc_options(verified)["url"] != first


def test_the_trust_store_is_there_however_many_ask_for_it_at_once(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(CA)
    serialize = truststore.serialize_java_truststore

    def slowly(*args: Any) -> bytes:
        time.sleep(0.05)
        return serialize(*args)

    monkeypatch.setattr(truststore, "serialize_java_truststore", slowly)
    truststore._made.cache_clear()
    truststore._folder.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(truststore.trust_store, [path] * 4))
    gc.collect()
    assert len(set(stores)) == 1
    assert stores[0].exists()


@pytest.mark.parametrize(("tls", "ca"), [("off", True), ("required", True), ("verify", False)])
def test_jdbc_is_given_no_trust_store_where_nothing_is_verified_or_the_jvms_cas_do(
    config: Config, tmp_path: Path, tls: str, ca: bool
) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(CA)
    assert "trust" not in jdbc_options(with_mysql(config, tls=tls, tls_ca=path if ca else None))["url"]


# TLS of our own connections


def test_no_tls_is_no_context(config: Config) -> None:
    assert tls_context(with_mysql(config, tls="off")) is None


def test_required_encrypts_and_does_not_check_the_server(config: Config) -> None:
    context = tls_context(with_mysql(config, tls="required"))
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_NONE)


def test_verify_checks_certificate_and_host_name_against_the_systems_cas(config: Config) -> None:
    context = tls_context(with_mysql(config, tls="verify"))
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_verify_trusts_only_the_given_ca(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(CA)
    context = tls_context(with_mysql(config, tls="verify", tls_ca=path))
    assert context is not None
    assert [dict(part[0] for part in ca["subject"]) for ca in context.get_ca_certs()] == [{"commonName": "test ca"}]


@pytest.mark.parametrize("content", [None, "not a certificate"], ids=["missing", "no PEM"])
def test_a_ca_file_that_cannot_be_used_is_a_fault_of_the_configuration(config: Config, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=rf"mysql\.tls_ca: {path}: "):
        tls_context(with_mysql(config, tls="verify", tls_ca=path))
    with pytest.raises(ConfigError, match=rf"mysql\.tls_ca: {path}: "):
        jdbc_options(with_mysql(config, tls="verify", tls_ca=path))
