"""The flags that commands share: how a command gets its `Settings`."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from labtrawl import config, logs
from labtrawl.config import Settings

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


def settings_options(command: Command) -> Command:
    """Give a command --config, --data-dir and the log flags; it is called with `settings`."""
    return setting_flags()(command)


def setting_flags(*names: str) -> Callable[[Command], Command]:
    """Do as `settings_options`, with a flag for each named setting too."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_settings(config_file: Path | None, **given: Any) -> Any:
            flags = {name: given.pop(_parameter(name)) for name in (*names, *_EVERYWHERE)}
            return command(settings=read_settings(config_file, flags), **given)

        decorated: Any = with_settings
        for name in reversed((*names, *_EVERYWHERE)):
            decorated = _option(name)(decorated)
        return _config_option(decorated)  # type: ignore[no-any-return]

    return decorate


def read_settings(config_file: Path | None, flags: dict[str, object]) -> Settings:
    """Load the settings and set up the logs by them; a list that was not given is not set."""
    given = {name: value if value != () else None for name, value in flags.items()}
    settings = config.load(config_file, os.environ, given)
    logs.set_up(settings.logs)
    return settings


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
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file of settings. Default: ./labtrawl.toml, else labtrawl.toml in the data folder.",
)
