"""Encrypt and decrypt configuration values: tokens `enc:v1:...`, AES-256-GCM under a key derived by scrypt."""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from app.errors import CredentialError

PREFIX = "enc:v1:"
KEY, NEW_KEY = "SALESTREAM_KEY", "SALESTREAM_NEW_KEY"
_TOKEN = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_=-]+")
_SALT, _NONCE, _TAG = 16, 12, 16
_HEAD = 3 + _SALT + _NONCE  # log2(n), r, p, salt, nonce; all of it is authenticated
_LOG2_N, _R, _P = 14, 8, 1  # 16 MB and 0.05 s per guess; a start with four tokens still takes no time


def load_key(environ: Mapping[str, str] | None = None, name: str = KEY) -> str:
    """Read the key from the variable `name` (SALESTREAM_KEY), or from the file that `<name>_FILE` names.

    Raises:
        CredentialError: no key is set, or its file is missing, empty or readable by others than its owner.
    """
    environ = os.environ if environ is None else environ
    if environ.get(name, "").strip():
        return environ[name].strip()
    file = environ.get(f"{name}_FILE", "").strip()
    if not file:
        what = "there is no key" if name == KEY else "there is no new key"
        raise CredentialError(what, cure=f"set {name}, or {name}_FILE to a file only you can read")
    return _read_key_file(Path(file).expanduser(), name)


def encrypt(raw: str, *, key: str | bytes | None = None) -> str:
    """Encrypt a value into a token that can stand for it anywhere in conf.

    Args:
        raw: the value.
        key: the key; the one of the environment (`load_key`) where left out.

    Raises:
        CredentialError: there is no usable key.
    """
    head = bytes((_LOG2_N, _R, _P)) + os.urandom(_SALT + _NONCE)
    sealed = _cipher(head, key).encrypt(head[-_NONCE:], raw.encode(), PREFIX.encode() + head)
    return PREFIX + _encode(head + sealed)


def decrypt(token: str, *, key: str | bytes | None = None) -> str:
    """Decrypt a token made by `encrypt`.

    Args:
        token: the token.
        key: the key; the one of the environment (`load_key`) where left out.

    Raises:
        CredentialError: there is no usable key, it is not the one the token was made with, or the token was changed.
    """
    head, sealed = _split(token)
    try:
        return _cipher(head, key).decrypt(head[-_NONCE:], sealed, PREFIX.encode() + head).decode()
    except InvalidTag:
        raise CredentialError("an encrypted value does not open: wrong key, or the value was changed") from None


def is_token(value: str) -> bool:
    """Tell whether a value claims to be encrypted; an unknown version counts, so that it is never used as it stands."""
    return value.startswith("enc:v")


def rotate(text: str, old_key: str | bytes, new_key: str | bytes) -> str:
    """Encrypt every token of a YAML text anew, leaving all other text as it is; one that has the new key already stays.

    Raises:
        CredentialError: a token, named by its line, opens with neither key.
    """

    def renew(match: re.Match[str]) -> str:
        try:
            return encrypt(decrypt(match[0], key=old_key), key=new_key)
        except CredentialError as exc:
            # A rotation that was cut between two files is simply done again.
            if _opens(match[0], new_key):
                return match[0]
            raise CredentialError(f"line {text.count(chr(10), 0, match.start()) + 1}: {exc.what}") from None

    return _TOKEN.sub(renew, text)


def rotate_files(paths: Sequence[Path], old_key: str, new_key: str) -> dict[Path, int]:
    """Encrypt the tokens of configuration files anew, in place: nothing is written unless every token of every file opens.

    Args:
        paths: files, or folders whose *.yml are meant.
        old_key: the key that the tokens have.
        new_key: the key that they get.

    Returns:
        The number of renewed tokens of each file that has some.

    Raises:
        CredentialError: a file cannot be read or written, or a token does not open; it is named by file and line.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.yml")) if path.is_dir() else [path])]
    renewed: dict[Path, tuple[str, int]] = {}
    for file in files:
        try:
            text = file.read_bytes().decode()
            changed = rotate(text, old_key, new_key)
        except CredentialError as exc:
            raise CredentialError(f"{file}: {exc.what}; no file was changed") from None
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
            raise CredentialError(f"{file} cannot be read: {reason}; no file was changed", cure="name a file of conf/") from None
        count = sum(old != new for old, new in zip(_TOKEN.findall(text), _TOKEN.findall(changed), strict=True))
        if count:
            renewed[file] = (changed, count)
    for file, (changed, _) in renewed.items():
        _replace(file.resolve(), changed)
    return {file: count for file, (_, count) in renewed.items()}


def _opens(token: str, key: str | bytes) -> bool:
    try:
        decrypt(token, key=key)
    except CredentialError:
        return False
    return True


def _replace(path: Path, text: str) -> None:
    """Write a file at once or not at all, with the mode it has."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(text.encode())
        new.chmod(stat.S_IMODE(path.stat().st_mode))
        new.replace(path)
    except OSError as exc:
        new.unlink(missing_ok=True)
        cure = "mend that and run rotate-key again; files that have the new key already stay as they are"
        raise CredentialError(f"{path} cannot be written: {exc.strerror}", cure=cure) from exc


def _read_key_file(path: Path, name: str) -> str:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
            raise CredentialError(f"key file {path} can be used by others than its owner, or is no file", cure=f"run chmod 600 {path}")
        key = path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise CredentialError(f"key file {path} cannot be read: {exc.strerror}", cure=f"set {name}_FILE to a readable file") from exc
    except UnicodeDecodeError:
        raise CredentialError(f"key file {path} is not text", cure="put the key as one line of text") from None
    if not key:
        raise CredentialError(f"key file {path} is empty", cure="put the key in it, as one line of text")
    return key


def _cipher(head: bytes, key: str | bytes | None) -> AESGCM:
    secret = load_key() if key is None else key
    secret = secret.encode() if isinstance(secret, str) else secret
    if not secret:
        raise CredentialError("the key is empty")
    return AESGCM(_derive(secret, head[3:-_NONCE], head[0], head[1], head[2]))


@lru_cache(maxsize=64)
def _derive(secret: bytes, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=1 << log2_n, r=r, p=p).derive(secret)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _split(token: str) -> tuple[bytes, bytes]:
    body = token.removeprefix(PREFIX)
    try:
        data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except ValueError:
        data = b""
    # Decoders skip foreign characters and spare bits; comparing with the one right spelling makes any changed byte an error.
    if not token.startswith(PREFIX) or len(data) < _HEAD + _TAG or _encode(data) != body:
        raise CredentialError("an encrypted value is malformed", cure=f"make it again with the encrypt command; it begins with {PREFIX}")
    # The parameters come before the proof that they are ours, so their cost is bounded.
    if not (1 <= data[0] <= 18 and 1 <= data[1] <= 16 and 1 <= data[2] <= 4):
        raise CredentialError("an encrypted value was changed: its parameters are out of range")
    return data[:_HEAD], data[_HEAD:]
