"""MySQL for Spark: the options of its JDBC source, with the same certificate checks as every other connection."""

from __future__ import annotations

from urllib.parse import quote

from app.config.load import MySqlConfig
from app.mysql.database import OWN_SETTINGS, lock_limits
from app.mysql.truststore import TYPE, trust_store


def jdbc_options(config: MySqlConfig) -> dict[str, str]:
    """Return the options of Spark's JDBC source for this database; `password` is redacted by Spark wherever it shows options.

    Raises:
        ConfigError: the CA file cannot be read.
    """
    ssl_mode = {"off": "DISABLED", "required": "REQUIRED", "verify": "VERIFY_IDENTITY"}[config.tls]
    settings = {
        "useServerPrepStmts": "false",
        "connectionTimeZone": "UTC",
        "characterEncoding": "UTF-8",
        "sslMode": ssl_mode,
        "allowPublicKeyRetrieval": "true",
        "connectTimeout": str(config.connect_timeout_seconds * 1000),
        # It reads whole tables: no statement of it works for long without a byte, unless it waits for a lock.
        "socketTimeout": str((config.read_timeout_seconds + config.lock_wait_seconds) * 1000),
        "tcpKeepAlive": "true",
        "sessionVariables": quote(session_variables(config), safe=""),
        "tinyInt1isBit": "false",
        **_jdbc_trust(config),
    }
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    return {
        "url": f"jdbc:mysql://{config.host}:{config.port}/{config.database}?{query}",
        "driver": "com.mysql.cj.jdbc.Driver",
        "user": config.user,
        "password": config.password.get_secret_value(),
    }


def session_variables(config: MySqlConfig) -> str:
    """Return what a session of Spark's sets: the same as any of ours, and that it ends with its owner, and its locks with it."""
    return f"{OWN_SETTINGS},{lock_limits(config)},wait_timeout={config.idle_seconds}".replace(" ", "")


def _jdbc_trust(config: MySqlConfig) -> dict[str, str]:
    """Name the trust store of `mysql.tls_ca`, on this machine (see truststore); without one the driver asks the JVM's own CAs."""
    if config.tls != "verify" or config.tls_ca is None:
        return {}
    # Decoded twice: by the driver as a property of its URL, by the JVM as a URL of its own.
    return {"trustCertificateKeyStoreUrl": quote(trust_store(config.tls_ca).as_uri()), "trustCertificateKeyStoreType": TYPE}
