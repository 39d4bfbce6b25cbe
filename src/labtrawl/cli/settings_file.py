"""Writes labtrawl.toml and the key file: whole or not at all, tokens encrypted. `init` and `config`."""

import errno
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from labtrawl.cli.settings_blocks import Blocks
from labtrawl.config import Instance, Settings, load
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, DiskFull
from labtrawl.gitlab.oauth import Application
from labtrawl.store.secrets import (
    Cipher,
    account_place,
    client_secret_place,
    create_key_file,
    key_path,
    open_cipher,
    sync_folder,
)

_HEAD = """\
# The settings of labtrawl, written by `labtrawl init`; relative paths count from this file.
# It names accounts: keep it to yourself (chmod 600). Each setting has a default.

# Everything that labtrawl keeps lies below this folder, the key of the tokens too.
data_dir = {data_dir}

# Where the administrators of the GitLab reach you; it is part of the User-Agent.
{contact}

# For whom data are collected, team or study; a data folder keeps its first.
{mode}

# Why, in a sentence; exports show it.
{basis}
"""
_INSTANCE = """
# A GitLab. Optional: ca_file (certificates to trust), proxy, and address_allow (networks or hosts
# that may be private or without https).
[[instances]]
{lines}"""
_ACCOUNT = """
# @{username}: what is encrypted is so with the key file, and bound to the user and the url above.
{block}"""


@dataclass(frozen=True, slots=True)
class Access:
    """A token made by hand, or what a sign-in brought; `expires_at` is in ms."""

    token: Secret
    refresh_token: Secret | None = None
    expires_at: int = 0
    application: Application | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written; `existing` is what the file holds already, where it is kept.

    The account of a user who is there takes the place of the one before.
    """

    config: Path
    data_dir: Path
    contact: str
    instance: Instance
    existing: Settings | None
    username: str
    user_id: int
    mode: str = "team"
    basis: str = ""

    def write(self, new: Access, *, overwrite: bool) -> list[Path]:
        """Write the key file where there is none, then the settings; return what was written.

        `overwrite` may replace a file that is not kept. Raises ConfigError or DiskFull; then the
        settings are as before and no fresh key is left.
        """
        key = key_path(self.data_dir)
        is_fresh = False
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not key.exists():
                create_key_file(key)
                is_fresh = True
            text = self.text(new, open_cipher(key))
            keep = self.existing is not None
            advice = "; write what is there as [[instances]] and [[accounts]]" if keep else ""
            put_file(self.config, text, may_replace=keep or overwrite, advice=advice)
        except BaseException as error:
            if is_fresh:
                key.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise failure(error, self.config) from None
            raise
        return [key, self.config] if is_fresh else [self.config]

    def text(self, new: Access, cipher: Cipher) -> str:
        """Return the whole file, everything secret encrypted."""
        application = _application_lines(self.instance, new, cipher)
        block = self._account_block(new, cipher)
        if self.existing is None:
            return self._head() + self._instance_text(application) + self._account_text(block)
        blocks = Blocks(self.config.read_text().rstrip() + "\n")
        known = [each.name for each in self.existing.instances]
        users = [(each.instance, each.user_id) for each in self.existing.accounts]
        if self.instance.name not in known:
            blocks.append(self._instance_text(application))
        elif application:
            blocks.extend("instances", known.index(self.instance.name), application)
        user = (self.instance.name, self.user_id)
        if self.user_id and user in users:
            blocks.replace("accounts", users.index(user), block)
        else:
            blocks.append(self._account_text(block))
        return blocks.text

    def _account_text(self, block: str) -> str:
        return _ACCOUNT.format(
            username=re.sub(r"[^\w.-]", "", self.username, flags=re.ASCII), block=block
        )

    def _account_block(self, new: Access, cipher: Cipher) -> str:
        url, user_id = self.instance.url, self.user_id
        lines = {
            "instance": quoted(self.instance.name),
            **({"user_id": str(user_id)} if user_id else {}),
            "token": quoted(cipher.encrypt(new.token, account_place(url, user_id))),
        }
        if new.refresh_token is not None:
            place = account_place(url, user_id, "refresh_token")
            lines["refresh_token"] = quoted(cipher.encrypt(new.refresh_token, place))
            lines["expires_at"] = str(new.expires_at)
        return "[[accounts]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())

    def _instance_text(self, application: str) -> str:
        return _INSTANCE.format(lines=self._instance_lines() + application)

    def _head(self) -> str:
        contact = f"contact = {quoted(self.contact)}" if self.contact else '# contact = "…"'
        basis = f"basis = {quoted(self.basis)}" if self.basis else '# basis = "…"'
        data_dir = quoted(self._near(self.data_dir))
        mode = f"{'# ' if self.mode == 'team' else ''}mode = {quoted(self.mode)}"
        return _HEAD.format(data_dir=data_dir, contact=contact, mode=mode, basis=basis)

    def _instance_lines(self) -> str:
        one = self.instance
        lines = {"name": quoted(one.name), "url": quoted(one.url)}
        if one.ca_file is not None:
            lines["ca_file"] = quoted(self._near(one.ca_file))
        if one.proxy is not None:
            lines["proxy"] = quoted(one.proxy)
        if one.address_allow:
            lines["address_allow"] = f"[{', '.join(map(quoted, one.address_allow))}]"
        return "".join(f"{key} = {value}\n" for key, value in lines.items())

    def _near(self, path: Path) -> str:
        """A path below the file's own folder as seen from it: the folder can be moved whole."""
        path, folder = path.absolute(), self.config.parent
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def tokens_of(settings: Settings, instance: Instance) -> list[Secret]:
    """Return the tokens that a file has for an instance; ConfigError if the key does not fit."""
    stored = [each for each in settings.accounts if each.instance == instance.name]
    if not stored:
        return []
    cipher = open_cipher(key_path(settings.data_dir))
    return [
        cipher.decrypt(each.token, account_place(instance.url, each.user_id)) for each in stored
    ]


def _application_lines(instance: Instance, new: Access, cipher: Cipher) -> str:
    """The lines of an OAuth application that the instance in the file lacks."""
    if new.application is None or instance.client_id:
        return ""
    lines = {
        "client_id": quoted(new.application.client_id),
        "redirect_uri": quoted(new.application.redirect_uri),
    }
    if new.application.secret is not None:
        place = client_secret_place(instance.url)
        lines["client_secret"] = quoted(cipher.encrypt(new.application.secret, place))
    return "".join(f"{key} = {value}\n" for key, value in lines.items())


def quoted(text: str) -> str:
    """A TOML basic string: as JSON's, except that DEL must be escaped (toml.io, v1.0.0)."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def put_file(
    path: Path,
    text: str,
    *,
    may_replace: bool,
    advice: str = "",
    flags: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Put a file of settings in its place in one step, after proving that labtrawl reads it.

    ConfigError, with the advice, where it does not (`flags` set over it), or where a file is there
    and must stay.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _check_readable(path, draft, advice, flags)
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


def _check_readable(path: Path, draft: Path, advice: str, flags: Mapping[str, object]) -> None:
    try:
        load(draft, {}, flags)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(draft), str(path)) + advice) from None


def failure(error: OSError, path: Path) -> Exception:
    """Return DiskFull or ConfigError for a file of settings that could not be written."""
    where = error.filename or path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no room to write {where}: free some space, then run the same again")
    return ConfigError(f"{where} cannot be written: {error.strerror}")
