"""Groups that import a command only when it runs, so that `labtrawl --help` stays quick."""

import difflib
import gc
import importlib
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
    """A command: where it is ("module:attribute") and its line in the list of commands."""

    target: str
    summary: str
    hidden: bool = False


class LazyGroup(click.Group):
    """A group over a table of commands; `before` is called ahead of a command's import."""

    def __init__(
        self,
        *args: Any,
        rows: Mapping[str, Row],
        before: Callable[[], None] = lambda: None,
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self._rows = rows
        self._before = before

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._rows, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = self._rows.get(cmd_name)
        if row is None:
            self._refuse_unknown(cmd_name)
            return super().get_command(ctx, cmd_name)
        self._before()
        module, attribute = row.target.split(":")
        command = getattr(load(module), attribute)
        assert isinstance(command, click.Command)
        command.hidden = row.hidden
        return command

    def _refuse_unknown(self, name: str) -> None:
        """Name the nearest command; an option that stands here is click's to explain."""
        if not name.startswith("-") and name not in self.commands:
            shown = [each for each, row in self._rows.items() if not row.hidden]
            nearest = difflib.get_close_matches(name, shown, n=1, cutoff=0.0)
            hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
            raise click.UsageError(f"there is no command {name!r}{hint}")

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list from the table: nothing is imported for it."""
        shown = [(name, row.summary) for name, row in self._rows.items() if not row.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(shown)
