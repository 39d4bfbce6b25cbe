"""Encryption of what may never lie in clear: AES-256-GCM under a key file of the data folder.

A text is bound to its place (table, row, column, origin) as associated data, so one that is moved
elsewhere does not open. A ring holds the current key and those before it that still open something.
Entered by the cli, which writes encrypted tokens, and by whoever hands out credentials.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError

PREFIX = "enc:v2:"
EARLIER_PREFIX = "enc:v1:"  # bound to table, column and origin only; opens, and is written no more
_KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2: 96 bits, random, under 2^32 texts a key
_AGAIN = "add the account again with labtrawl init --add"
_OLD_KEY = re.compile(r"labtrawl\.key\.([0-9a-f]{8})(\.derived)?\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an encrypted text belongs; at any other place it does not open."""

    table: str
    row: str
    column: str
    origin: str

    @property
    def associated(self) -> bytes:
        """What is authenticated with the text; no two places give the same bytes."""
        return json.dumps([self.table, self.row, self.column, self.origin]).encode()

    @property
    def associated_before(self) -> bytes:
        """The same for a text of the first form, which knew no rows."""
        return f"{self.table}|{self.column}|{self.origin}".encode()


def account_place(url: str, user_id: int, column: str = "token") -> Place:
    """Return the place of an account's token; `user_id` is GitLab's number of the user.

    The same in the file of settings and in the database. 0, in a file only, is a number unknown.
    """
    return Place("accounts", str(user_id or ""), column, url.rstrip("/"))


def client_secret_place(url: str) -> Place:
    """Return the place of the secret of the OAuth application at an instance."""
    return Place("instances", "", "client_secret", url.rstrip("/"))


class Cipher:
    """The ring of keys: the current one encrypts, all of them decrypt; made by `open_cipher`."""

    def __init__(
        self,
        key: bytes,
        older: Iterable[bytes] = (),
        retired: Mapping[str, bytes] | None = None,
    ) -> None:
        """`retired` maps the ids of retired keys to what is left of them for `derive`."""
        # Here, not above: a crawl loads this room, encrypts nothing, and is spared 3 MB.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self.key_id = key_id_of(key)
        keys = {key_id_of(each): each for each in (*older, key)}
        self._gcms = {key_id: AESGCM(each) for key_id, each in keys.items()}
        self._bases = {**(retired or {}), **{i: derivation_base(k) for i, k in keys.items()}}

    @property
    def key_ids(self) -> frozenset[str]:
        """The keys that open texts."""
        return frozenset(self._gcms)

    def encrypt(self, secret: Secret, place: Place) -> str:
        """Return "enc:v2:<key id>:<base64 of nonce and ciphertext>", bound to `place`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        gcm = self._gcms[self.key_id]
        sealed = gcm.encrypt(nonce, secret.reveal().encode(), place.associated)
        return f"{PREFIX}{self.key_id}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, text: str, place: Place) -> Secret:
        """Return what `encrypt` was given.

        Raises ConfigError for a text that is another key's, of another place, or changed.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as in `__init__`

        prefix = PREFIX if text.startswith(PREFIX) else EARLIER_PREFIX
        key_id, _, body = text.removeprefix(prefix).partition(":")
        if not text.startswith(prefix) or not body:
            raise ConfigError(f"a stored token is not of the form {PREFIX}…: {_AGAIN}")
        if key_id not in self._gcms:
            raise ConfigError(
                f"a stored token was encrypted under another key file ({key_id}, not "
                f"{self.key_id}): put that key file back, or {_AGAIN}"
            )
        bound = place.associated if prefix == PREFIX else place.associated_before
        try:
            raw = base64.b64decode(body, validate=True)
            plain = self._gcms[key_id].decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound)
        except (binascii.Error, InvalidTag, ValueError):
            raise ConfigError(
                "a stored token was changed, or belongs to another GitLab or account than where "
                f"it is: {_AGAIN}"
            ) from None
        return Secret(plain.decode())

    def renewed(self, text: str, place: Place) -> str:
        """Return the text under the current key and in the current form; ConfigError as `decrypt`."""
        if text.startswith(f"{PREFIX}{self.key_id}:"):
            return text
        return self.encrypt(self.decrypt(text, place), place)

    def derive(self, purpose: str, key_id: str | None = None) -> bytes:
        """Return 256 bits for one purpose (HKDF-SHA256, RFC 5869), of the current key or the named.

        What a retired key gave it gives for ever. Raises ConfigError for an unknown key.
        """
        base = self._bases.get(key_id or self.key_id)
        if base is None:
            raise ConfigError(f"there is no key {key_id}: put its file labtrawl.key.{key_id} back")
        return _hkdf(base, f"labtrawl {purpose}")


def key_id_of(key: bytes) -> str:
    """Return what a key is called in texts and file names; it tells nothing of the key."""
    return hashlib.sha256(b"labtrawl key id\0" + key).hexdigest()[:8]


def key_id_in(text: str) -> str | None:
    """Return which key a text was encrypted under; None where it is no encrypted text."""
    found = re.match(r"enc:v[12]:([0-9a-f]{8}):", text)
    return found.group(1) if found else None


def derivation_base(key: bytes) -> bytes:
    """Return what all of `derive` comes from; it outlives the key and opens no text."""
    return _hkdf(key, "labtrawl derivation base")


def _hkdf(key: bytes, purpose: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - as in `Cipher`
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 - as in `Cipher`

    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=purpose.encode()).derive(key)


class KeyRing:
    """The key files of a folder, read again when they changed: a rotation needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[tuple[str, int, int], ...] = ()
        self._cipher: Cipher | None = None

    def __call__(self) -> Cipher:
        """Return the ring as the files are now; ConfigError as `open_cipher`."""
        stamp = _stamp(self._path)
        if self._cipher is None or stamp != self._stamp:
            self._cipher = open_cipher(self._path)
            self._stamp = stamp
        return self._cipher


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    found = []
    for each in sorted((path, *old_key_files(path))):
        try:
            state = each.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        found.append((each.name, state.st_ino, state.st_ctime_ns))
    return tuple(found)


def old_key_files(path: Path) -> list[Path]:
    """Return the files of earlier keys beside the current one, and what is left of retired ones."""
    if not path.parent.is_dir():
        return []
    return sorted(each for each in path.parent.iterdir() if _OLD_KEY.match(each.name))


def parse_old_name(path: Path) -> tuple[str, bool]:
    """Return a file's key id, and whether that key is retired."""
    found = _OLD_KEY.match(path.name)
    assert found is not None
    return found.group(1), found.group(2) is not None


def key_path(data_dir: Path) -> Path:
    """Return where the key file of a data folder lies."""
    return data_dir / "config" / "labtrawl.key"


def create_key_file(path: Path) -> None:
    """Write a fresh key, readable by the owner only, durable and whole or not at all.

    Raises ConfigError where a file is there already: a key is never overwritten.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = draft_key_file(path, secrets.token_bytes(_KEY_BYTES))
    try:
        os.link(draft, path)  # unlike a rename, it never replaces what is there
    except FileExistsError:
        raise ConfigError(f"there is a key file at {path} already; it is kept") from None
    finally:
        draft.unlink()
    sync_folder(path.parent)


def draft_key_file(path: Path, key: bytes) -> Path:
    """Write a key beside its place, durable, for a link or a rename; return the draft."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return draft


def open_cipher(path: Path) -> Cipher:
    """Read the ring of a folder: the key file at `path`, and those of earlier keys beside it.

    ConfigError when a file is absent, not private, not ours or not a key.
    """
    key = read_key(path)
    older, retired = [], {}
    for each in old_key_files(path):
        key_id, is_retired = parse_old_name(each)
        try:
            found = read_key(each)
        except ConfigError:
            if each.exists():
                raise
            continue  # retired meanwhile: nothing is encrypted under it any more
        if is_retired:
            retired[key_id] = found
        else:
            older.append(found)
    return Cipher(key, older, retired)


def read_key(path: Path) -> bytes:
    """Read one key file; ConfigError as `open_cipher`."""
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
    return key


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
