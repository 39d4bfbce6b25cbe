"""Encryption of what may never lie in clear: AES-256-GCM under a key file of the data folder.

A text is bound to its place as associated data, so one that is moved elsewhere does not open.
Entered by the cli, which writes encrypted tokens, and by whoever hands out credentials.
"""

import base64
import binascii
import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError

PREFIX = "enc:v1:"
_KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2: 96 bits, random, under 2^32 texts a key
_AGAIN = "add the account again with labtrawl init --add"


class Cipher:
    """One key; made by `open_cipher`."""

    def __init__(self, key: bytes) -> None:
        self._gcm = AESGCM(key)
        self._key_id = hashlib.sha256(b"labtrawl key id\0" + key).hexdigest()[:8]

    def encrypt(self, secret: Secret, associated: str) -> str:
        """Return "enc:v1:<key id>:<base64 of nonce and ciphertext>", bound to `associated`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._gcm.encrypt(nonce, secret.reveal().encode(), associated.encode())
        return f"{PREFIX}{self._key_id}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, text: str, associated: str) -> Secret:
        """Return what `encrypt` was given.

        Raises ConfigError for a text that is another key's, of another place, or changed.
        """
        key_id, _, body = text.removeprefix(PREFIX).partition(":")
        if not text.startswith(PREFIX) or not body:
            raise ConfigError(f"a stored token is not of the form {PREFIX}…: {_AGAIN}")
        if key_id != self._key_id:
            raise ConfigError(
                f"a stored token was encrypted under another key file ({key_id}, not "
                f"{self._key_id}): put that key file back, or {_AGAIN}"
            )
        try:
            raw = base64.b64decode(body, validate=True)
            plain = self._gcm.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], associated.encode())
        except (binascii.Error, InvalidTag, ValueError):
            raise ConfigError(
                f"a stored token was changed, or belongs to another GitLab than where it is: {_AGAIN}"
            ) from None
        return Secret(plain.decode())


def token_place(url: str) -> str:
    """Return what binds an account's token to its GitLab: a changed URL closes the token."""
    return f"accounts|token|{url.rstrip('/')}"


def key_path(data_dir: Path) -> Path:
    """Return where the key file of a data folder lies."""
    return data_dir / "config" / "labtrawl.key"


def create_key_file(path: Path) -> None:
    """Write a fresh key, readable by the owner only, durable and whole or not at all.

    Raises ConfigError where a file is there already: a key is never overwritten.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, it never replaces what is there
    except FileExistsError:
        raise ConfigError(f"there is a key file at {path} already; it is kept") from None
    finally:
        draft.unlink()
    sync_folder(path.parent)


def open_cipher(path: Path) -> Cipher:
    """Read a key file; ConfigError when it is absent, not private, not ours or not a key."""
    try:
        with open(path, "rb", opener=_without_links) as file:
            _check_private(path, os.fstat(file.fileno()))
            text = file.read(2 * _KEY_BYTES + 2)
    except FileNotFoundError:
        raise ConfigError(f"the key file {path} is missing: put it back, or {_AGAIN}") from None
    except OSError as error:
        raise ConfigError(f"the key file {path} cannot be read: {error.strerror}") from None
    try:
        key = bytes.fromhex(text.decode("ascii").removesuffix("\n"))
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{path} holds no key of {_KEY_BYTES * 8} bits: put the right file back")
    return Cipher(key)


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # the last: a pipe would wait


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path} is no file: put the key file back")
    if found.st_uid != os.geteuid():
        raise ConfigError(f"the key file {path} belongs to another user: run labtrawl as its owner")
    if found.st_mode & 0o077:
        raise ConfigError(f"others can read the key file {path}: run chmod 400 '{path}'")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
