"""Paths on the command line."""

import os
from pathlib import Path
from typing import Any

import click


class Place(click.Path):
    """A path; an empty one, as of a variable that is not set, is none: it would mean the folder here."""

    def __init__(self, **rules: Any) -> None:
        super().__init__(path_type=Path, **rules)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Return the path; click's error for an empty one."""
        if not os.fspath(value).strip():
            self.fail("it is empty; name a file or a folder (. is the folder here)", param, ctx)
        return super().convert(value, param, ctx)


PLACE = Place()
