"""Where values come from: the file and the environment, read into one shape; flags join in `load`.

Only `labtrawl.config.load` enters.
"""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtrawl.config.table import BY_NAME, BY_VARIABLE, TABLES
from labtrawl.errors import ConfigError

FILE_NAME = "labtrawl.toml"
PREFIX = "LABTRAWL_"
# Not a setting: the supervisor tells a child in it where its control channel is.
CONTROL_VARIABLE = "LABTRAWL_CONTROL_FD"


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody set: what, where (for sentences), and what its paths count from."""

    value: object
    place: str
    base: Path
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """What a file of settings holds."""

    path: Path
    values: dict[str, Given]
    tables: dict[str, list[dict[str, Given]]]


def find_file(named: Path | None, folder: Path, data_dir: Path) -> Path | None:
    """Return the file to read: the named one, else ./labtrawl.toml, else the data folder's."""
    if named is not None:
        if not named.is_file():
            raise ConfigError(f"there is no file of settings at {named}; name another by --config")
        return named.absolute()
    candidates = (folder / FILE_NAME, data_dir / FILE_NAME)
    return next((each.absolute() for each in candidates if each.is_file()), None)


def read_file(path: Path) -> File:
    """Read a TOML file; ConfigError in one sentence for what is not TOML or not known."""
    try:
        with path.open("rb") as stream:
            document = tomllib.load(stream)
            mode = path.stat().st_mode & 0o777
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    tables = {name: _tables(name, document.pop(name, []), path) for name in TABLES}
    values = dict(_flatten(document, "", path))
    if (tables["accounts"] or "website.crawler_token" in values) and mode & 0o077:
        what = "accounts" if tables["accounts"] else "a token"
        raise ConfigError(f"{path} holds {what} and can be read by others; run: chmod 600 '{path}'")
    return File(path, values, tables)


def _flatten(document: Mapping[str, Any], prefix: str, path: Path) -> Iterator[tuple[str, Given]]:
    for key, value in document.items():
        name = f"{prefix}{key}"
        if name in BY_NAME:
            yield name, Given(value, f"{name} in {path}", path.parent)
        elif isinstance(value, dict) and any(known.startswith(f"{name}.") for known in BY_NAME):
            yield from _flatten(value, f"{name}.", path)
        else:
            raise _unknown(f"setting {name} in {path}", name, [*BY_NAME, *TABLES])


def _tables(name: str, entries: object, path: Path) -> list[dict[str, Given]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{name} in {path} must be written as [[{name}]]")
    known = [setting.name for setting in TABLES[name]]
    for key in (key for entry in entries for key in entry if key not in known):
        raise _unknown(f"setting {key} in [[{name}]] of {path}", key, known)
    return [
        {
            key: Given(value, f"{key} of [[{name}]] number {number} in {path}", path.parent)
            for key, value in entry.items()
        }
        for number, entry in enumerate(entries, 1)
    ]


def read_environment(environ: Mapping[str, str], folder: Path) -> dict[str, Given]:
    """Return what the environment sets; an empty variable counts as not set."""
    given: dict[str, Given] = {}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in {*BY_VARIABLE, CONTROL_VARIABLE}:
            raise _unknown(f"variable {variable} in the environment", variable, BY_VARIABLE)
        if variable in BY_VARIABLE and environ[variable]:
            _add_variable(given, variable, environ[variable], folder)
    return given


def _add_variable(given: dict[str, Given], variable: str, text: str, folder: Path) -> None:
    setting = BY_VARIABLE[variable]
    if setting.name in given and given[setting.name].value != text:
        names = " and ".join(setting.environment)
        raise ConfigError(f"{names} in the environment say different things; keep one of them")
    given[setting.name] = Given(text, f"{variable} in the environment", folder, is_text=True)


def read_flags(flags: Mapping[str, object], folder: Path) -> dict[str, Given]:
    """Return what the command line sets; None is a flag that was not given."""
    given: dict[str, Given] = {}
    for name, value in flags.items():
        if name not in BY_NAME:
            raise _unknown(f"setting {name} on the command line", name, BY_NAME)
        if value is not None:
            text = str(value) if isinstance(value, Path) else value
            place = f"{name} on the command line"
            given[name] = Given(text, place, folder, is_text=isinstance(text, str))
    return given


def _unknown(what: str, name: str, known: Iterable[str]) -> ConfigError:
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return ConfigError(f"unknown {what}; the nearest known one is {nearest[0]}")
