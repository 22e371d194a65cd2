"""What the embedded servers remember below their home: passwords, ports, folders; and the variables that clients need."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from app.errors import LocalServerError

HOST = "127.0.0.1"
REGION = "us-east-1"
BUCKET = "salestream"
DATABASE = "salestream"
USER = "salestream"
PATIENCE_SECONDS = 1.0
POLL_SECONDS = 0.02
REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("s3", "mysql", "log", "run", "tmp")


@dataclass(frozen=True)
class LocalEnv:
    """How to reach the embedded servers."""

    access_key_id: str
    secret_access_key: str
    endpoint_url: str
    region: str
    bucket: str
    mysql_host: str
    mysql_port: int
    mysql_user: str
    mysql_password: str
    mysql_database: str

    def __repr__(self) -> str:
        return f"LocalEnv(endpoint_url={self.endpoint_url!r}, mysql={self.mysql_host}:{self.mysql_port})"

    def variables(self) -> dict[str, str]:
        """Name the environment variables that the pipeline, the AWS CLI or a script needs."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            "AWS_REGION": self.region,
            "SALESTREAM_BUCKET": self.bucket,
            "SALESTREAM_MYSQL_HOST": self.mysql_host,
            "SALESTREAM_MYSQL_PORT": str(self.mysql_port),
            "SALESTREAM_MYSQL_USER": self.mysql_user,
            "SALESTREAM_MYSQL_PASSWORD": self.mysql_password,
            "SALESTREAM_MYSQL_DATABASE": self.mysql_database,
        }

    def exports(self) -> str:
        """Write the variables as `export` lines that a POSIX shell can evaluate."""
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.variables().items())


@dataclass(frozen=True)
class Secrets:
    """The passwords of one home, made once."""

    access_key_id: str
    secret_access_key: str
    mysql_password: str
    mysql_root_password: str

    def __repr__(self) -> str:
        return "Secrets(...)"


def home() -> Path:
    """Name the folder that everything local lives in: $SALESTREAM_HOME, or .local in the clone."""
    named = os.environ.get("SALESTREAM_HOME")
    return Path(named).expanduser().absolute() if named else REPOSITORY / ".local"


def log_file(home: Path, server: str) -> Path:
    """Name a server's log."""
    return home / "log" / f"{server}.log"


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole; readable by its owner only from its first byte on."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as sink:
        sink.write(text)
        sink.flush()
        os.fsync(sink.fileno())
    os.replace(fresh, path)


def make_folders(home: Path) -> None:
    """Make the home and its folders, readable by their owner only.

    Raises:
        LocalServerError: the home cannot be made or written.
    """
    try:
        for folder in (home, *(home / name for name in FOLDERS)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
    except OSError as exc:
        raise LocalServerError(f"{home} cannot be used: {exc.strerror}", cure="name a folder you may write: SALESTREAM_HOME=...") from exc


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Let one process at a time start or stop the servers of a home. The lock goes with its process."""
    with open(home / "run" / "lock", "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def load_secrets(home: Path) -> Secrets:
    """Read the home's passwords, or make them.

    Raises:
        LocalServerError: the file is there but cannot be read; data made with its passwords would be lost with them.
    """
    path = home / "credentials.json"
    if not path.exists():
        # A random key id as well: a client of one home never gets into another's server by chance.
        made = Secrets("LOCAL" + secrets.token_hex(8).upper(), *(secrets.token_urlsafe(24) for _ in range(3)))
        write_private(path, json.dumps(asdict(made)))
        return made
    try:
        return Secrets(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as exc:
        raise LocalServerError(f"{path} cannot be read", cure=f"restore it, or remove {home} to start afresh without its data") from exc


def load_ports(home: Path) -> dict[str, int]:
    """Read the ports chosen for the servers; none where the file is missing or damaged: they are chosen anew."""
    try:
        stored = json.loads((home / "run" / "ports.json").read_text(encoding="utf-8"))
        return {str(name): int(port) for name, port in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def choose_port(home: Path, server: str, avoid: frozenset[int] = frozenset()) -> int:
    """Take the server's remembered port, or a free one when that is taken; remember the choice."""
    ports = load_ports(home)
    port = ports.get(server, 0)
    # A killed server's memory goes before its sockets do: for a moment it cannot be found any more, but its port is not free.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while port != 0 and not is_free(port) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    others = {taken for name, taken in ports.items() if name != server} | avoid
    while port == 0 or port in others or not is_free(port):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
    write_private(home / "run" / "ports.json", json.dumps({**ports, server: port}))
    return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port."""
    with socket.socket() as probe:
        # As the servers do: connections of an earlier run that linger in TIME_WAIT do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def read_env(home: Path) -> LocalEnv | None:
    """Tell how to reach the servers of a home, running or not; None when they were never started there."""
    ports = load_ports(home)
    if not (home / "credentials.json").exists() or not {"s3proxy", "mariadb"} <= ports.keys():
        return None
    known = load_secrets(home)
    return LocalEnv(
        access_key_id=known.access_key_id,
        secret_access_key=known.secret_access_key,
        endpoint_url=f"http://{HOST}:{ports['s3proxy']}",
        region=REGION,
        bucket=BUCKET,
        mysql_host=HOST,
        mysql_port=ports["mariadb"],
        mysql_user=USER,
        mysql_password=known.mysql_password,
        mysql_database=DATABASE,
    )
