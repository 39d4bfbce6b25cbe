"""Reads the settings: default < file < environment < flag. Only `cli` and tests enter."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from labtrawl.config.checks import MAX_SOCKET_PATH, check
from labtrawl.config.layers import (
    Given,
    find_file,
    read_environment,
    read_file,
    read_flags,
)
from labtrawl.config.settings import Settings, from_text
from labtrawl.config.table import BY_NAME, SETTINGS, TABLES, Setting
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError

_NAMES_IN_RUNTIME_DIR = ("control.sock", "auth.sock", "api.sock", "http.sock")


def load(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """Return all settings, checked.

    `path` is the file of settings (None: ./labtrawl.toml, else the data folder's, else none).
    `flags` are dotted names; None means not given. Relative paths count from the file that holds
    them, else from the working directory. ConfigError: one sentence with the key and its place.
    """
    folder = Path.cwd()
    given = {**read_environment(environ, folder), **read_flags(flags, folder)}
    overrides = {name: each.place for name, each in given.items()}
    data_dir = _data_dir(given, folder)
    found = find_file(path, folder, data_dir)
    tables: dict[str, list[dict[str, Given]]] = {name: [] for name in TABLES}
    if found is not None:
        file = read_file(found)
        given, tables = {**file.values, **given}, file.tables
        _check_place(found, path, data_dir, _data_dir(given, folder))
    settings = _build(given, tables, environ, folder)
    return replace(settings, file=found, overrides=overrides)


def from_words(name: str, words: str | Sequence[str]) -> object:
    """Return the value that a text means for a setting, or texts for one that is a list.

    ConfigError, one sentence, for what the loader would not take; KeyError for no setting.
    """
    return _convert(BY_NAME[name], Given(words, name, Path.cwd(), is_text=True))


def defaults(data_dir: Path, values: Mapping[str, object] | None = None) -> Settings:
    """Return the settings of somebody who set only the data folder and `values`; reads no file.

    ConfigError as `load`.
    """
    given = read_flags({"data_dir": data_dir, **(values or {})}, Path.cwd())
    return _build(given, {name: [] for name in TABLES}, {}, Path.cwd())


def _data_dir(given: Mapping[str, Given], folder: Path) -> Path:
    if "data_dir" in given:
        return Path(str(_convert(BY_NAME["data_dir"], given["data_dir"])))
    return folder / "data.private"


def _check_place(found: Path, named: Path | None, searched: Path, data_dir: Path) -> None:
    if named is None and found.parent == searched.absolute() != data_dir.absolute():
        raise ConfigError(f"data_dir in {found} names another folder than the one it lies in")


def _build(
    given: Mapping[str, Given],
    tables: Mapping[str, list[dict[str, Given]]],
    environ: Mapping[str, str],
    folder: Path,
) -> Settings:
    values = {name: _convert(BY_NAME[name], each) for name, each in given.items()}
    _derive(values, environ, folder)
    document = _nest(values)
    document.update({name: [_entry(name, each) for each in tables[name]] for name in tables})
    document["named"] = sorted(given)
    settings = msgspec.convert(document, Settings, dec_hook=_keep)
    check(settings)
    return settings


def _keep(wanted: type, value: object) -> Path | Secret:
    return value if isinstance(value, Path | Secret) else from_text(wanted, value)


def _entry(table: str, entry: Mapping[str, Given]) -> dict[str, Any]:
    for setting in TABLES[table]:
        if setting.name not in entry and setting.default == "(required)":
            raise ConfigError(f"a [[{table}]] lacks {setting.name}, {setting.expects}")
    rows = {setting.name: setting for setting in TABLES[table]}
    return {name: _convert(rows[name], each) for name, each in entry.items()}


def _convert(setting: Setting, given: Given) -> Any:
    value = given.value
    if setting.is_list and isinstance(value, str) and given.is_text:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        made = msgspec.convert(
            value, setting.annotation, strict=not given.is_text, dec_hook=from_text
        )
    except msgspec.ValidationError:
        # The reason given by msgspec may quote the value; a token written there stays unseen.
        raise ConfigError(f"{given.place} must be {setting.expects}") from None
    return (given.base / made.expanduser()).absolute() if isinstance(made, Path) else made


def _derive(values: dict[str, Any], environ: Mapping[str, str], folder: Path) -> None:
    """Fill in the defaults that depend on other settings."""
    data_dir = values.setdefault("data_dir", folder / "data.private")
    runtime_dir = values.setdefault("runtime_dir", _runtime_dir(data_dir, environ))
    values.setdefault("auth_socket.path", runtime_dir / "auth.sock")
    for name, file in (("socket.path", "api.sock"), ("socket.http_path", "http.sock")):
        beside_data = data_dir / "config" / file
        values.setdefault(name, beside_data if _fits(beside_data) else runtime_dir / file)


def _runtime_dir(data_dir: Path, environ: Mapping[str, str]) -> Path:
    """Choose the folder of sockets: the session's, else the data's, else one with a short path."""
    name = "labtrawl-" + hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    session = environ.get("XDG_RUNTIME_DIR", "")
    candidates = [Path(session) / name] if session and Path(session).is_dir() else []
    candidates.append(data_dir / "run")
    fallback = Path("/tmp") / f"{name}-{os.getuid()}"  # noqa: S108 - made 0700, its owner is checked
    return next((each for each in candidates if _all_fit(each)), fallback)


def _all_fit(folder: Path) -> bool:
    return folder.is_absolute() and all(_fits(folder / name) for name in _NAMES_IN_RUNTIME_DIR)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.name in values:
            *groups, last = setting.name.split(".")
            place = document
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = values[setting.name]
    return document
