"""Groups of commands: what they list, and what they say of a name that they do not have.

A command of a table is imported only when it runs, so that `labtrawl --help` stays quick.
"""

import difflib
import gc
import importlib
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import click


def load(name: str) -> ModuleType:
    """Import a module; nothing is garbage meanwhile, and to look for it costs a tenth of the time."""
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.enable()


@dataclass(frozen=True, slots=True)
class Row:
    """A command: where it is ("module:attribute") and its line in the list under `heading`."""

    target: str
    summary: str
    heading: str = "Commands"
    hidden: bool = False


# What is less alike than this was not meant.
LIKE = 0.5


class Commands(click.Group):
    """A group of its own commands and of a table; `before` is called ahead of a table's import."""

    def __init__(
        self,
        *args: Any,
        rows: Mapping[str, Row] | None = None,
        before: Callable[[], None] = lambda: None,
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self._rows = rows or {}
        self._before = before

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*self.commands, *self._rows]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = self._rows.get(cmd_name)
        if row is None:
            self._refuse_unknown(ctx, cmd_name)
            return super().get_command(ctx, cmd_name)
        self._before()
        module, attribute = row.target.split(":")
        command = getattr(load(module), attribute)
        assert isinstance(command, click.Command)
        command.hidden = row.hidden
        return command

    def _refuse_unknown(self, ctx: click.Context, name: str) -> None:
        """Name the nearest command; an option that stands here is click's to explain."""
        if not name.startswith("-") and name not in self.commands:
            shown = [each for rows in self._shown().values() for each, _ in rows]
            begun = [each for each in shown if each.startswith(name)]
            nearest = begun[:1] or difflib.get_close_matches(name, shown, n=1, cutoff=LIKE)
            hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list, each line whole; of the table nothing is imported for it."""
        shown = self._shown()
        width = max((len(name) for rows in shown.values() for name, _ in rows), default=0)
        for heading, rows in shown.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), line) for name, line in rows])

    def _shown(self) -> dict[str, list[tuple[str, str]]]:
        """The commands that are not hidden, with their lines, by heading."""
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, command in self.commands.items():
            if not command.hidden:
                found["Commands"].append((name, command.get_short_help_str(sys.maxsize)))
        for name, row in self._rows.items():
            if not row.hidden:
                found[row.heading].append((name, row.summary))
        return found
