"""The CA file of `mysql.tls_ca` in the form that a JVM reads."""

from __future__ import annotations

import tempfile
import threading
from functools import cache
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

from app.errors import ConfigError

TYPE = "PKCS12"
# Dimensions are read side by side: of two folders made at once, the cache would keep one and delete the other with what is in it.
_LOCK = threading.Lock()


def trust_store(ca: Path) -> Path:
    """Return a PKCS12 trust store of exactly the certificates in a PEM file; made once for each content of the file.

    It has no password: certificates are public, and the folder is this user's own. It lives as long as this process, and only
    on this machine. So executors on other machines do not find it: there, leave `mysql.tls_ca` empty and give the CA to the
    system's CAs and to the JVMs (`spark.driver.extraJavaOptions` and `spark.executor.extraJavaOptions` with
    `-Djavax.net.ssl.trustStore=...`).

    Raises:
        ConfigError: the file cannot be read or holds no certificate.
    """
    try:
        with _LOCK:
            return _made(ca.read_bytes())
    except OSError as exc:
        raise ConfigError(f"mysql.tls_ca: {ca}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise ConfigError(f"mysql.tls_ca: {ca}: holds no PEM certificate") from exc


@cache
def _made(pem: bytes) -> Path:
    certificates = x509.load_pem_x509_certificates(pem)
    entries = [PKCS12Certificate(certificate, f"ca{number}".encode()) for number, certificate in enumerate(certificates)]
    path = Path(_folder().name) / f"{sha256(pem).hexdigest()}.p12"
    path.write_bytes(serialize_java_truststore(entries, NoEncryption()))
    return path


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Make this process's folder, readable by its user only; it is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="salestream-trust-")
