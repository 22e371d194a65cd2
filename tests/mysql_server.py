"""A real MySQL server for tests: the one that scripts/fetch_mysql.sh leaves in .cache/mysql, over a throw-away data directory."""

from __future__ import annotations

import ctypes
import datetime
import ipaddress
import os
import pwd
import secrets
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.conftest import REPOSITORY

BINARIES = REPOSITORY / ".cache" / "mysql"
HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 30
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class MySqlServer:
    """How to reach a running server as its administrator."""

    host: str
    port: int
    root_user: str
    root_password: str = field(repr=False)
    ca: Path
    version: str

    def connect(self) -> pymysql.Connection:
        """Open an administrator's connection, over verified TLS."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.root_user,
            password=self.root_password,
            ssl=ssl.create_default_context(cafile=str(self.ca)),
            autocommit=True,
        )


def binary() -> Path | None:
    """Name what starts the newest fetched server; None when none was fetched."""
    found = [path for path in BINARIES.glob("*/mysqld") if path.parent.name[0].isdigit()]
    return max(found, key=lambda path: [int(part) for part in path.parent.name.split(".")], default=None)


@contextmanager
def mysql_server(mysqld: Path, folder: Path) -> Iterator[MySqlServer]:
    """Run a server with MySQL's defaults on a free loopback port; nothing of it is outside the folder, nor outlives this process."""
    for name in ("tmp", "tls"):
        (folder / name).mkdir(parents=True)
    make_certificates(folder / "tls")
    password = secrets.token_urlsafe(24)
    server = MySqlServer(HOST, free_port(), "root", password, folder / "tls" / "ca.pem", mysqld.parent.name)
    write_private(folder / "my.cnf", config_text(folder, server.port))
    write_private(folder / "init.sql", init_sql(password))
    finish(start([str(mysqld), f"--defaults-file={folder / 'my.cnf'}", "--initialize-insecure"], folder), folder)
    process = start([str(mysqld), f"--defaults-file={folder / 'my.cnf'}", f"--init-file={folder / 'init.sql'}"], folder)
    try:
        wait_until_up(process, server, folder)
        yield server
    finally:
        stop(process)


def config_text(folder: Path, port: int) -> str:
    """Write the configuration: places, the port, small sizes. What the pipeline could notice stays as MySQL has it by default."""
    lines = [
        "[mysqld]",
        f"datadir={folder / 'data'}",
        f"tmpdir={folder / 'tmp'}",
        f"log_error={folder / 'mysqld.log'}",
        f"pid_file={folder / 'mysqld.pid'}",
        f"user={pwd.getpwuid(os.getuid()).pw_name}",
        f"bind_address={HOST}",
        f"port={port}",
        "socket=mysql.sock",  # relative to the data directory: no socket path may have more than 107 bytes
        "mysqlx=OFF",
        "skip_name_resolve=ON",
        "secure_file_priv=NULL",  # Debian names a folder of its own
        "skip_log_bin",
        f"ssl_ca={folder / 'tls' / 'ca.pem'}",
        f"ssl_cert={folder / 'tls' / 'server.pem'}",
        f"ssl_key={folder / 'tls' / 'server.key'}",
        "innodb_buffer_pool_size=64M",
        "innodb_redo_log_capacity=32M",
        "innodb_buffer_pool_dump_at_shutdown=OFF",
        "performance_schema=OFF",
    ]
    return "\n".join(lines) + "\n"


def init_sql(password: str) -> str:
    """Write what the server runs before it accepts connections: the administrator's account, and none without a password."""
    return "\n".join(
        [
            f"CREATE USER 'root'@'{HOST}' IDENTIFIED BY '{password}';",
            f"GRANT ALL ON *.* TO 'root'@'{HOST}' WITH GRANT OPTION;",
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n",
        ]
    )


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start mysqld in a session of its own; the kernel ends it when this process ends, however it ends."""
    libc, parent = ctypes.CDLL(None), os.getpid()

    def tie() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    with open(folder / "output.log", "ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=tie)


def finish(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for a mysqld that ends by itself."""
    try:
        code = process.wait(START_SECONDS)
    finally:
        stop(process)
    if code != 0:
        raise RuntimeError(f"mysqld could not make its data directory: {log_end(folder)}")


def wait_until_up(process: subprocess.Popen[bytes], server: MySqlServer, folder: Path) -> None:
    """Wait until the administrator can log in."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return server.connect().close()
        except pymysql.MySQLError as exc:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mysqld did not come up ({exc}): {log_end(folder)}") from exc
        time.sleep(0.1)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process: ask, wait, then force."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def log_end(folder: Path) -> str:
    """Return the last lines of what mysqld said."""
    texts = [path.read_text(errors="replace") for path in (folder / "output.log", folder / "mysqld.log") if path.exists()]
    return "\n".join("".join(texts).splitlines()[-10:])


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def write_private(path: Path, text: str | bytes) -> None:
    """Write a new file, readable by its owner only."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink:
        sink.write(text.encode() if isinstance(text, str) else text)


def make_certificates(folder: Path) -> None:
    """Make a CA, and by it the server's certificate for 127.0.0.1 and localhost.

    The certificates that MySQL makes for itself name no host, so `verify` refuses them whatever the CA (as it should).
    """
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test MySQL CA")])
    ca = certificate(name, ca_key.public_key(), name, ca_key)
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")])
    mine = certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test MySQL")]), key.public_key(), name, ca_key, hosts)
    write_private(folder / "ca.pem", ca.public_bytes(Encoding.PEM))
    write_private(folder / "server.pem", mine.public_bytes(Encoding.PEM))
    write_private(folder / "server.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    hosts: x509.SubjectAlternativeName | None = None,
) -> x509.Certificate:
    """Sign a certificate for a week: a server's when it names hosts, a CA's otherwise."""
    now = datetime.datetime.now(datetime.UTC)
    is_ca = hosts is None
    unset = dict.fromkeys(("content_commitment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False)
    usage = x509.KeyUsage(digital_signature=True, key_encipherment=False, key_cert_sign=is_ca, crl_sign=is_ca, **unset)
    builder = (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if hosts is not None:
        builder = builder.add_extension(hosts, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
