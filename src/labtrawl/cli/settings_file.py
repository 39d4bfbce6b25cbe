"""Writes labtrawl.toml and the key file: whole or not at all, the token encrypted. For `init`."""

import errno
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from labtrawl.config import Instance, Settings, load
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, DiskFull
from labtrawl.store.secrets import create_key_file, key_path, open_cipher, sync_folder, token_place

_HEAD = """\
# The settings of labtrawl, written by `labtrawl init`; relative paths count from this file.
# It names accounts: keep it to yourself (chmod 600). Each setting has a default.

# Everything that labtrawl keeps lies below this folder, the key of the tokens too.
data_dir = {data_dir}

# Where the administrators of the GitLab reach you; it is part of the User-Agent.
{contact}
"""
_INSTANCE = """
# A GitLab. Optional: ca_file (certificates to trust), proxy, and address_allow (networks or hosts
# that may be private or without https).
[[instances]]
{lines}
"""
_ACCOUNT = """
# @{username}: the token is encrypted with the key file and bound to the url above.
[[accounts]]
instance = {instance}
token = {token}
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written; `is_known`: the file names the instance already."""

    config: Path
    data_dir: Path
    contact: str
    instance: Instance
    is_known: bool
    username: str

    def write(self, token: Secret, *, keep: bool, overwrite: bool) -> list[Path]:
        """Write the key file where there is none, then the settings; return what was written.

        `keep` adds to the file that is there, `overwrite` may replace it. Raises ConfigError or
        DiskFull; then the settings are as before and no fresh key is left.
        """
        key = key_path(self.data_dir)
        is_fresh = False
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not key.exists():
                create_key_file(key)
                is_fresh = True
            place = token_place(self.instance.url)
            text = self._text(open_cipher(key).encrypt(token, place), keep=keep)
            _replace(self.config, text, may_replace=keep or overwrite)
        except BaseException as error:
            if is_fresh:
                key.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise _failure(error, self.config) from None
            raise
        return [key, self.config] if is_fresh else [self.config]

    def _text(self, encrypted: str, *, keep: bool) -> str:
        head = self.config.read_text().rstrip() + "\n" if keep else self._head()
        instance = "" if self.is_known else _INSTANCE.format(lines=self._instance_lines())
        account = _ACCOUNT.format(
            username=re.sub(r"[^\w.-]", "", self.username, flags=re.ASCII),
            instance=_quoted(self.instance.name),
            token=_quoted(encrypted),
        )
        return head + instance + account

    def _head(self) -> str:
        contact = f"contact = {_quoted(self.contact)}" if self.contact else '# contact = "…"'
        return _HEAD.format(data_dir=_quoted(self._near(self.data_dir)), contact=contact)

    def _instance_lines(self) -> str:
        one = self.instance
        lines = {"name": _quoted(one.name), "url": _quoted(one.url)}
        if one.ca_file is not None:
            lines["ca_file"] = _quoted(self._near(one.ca_file))
        if one.proxy is not None:
            lines["proxy"] = _quoted(one.proxy)
        if one.address_allow:
            lines["address_allow"] = f"[{', '.join(map(_quoted, one.address_allow))}]"
        return "\n".join(f"{key} = {value}" for key, value in lines.items())

    def _near(self, path: Path) -> str:
        """A path below the file's own folder as seen from it: the folder can be moved whole."""
        path, folder = path.absolute(), self.config.parent
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def tokens_of(settings: Settings, instance: Instance) -> list[Secret]:
    """Return the tokens that a file has for an instance; ConfigError if the key does not fit."""
    stored = [each.token for each in settings.accounts if each.instance == instance.name]
    if not stored:
        return []
    cipher = open_cipher(key_path(settings.data_dir))
    return [cipher.decrypt(text, token_place(instance.url)) for text in stored]


def _quoted(text: str) -> str:
    """A TOML basic string: as JSON's, except that DEL must be escaped (toml.io, v1.0.0)."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _replace(path: Path, text: str, *, may_replace: bool) -> None:
    """Put a file in its place in one step, after proving that labtrawl reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _check_readable(path, draft)
        if may_replace:
            draft.replace(path)
        else:
            _place(draft, path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _place(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)  # unlike a rename, it fails where a file has come meanwhile
    except FileExistsError:
        raise ConfigError(
            f"{path} is there already: --add adds to it, --force writes it anew"
        ) from None


def _check_readable(path: Path, draft: Path) -> None:
    try:
        load(draft, {}, {})
    except ConfigError as error:
        said = str(error).replace(str(draft), str(path))
        raise ConfigError(
            f"{said}; write what is there as [[instances]] and [[accounts]]"
        ) from None


def _failure(error: OSError, path: Path) -> Exception:
    where = error.filename or path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no room to write {where}: free some space, then run the same again")
    return ConfigError(f"{where} cannot be written: {error.strerror}")
