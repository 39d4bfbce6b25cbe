"""Where a new pair lies between GitLab's answer and the commit: a small encrypted file, fsynced.

GitLab keeps no previous refresh token, so an answer that is lost costs the account. Only `renewal`
enters.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError
from labtrawl.store.secrets import Cipher, Place, key_id_in, sync_folder

_PATTERN = "renewal-*.spool"


class Spooled(msgspec.Struct, frozen=True):
    """The pair that GitLab gave for a version; instants in ms."""

    account_id: int
    version: int
    access_token: str
    refresh_token: str
    expires_at: int
    renew_at: int

    def __repr__(self) -> str:
        return f"Spooled({self.account_id}, {self.version})"


@dataclass(frozen=True, slots=True)
class Spool:
    """The files of a folder; one an account."""

    folder: Path
    cipher: Callable[[], Cipher]

    def put(self, pair: Spooled) -> None:
        """Write a pair; returns when it is durable. Raises OSError, ConfigError."""
        path = self._path(pair.account_id)
        text = self.cipher().encrypt(
            Secret(msgspec.json.encode(pair).decode()), _place(pair.account_id)
        )
        draft = path.with_suffix(".draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(self.folder)

    def take(self, account_id: int) -> Spooled | None:
        """Return the pair of an account, if one lies here; ConfigError where it does not open."""
        try:
            text = _text_of(self._path(account_id))
            if text is None:
                return None
            plain = self.cipher().decrypt(text, _place(account_id))
            return msgspec.json.decode(plain.reveal(), type=Spooled)
        except (ConfigError, msgspec.MsgspecError):
            raise ConfigError(
                f"{self._path(account_id)} does not open: put the key file back under which it was"
                " written, or remove it and sign in again with labtrawl init --oauth"
            ) from None

    def remove(self, account_id: int) -> None:
        """Forget the pair of an account: it is in the database."""
        self._path(account_id).unlink(missing_ok=True)

    def accounts(self) -> list[int]:
        """Return the accounts for which a pair lies here."""
        names = (each.stem.removeprefix("renewal-") for each in self.folder.glob(_PATTERN))
        return sorted(int(name) for name in names if name.isdecimal())

    def _path(self, account_id: int) -> Path:
        return self.folder / f"renewal-{account_id}.spool"


def keys_in(folder: Path) -> set[str]:
    """Return the ids of the keys under which pairs lie in a folder; ConfigError if unreadable."""
    texts = [_text_of(each) for each in folder.glob(_PATTERN)]
    return {found for text in texts if text and (found := key_id_in(text))}


def _text_of(path: Path) -> str | None:
    """Return what a file holds, None where it is gone: its pair is in the database."""
    try:
        return path.read_bytes().decode("ascii", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _place(account_id: int) -> Place:
    return Place("renewal", str(account_id), "pair", "")
