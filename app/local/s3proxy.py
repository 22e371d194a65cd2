"""The embedded S3: S3Proxy over a folder."""

from __future__ import annotations

import http.client
import os
import shutil
from pathlib import Path

from app.errors import EnvironmentFault
from app.local.state import BUCKET, HOST, REPOSITORY, Secrets, write_private

NAME = "s3proxy"
JARS = REPOSITORY / ".cache" / "servers" / "s3proxy"
MENDED = JARS / "mended.jar"
ARCHIVE = JARS / "classes.jsa"
# More request threads only queue for the same two or four cores; each upload holds one and its buffers.
THREADS = 64
LOGBACK = """<configuration><appender name="log" class="ch.qos.logback.core.ConsoleAppender"><target>System.err</target>
<encoder><pattern>%d{yyyy-MM-dd HH:mm:ss.SSS} %-5level %logger{0} %msg%n%rEx{12}</pattern></encoder></appender>
<root level="WARN"><appender-ref ref="log"/></root></configuration>
"""


def marker(home: Path) -> str:
    """Name the argument by which this home's S3Proxy is known."""
    return f"-Dsalestream.home={home}"


def java() -> str:
    """Find Java.

    Raises:
        EnvironmentFault: there is none.
    """
    named = os.environ.get("JAVA_HOME")
    found = shutil.which(f"{named}/bin/java" if named else "java")
    if found is None:
        raise EnvironmentFault("Java was not found", cure="install Java 17 or set JAVA_HOME, then run make setup")
    return found


def check() -> None:
    """Make sure that everything needed to start is there.

    Raises:
        EnvironmentFault: Java or the jars are missing.
    """
    java()
    if not any(JARS.glob("s3proxy-*.jar")) or not MENDED.exists():
        raise EnvironmentFault(f"S3Proxy's jars are not in {JARS}")


def prepare(home: Path, port: int, known: Secrets) -> None:
    """Write the configuration and make the bucket, which is a folder."""
    (home / "s3" / BUCKET).mkdir(exist_ok=True)
    settings = {
        "s3proxy.endpoint": f"http://{HOST}:{port}",
        "s3proxy.authorization": "aws-v4",
        "s3proxy.identity": known.access_key_id,
        "s3proxy.credential": known.secret_access_key,
        # Current SDKs send headers (checksums) that S3Proxy does not know.
        "s3proxy.ignore-unknown-headers": "true",
        "s3proxy.jetty.max-threads": str(THREADS),
        "jclouds.provider": "filesystem",
        "jclouds.filesystem.basedir": str(home / "s3"),
    }
    write_private(home / "run" / "s3proxy.properties", properties_text(settings))
    write_private(home / "run" / "logback.xml", LOGBACK)


def properties_text(settings: dict[str, str]) -> str:
    """Write a Java properties file. Java reads it as Latin-1 with backslash escapes; a path may hold anything."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def _escaped(value: str) -> str:
    units = value.encode("utf-16-be", "surrogatepass")
    numbers = [units[i] << 8 | units[i + 1] for i in range(0, len(units), 2)]
    plain = {ord(letter) for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-.:+"}
    return "".join(chr(number) if number in plain else f"\\u{number:04x}" for number in numbers)


def command(home: Path) -> list[str]:
    """Build the command line; it holds no secret."""
    return [
        java(),
        "-Xmx256m",
        "-XX:+UseSerialGC",
        f"-XX:SharedArchiveFile={ARCHIVE}",
        "-Xlog:disable",  # else a JVM for which the archive does not fit says so at length
        "-Dfile.encoding=UTF-8",
        "-Dsun.jnu.encoding=UTF-8",
        f"-Dlogback.configurationFile={home / 'run' / 'logback.xml'}",
        marker(home),
        "-cp",
        # The mended class comes before the one it replaces; in a fixed order, which the class archive insists on.
        ":".join(str(jar) for jar in (MENDED, *sorted(set(JARS.glob("*.jar")) - {MENDED}))),
        "org.gaul.s3proxy.Main",
        "--properties",
        str(home / "run" / "s3proxy.properties"),
    ]


def answers(port: int, known: Secrets) -> bool:
    """Tell whether the server answers; what it is asked needs no password."""
    return greets(port)


def greets(port: int) -> bool:
    """Tell whether the server answers HTTP; a request without a signature is refused, which is an answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.FORBIDDEN
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
