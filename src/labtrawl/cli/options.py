"""The flags that commands share: how a command gets its `Settings`."""

import functools
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import click
import msgspec

from labtrawl import config, logs
from labtrawl.cli.places import PLACE
from labtrawl.config import Settings
from labtrawl.errors import LabtrawlError

Command = TypeVar("Command", bound=Callable[..., Any])

_FLAGS = {
    "data_dir": "--data-dir",
    "logs.level": "--log-level",
    "logs.format": "--log-format",
    "website.host": "--host",
    "website.port": "--port",
    "crawler.count": "--crawlers",
    "scope.include": "--include",
    "scope.exclude": "--exclude",
}
_EVERYWHERE = ("data_dir", "logs.level", "logs.format")
_ROWS = {setting.name: setting for setting in config.SETTINGS}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the settings of a command came from, so that they can be read again."""

    config_file: Path | None
    flags: Mapping[str, object]

    def read(self) -> Settings:
        """Return the settings as file, environment and flags say now; ConfigError as `load`."""
        given = {name: None if value == () else value for name, value in self.flags.items()}
        return config.load(self.config_file, os.environ, given)

    def dump(self) -> bytes:
        """Return it as JSON for another process, wherever that one's working folder is."""
        file = None if self.config_file is None else str(self.config_file.absolute())
        flags = dict(self.flags)
        if flags.get("data_dir") is not None:
            flags["data_dir"] = str(Path(str(flags["data_dir"])).absolute())
        return msgspec.json.encode({"config_file": file, "flags": flags})

    @classmethod
    def restore(cls, text: bytes | msgspec.Raw) -> Self:
        """Return the source that `dump` wrote."""
        found = msgspec.json.decode(text)
        file, flags = found["config_file"], found["flags"]
        lists = {name: tuple(each) for name, each in flags.items() if isinstance(each, list)}
        return cls(None if file is None else Path(file), flags | lists)

    def arguments(self) -> list[str]:
        """Return the flags again, for a command that is to read the same settings."""
        file = [] if self.config_file is None else ["--config", str(self.config_file)]
        for name, value in self.flags.items():
            for each in value if isinstance(value, tuple) else (value,):
                file += [] if each is None else [_FLAGS[name], str(each)]
        return file


def settings_options(command: Command) -> Command:
    """Give a command --config, --data-dir and the log flags; it is called with `settings`."""
    return setting_flags()(command)


def setting_flags(*names: str, with_source: bool = False) -> Callable[[Command], Command]:
    """Do as `settings_options`, with a flag for each named setting too.

    `with_source` calls the command with its `source` as well.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_settings(config_file: Path | None, **given: Any) -> Any:
            flags = {name: given.pop(_parameter(name)) for name in (*names, *_EVERYWHERE)}
            source = Source(config_file, flags)
            if with_source:
                given["source"] = source
            return command(settings=_set_up(source), **given)

        decorated: Any = with_settings
        for name in reversed((*names, *_EVERYWHERE)):
            decorated = _option(name)(decorated)
        return _config_option(decorated)  # type: ignore[no-any-return]

    return decorate


def read_settings(config_file: Path | None, flags: dict[str, object]) -> Settings:
    """Load the settings and set up the logs by them; a list that was not given is not set."""
    return _set_up(Source(config_file, flags))


def _set_up(source: Source) -> Settings:
    settings = source.read()
    logs.set_up(settings.logs)
    return settings


def folder_flag(settings: Settings) -> str:
    """Return the flag that a command typed here needs for the same data folder, with a space; or ""."""
    try:
        usual = config.load(None, os.environ, {}).data_dir
    except LabtrawlError:
        usual = None
    here = Path.cwd()
    folder = settings.data_dir
    near = folder.relative_to(here) if folder.is_relative_to(here) else folder
    return "" if folder == usual else f" --data-dir {shlex.quote(str(near))}"


def database_path(settings: Settings) -> Path:
    """Return where the embedded database lies."""
    from labtrawl.store.engine import database_path as path_in

    return path_in(settings.data_dir)


def _parameter(name: str) -> str:
    return "setting_" + name.replace(".", "_")


def _option(name: str) -> Callable[[Any], Any]:
    row = _ROWS[name]
    return click.option(
        _FLAGS[name],
        _parameter(name),
        multiple=row.is_list,
        metavar=_metavar(name),
        help=f"{row.reason} Default: {row.default}." if row.default != "(none)" else row.reason,
    )


def _metavar(name: str) -> str:
    return _FLAGS[name].removeprefix("--").replace("-", "_").upper()


_config_option = click.option(
    "--config",
    "config_file",
    type=PLACE,
    metavar="FILE",
    help="The file of settings. Default: ./labtrawl.toml, else labtrawl.toml in the data folder.",
)
